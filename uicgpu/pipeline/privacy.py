"""Does what a run publishes protect its users? Canaries, published ids and texts, small groups, linkage attacks."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.events.interactions import aggregate
from uicgpu.pipeline.export import published_clusters
from uicgpu.pipeline.finished import rows_of, settings_of
from uicgpu.pipeline.handed_on import exported_labels, handed_on, published_texts
from uicgpu.pipeline.stages_tables import event_table
from uicgpu.privacy.differential import nearest_centre, private_centres
from uicgpu.privacy.linkage import KNOWN_ITEMS, MOST_VICTIMS, linkage_attack
from uicgpu.privacy.map_linkage import PublishedMap, map_attack
from uicgpu.privacy.text import scrub
from uicgpu.profiles.profile import build_profiles
from uicgpu.profiles.renaming import rename_clusters
from uicgpu.report import build_report
from uicgpu.report.artefacts import published_labels
from uicgpu.report.crowds import crowds_of, hide_points
from uicgpu.report.data_map import map_users
from uicgpu.report.markdown import build_markdown
from uicgpu.report.published_map import published_points
from uicgpu.runs.artefacts import Run, open_run
from uicgpu.runs.folder import RunFolder, write_json, write_parquet
from uicgpu.vocabulary import NOISE, Artefact, Column

CANARIES: Final = ("canary.bird@example.org", "+44 20 7946 0958", "4111 1111 1111 1111", "11010519491231002X")
CANARY_USER: Final = "canaryuser"
CANARY_ITEMS: Final = 300
"""Most popular items, which get canaries in title and text."""
REWRITTEN: Final = {
    Artefact.PROFILES,
    Artefact.CLUSTERS,
    Artefact.ITEMS,
    Artefact.USERS,
    Artefact.INTERACTIONS,
    Artefact.RECOMMENDATIONS,
}
"""Artefacts that hold canaries in the copy of the run."""
WHOLE: Final = 1_000_000
"""Known items of an attacker who knows all that a user did."""
SHORTEST_ID: Final = 5
"""Shorter ids cannot be told from numbers and words of the page."""
EPSILONS: Final = (0.5, 1.0, 3.0, math.inf)


def check_privacy(path: str | Path) -> dict[str, Any]:
    """Run the self-test on a finished run.

    Returns
    -------
    dict
        ``passed``; ``linkage``, ``linkage_export`` and ``linkage_map`` (attacks on the profiles, on the files of an
        export and on the points of the data map; one entry per number of known items); ``canaries_planted`` and
        ``canaries_found``;
        ``ids_found``; ``personal_data_found``; ``smallest_group``; ``k_anonymity``.

    Notes
    -----
    *Canaries*: the run is described and reported again in a temporary folder, with an e-mail address, a phone, a card
    and an identity number in the titles and texts of its most popular items, in an attribute that all users have and in
    every reason, and with ids that can be told apart in the place of all users' ids. None of them may reach a published
    file: the profiles, the page, the Markdown and every file of an export.
    """
    run = open_run(path)
    k = int(run.manifest["settings"]["k_anonymity"])
    found = _scan(run)
    planted = _canaries(run)
    labels = published_labels(run.profiles, run.users[Column.CLUSTER].to_numpy())
    groups = [p["cluster"] for p in run.profiles if not p["suppressed"]]
    smallest = min((int((labels == group).sum()) for group in groups), default=None)
    attacks, on_map, on_export = _attacks(run, labels)
    passed = (
        not any(found.values())
        and not planted["canaries_found"]
        and (smallest is None or smallest >= k)
        and all(attack["worst"] <= 1 / k + 1e-12 for attack in (*attacks, *on_export, *on_map))
    )
    return {
        "passed": passed,
        "k_anonymity": k,
        "smallest_group": smallest,
        "bound": 1 / k,
        "linkage": attacks,
        "linkage_export": on_export,
        "linkage_map": on_map,
        **planted,
        **found,
    }


def private_utility(path: str | Path, delta: float = 1e-6) -> list[dict[str, Any]]:
    """What differential privacy costs on a run: agreement and spread of its private centres at four budgets.

    Returns
    -------
    list of dict
        For epsilon 0.5, 1, 3 and infinity: ``ari`` of the users' nearest private centre with the run's clusters,
        ``spread`` (mean squared distance to the nearest private centre over that to the run's), ``count_error`` (mean
        absolute error of the counts over the mean count). The figures are the operator's: they look at the data.
    """
    from sklearn.metrics import adjusted_rand_score

    run = open_run(path)
    vectors = np.asarray(run.interest_vectors)
    labels = run.users.sort(Column.ROW)[Column.CLUSTER].to_numpy()
    exact = np.asarray(run.centroids, np.float64)
    best = _spread(vectors, exact)
    table = []
    for epsilon in EPSILONS:
        made = private_centres(vectors, exact.shape[0], epsilon, delta, seed=int(run.manifest["seed"]))
        near = nearest_centre(vectors, made.centroids)
        counted = np.bincount(near, minlength=made.counts.size)
        table.append(
            {
                "epsilon": epsilon if math.isfinite(epsilon) else "inf",
                "delta": delta,
                "ari": float(adjusted_rand_score(labels, near)),
                "spread": _spread(vectors, made.centroids) / best if best else None,
                "count_error": float(np.abs(made.counts - counted).mean() / counted.mean()),
            }
        )
    return table


def _spread(vectors: NDArray[np.floating], centres: NDArray[np.float64]) -> float:
    near = nearest_centre(vectors, centres)
    return float(((np.asarray(vectors, np.float64) - centres[near]) ** 2).sum(axis=1).mean())


def _attacks(run: Run, labels: NDArray[np.int32]) -> tuple[list[dict[str, Any]], ...]:
    """Attacks on the profiles, on the data map of the page, and on an export."""
    folder = RunFolder(run.path)
    folder.load()
    settings = settings_of(run)
    interactions = aggregate(event_table(folder), half_life=settings.half_life)
    items = run.items.head(interactions.n_items)
    # Rows of the interactions are those of the vectors; the users table says which user stands in which row.
    by_row = np.full(interactions.n_users, NOISE, np.int32)
    by_row[run.users[Column.ROW].to_numpy()] = labels

    def link(profiles: list[dict[str, Any]], truth: NDArray[np.int32]) -> list[dict[str, Any]]:
        ids, categories = items[Column.ITEM].to_list(), items[Column.CATEGORY].to_list()
        return [
            vars(linkage_attack(profiles, truth, interactions, ids, categories, known=known, seed=settings.seed))
            for known in KNOWN_ITEMS
        ]

    with handed_on(run.path) as (folder_out, key):
        exported = exported_labels(run, folder_out, key, interactions.n_users)
        on_export = link(json.loads((folder_out / Artefact.PROFILES).read_text("utf-8")), exported)
    told = published_points(run.report.read_text(encoding="utf-8"))
    on_map = []
    if told is not None:
        seed = int(run.manifest.get("seed") or 0)
        drawn = map_users(run.interest_vectors, seed)
        shown, crowds = hide_points(drawn, settings.k_anonymity, seed)
        if not np.isin(told[0], shown.points).all():
            # A page of a version that showed users where they lie.
            shown, crowds = drawn, crowds_of(drawn.points, 1)
        on_map = [
            vars(
                map_attack(
                    PublishedMap(*told),
                    drawn.points,
                    by_row[drawn.rows],
                    drawn.rows,
                    interactions,
                    run.item_vectors,
                    shown.points,
                    crowds,
                    known=known,
                    seed=settings.seed,
                    most=MOST_VICTIMS,
                )
            )
            for known in (*KNOWN_ITEMS, WHOLE)
        ]
    return link(run.profiles, by_row), on_map, on_export


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            if key not in ("item_id",):
                yield from _strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)


def _scan(run: Run) -> dict[str, int]:
    """Ids of users and personal data in the published files of the run itself."""
    texts = [*_strings(run.profiles), *_strings(published_clusters(run.profiles).to_dicts())]
    with handed_on(run.path) as (exported, _):
        files = published_texts(exported)
    personal = sum(scrub(text) != text for text in texts)
    raw = bool(run.manifest["settings"]["raw_ids"])
    files += [run.report.read_text(encoding="utf-8"), build_markdown(run.path), *texts]
    words = {word for text in files for word in re.findall(r"[\w@.+-]+", text)}
    ids = run.users[Column.USER]
    telling = ids.filter((ids.str.len_chars() >= SHORTEST_ID) & ~ids.str.contains(r"^\d+$"))
    return {
        "personal_data_found": personal,
        "ids_found": 0 if raw else int(telling.is_in(pl.Series(sorted(words), dtype=pl.String).implode()).sum()),
    }


def _canaries(run: Run) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="uicgpu-privacy-") as temporary:
        folder = Path(temporary) / "run"
        shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns("*.npy", "*.html", "*.safetensors", ".lock"))
        for name in (Artefact.INTEREST_VECTORS, Artefact.ITEM_VECTORS, Artefact.CENTROIDS):
            (folder / name).symlink_to((run.path / name).resolve())
        planted = _plant(run, folder)
        published = [json.dumps(json.loads((folder / Artefact.PROFILES).read_text("utf-8")), ensure_ascii=False)]
        published.append(build_report(folder, raw_ids=False))
        published.append(build_markdown(folder))
        with handed_on(folder) as (exported, _):
            published += published_texts(exported)
    wanted = [*CANARIES, CANARY_USER, "canary.bird", "7946 0958", "20 7946"]
    return {
        "canaries_planted": planted,
        "canaries_found": sum(text.count(canary) for text in published for canary in wanted),
    }


def _plant(run: Run, folder: Path) -> int:
    """Describe the run again with canaries in every text and id; return how many were planted."""
    settings = settings_of(run)
    source = RunFolder(run.path)
    source.load()
    events = event_table(source)
    interactions = aggregate(events, half_life=settings.half_life)
    popular = np.argsort(-interactions.item_counts, kind="stable")[:CANARY_ITEMS]
    marks = np.full(run.items.height, "", dtype=object)
    marks[popular] = [f" {CANARIES[number % len(CANARIES)]}" for number in range(popular.size)]
    mark = pl.Series(marks.tolist(), dtype=pl.String)
    items = run.items.with_columns(
        pl.concat_str(pl.col(name).fill_null(""), mark).alias(name)
        for name in (Column.TITLE, Column.TEXT, Column.CATEGORY)
        if name in run.items.columns
    )
    ids = pl.Series(Column.USER, [f"{CANARY_USER}{number:07d}" for number in range(run.users.height)])
    renamed = pl.DataFrame({Column.USER: run.users[Column.USER], "canary": ids})
    attributes = pl.DataFrame({Column.USER: ids, "remark": [f"call {entry}" for entry in CANARIES[:1]] * ids.len()})
    built = build_profiles(
        labels=rows_of(run, run.users.sort(Column.ROW)[Column.CLUSTER].to_numpy()),
        interactions=interactions,
        items=items,
        behaviour=run.table(Artefact.BEHAVIOUR).with_columns(ids),
        attributes=attributes,
        centroids=np.asarray(run.centroids),
        settings=settings,
        item_vectors=np.asarray(run.item_vectors),
        events=events,
    )
    built = rename_clusters(built, run.cluster_ids.tolist(), settings.language)
    write_json(folder / Artefact.PROFILES, built.profiles)
    write_parquet(folder / Artefact.CLUSTERS, built.clusters)
    write_parquet(folder / Artefact.ITEMS, items)
    write_parquet(folder / Artefact.USERS, run.users.with_columns(ids))
    quoted = f'because of "{items[Column.TEXT][int(popular[0])]}"' if popular.size else ""
    for name, frame in ((Artefact.INTERACTIONS, run.interactions), (Artefact.RECOMMENDATIONS, run.recommendations)):
        told = frame.join(renamed, on=Column.USER, how="left", maintain_order="left")
        told = told.with_columns(pl.col("canary").alias(Column.USER)).drop("canary")
        if Column.REASON in told.columns:
            told = told.with_columns(pl.lit(quoted).alias(Column.REASON))
        write_parquet(folder / name, told)
    record = RunFolder(folder)
    record.load()
    for entry in record.manifest["stages"].values():
        for name in REWRITTEN & entry.get("outputs", {}).keys():
            entry["outputs"][name] = record.describe(name)
    record.save()
    return int(popular.size) * 3 + 2 * ids.len() + run.recommendations.height
