"""A finished run in other forms: Markdown, a picture, an MLflow run."""

from __future__ import annotations

import importlib
import re
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

from uicgpu.errors import MissingExtraError
from uicgpu.pipeline.export import DESCRIPTION, export_run
from uicgpu.report import build_report
from uicgpu.report.markdown import build_markdown
from uicgpu.report.picture import take_picture
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.folder import write_text
from uicgpu.settings import MACHINE_SETTINGS
from uicgpu.vocabulary import StageName

Format = Literal["md", "png"]
_METRIC_NAME: Final = re.compile(r"[^\w\-. /]")


def write_report(path: str | Path, form: Format, out: Path | None = None, language: str | None = None) -> Path:
    """Write the report of a finished run as Markdown or as a picture.

    Parameters
    ----------
    out
        Default: ``report.md`` or ``report.png`` in the run folder.

    Raises
    ------
    MissingExtraError
        When a picture is asked for and no browser is installed.
    """
    run = open_run(path)
    run.facts(StageName.METRICS)
    target = out or run.path / f"report.{form}"
    if form == "md":
        write_text(target, build_markdown(run.path, language))
        return target
    with tempfile.TemporaryDirectory(prefix="uicgpu-report-") as folder:
        page = Path(folder) / "report.html"
        write_text(page, build_report(run.path, language, raw_ids=False))
        return take_picture(page, target)


def log_to_mlflow(run: Run | str | Path, experiment: str = "uicgpu") -> str:
    """Log settings, figures and the published artefacts of a finished run to MLflow; return the MLflow run's id.

    Where to log is MLflow's own setting (``MLFLOW_TRACKING_URI``). Users appear in nothing that is logged.

    Raises
    ------
    MissingExtraError
        When MLflow is not installed.
    """
    try:
        mlflow: Any = importlib.import_module("mlflow")
    except ImportError as error:
        raise MissingExtraError("MLflow is not installed", fix="pip install mlflow-skinny") from error
    finished = run if isinstance(run, Run) else open_run(run)
    settings = finished.manifest["settings"]
    hidden = MACHINE_SETTINGS | {"events", "items", "users", "llm_url"}
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as started, tempfile.TemporaryDirectory(prefix="uicgpu-mlflow-") as temporary:
        mlflow.log_params({name: str(value)[:500] for name, value in settings.items() if name not in hidden})
        mlflow.set_tags({"uicgpu.version": finished.manifest["uicgpu_version"]})
        figures = {name: value for name, value in finished.metrics.items() if isinstance(value, int | float)}
        mlflow.log_metrics({_METRIC_NAME.sub("_at_", name): float(value) for name, value in figures.items()})
        folder = Path(temporary) / "published"
        export_run(finished.path, folder, users=False)
        (folder / DESCRIPTION).unlink()
        mlflow.log_artifacts(str(folder))
        return str(started.info.run_id)
