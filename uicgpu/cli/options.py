"""Options that commands share, made once from the settings themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from uicgpu.settings import CLUSTERING_SETTINGS, Settings

Command = TypeVar("Command", bound=Callable[..., Any])

MACHINE = ("device", "threads", "memory")
COLUMNS = (
    "user_column",
    "item_column",
    "time_column",
    "kind_column",
    "value_column",
    "item_id_column",
    "text_columns",
    "category_column",
    "user_id_column",
    "label_column",
)
CLEANING = ("kind_weights", "half_life", "min_value", "item_pattern")
ENCODING = ("model", "batch_tokens", "max_tokens", "long_texts", "prompt", "dim", "dtype")
CLUSTERING = (*CLUSTERING_SETTINGS, "stability_runs")
SPLITTING = ("split", "tune", "evaluate_users", "bootstrap")

_METAVARS = {
    "events": "PATH",
    "items": "PATH",
    "users": "PATH",
    "out": "RUN",
    "previous": "RUN",
    "kind_weights": "KIND=W,…",
    "half_life": "DAYS",
    "text_columns": "A,B",
    "unnamed_words": "A,B",
    "k": "INT|auto",
    "model": "NAME|PATH",
    "memory": "SIZE",
    "cache_limit": "SIZE",
    "device": "auto|cpu|cuda[:N]",
    "item_pattern": "REGEX",
}


def _describe(name: str) -> str:
    field = Settings.model_fields[name]
    text = (field.description or "").replace("``", "")
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        text += f" [{'|'.join(choices)}]"
    default = field.get_default(call_default_factory=False)
    shown = default is not None and default != () and default != {} and not isinstance(default, bool)
    if shown and str(default) != "PydanticUndefined" and "efault" not in text:
        text += f" Default: {default}."
    return text


def setting_options(names: Iterable[str]) -> Callable[[Command], Command]:
    """Add one option per setting, with the setting's own description."""

    def decorate(command: Command) -> Command:
        for name in reversed(list(names)):
            flags = ["-k", name] if name == "k" else [f"--{name.replace('_', '-')}", name]
            annotation = Settings.model_fields[name].annotation
            extra: dict[str, Any] = {"help": _describe(name), "default": None}
            if annotation is bool:
                extra["is_flag"] = True
            else:
                extra["metavar"] = _METAVARS.get(name, "VALUE")
            if name in {"events", "items", "users"}:
                extra["multiple"] = True
            command = click.option(*flags, **extra)(command)
        return command

    return decorate


def shared_options(command: Command) -> Command:
    """Add ``--settings --seed --device --threads --memory``."""
    command = click.option(
        "--settings",
        "settings_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Settings file (TOML).",
    )(command)
    return setting_options(("seed", *MACHINE))(command)


def output_options(command: Command) -> Command:
    """Add ``--json -q -v``."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
        click.option("-v", "--verbose", count=True, help="Say more: also what tuning and evaluation noticed."),
    ):
        command = option(command)
    return command


def verbosity(quiet: bool, verbose: int) -> int:
    """Turn ``-q`` and ``-v`` into one number."""
    return -1 if quiet else verbose
