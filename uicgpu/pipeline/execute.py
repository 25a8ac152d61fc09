"""Run the pipeline in a run folder: fresh, again, or from where it was interrupted."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uicgpu.backends import choose_backend
from uicgpu.errors import SettingsError
from uicgpu.pipeline.graph import STAGES
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.folder import RunFolder
from uicgpu.runs.progress import Progress, SilentProgress
from uicgpu.runs.stages import Outcome, StageContext, execute, fingerprint_inputs
from uicgpu.settings import ResolvedSettings, Settings, resolve_settings
from uicgpu.version import __version__
from uicgpu.vocabulary import FORMAT_VERSION


def input_files(settings: Settings) -> dict[str, list[Path]]:
    """Resolve files, folders and globs of the three inputs."""
    from uicgpu.events.read import find_files

    roles: Mapping[str, tuple[str, ...]] = {
        "events": settings.events,
        "items": settings.items,
        "users": settings.users,
    }
    return {role: find_files(patterns) for role, patterns in roles.items() if patterns}


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    names = ("numpy", "scipy", "numba", "polars", "torch", "transformers", "scikit-learn", "umap-learn")
    found = {"python": platform.python_version()}
    for name in (*names, "faiss-cpu", "faiss-gpu"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def check_extras(settings: Settings) -> None:
    """Raise MissingExtraError for a package that a late stage would miss: before the work, not after it."""
    if settings.reduce == "umap" and settings.algorithm in ("hdbscan", "dbscan"):
        from uicgpu.cluster.embedding import check_umap

        check_umap()


def prepare(resolved: ResolvedSettings, *, command: str, progress: Progress, fresh: bool) -> StageContext:
    """Open the run folder, choose the device, and write down what this run is about."""
    settings = resolved.settings
    if not settings.events:
        raise SettingsError("no events given", fix="add --events PATH (a file, a folder or a glob)")
    if not settings.out:
        raise SettingsError("no run folder given", fix="add --out RUN")
    check_extras(settings)
    backend = choose_backend(settings.device, settings.threads, settings.memory)
    files = input_files(settings)
    folder = RunFolder(Path(settings.out))
    folder.prepare(fresh=fresh)
    recorded = folder.manifest.get("inputs", [])
    folder.manifest = {
        "format_version": FORMAT_VERSION,
        "uicgpu_version": __version__,
        "command": command,
        "settings": settings.model_dump(mode="json"),
        "settings_sources": resolved.sources,
        "seed": settings.seed,
        "device": {
            "name": backend.name,
            "device": backend.device,
            "reason": backend.reason,
            "engines": dict(backend.engines),
        },
        "versions": versions(),
        "inputs": fingerprint_inputs(files, recorded),
        "stages": folder.manifest.get("stages", {}),
    }
    return StageContext(settings, backend, folder, progress)


def run_pipeline(
    resolved: ResolvedSettings, *, command: str = "run", progress: Progress | None = None, fresh: bool = False
) -> tuple[Run, Outcome]:
    """Run the pipeline, or what is left of it; returns the run and which stages ran."""
    context = prepare(resolved, command=command, progress=progress or SilentProgress(), fresh=fresh)
    with context.folder.lock(), context.backend:
        context.folder.save()
        outcome = execute(STAGES, context, __version__)
    return open_run(context.folder.path), outcome


def run(
    settings: Settings | Mapping[str, Any] | str | Path, *, progress: Progress | None = None, fresh: bool = False
) -> Run:
    """Turn events and items into clusters, profiles, recommendations and a report.

    Parameters
    ----------
    settings
        A :class:`~uicgpu.settings.Settings`, a mapping of settings (``{"events": ["ratings.csv"], "out": "run"}``), or
        the path of a TOML file.
    progress
        Shows progress; silent by default.
    fresh
        Forget results of a former run in the same folder.

    Returns
    -------
    Run
        The finished run. An unchanged run is returned at once, a killed one goes on where it stopped.

    Raises
    ------
    SettingsError, InputError, MissingDeviceError, MissingExtraError, OutOfResourcesError, RunFolderError
        See :mod:`uicgpu.errors`.
    """
    if isinstance(settings, Settings):
        given = settings.model_dump(exclude_unset=True)
        resolved = resolve_settings(given, environment={})
    elif isinstance(settings, Mapping):
        resolved = resolve_settings(settings)
    else:
        resolved = resolve_settings({}, Path(settings))
    finished, _ = run_pipeline(resolved, progress=progress, fresh=fresh)
    return finished
