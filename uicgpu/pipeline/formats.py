"""A finished run in other forms: Markdown, a picture, an MLflow run."""

from __future__ import annotations

import importlib
import re
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

from uicgpu.errors import MissingExtraError
from uicgpu.pipeline.export import export_run
from uicgpu.report import build_report
from uicgpu.report.markdown import build_markdown
from uicgpu.report.picture import take_picture
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.folder import write_text
from uicgpu.settings import MACHINE_SETTINGS
from uicgpu.vocabulary import Exported, StageName

Format = Literal["md", "png"]
_METRIC_NAME: Final = re.compile(r"[^\w\-. /]")
_METRICS_PER_CALL: Final = 1000
_LONGEST_PARAMETER: Final = 500
"""Limits of MLflow's tracking service: metrics of one request; characters that every version takes."""


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


def log_to_mlflow(run: Run | str | Path, experiment: str = "uicgpu", *, uri: str | None = None) -> str:
    """Log settings, figures and the published artefacts of a finished run to MLflow; return the MLflow run's id.

    Parameters are the run's settings without files, folders and addresses; metrics are the numbers of ``metrics.json``
    (``@`` in a name becomes ``_at_``, which MLflow demands); artefacts are ``report.html``, ``profiles.json``,
    ``metrics.json`` and ``clusters.csv`` as :func:`~uicgpu.pipeline.export.export_run` publishes them. Users appear in
    nothing that is logged, also when the run was made with ``raw_ids``.

    Parameters
    ----------
    experiment
        Name of MLflow's experiment; it is made when it does not exist.
    uri
        Where MLflow logs to, for this process from now on. Default: MLflow's own setting (``MLFLOW_TRACKING_URI``).

    Raises
    ------
    MissingExtraError
        When MLflow is not installed.
    RunFolderError
        When the run is not finished; nothing is logged then.
    """
    try:
        mlflow: Any = importlib.import_module("mlflow")
    except ImportError as error:
        raise MissingExtraError("MLflow is not installed", fix="pip install 'uicgpu[mlflow]'") from error
    finished = run if isinstance(run, Run) else open_run(run)
    figures = {
        _METRIC_NAME.sub("_at_", name): float(value)
        for name, value in finished.metrics.items()
        if isinstance(value, int | float)
    }
    with tempfile.TemporaryDirectory(prefix="uicgpu-mlflow-") as temporary:
        folder = Path(temporary) / "published"
        export_run(finished.path, folder, users=False)
        (folder / Exported.DESCRIPTION).unlink()
        if uri is not None:
            mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(experiment)
        with mlflow.start_run() as started:
            mlflow.log_params(_parameters(finished.manifest["settings"]))
            mlflow.set_tags({"uicgpu.version": finished.manifest["uicgpu_version"]})
            names = sorted(figures)
            for first in range(0, len(names), _METRICS_PER_CALL):
                mlflow.log_metrics({name: figures[name] for name in names[first : first + _METRICS_PER_CALL]})
            mlflow.log_artifacts(str(folder))
            return str(started.info.run_id)


def _parameters(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as MLflow's parameters; of a model in a folder its name only, as the way there is the machine's."""
    hidden = MACHINE_SETTINGS | {"events", "items", "users", "llm_url"}
    shown = {name: str(value)[:_LONGEST_PARAMETER] for name, value in settings.items() if name not in hidden}
    if shown["model"].startswith(("/", "~", ".")):
        shown["model"] = Path(shown["model"]).name
    return shown
