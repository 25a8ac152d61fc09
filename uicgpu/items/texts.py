"""The one text of an item: its text columns as sentences, then its categories."""

from __future__ import annotations

from collections.abc import Sequence

from uicgpu.events.wording import clean_text, has_cjk, joined_sentences, quieted, split_categories


def clean_columns(columns: Sequence[Sequence[str | None]]) -> list[list[str]]:
    """Clean text columns, each cell with :func:`clean_text` and each column with :func:`quieted`.

    Whether a column shouts is decided over its distinct texts, so that neither repeats nor order matter.
    """
    cleaned: list[list[str]] = []
    for column in columns:
        distinct = sorted({cell for cell in column if cell})
        calm = dict(zip(distinct, quieted([clean_text(cell) for cell in distinct]), strict=True))
        cleaned.append([calm[cell] if cell else "" for cell in column])
    return cleaned


def item_text(parts: Sequence[str], categories: Sequence[str]) -> str:
    """Return the text that is encoded: the parts joined as sentences, the categories as the last one.

    Chinese and Japanese texts are joined by their own punctuation. A part that another part repeats is left out.

    Examples
    --------
    >>> item_text(["Toy Story (1995)"], ["Adventure", "Animation"])
    'Toy Story (1995). Adventure, Animation'
    >>> item_text(["你的名字。"], ["剧情", "恋爱"])
    '你的名字。剧情、恋爱'
    """
    cjk = any(map(has_cjk, (*parts, *categories)))
    listed = ("、" if cjk else ", ").join(category.replace("_", " ") for category in categories)
    return joined_sentences([*dict.fromkeys(parts), listed], cjk=cjk)


def item_texts(columns: Sequence[Sequence[str]], categories: Sequence[str | None]) -> list[str]:
    """Return the text of each item.

    Parameters
    ----------
    columns
        Cleaned text columns, each [items].
    categories
        Categories joined by ``|``, or None; [items].
    """
    rows = zip(*columns, strict=True) if columns else (() for _ in categories)
    return [
        item_text(parts, split_categories(category) if category else ())
        for parts, category in zip(rows, categories, strict=True)
    ]
