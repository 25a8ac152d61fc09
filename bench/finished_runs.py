"""Finished runs that a benchmark measures: named on its command line, and what is known of their users."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray

from uicgpu.bench.measure import write_result
from uicgpu.runs.artefacts import Run
from uicgpu.vocabulary import Artefact, Column


def measure_named_runs(
    description: str | None,
    measure: Callable[[Mapping[str, Path]], dict[str, Any]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Read ``NAME=RUN … --out FILE``, measure these runs (name of the data set → folder) and write the result."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", type=named_run)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    write_result(given.out, measure(dict(given.runs)))


def named_run(entry: str) -> tuple[str, Path]:
    """Read one ``NAME=RUN`` of a command line.

    Raises
    ------
    argparse.ArgumentTypeError
        If a part is missing, or the folder is.
    """
    name, _, path = entry.partition("=")
    if not name or not path or not Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"{entry!r}: write NAME=RUN, the name of the data set and a run's folder")
    return name, Path(path)


def known_groups(run: Run) -> NDArray[Any] | None:
    """Known group of each user of a run, None where unknown; None if the run has no label column in its events."""
    labels = pl.read_parquet(run.path / Artefact.LABELS)
    if labels.height == 0:
        return None
    joined = run.users.select(Column.USER).join(labels, on=Column.USER, how="left", maintain_order="left")
    return joined["label"].to_numpy()
