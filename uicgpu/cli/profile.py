"""``uicgpu profile``: one user of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import output_options
from uicgpu.cli.output import print_result


@click.command("profile", short_help="One user: cluster and why, interests, recommendations.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--user", required=True, metavar="ID", help="A user id of the run.")
@output_options
def command(run_path: Path, user: str, as_json: bool, quiet: bool, verbose: int) -> None:
    """Describe one user of a finished run, and why they are in their cluster.

    \b
    Examples:
      uicgpu profile run --user 42
      uicgpu profile run --user 42 --json

    The answer is about one person: it is the operator's, not for publication.
    """
    from uicgpu.pipeline.person import profile_user

    told = profile_user(run_path, user)
    print_result(told if as_json else _lines(told), as_json=as_json)


def _lines(told: dict[str, Any]) -> dict[str, Any]:
    lines = {
        "user": told["user_id"],
        "cluster": f"{told['name']} (confidence {told['confidence']:.2f}; next: {told['second_name']})",
        "events": f"{told['events']} on {told['items']} items",
        "interests": "; ".join(f"{entry['title']} ({entry['importance']:.0%})" for entry in told["interests"]),
        "categories": ", ".join(f"{entry['category']} {entry['share']:.0%}" for entry in told["categories"]),
        "because of": "; ".join(f"{entry['title']} ({entry['part']:.0%})" for entry in told["because"]),
    }
    if told["would_change"] is not None:
        lines[f"without these: {told['would_be']}"] = "; ".join(told["would_change"])
    for number, entry in enumerate(told["recommendations"], start=1):
        lines[f"recommended {number}"] = f"{entry['title']}: {entry['reason']}"
    return lines
