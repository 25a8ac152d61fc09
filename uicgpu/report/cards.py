"""Clusters: one card each, from ``profiles.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts
from uicgpu.report.catalogue import Words
from uicgpu.report.changes import change_sentences
from uicgpu.vocabulary import NOISE

COLOURS: Final = 10
"""Colours of the palette (style.css and report.js hold them for both themes); larger ids take them again in turn."""
MOST_CARDS: Final = 200
"""More clusters than this are listed in a table."""
OPEN_CARDS: Final = 24
"""Cards after these are folded away."""
TERMS_SHOWN: Final = 10
ITEMS_SHOWN: Final = 5
CATEGORIES_SHOWN: Final = 6
ENTRIES_SHOWN: Final = 4


def colour_of(cluster: int) -> int:
    """Number of a cluster's colour; -1 for users without a cluster (grey)."""
    return cluster % COLOURS if cluster != NOISE else -1


def cluster_section(run: RunArtefacts, words: Words) -> dict[str, Any]:
    """Cards of the largest clusters, rows of the rest, and the strip of shares."""
    ordered = run.published
    minimum = int(run.setting("k_anonymity"))
    cards = [_card(profile, words, minimum) for profile in ordered]
    return {
        "open": cards[:OPEN_CARDS],
        "folded": cards[OPEN_CARDS:MOST_CARDS],
        "rows": cards[MOST_CARDS:],
        "legend": cards,
        "strip": [
            {"cluster": card["cluster"], "colour": card["colour"], "name": card["name"], "share": card["share"]}
            | {"width": round(100 * profile["share"], 3)}
            for card, profile in zip(cards, ordered, strict=True)
            if profile["share"]
        ],
        "families": _families(ordered, words),
        "changes": change_sentences(run, words),
        "suppressed": sum(bool(profile.get("suppressed")) for profile in ordered),
        "merged": len(run.profiles) - len(ordered),
        "minimum": minimum,
        "repeats": len(cards) > COLOURS,
    }


def _families(ordered: Sequence[Mapping[str, Any]], words: Words) -> list[dict[str, Any]]:
    """Super-clusters, largest first, with the clusters in them."""
    families: dict[int, dict[str, Any]] = {}
    for profile in ordered:
        family = profile.get("super_cluster")
        if not family:
            continue
        told = families.setdefault(
            family["id"],
            {
                "name": family["name"],
                "size": words("map.users", users=numbers.count(family["size"])),
                "share": numbers.percent(family["share"]),
                "members": [],
            },
        )
        told["members"].append(
            {
                "cluster": profile["cluster"],
                "colour": colour_of(profile["cluster"]),
                "name": profile["name"],
                "share": numbers.percent(profile["share"]),
            }
        )
    return [families[number] for number in sorted(families)]


def _card(profile: Mapping[str, Any], words: Words, minimum: int) -> dict[str, Any]:
    suppressed = bool(profile.get("suppressed"))
    terms = [] if suppressed else profile.get("terms") or []
    heaviest = max((term["weight"] for term in terms), default=0.0) or 1.0
    items = [] if suppressed else profile.get("exemplar_items") or []
    categories = [] if suppressed else profile.get("categories") or []
    widest = max((max(entry["share"], entry["base_share"]) for entry in categories), default=0.0)
    searched = [
        profile["name"],
        *(term["term"] for term in terms),
        *(entry["category"] for entry in categories),
        *(item["text"] for item in items),
    ]
    return {
        "cluster": profile["cluster"],
        "colour": colour_of(profile["cluster"]),
        "name": profile["name"],
        "size": words("cards.fewer", minimum=minimum) if suppressed else numbers.count(profile["size"]),
        "share": numbers.percent(profile["share"]),
        "hover": words(
            "map.hover",
            name=profile["name"],
            size=words("cards.suppressed_size")
            if suppressed
            else words("map.users", users=numbers.count(profile["size"])),
        ),
        "suppressed": suppressed,
        "search": " ".join(searched).casefold()[:1500],
        "terms": [
            {
                "term": term["term"],
                "step": min(4, 1 + int(3.6 * (term["weight"] / heaviest) ** 1.5)),
                "title": words(
                    "cards.term_title", lift=numbers.times(term["lift"]), users=numbers.count(term["users"])
                ),
            }
            for term in terms[:TERMS_SHOWN]
        ],
        "items": [
            {
                "text": item["text"],
                "share": numbers.percent(item["share"]) if item["share"] else None,
                "base": numbers.percent(item["base_share"]),
                "central": item["why"] == "central",
            }
            for item in items[:ITEMS_SHOWN]
        ],
        "categories": [_bar(entry, "category", widest) for entry in categories[:CATEGORIES_SHOWN]],
        "apart": _apart(profile.get("nearest"), words),
        "facts": [] if suppressed else _facts(profile, words),
        "mixes": [] if suppressed else [*_rhythm(profile, words), *_mixes(profile, words)],
    }


def _bar(entry: Mapping[str, Any], name: str, widest: float) -> dict[str, Any]:
    lift = entry.get("lift")
    low, high = entry.get("lift_low"), entry.get("lift_high")
    return {
        "label": entry[name],
        "share": numbers.percent(entry["share"]),
        "base": numbers.percent(entry["base_share"]),
        "lift": numbers.times(lift),
        "more": lift is not None and lift >= 1.1 and (low is None or low > 1),
        "interval": None if low is None else f"{numbers.times(low)} – {numbers.times(high)}",
        "width": numbers.within(entry["share"], 0.0, widest),
        "mark": numbers.within(entry["base_share"], 0.0, widest),
    }


def _apart(nearest: Mapping[str, Any] | None, words: Words) -> str:
    """Sentences that compare a cluster with its neighbour."""
    if not nearest:
        return ""
    sentences = [words("apart.nearest", name=nearest["name"])]
    shares = [
        words(
            "apart.category",
            category=entry["category"],
            here=numbers.percent(entry["share"]),
            there=numbers.percent(entry["other_share"]),
        )
        for entry in sorted(
            nearest.get("categories", [])[:2],
            key=lambda entry: (entry["other_share"] - entry["share"], entry["category"]),
        )
    ]
    if shares:
        sentences.append(words("apart.categories", shares=words.listed(shares)))
    if nearest.get("terms"):
        sentences.append(words("apart.terms", terms=words.listed(nearest["terms"][:3])))
    if nearest.get("other_terms"):
        sentences.append(words("apart.other_terms", terms=words.listed(nearest["other_terms"][:3])))
    return words.told(sentences)


def _facts(profile: Mapping[str, Any], words: Words) -> list[dict[str, str]]:
    events = (profile.get("activity") or {}).get("events")
    recency = profile.get("recency")
    facts = []
    if events:
        facts.append(_fact(words, "events", events["median"], events["base_median"], numbers.figure))
    if recency:
        facts.append(_fact(words, "recency", recency["median"], recency["base_median"], numbers.figure))
    value = (profile.get("behaviour") or {}).get("value_mean")
    if value and (value["median"], value["mean"]) != (value["base_median"], value["base_mean"]):
        facts.append(_fact(words, "value", value["median"], value["base_median"], numbers.figure))
    trend = profile.get("trend")
    if trend:
        interval = words("interval.range", low=numbers.times(trend["low"]), high=numbers.times(trend["high"]))
        facts.append(
            {
                "label": words("fact.trend"),
                "value": words(f"trend.{trend['word']}"),
                "base": numbers.times(trend["change"]),
                "about": words("fact.trend.about", interval=interval),
            }
        )
    # For KMeans the confidence *is* the simplified silhouette; the same figure twice would read as a mistake.
    doubled = numbers.figure(profile.get("confidence"), 2) == numbers.figure(profile.get("silhouette"), 2)
    facts += [
        {
            "label": words(f"fact.{name}"),
            "value": numbers.figure(profile.get(name), 2),
            "base": "",
            "about": words(f"fact.{name}.about"),
        }
        for name in ("confidence", "silhouette", "stability")
        if profile.get(name) is not None and not (doubled and name == "silhouette")
    ]
    return facts


def _rhythm(profile: Mapping[str, Any], words: Words) -> list[dict[str, Any]]:
    """Weekdays and hours as columns, each with a mark at the share among all users."""
    told = []
    for name in ("weekday", "hour"):
        entries = profile.get(name) or []
        known = [part for entry in entries for part in (entry["share"], entry["base_share"]) if part is not None]
        if not known or not any(entry["share"] is not None for entry in entries):
            continue
        highest = max(known)
        told.append(
            {
                "title": words(f"mix.{name}"),
                "columns": [
                    {
                        "label": words(f"weekday.{number}") if name == "weekday" else str(number),
                        "shown": name == "weekday" or number % 6 == 0,
                        "height": numbers.within(entry["share"] or 0.0, 0.0, highest),
                        "mark": numbers.within(entry["base_share"] or 0.0, 0.0, highest),
                        "title": words(
                            "mix.column",
                            share=numbers.percent(entry["share"]),
                            base=numbers.percent(entry["base_share"]),
                        ),
                    }
                    for number, entry in enumerate(entries)
                ],
            }
        )
    return told


def _fact(words: Words, name: str, value: Any, base: Any, write: Any) -> dict[str, str]:
    return {
        "label": words(f"fact.{name}"),
        "value": write(value),
        "base": words("fact.base", value=write(base)),
        "about": words(f"fact.{name}.about"),
    }


def _mixes(profile: Mapping[str, Any], words: Words) -> list[dict[str, Any]]:
    """Kinds, parts of the day, attributes and other numbers, each beside the figure for all users."""
    mixes: list[tuple[str, Sequence[Mapping[str, Any]], str]] = []
    if len(profile.get("kinds") or []) > 1:
        mixes.append((words("mix.kinds"), profile["kinds"], "kind"))
    for name, entries in sorted((profile.get("mixes") or {}).items()):
        named = [{**entry, "value": words.named("part", entry["value"])} for entry in entries]
        if named:
            mixes.append((words.named("mix", name), named, "value"))
    numbers_told: list[tuple[str, Mapping[str, Any]]] = [
        (words.named("behaviour", name), entry) for name, entry in sorted((profile.get("behaviour") or {}).items())
    ]
    for name, attribute in sorted((profile.get("attributes") or {}).items()):
        if attribute["kind"] == "mix":
            mixes.append((name, attribute["values"], "value"))
        else:
            numbers_told.append((name, attribute))
    told: list[dict[str, Any]] = []
    for title, entries, key in mixes:
        widest = max(max(entry["share"], entry["base_share"]) for entry in entries)
        told.append({"title": title, "bars": [_bar(entry, key, widest) for entry in entries[:ENTRIES_SHOWN]]})
    if numbers_told:
        told.append(
            {
                "title": words("mix.numbers"),
                "rows": [
                    {
                        "label": label,
                        "value": numbers.figure(entry["mean"]),
                        "base": words("fact.base", value=numbers.figure(entry["base_mean"])),
                    }
                    for label, entry in numbers_told
                ],
            }
        )
    return told
