"""``uicgpu bench``: benchmarks beside peers, and what other hardware would need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import output_options, verbosity
from uicgpu.cli.output import TerminalProgress, print_result
from uicgpu.cli.tables import check_suffix
from uicgpu.errors import SettingsError


@click.command("bench", short_help="Benchmarks beside peers; or predicted time and memory on named hardware.")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--out", "out_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write the result here.")
@click.option("--estimate", is_flag=True, help="Measure nothing: predict time and memory per stage on named hardware.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="Measured rounds per figure. Default: 5.")
@click.option("--texts", type=click.IntRange(20), default=1500, help="Texts of the catalogue. Default: 1500.")
@click.option("--users", type=click.IntRange(1), default=1_000_000, help="Users of the estimate. Default: a million.")
@click.option("--items", type=click.IntRange(1), default=1_000_000, help="Items of the estimate. Default: a million.")
@output_options
def command(
    names: tuple[str, ...],
    out_file: Path | None,
    estimate: bool,
    rounds: int,
    texts: int,
    users: int,
    items: int,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Run the named benchmarks (default: all) side by side with their peers, or predict with --estimate.

    \b
    Examples:
      uicgpu bench encode --out encode.json
      uicgpu bench --estimate --users 5000000 --items 200000
    """
    from uicgpu.bench import BENCHMARKS
    from uicgpu.bench.measure import write_result

    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        raise SettingsError(f"unknown benchmark {unknown[0]!r}", fix=f"there are: {', '.join(BENCHMARKS)}")
    if out_file is not None:
        check_suffix(out_file, (".json",))
    progress = TerminalProgress(verbosity(quiet, verbose))
    if estimate:
        from uicgpu.bench.cost_model import estimate_run

        result = estimate_run(users=users, items=items)
    else:
        from uicgpu.bench import run_benchmark

        chosen = names or tuple(BENCHMARKS)
        found = {name: run_benchmark(name, count=texts, rounds=rounds, say=progress.say) for name in chosen}
        result = found[chosen[0]] if len(chosen) == 1 else found
    if out_file is not None:
        write_result(out_file, result)
    print_result(result if as_json else flat(result), as_json=as_json)


def flat(result: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested figures into ``a.b.c: value`` lines.

    >>> flat({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    lines: dict[str, Any] = {}
    for name, value in result.items():
        lines |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return lines
