"""Builds ``report.html``: reads the run folder, makes each section, fills the template."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from uicgpu.privacy.text import shorten
from uicgpu.report import numbers
from uicgpu.report.artefacts import RunArtefacts, read_artefacts
from uicgpu.report.cards import COLOURS, cluster_section, colour_of
from uicgpu.report.catalogue import Words
from uicgpu.report.cost import cost_section
from uicgpu.report.crowds import hide_points
from uicgpu.report.data_map import MAP_TARGET, MapCluster, map_document, map_users
from uicgpu.report.embedding import bokeh_source, content_policy, embed_json, script
from uicgpu.report.glance import glance_section
from uicgpu.report.making import data_quality_section, making_section
from uicgpu.report.quality import quality_section
from uicgpu.report.ranking import ranking_section
from uicgpu.vocabulary import NOISE, Column

FEWEST_POINTS = 3
"""A map of fewer users shows nothing."""


def build_report(
    folder: Path | str, language: str | None = None, raw_ids: bool | None = None, *, measured: bool = True
) -> str:
    """Return the report of a run as one self-contained HTML page.

    Parameters
    ----------
    folder
        A run folder with at least the manifest, users, clusters and profiles; what else is missing is said in the page.
    language
        ``en`` or ``zh``; default: the run's setting.
    raw_ids
        Whether single users are shown, under their ids; default: the run's setting.
    measured
        Whether the seconds and bytes of memory of the manifest are told; without them the page is a function of the
        artefacts.

    Returns
    -------
    str
        The page. It has no time stamp and no path of the machine.

    Raises
    ------
    RunFolderError
        If a required artefact is missing or damaged.
    """
    run = read_artefacts(Path(folder), raw_ids)
    words = Words(language or str(run.setting("language")))
    clusters = cluster_section(run, words)
    data_map = _map_section(run, words)
    own = script(_resource("templates/report.js"), "report.js")
    bokeh = script(bokeh_source(), "bokeh.min.js") if data_map["document"] is not None else None
    page = (
        _environment()
        .get_template("page.html")
        .render(
            w=words,
            style=script(_resource("templates/style.css"), "style.css"),
            policy=content_policy([text for text in (bokeh, own) if text is not None]),
            bokeh=bokeh,
            own=own,
            glance=glance_section(run, words),
            map=data_map,
            clusters=clusters,
            quality=quality_section(run, words),
            ranking=ranking_section(run, words),
            data=data_quality_section(run, words),
            cost=cost_section(run, words, measured),
            making=making_section(run, words),
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("uicgpu.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _map_section(run: RunArtefacts, words: Words) -> dict[str, Any]:
    names = {profile["cluster"]: profile for profile in run.published}
    if run.vectors is None or run.users.height < FEWEST_POINTS:
        return {"document": None, "target": MAP_TARGET, "sentence": words("map.missing")}
    seed = int(run.manifest.get("seed") or 0)
    k = int(run.setting("k_anonymity"))
    data, _ = hide_points(map_users(run.vectors, seed), k, seed)
    by_row = np.full(run.vectors.shape[0], NOISE, np.int32)
    by_row[run.users[Column.ROW].to_numpy()] = run.published_labels(run.users[Column.CLUSTER].to_numpy())
    labels = by_row[data.rows]
    entries = [
        MapCluster(
            cluster,
            shorten(names[cluster]["name"], 30),
            colour_of(cluster),
        )
        for cluster in sorted(names, key=lambda cluster: (cluster != NOISE, -(names[cluster]["size"] or 0), cluster))
    ]
    sampled = data.rows.size < run.users.height
    return {
        "document": embed_json(map_document(data, labels, entries, COLOURS)),
        "target": MAP_TARGET,
        "sentence": words.told(
            [
                words(
                    "map.sampled" if sampled else "map.all",
                    shown=numbers.count(data.rows.size),
                    users=numbers.count(run.users.height),
                    explained=numbers.percent(data.explained),
                ),
                words("map.crowds", k=numbers.count(k)) if k > 1 else "",
            ]
        ),
    }


def _resource(name: str) -> str:
    return (resources.files("uicgpu.report") / name).read_text(encoding="utf-8")
