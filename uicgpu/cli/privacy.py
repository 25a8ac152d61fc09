"""``uicgpu privacy``: does what a run publishes protect its users?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from uicgpu.cli.options import output_options
from uicgpu.cli.output import print_result
from uicgpu.vocabulary import ExitCode


@click.command("privacy", short_help="Attack the published artefacts of a run; exit 1 if an attack succeeds.")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--utility", is_flag=True, help="Also measure what differential privacy would cost.")
@output_options
def command(run_path: Path, utility: bool, as_json: bool, quiet: bool, verbose: int) -> int:
    """Test what a finished run publishes: linkage attacks, canaries, user ids, personal data, small groups.

    \b
    Examples:
      uicgpu privacy run
      uicgpu privacy run --utility --json
    """
    from uicgpu.pipeline.privacy import check_privacy, private_utility

    result = check_privacy(run_path)
    if utility:
        result["differential_privacy"] = private_utility(run_path)
    print_result(result if as_json else _told(result), as_json=as_json)
    return int(ExitCode.DONE if result["passed"] else ExitCode.FAILED)


def _attack(attack: dict[str, Any], bound: float) -> str:
    return (
        f"success {attack['success']:.4f} mean, {attack['worst']:.4f} worst, bound {bound:.4f} "
        f"({attack['victims']} users, group found {attack['group_found']:.0%})"
    )


def _told(result: dict[str, Any]) -> dict[str, Any]:
    from uicgpu.pipeline.privacy import WHOLE

    lines: dict[str, Any] = {
        "result": "passed" if result["passed"] else "FAILED",
        "k-anonymity": result["k_anonymity"],
        "smallest published group": result["smallest_group"] if result["smallest_group"] is not None else "none",
    }
    for attack in result["linkage"]:
        lines[f"linkage, {attack['known']} known"] = _attack(attack, result["bound"])
    for attack in result["linkage_export"]:
        lines[f"export, {attack['known']} known"] = _attack(attack, result["bound"])
    for attack in result["linkage_map"]:
        known = attack["known"] if attack["known"] < WHOLE else "all"
        lines[f"data map, {known} known"] = _attack(attack, result["bound"])
    lines["canaries found"] = f"{result['canaries_found']} of {result['canaries_planted']} planted"
    lines["user ids found"] = result["ids_found"]
    lines["personal data found"] = result["personal_data_found"]
    for row in result.get("differential_privacy", []):
        lines[f"epsilon {row['epsilon']}"] = (
            f"ARI {row['ari']:.3f}, spread ×{row['spread']:.3f}, counts off by {row['count_error']:.0%}"
        )
    return lines
