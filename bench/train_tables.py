"""Write the figures of ``bench/results/train.json`` into the guide, between its two marks.

Run it after ``uicgpu.bench.train`` or ``uicgpu.bench.train_throughput``: ``python -m uicgpu.bench.train_tables``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "bench" / "results" / "train.json"
GUIDE: Final = ROOT / "docs" / "fine-tuning.md"
BEGIN: Final = "<!-- written by python -m uicgpu.bench.train_tables -->\n"
END: Final = "<!-- end -->\n"
TITLES: Final = {
    "films": "Films",
    "retail": "Retail",
    "groceries": "Groceries, used for no setting of the training",
    "anime": "Anime, Chinese titles",
    "films_lora": "Films, adapters (LoRA) instead of all weights",
}
Result = Mapping[str, Any]


def figures(results: Result) -> str:
    """Return the part of the guide that quotes the results."""
    names = [name for name in TITLES if name in results]
    lines = [line for name in names for line in _set(TITLES[name], results[name])]
    lines += _guards({name: results[name] for name in names})
    if "structure_study" in results:
        lines += _study(results["structure_study"])
    if "throughput" in results:
        lines += _throughput(results["throughput"])
    return "\n".join(lines) + "\n"


def _gain(figure: Mapping[str, float]) -> str:
    return f"{figure['gain']:+.1f} [{figure['low']:+.1f}, {figure['high']:+.1f}]"


def _set(title: str, result: Result) -> list[str]:
    seconds = result["cpu_seconds"]
    trained = f", {seconds} CPU seconds of training" if seconds else ""
    lines = [
        f"**{title}** ({result['users']:,} users, {result['cold_texts']:,} cold texts{trained}). "
        f"The gate ships `{result['gate']['chosen']}`.",
        "",
        "| arm | NDCG@10 | on frozen | on half-whitened |",
        "| --- | --- | --- | --- |",
    ]
    judged = [row["arm"] for row in result["gate"]["table"]]  # from the cheapest to the dearest
    for arm in [*judged, *sorted(set(result["arms"]) - set(judged))]:
        figure = result["arms"][arm]
        frozen = "" if arm == "frozen" else _gain(figure["on_frozen"])
        half = "" if arm == "half-whitened" else _gain(figure["on_half_whitened"])
        lines.append(f"| {arm} | {figure['ndcg']:.4f} | {frozen} | {half} |")
    if "structure" not in result:
        lines += ["", "Judged before the guard of general structure existed."]
    refused = result["gate"].get("refused_for_structure")
    if refused:
        lines += ["", f"Refused because general structure changed: {', '.join(refused)}."]
    lines += [
        "",
        "| shipped arm, cold texts by popularity | texts | users | on frozen | on half-whitened |",
        "| --- | --- | --- | --- | --- |",
    ]
    thirds = sorted(result["thirds"].items(), key=lambda pair: pair[1]["most_users_per_item"])
    lines += [
        f"| {name} (up to {third['most_users_per_item']} users) | {third['items']} | {third['users']} "
        f"| {_gain(third['on_frozen'])} | {_gain(third['on_half_whitened'])} |"
        for name, third in thirds
    ]
    return [*lines, ""]


def _guards(results: Mapping[str, Result]) -> list[str]:
    rows: dict[str, list[str]] = {}
    for result in results.values():
        states = ["frozen", "blend", *(name for name in result["groups"] if name not in ("frozen", "blend"))]
        groups = [result["groups"][name] for name in states]
        own = [result["own_clusters"][name] for name in states]
        similarity, structure = result["similarity"], result.get("structure", {})
        uniformity, alignment = result["uniformity"], result["alignment"]
        cells = {
            "NMI with 23 known groups of another catalogue": [
                f"{group['nmi']:.3f} ± {group['error']:.3f}" for group in groups
            ],
            "bootstrap ARI of those clusters": [_stability(group["stability"]) for group in groups],
            "bootstrap ARI of the set's own clusters": [_stability(figure) for figure in own],
            "Spearman on sentence pairs": [f"{similarity['base' if s == 'frozen' else s]:.3f}" for s in states],
            "structure of general sentences": [f"{structure[s]:.2f}" for s in states[1:] if s in structure],
            "uniformity, base → shipped (0 is collapse)": [f"{uniformity[key]:.2f}" for key in ("base", "shipped")],
            "alignment, base → shipped": [f"{alignment[key]:.2f}" for key in ("base", "shipped")],
        }
        for name, values in cells.items():
            rows.setdefault(name, []).append(" → ".join(values))
    return [
        "Guards, by plain vectors: base → blend → trained weights, ± one standard error over clusterings.",
        "",
        f"| guard | {' | '.join(TITLES[name].partition(',')[0] + ', LoRA' * ('lora' in name) for name in results)} |",
        f"|{' --- |' * (len(results) + 1)}",
        *(f"| {name} | {' | '.join(values)} |" for name, values in rows.items()),
        "",
    ]


def _study(study: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """One row per set and weights: correlation of general cosines with the base's, and what known groups lost."""
    lines = [
        "Why .8: correlation of general sentences' cosines with the base's, and the change of NMI with the 23 groups.",
        "",
        "| trained on | weights | structure | NMI, ± standard error | change of bootstrap ARI, ± standard error |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {state} | {row['structure']:.2f} | {row['nmi']:+.3f} ± {row['nmi_error']:.3f} "
        f"| {row['stability']:+.3f} ± {row['stability_error']:.3f} |"
        for name, states in study.items()
        for state, row in states.items()
    ]
    return [*lines, ""]


def _stability(figure: Mapping[str, float]) -> str:
    return f"{figure['mean']:.3f} ± {figure['error']:.3f}"


def _throughput(figure: Result) -> list[str]:
    rates = figure["tokens_per_cpu_second"]
    rounds = ", ".join(f"{ratio:.2f}" for ratio in figure["ratios"])
    return [
        f"Throughput of pairs on film texts ({figure['mean_tokens_per_text']} tokens on average, {figure['steps']} "
        f"steps of {figure['pairs_per_step']} pairs), one thread:",
        f"{rates['uicgpu']:.0f} tokens per CPU second against {rates['sentence-transformers']:.0f} with "
        f"sentence-transformers' own trainer on the same pairs, loss and optimiser",
        f"({figure['ratio']:.2f} x; rounds {rounds}).",
        "",
    ]


def main() -> None:
    """Rewrite the marked part of the guide."""
    guide = GUIDE.read_text(encoding="utf-8")
    before, _, rest = guide.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = figures(json.loads(RESULTS.read_text(encoding="utf-8")))
    GUIDE.write_text(before + BEGIN + text + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
