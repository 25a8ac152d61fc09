"""The graph of stages: which must run, which are still good, and what each leaves behind.

A stage's key hashes everything its result depends on: its version, the settings it reads, the input files it reads and
the *hashes of the outputs* of the stages before it. A stage whose key and outputs are unchanged is not run again.
Because keys look at outputs, a changed setting that leaves an upstream result as it was stops there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uicgpu.errors import OutOfResourcesError, RunFolderError
from uicgpu.runs.folder import RunFolder, sha256_file
from uicgpu.runs.memory import peak_bytes, reset_peak
from uicgpu.runs.progress import Progress
from uicgpu.settings import Settings


@dataclass(frozen=True)
class StageContext:
    """What a stage gets: settings, device, folder, and a way to report.

    Attributes
    ----------
    measured
        Where a stage may leave what differs between runs of equal results, such as cache hits: it goes into the
        manifest beside seconds and peak bytes, and into no key.
    """

    settings: Settings
    backend: Any
    folder: RunFolder
    progress: Progress
    measured: dict[str, int] = field(default_factory=dict)

    def facts(self, stage: str) -> dict[str, Any]:
        """Return what an earlier stage recorded about its result."""
        facts: dict[str, Any] = self.folder.manifest["stages"][stage]["facts"]
        return facts


@dataclass(frozen=True)
class Stage:
    """One arrow of the data flow.

    Attributes
    ----------
    needs
        Stages whose outputs are read.
    settings
        Names of the settings that the result depends on.
    inputs
        Settings that name input files (``events``, ``items``, ``users``) which the stage reads.
    outputs
        Artefacts written.
    run
        Does the work, writes the outputs, returns facts (JSON-able, free of times and paths).
    version
        Raised whenever the code's result changes, so that old results are not reused.
    fingerprint
        Anything else that the result depends on, such as the weights of a local encoder.
    """

    name: str
    run: Callable[[StageContext], dict[str, Any]]
    outputs: tuple[str, ...]
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    version: int = 1
    fingerprint: Callable[[Settings], str | None] | None = None


@dataclass
class Outcome:
    """Which stages ran and which were still good."""

    ran: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def fingerprint_inputs(
    files: Mapping[str, Sequence[Path]], recorded: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Hash the input files; a file with the recorded path, size and modification time is not read again."""
    known = {(entry["path"], entry["bytes"], entry["modified_ns"]): entry["sha256"] for entry in recorded}
    inputs = []
    for role in sorted(files):
        for path in files[role]:
            status = path.stat()
            identity = (str(path.resolve()), status.st_size, status.st_mtime_ns)
            inputs.append(
                {
                    "role": role,
                    "path": identity[0],
                    "bytes": identity[1],
                    "modified_ns": identity[2],
                    "sha256": known.get(identity) or sha256_file(path),
                }
            )
    return inputs


def stage_key(stage: Stage, settings: Settings, manifest: Mapping[str, Any], package_version: str) -> str:
    """Return the hash of everything that the stage's result depends on."""
    dumped = settings.model_dump(mode="json")
    described = {
        "stage": stage.name,
        "version": stage.version,
        "package": package_version,
        "settings": {name: dumped[name] for name in sorted(stage.settings)},
        "inputs": [
            [entry["role"], Path(entry["path"]).name, entry["sha256"]]
            for entry in manifest["inputs"]
            if entry["role"] in stage.inputs
        ],
        "needs": {
            name: {output: entry["sha256"] for output, entry in manifest["stages"][name]["outputs"].items()}
            | {"facts": manifest["stages"][name]["facts"]}
            for name in sorted(stage.needs)
        },
        "fingerprint": stage.fingerprint(settings) if stage.fingerprint else None,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def is_current(stage: Stage, context: StageContext, package_version: str) -> bool:
    """Tell whether the stage's recorded result still holds."""
    manifest = context.folder.manifest
    if any(manifest["stages"].get(name, {}).get("status") != "done" for name in stage.needs):
        return False
    entry = manifest["stages"].get(stage.name, {})
    if entry.get("status") != "done":
        return False
    if entry["key"] != stage_key(stage, context.settings, manifest, package_version):
        return False
    return context.folder.intact(entry["outputs"])


def execute(stages: Sequence[Stage], context: StageContext, package_version: str) -> Outcome:
    """Run the stages that are not current, in order; record each in the manifest as soon as it is finished.

    Raises
    ------
    OutOfResourcesError
        When memory does not suffice.
    """
    outcome = Outcome()
    folder = context.folder
    for stage in stages:
        if is_current(stage, context, package_version):
            outcome.kept.append(stage.name)
            continue
        key = stage_key(stage, context.settings, folder.manifest, package_version)
        folder.manifest["stages"][stage.name] = {"status": "running", "key": key}
        folder.save()
        context.measured.clear()
        reset_peak()
        context.backend.engines.clear()
        started = time.perf_counter()
        try:
            facts = stage.run(context)
        except MemoryError as error:
            raise OutOfResourcesError(
                f"memory did not suffice for stage {stage.name}",
                where=f"--memory {context.settings.memory} bytes",
                fix="run the same command with a smaller --memory, or on a machine with more",
            ) from error
        finally:
            context.backend.release()
        missing = [output for output in stage.outputs if not folder.file(output).is_file()]
        if missing:
            raise RunFolderError(f"stage {stage.name} did not write {', '.join(missing)}", where=str(folder.path))
        folder.manifest["stages"][stage.name] = {
            "status": "done",
            "key": key,
            "seconds": round(time.perf_counter() - started, 3),
            "peak_bytes": peak_bytes(),
            **context.measured,
            "engines": dict(sorted(context.backend.engines.items())),
            "facts": facts,
            "outputs": {output: folder.describe(output) for output in stage.outputs},
        }
        folder.save()
        outcome.ran.append(stage.name)
    return outcome
