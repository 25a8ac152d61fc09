"""What did the run cost? Seconds, memory, bytes, tokens and cache hits per stage, and counts of work.

Counts and bytes are the same on every machine. Seconds and peak memory are not, and stay out of the page that a run
writes: equal runs leave equal pages. Who asks for them gets them.
"""

from __future__ import annotations

from typing import Any, Final

from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts
from uicgpu.report.catalogue import Words
from uicgpu.vocabulary import StageName

COUNTED_WORDS: Final = frozenset(
    """rows read kept rejected dropped merged texts text distinct tokens truncated users items item events event pairs
    interactions clusters iterations dim dimensions terms recommendations profiles suppressed metrics without with
    duplicates files padding noise""".split()
)
"""A fact is shown as work when every part of its name is one of these."""


def cost_section(run: RunArtefacts, words: Words, measured: bool) -> dict[str, Any]:
    """What was ``measured`` per stage, if it may be told, counts of work per stage, and bytes per artefact."""
    stages = []
    artefacts: dict[str, int] = {}
    for name in run.stage_order:
        entry = run.stages[name]
        if name != StageName.REPORT:
            artefacts |= _bytes(entry)
        counted = [
            {"label": words.named("count", fact), "value": numbers.count(value)}
            for fact, value in sorted((entry.get("facts") or {}).items())
            if numbers.is_number(value) and float(value).is_integer() and set(fact.split("_")) <= COUNTED_WORDS
        ]
        if counted:
            stages.append({"name": words.named("stage", name), "counts": counted})
    largest = max(artefacts.values(), default=0)
    return {
        "measured": _measured(run, words) if measured else None,
        "stages": stages,
        "artefacts": [
            {"name": name, "size": numbers.size(value), "width": numbers.within(value, 0, largest)}
            for name, value in sorted(artefacts.items(), key=lambda entry: (-entry[1], entry[0]))
        ],
        "total": numbers.size(sum(artefacts.values())),
    }


def _measured(run: RunArtefacts, words: Words) -> dict[str, Any] | None:
    """Seconds, peak memory, bytes written, tokens and cache hits of each stage before the report itself."""
    timed = [name for name in run.stage_order if name != StageName.REPORT and "seconds" in run.stages[name]]
    if not timed:
        return None
    seconds = {name: float(run.stages[name]["seconds"]) for name in timed}
    longest, total = max(seconds.values()), sum(seconds.values())
    return {
        "seconds": numbers.duration(total),
        "memory": numbers.size(max((run.stages[name].get("peak_bytes") or 0) for name in timed)),
        "rows": [
            {
                "name": words.named("stage", name),
                "seconds": numbers.duration(seconds[name]),
                "width": numbers.within(seconds[name], 0, longest),
                "memory": numbers.size(run.stages[name].get("peak_bytes")),
                "bytes": numbers.size(sum(_bytes(run.stages[name]).values())),
                "details": _details(run.stages[name], words),
            }
            for name in timed
        ],
    }


def _details(entry: dict[str, Any], words: Words) -> str:
    facts, hits = entry.get("facts") or {}, entry.get("cache_hits")
    told = []
    if facts.get("tokens"):
        told.append(words("cost.tokens", tokens=numbers.count(facts["tokens"])))
    if hits is not None and facts.get("distinct"):
        told.append(words("cost.cache", hits=numbers.count(hits), texts=numbers.count(facts["distinct"])))
    return words.listed(told)


def _bytes(entry: dict[str, Any]) -> dict[str, int]:
    return {
        artefact: int(output["bytes"])
        for artefact, output in sorted((entry.get("outputs") or {}).items())
        if numbers.is_number(output.get("bytes"))
    }
