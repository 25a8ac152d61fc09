"""What a run would do, before it does it: stages, sizes, and a rough time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uicgpu.backends import choose_backend
from uicgpu.errors import SettingsError
from uicgpu.pipeline.execute import check_extras, input_files
from uicgpu.pipeline.graph import STAGES
from uicgpu.runs.folder import RunFolder
from uicgpu.runs.progress import SilentProgress
from uicgpu.runs.stages import StageContext, fingerprint_inputs, is_current
from uicgpu.settings import ResolvedSettings
from uicgpu.version import __version__

ROUGH_SECONDS_PER_MIB = {"events": 12.0, "items": 60.0, "users": 0.1}
"""An order of magnitude, from MovieLens latest-small on two CPU cores (2.2 MiB of events, 0.4 MiB of items)."""


def plan_run(resolved: ResolvedSettings, *, fresh: bool) -> dict[str, Any]:
    """Return the device, the input bytes, which stages would run, and a rough time.

    Nothing is written. The time is the input's size times a rate measured on two cores; it says "minutes or hours",
    no more.
    """
    settings = resolved.settings
    if not settings.events:
        raise SettingsError("no events given", fix="add --events PATH (a file, a folder or a glob)")
    check_extras(settings)
    files = input_files(settings)
    backend = choose_backend(settings.device, settings.threads, settings.memory)
    sizes = {role: sum(path.stat().st_size for path in paths) for role, paths in files.items()}
    current: list[str] = []
    if settings.out and not fresh and (Path(settings.out) / "manifest.json").is_file():
        folder = RunFolder(Path(settings.out))
        folder.load()
        folder.manifest["inputs"] = fingerprint_inputs(files, folder.manifest.get("inputs", []))
        context = StageContext(settings, backend, folder, SilentProgress())
        for stage in STAGES:
            if not is_current(stage, context, __version__):
                break
            current.append(stage.name)
    pending = [stage.name for stage in STAGES if stage.name not in current]
    rough = sum(ROUGH_SECONDS_PER_MIB[role] * size / 2**20 for role, size in sizes.items()) if pending else 0.0
    return {
        "device": f"{backend.name}: {backend.reason}",
        "files": {role: len(paths) for role, paths in files.items()},
        "input bytes": sizes,
        "memory budget": settings.memory,
        "up to date": current,
        "would run": pending,
        "rough seconds": round(rough),
    }
