"""``uicgpu train``: the encoder learns from behaviour."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import CLEANING, COLUMNS, output_options, setting_options, shared_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.settings import resolve_settings


@click.command("train", short_help="Fine-tune the encoder on behaviour.")
@setting_options(("events", "items"))
@setting_options(COLUMNS)
@setting_options(CLEANING)
@setting_options(("model", "batch_tokens", "max_tokens"))
@setting_options(("split", "objective"))
@click.option("--out", "out_folder", type=click.Path(path_type=Path), required=True, metavar="ENCODER")
@click.option(
    "--recipe",
    type=click.Choice(["auto", "whiten", "head", "full", "lora"]),
    default="auto",
    help="whiten: seconds; head: a minute; full: all weights; lora: adapters. auto: full, lora for decoder models.",
)
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps of the encoder. Default: 100.")
@click.option("--block", type=click.IntRange(2), help="Texts per step. Default: 256.")
@click.option("--learning-rate", type=float, help="Peak learning rate. Default: 0.0003, for lora 0.002.")
@click.option("--rank", type=click.IntRange(1), help="lora: rank of the adapters. Default: 16.")
@click.option("--temperature", type=float, help="Temperature of the softmax. Default: 0.1.")
@click.option(
    "--log-q",
    type=click.FloatRange(0, 1),
    help="Share of log Q, the popularity of items. block: of it that is explained away, default 0.5. pairs, history: "
    "of the classical correction, default 0, because it harms items without events.",
)
@click.option("--window", type=click.IntRange(1), help="pairs: places before and after an item. Default: 10.")
@click.option("--window-days", type=float, help="pairs, history: most days between two items. Default: no limit.")
@click.option("--latest", type=click.IntRange(1), help="history: items that make the query. Default: 8.")
@click.option(
    "--masked-steps",
    type=click.IntRange(0),
    help="Masked-language-model steps on the texts first. Default: 0, with objective masked 200.",
)
@click.option(
    "--hard-negatives",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    help="Share of each step's texts drawn near its other texts (FAISS). Default: 0.",
)
@click.option(
    "--least-structure",
    type=click.FloatRange(0, 1),
    help="Trained weights ship only where cosines of general sentences still correlate this much with before. "
    "Default: 0.8. 0 judges by ranking alone and may cost cluster quality.",
)
@shared_options
@click.option("--resume/--fresh", "resume", default=True, help="Go on after an interruption (default), or start anew.")
@click.option("--dry-run", is_flag=True, help="Show the plan and a rough time; write nothing.")
@output_options
def command(
    out_folder: Path,
    recipe: str,
    steps: int | None,
    block: int | None,
    learning_rate: float | None,
    rank: int | None,
    temperature: float | None,
    log_q: float | None,
    window: int | None,
    window_days: float | None,
    latest: int | None,
    masked_steps: int | None,
    hard_negatives: float,
    least_structure: float | None,
    settings_file: Path | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    **flags: Any,
) -> None:
    """Train on what users do; writes an encoder folder, and ships only what held-out items confirm.

    \b
    Examples:
      uicgpu train --events ratings.csv --items movies.csv --min-value 3.5 --out encoder
      uicgpu train --events sales.parquet --recipe head --out encoder
      uicgpu train --events sales.parquet --objective history --window-days 30 --out encoder
      uicgpu train --items catalogue.csv --objective masked --out encoder
      uicgpu train --events sales.parquet --out encoder --dry-run

    Use it with uicgpu run --model encoder. An interrupted training goes on with the same command.
    """
    resolved = resolve_settings(flags, settings_file)
    from uicgpu.finetune.recipe import Recipe, recipe_of
    from uicgpu.finetune.stage import train_encoder

    def recipe_for(architecture: str) -> Recipe:
        return recipe_of(
            recipe,
            architecture,
            steps=steps,
            block=block,
            learning_rate=learning_rate,
            rank=rank,
            temperature=temperature,
            log_q=log_q,
            objective=resolved.settings.objective,
            window=window,
            window_days=window_days,
            latest=latest,
            **({} if least_structure is None else {"structure": least_structure}),
            masked_steps=masked_steps,
            hard_negatives=hard_negatives,
        )

    progress = TerminalProgress(verbosity(quiet, verbose))
    result = train_encoder(resolved.settings, recipe_for, out_folder, progress, fresh=not resume, dry_run=dry_run)
    if int(os.environ.get("RANK") or 0) == 0:  # one of several processes that train together speaks
        print_result(result, as_json=as_json)
