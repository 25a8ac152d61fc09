"""``uicgpu settings``: every setting, its value, and where the value came from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from uicgpu.cli.options import output_options
from uicgpu.settings import Settings, resolve_settings


@click.command("settings", short_help="The resolved settings and the source of each value.")
@click.argument("settings_argument", metavar="[SETTINGS.toml]", required=False, type=click.Path(path_type=Path))
@click.option("--settings", "settings_file", type=click.Path(path_type=Path), help="Settings file (TOML).")
@click.option("--describe", is_flag=True, help="Also say what each setting means.")
@output_options
def command(
    settings_argument: Path | None,
    settings_file: Path | None,
    describe: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Print the resolved settings with the source of each value.

    \b
    Examples:
      uicgpu settings
      UICGPU_SEED=7 uicgpu settings settings.toml --describe
    """
    resolved = resolve_settings({}, settings_argument or settings_file)
    values = resolved.settings.model_dump(mode="json")
    if as_json:
        told = {name: {"value": value, "source": resolved.sources[name]} for name, value in values.items()}
        click.echo(json.dumps(told, ensure_ascii=False, sort_keys=True))
        return
    for name, value in values.items():
        click.echo(f"{name} = {json.dumps(value, ensure_ascii=False)}  # {resolved.sources[name]}")
        if describe or verbose:
            click.echo(f"    {(Settings.model_fields[name].description or '').replace('``', '')}")
