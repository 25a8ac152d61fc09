"""What would people see? Recommendations and their reasons, told of a cluster and not of a person.

A single user's history points at that user even under a pseudonym: whoever knows two of the items learns the rest. So
the examples add up a cluster's users, and keep only what ``k_anonymity`` of them share. With ``raw_ids`` the operator
asks for single users instead.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import polars as pl

from uicgpu.privacy.text import snippet
from uicgpu.profiles.exemplars import item_titles
from uicgpu.recommend.reasons import quote
from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts
from uicgpu.report.catalogue import Words
from uicgpu.report.reasons import quoted, read_reason, tell_reason
from uicgpu.vocabulary import NOISE, Column

EXAMPLES: Final = 4
HISTORY_SHOWN: Final = 5
RECOMMENDED_SHOWN: Final = 5
TITLE_LENGTH: Final = 90
MOST_USERS: Final = 20_000
"""Users of a cluster that are added up; the first by id."""


def example_section(run: RunArtefacts, words: Words) -> list[dict[str, Any]]:
    """Examples of recommendations: of clusters, or of single users where ``raw_ids`` was asked for."""
    if run.recommendations is None or run.interactions is None or run.items is None or not run.users.height:
        return []
    minimum = int(run.setting("k_anonymity"))
    return _users(run, words, minimum) if run.setting("raw_ids") else _clusters(run, words, minimum)


def _clusters(run: RunArtefacts, words: Words, minimum: int) -> list[dict[str, Any]]:
    assert run.recommendations is not None
    labels = pl.Series(Column.CLUSTER, run.published_labels(run.users[Column.CLUSTER].to_numpy()))
    users = run.users.select(Column.USER).with_columns(labels)
    examples: list[dict[str, Any]] = []
    for profile in [entry for entry in run.published if entry["cluster"] != NOISE and not entry["suppressed"]]:
        if len(examples) == EXAMPLES:
            break
        members = users.filter(pl.col(Column.CLUSTER) == profile["cluster"]).sort(Column.USER).head(MOST_USERS)
        rows = (
            run.recommendations.filter(pl.col(Column.RANK) <= RECOMMENDED_SHOWN)
            .join(members.lazy().select(Column.USER), on=Column.USER, how="semi")
            .group_by(Column.ITEM, Column.SOURCE, Column.REASON)
            .len("users")
            .sort(Column.ITEM, Column.SOURCE, Column.REASON)
            .collect()
        )
        totals = rows.group_by(Column.ITEM).agg(pl.col("users").sum()).filter(pl.col("users") >= minimum)
        best = totals.sort(["users", Column.ITEM], descending=[True, False]).head(RECOMMENDED_SHOWN)
        if not best.height:
            continue
        titles = _titles(run, set(best[Column.ITEM].to_list()))
        examples.append(
            {
                "name": profile["name"],
                "note": words("examples.cluster"),
                "history": [item["text"] for item in profile["exemplar_items"][:HISTORY_SHOWN]],
                "recommended": [
                    {
                        "text": titles.get(item, str(item)),
                        "reason": _shared_reason(rows.filter(pl.col(Column.ITEM) == item), words, minimum),
                        "share": numbers.percent(float(f"{count / members.height:.2g}")),
                    }
                    for item, count in best.iter_rows()
                ],
            }
        )
    return examples


def _shared_reason(rows: pl.DataFrame, words: Words, minimum: int) -> str:
    """The reason that most users have; items are named that ``minimum`` users' reasons name."""
    kinds: Counter[tuple[str, str]] = Counter()
    named: Counter[str] = Counter()
    for source, sentence, users in rows.select(Column.SOURCE, Column.REASON, "users").iter_rows():
        reason = read_reason(sentence or "")
        kinds[reason.kind, source or ""] += users
        for item in set(reason.items):
            named[item] += users
    (kind, source), _ = min(kinds.items(), key=lambda entry: (-entry[1], entry[0]))
    items = [snippet(item, TITLE_LENGTH) for item, users in sorted(named.items(), key=_by_count) if users >= minimum]
    if kind in ("because", "text"):
        return words(f"reason.{kind}", items=quoted(items[:2], words)) if items else words("reason.own_history")
    if kind == "neighbours":
        return words("reason.similar_users")
    return words.named("method", source) if kind == "other" else words(f"reason.{kind}")


def _by_count(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


def _users(run: RunArtefacts, words: Words, minimum: int) -> list[dict[str, Any]]:
    """The surest user of each of the largest clusters; of the history, only items that ``minimum`` users share."""
    assert run.recommendations is not None and run.interactions is not None
    chosen = _example_users(run.users, minimum)
    ids = chosen[Column.USER].to_list()
    names = {profile["cluster"]: profile["name"] for profile in run.profiles}
    holders = run.interactions.group_by(Column.ITEM).len("holders")
    history = (
        run.interactions.filter(pl.col(Column.USER).is_in(ids))
        .join(holders, on=Column.ITEM, how="left")
        .filter(pl.col("holders") >= minimum)
        .sort([Column.USER, Column.WEIGHT, Column.ITEM], descending=[False, True, False])
        .collect()
    )
    recommended = (
        run.recommendations.filter(pl.col(Column.USER).is_in(ids) & (pl.col(Column.RANK) <= RECOMMENDED_SHOWN))
        .sort([Column.USER, Column.RANK])
        .collect()
    )
    own = set(history[Column.ITEM].to_list())
    titles = _titles(run, own | set(recommended[Column.ITEM].to_list()))
    shown = {quote(title).strip('"') for title in _titles(run, own, length=None).values()}
    examples = []
    for user, cluster in zip(ids, chosen[Column.CLUSTER].to_list(), strict=True):
        items = history.filter(pl.col(Column.USER) == user)[Column.ITEM].head(HISTORY_SHOWN).to_list()
        rows = recommended.filter(pl.col(Column.USER) == user)
        if rows.height:
            examples.append(
                {
                    "name": str(user),
                    "note": names.get(cluster, words("missing")),
                    "history": [titles.get(item, str(item)) for item in items],
                    "recommended": [
                        {
                            "text": titles.get(row[Column.ITEM], str(row[Column.ITEM])),
                            "reason": tell_reason(
                                read_reason(str(row[Column.REASON] or "")),
                                words,
                                shown,
                                words.named("method", str(row[Column.SOURCE] or "")),
                            ),
                            "share": None,
                        }
                        for row in rows.iter_rows(named=True)
                    ],
                }
            )
    return examples


def _example_users(users: pl.DataFrame, minimum: int) -> pl.DataFrame:
    """The surest user of each of the largest clusters, among those with a history worth showing; ties by id."""
    sizes = users.group_by(Column.CLUSTER).len("members")
    return (
        users.lazy()
        .join(sizes.lazy(), on=Column.CLUSTER)
        .with_columns(pl.col(Column.EVENTS).is_between(4, 60).alias("readable"))
        .filter(pl.col("members") >= minimum)
        .sort(
            ["members", Column.CLUSTER, "readable", Column.CONFIDENCE, Column.USER],
            descending=[True, False, True, True, False],
        )
        .unique(Column.CLUSTER, keep="first", maintain_order=True)
        .head(EXAMPLES)
        .collect()
    )


def _titles(run: RunArtefacts, wanted: set[Any], length: int | None = TITLE_LENGTH) -> dict[Any, str]:
    """Titles of the wanted items, cut to ``length``."""
    assert run.items is not None
    found = run.items.filter(pl.col(Column.ITEM).is_in(list(wanted)))
    pairs = zip(found[Column.ITEM].to_list(), item_titles(found).to_list(), strict=True)
    return {item: title if length is None else snippet(title, length) or str(item) for item, title in pairs}
