"""What does ``uicgpu privacy`` find on finished runs? ``python -m uicgpu.bench.privacy NAME=RUN … --out FILE``.

Reports are written again by this version in a copy; the runs themselves stay as they are.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from uicgpu.bench.finished_runs import measure_named_runs
from uicgpu.pipeline.finished import rebuild_report
from uicgpu.pipeline.privacy import WHOLE, check_privacy, private_utility
from uicgpu.runs.artefacts import open_run
from uicgpu.version import __version__

ATTACKS: Final = {"linkage": "profiles", "linkage_export": "export", "linkage_map": "data map"}


def bench_privacy(runs: Mapping[str, Path]) -> dict[str, Any]:
    """Test each run; the result names data sets, not places.

    Parameters
    ----------
    runs
        Name of the data set → folder of a finished run.
    """
    told = {}
    for name, path in sorted(runs.items()):
        with tempfile.TemporaryDirectory(prefix="uicgpu-bench-") as temporary:
            copy = Path(temporary) / "run"
            shutil.copytree(path, copy)
            rebuild_report(copy)
            run = open_run(copy)
            sizes = {"users": run.users.height, "clusters": run.clusters.height}
            told[name] = {**sizes, **check_privacy(copy), "utility": private_utility(copy)}
    return {"runs": told, "uicgpu_version": __version__}


def privacy_table(result: Mapping[str, Any]) -> str:
    """Return one row per run and attack, with the attacker's mean and highest chance to name the right person."""
    lines = [
        "| data | users | attack | known items | group found | mean chance | highest chance | bound |",
        "| --- " * 8 + "|",
    ]
    for name, told in result["runs"].items():
        for key, label in ATTACKS.items():
            for attack in told[key]:
                known = "all" if attack["known"] >= WHOLE else attack["known"]
                lines.append(
                    f"| {name} | {told['users']} | {label} | {known} | {attack['group_found']:.0%} | "
                    f"{attack['success']:.4f} | {attack['worst']:.4f} | {told['bound']:.4f} |"
                )
    return "\n".join(lines)


def search_table(result: Mapping[str, Any]) -> str:
    """Return one row per run with what the search of all published files found."""
    lines = ["| data | canaries planted | canaries found | ids found | personal data found | smallest group | result |"]
    lines.append("| --- " * 7 + "|")
    for name, told in result["runs"].items():
        counts = " | ".join(
            f"{told[key]}"
            for key in ("canaries_planted", "canaries_found", "ids_found", "personal_data_found", "smallest_group")
        )
        lines.append(f"| {name} | {counts} | {'passed' if told['passed'] else 'failed'} |")
    return "\n".join(lines)


def utility_table(result: Mapping[str, Any]) -> str:
    """Return one row per run: agreement with the run's clusters, error of the counts, per privacy budget."""
    budgets = [str(row["epsilon"]) for row in next(iter(result["runs"].values()))["utility"]]
    lines = ["| data | clusters | " + " | ".join(f"epsilon {budget}" for budget in budgets) + " |"]
    lines.append("| --- " * (2 + len(budgets)) + "|")
    for name, told in result["runs"].items():
        cells = [f"{row['ari']:.2f} (counts {row['count_error']:.0%})" for row in told["utility"]]
        lines.append(f"| {name} | {told['clusters']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    measure_named_runs(__doc__, bench_privacy)
