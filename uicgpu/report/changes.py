"""What became of the clusters of the former run? One sentence per answer."""

from __future__ import annotations

from typing import Any

from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts
from uicgpu.report.catalogue import Words
from uicgpu.vocabulary import StageName


def change_sentences(run: RunArtefacts, words: Words) -> list[str]:
    """Sentences on kept, new and gone clusters, splits and merges; empty without a former run."""
    carried: dict[str, Any] | None = run.facts(StageName.CLUSTER).get("previous")
    if not carried:
        return []
    now = {profile["cluster"]: profile["name"] for profile in run.profiles}
    before = {int(cluster): name for cluster, name in carried["names"].items()}

    def listed(clusters: list[int], names: dict[int, str]) -> str:
        return words.listed([words("changes.named", name=names.get(c, "?"), cluster=c) for c in clusters])

    kept = len(carried["kept"])
    told = [
        words(
            "changes.kept",
            kept=numbers.count(kept),
            before=numbers.count(kept + len(carried["deaths"])),
            users=numbers.count(carried["users"]),
        )
    ]
    if carried["births"]:
        told.append(words("changes.births", names=listed(carried["births"], now)))
    if carried["deaths"]:
        told.append(words("changes.deaths", names=listed(carried["deaths"], before)))
    for cluster, parts in carried["splits"].items():
        told.append(words("changes.split", name=listed([int(cluster)], before), names=listed(parts, now)))
    for cluster, parts in carried["merges"].items():
        told.append(words("changes.merge", name=listed([int(cluster)], now), names=listed(parts, before)))
    return told
