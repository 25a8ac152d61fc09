"""The report in a page of Markdown, for a pull request or a chat: the same figures without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from uicgpu.report import numbers
from uicgpu.report.artefacts import read_artefacts
from uicgpu.report.cards import cluster_section
from uicgpu.report.catalogue import Words
from uicgpu.report.glance import glance_section
from uicgpu.report.quality import quality_section
from uicgpu.report.ranking import ranking_section

MOST_CLUSTERS: Final = 40
TERMS_SHOWN: Final = 5
ITEMS_SHOWN: Final = 3
_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]|~!&<>@#$]")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;", "$": "&#36;"}
_ADDRESS: Final = re.compile(r"(?i)(://|\bwww\.)")


def build_markdown(folder: Path | str, language: str | None = None) -> str:
    """Return the main figures of a run as Markdown.

    Text from the data is escaped: it makes no markup, link, mention or reference.
    """
    run = read_artefacts(Path(folder), raw_ids=False)
    words = Words(language or str(run.setting("language")))
    glance, clusters = glance_section(run, words), cluster_section(run, words)
    quality, ranking = quality_section(run, words), ranking_section(run, words)
    lines = [f"# {words('title')}", ""]
    lines += [" · ".join(f"**{tile['value']}** {escape(tile['label'])}" for tile in glance["tiles"]), ""]
    lines += [escape(glance["clusters_sentence"]), "", escape(glance["verdict"]), ""]
    cards = [*clusters["open"], *clusters["folded"], *clusters["rows"]]
    lines += [f"## {words('clusters.title')}", ""]
    lines += _table(
        [
            words("clusters.title"),
            words("cards.users"),
            words("data.share"),
            words("cards.terms"),
            words("cards.items"),
        ],
        [
            [
                card["name"],
                card["size"],
                card["share"],
                ", ".join(term["term"] for term in card["terms"][:TERMS_SHOWN]),
                "; ".join(item["text"] for item in card["items"][:ITEMS_SHOWN]),
            ]
            for card in cards[:MOST_CLUSTERS]
        ],
    )
    if len(cards) > MOST_CLUSTERS:
        lines += ["", escape(words("clusters.folded", count=len(cards) - MOST_CLUSTERS))]
    lines += ["", f"## {words('quality.title')}", ""]
    for name in ("stability", "silhouette"):
        lines += [f"- {escape(words(f'quality.{name}'))} {quality[name]['value']}: {escape(quality[name]['sentence'])}"]
    lines += [f"- {escape(sentence)}" for sentence in quality["ablation"]]
    if ranking["rows"]:
        lines += ["", f"## {words('ranking.title')}", ""]
        lines += _table(
            [words("ranking.method"), ranking["metric"], words("ranking.interval"), words("ranking.difference")],
            [[row["name"], row["value"], row["interval"], row["difference"] or "–"] for row in ranking["rows"]],
        )
    return "\n".join([*lines, ""])


def escape(text: Any) -> str:
    """Text that Markdown shows as it is.

    >>> escape("<b>a|b</b> @team #1 https://x.org")
    '&lt;b&gt;a\\\\|b&lt;/b&gt; &#64;team &#35;1 https&#58;//x.org'
    """
    plain = " ".join(str(text).replace(numbers.NARROW_SPACE, " ").split())
    plain = _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], "\\" + match[0]), plain)
    return _ADDRESS.sub(lambda match: match[0].replace(":", "&#58;").replace(".", "&#46;"), plain)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    told = [head, ["---"] * len(head), *([escape(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in told]
