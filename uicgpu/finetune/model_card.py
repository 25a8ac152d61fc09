"""The model card: what the encoder is, what it was trained on, how it was judged, what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_card(facts: Mapping[str, Any]) -> str:
    """Return the card as Markdown with the front matter that model hubs read."""
    base, data, gate = facts["base"], facts["data"], facts["gate"]
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        f"license: {facts['base_licence']}",
        "tags: [sentence-transformers, sentence-similarity, feature-extraction, recommendation]",
        "---",
        "",
        f"# {base['name']} after behaviour",
        "",
        "A text encoder that `uicgpu train` adapted to what users of one catalogue do.",
        "",
        f"**What ships:** {gate['reason']}.",
        "",
        "| use | load |",
        "| --- | --- |",
        "| clusters, similarity of meaning | this folder: `SentenceTransformer(folder)`, `uicgpu run --model folder` |",
        "| which item next, cold items | `ranking/`: the same weights, then the ranking map |",
        "| bare network | `AutoModel.from_pretrained(folder)` |",
        "",
        "Vectors of this encoder, of `ranking/` and of the base are three spaces: never mix them in one index.",
        "",
        "## Base",
        "",
        f"{base['name']} ({base['architecture']}, {base['dim']} dimensions, {base['pooling']} pooling), weights "
        f"SHA-256 `{base['weights_sha256']}`. Its licence, {facts['base_licence']}, governs these weights too.",
        "",
        "## Data",
        "",
        f"{data['pairs']:,} pairs of {data['users']:,} users and {data['texts']:,} distinct texts; fingerprint "
        f"`{data['sha256']}`. {data['held_out_texts']:,} texts were held out with all their behaviour and judged the "
        "arms; the last fifth of each user's history never trained, it stopped the training.",
        "The behaviour of people shaped these weights. Whoever may not see it should not get them.",
        "",
        "## How it was judged",
        "",
        "NDCG@10 on the held-out texts, gains over half-whitened frozen vectors with paired 95 % intervals over users.",
        "",
        "| arm | NDCG@10 | gain % | interval | passed |",
        "| --- | --- | --- | --- | --- |",
        *(_row(row) for row in gate["table"]),
        "",
        "## General meaning",
        "",
        f"Spearman on built-in sentence pairs: base {facts['similarity']['base']:.3f}, this folder "
        f"{facts['similarity']['shipped']:.3f}. Uniformity: base {facts['uniformity']['base']:.2f}, this folder "
        f"{facts['uniformity']['shipped']:.2f} (0 would be collapse).",
        "",
        "## Settings",
        "",
        "```",
        *(f"{name} = {value}" for name, value in sorted(facts["settings"].items())),
        "```",
        "",
        "## Limits",
        "",
        "Judged on one catalogue, offline, on texts like those it was trained on. Part of any gain is that the texts "
        "of popular things look alike; for the rarest texts gains are often not certain.",
        "",
    ]
    return "\n".join(lines)


def _row(row: Mapping[str, Any]) -> str:
    if "gain" not in row:
        return f"| {row['arm']} | {row['ndcg']:.4f} | | | |"
    return (
        f"| {row['arm']} | {row['ndcg']:.4f} | {row['gain']:+.1f} | [{row['low']:+.1f}, {row['high']:+.1f}] "
        f"| {'yes' if row['passed'] else 'no'} |"
    )
