"""The run folder and the stages that fill it: atomic artefacts, hashes, lock, manifest, resume."""

from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.folder import RunFolder
from uicgpu.runs.stages import Stage, StageContext, execute

__all__ = ["Run", "RunFolder", "Stage", "StageContext", "execute", "open_run"]
