"""Which terms tell a cluster from the others? Class-based tf-idf over the texts of what its users acted on."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from uicgpu.events.interactions import Interactions
from uicgpu.privacy.anonymity import K_ANONYMITY
from uicgpu.profiles.counts import Groups, users_holding
from uicgpu.profiles.words import terms_of

TERMS_PER_CLUSTER = 12
CANDIDATES_PER_CLUSTER = 80
LARGEST_VOCABULARY = 200_000
"""Terms kept for scoring: the most frequent ones over all users."""


@dataclass(frozen=True)
class TermTable:
    """Terms of the catalogue and how often each item's text has them.

    Attributes
    ----------
    terms
        Sorted by text.
    counts
        Sparse items x terms, float64.
    """

    terms: tuple[str, ...]
    counts: sparse.csr_array


@dataclass(frozen=True)
class Term:
    """A term of a cluster: its weight (c-TF-IDF), share of the cluster's terms over the share among all, holders."""

    term: str
    weight: float
    lift: float
    users: int
    items: int


def class_tf_idf(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class-based tf-idf of each term in each class.

    ``W[c, t] = tf[c, t] / sum_t tf[c, t] * log(1 + A / f[t])`` with ``A`` the average number of words per class and
    ``f[t]`` the frequency of ``t`` over all classes.

    Parameters
    ----------
    counts
        float64 [classes, terms], weighted occurrences.

    Returns
    -------
    float64 [classes, terms]; zero for a term or class without occurrences.

    References
    ----------
    M. Grootendorst, "BERTopic: Neural topic modeling with a class-based TF-IDF procedure", arXiv:2203.05794, eq. 2
    (there without the division by the class's length, which changes no order within a class).

    Examples
    --------
    >>> class_tf_idf(np.array([[2.0, 2.0, 0.0], [0.0, 2.0, 2.0]])).round(4).tolist()
    [[0.5493, 0.3466, 0.0], [0.0, 0.3466, 0.5493]]
    """
    counts = np.asarray(counts, np.float64)
    lengths = counts.sum(axis=1)
    average = float(lengths.mean()) if lengths.size else 0.0
    shares = counts / np.where(lengths > 0, lengths, 1.0)[:, None]
    return shares * inverse_frequency(counts.sum(axis=0), average)


def inverse_frequency(frequency: NDArray[np.float64], average: float) -> NDArray[np.float64]:
    """``log(1 + A / f)``, zero where a term does not occur."""
    safe = np.where(frequency > 0, frequency, 1.0)
    return np.where(frequency > 0, np.log1p(average / safe), 0.0)


def count_terms(texts: Sequence[str], item_weights: NDArray[np.float64], minimum_items: int = 2) -> TermTable:
    """Count the terms of each item's text once; items of weight zero (without events) are not read.

    A plural is counted with its singular where both occur, under the form that more items have. Terms in fewer than
    ``minimum_items`` items are titles rather than topics; they are kept only where nothing else is left.
    """
    numbers: dict[str, int] = {}
    columns, values = array("i"), array("i")
    spans: dict[str, tuple[int, int]] = {}
    rows = np.flatnonzero(item_weights > 0)
    lengths = np.zeros(rows.size, np.int64)
    for position, row in enumerate(rows.tolist()):
        text = texts[row]
        start = len(columns)
        if text in spans:
            first, last = spans[text]
            columns.extend(columns[first:last])
            values.extend(values[first:last])
        else:
            for term, count in Counter(terms_of(text)).items():
                columns.append(numbers.setdefault(term, len(numbers)))
                values.append(count)
            spans[text] = (start, len(columns))
        lengths[position] = len(columns) - start
    column = np.frombuffer(columns, np.int32) if columns else np.empty(0, np.int32)
    names = list(numbers)
    items_of = np.bincount(column, minlength=len(names))
    common = np.flatnonzero(items_of >= minimum_items)
    kept = common if common.size else np.arange(len(names))
    forms = _fold_plurals({names[number]: int(items_of[number]) for number in kept.tolist()})
    terms = tuple(sorted(set(forms.values())))
    place = {term: number for number, term in enumerate(terms)}
    target = np.full(len(names), -1, np.int64)
    for number in kept.tolist():
        target[number] = place[forms[names[number]]]
    mapped = target[column]
    used = mapped >= 0
    data = np.array(values, np.float64)[used]
    counts = sparse.coo_array(
        (data, (np.repeat(rows, lengths)[used], mapped[used])), shape=(len(texts), len(terms))
    ).tocsr()
    counts.sum_duplicates()
    return _most_frequent(TermTable(terms, counts), item_weights)


def choose_terms(
    table: TermTable,
    weights: sparse.csr_array,
    groups: Groups,
    interactions: Interactions,
    *,
    number: int = TERMS_PER_CLUSTER,
    minimum_users: int = K_ANONYMITY,
) -> list[list[Term]]:
    """Return the most telling terms of each group, best first.

    Parameters
    ----------
    weights
        Sparse groups x items: what the group's users hold (see :func:`uicgpu.profiles.counts.even_weights`).
    minimum_users
        A term must be held by so many users of the group.

    Notes
    -----
    Only terms that are more frequent in the group than over all users qualify, as long as the group has any. A word
    inside a chosen two-word phrase is left out; a phrase takes the place of its word when it makes up half of it. Equal
    weights are ordered by text.
    """
    if not table.terms or not len(groups):
        return [[] for _ in groups.labels]
    totals = np.asarray(weights.sum(axis=0)).ravel()
    frequency = np.asarray(totals @ table.counts).ravel()
    everything = float(frequency.sum())
    idf = inverse_frequency(frequency, everything / max(int((groups.sizes > 0).sum()), 1))
    base = frequency / (everything or 1.0)
    candidates: list[NDArray[np.int64]] = []
    shares: list[NDArray[np.float64]] = []
    for group in range(len(groups)):
        row = np.asarray((weights[[group]] @ table.counts).toarray()).ravel()
        share = row / (row.sum() or 1.0)
        score = share * idf
        eligible = share > base * 1.05
        if not eligible.any():
            eligible = share > 0
        order = np.flatnonzero(eligible)
        order = order[np.argsort(-score[order], kind="stable")][:CANDIDATES_PER_CLUSTER]
        candidates.append(order)
        shares.append(share)
    pool = np.unique(np.concatenate(candidates))
    pool_counts = table.counts[:, pool].tocsr()
    holders = users_holding(groups, interactions, pool_counts)
    has_item = weights.copy()
    has_item.data = np.ones_like(has_item.data)
    pool_counts.data = np.ones_like(pool_counts.data)
    items = (has_item @ pool_counts).toarray().astype(np.int64)
    place = {int(term): number for number, term in enumerate(pool)}
    chosen: list[list[Term]] = []
    for group, order in enumerate(candidates):
        found = [
            Term(
                table.terms[term],
                float(shares[group][term] * idf[term]),
                float(shares[group][term] / base[term]),
                int(holders[group, place[term]]),
                int(items[group, place[term]]),
            )
            for term in order.tolist()
            if holders[group, place[term]] >= minimum_users
        ]
        frequencies = {table.terms[term]: float(shares[group][term]) for term in order.tolist()}
        chosen.append(drop_redundant(found, frequencies)[:number])
    return chosen


def drop_redundant(terms: Sequence[Term], frequencies: dict[str, float]) -> list[Term]:
    """Keep a phrase or its words, not both; ``terms`` come best first."""
    kept: list[Term] = []
    for term in terms:
        inside = [other for other in kept if _contains(term.term, other.term)]
        around = [other for other in kept if _contains(other.term, term.term)]
        if around:
            continue
        if not inside:
            kept.append(term)
        elif all(frequencies[term.term] >= 0.5 * frequencies[word.term] for word in inside):
            position = kept.index(inside[0])
            kept = [other for other in kept if other not in inside]
            kept.insert(position, term)
    return kept


def _contains(phrase: str, word: str) -> bool:
    if phrase == word:
        return False
    return word in phrase.split(" ") or (" " not in phrase and len(word) < len(phrase) and _chinese_part(phrase, word))


def _chinese_part(phrase: str, word: str) -> bool:
    return not phrase.isascii() and (phrase.startswith(word) or phrase.endswith(word))


def _fold_plurals(items_of: dict[str, int]) -> dict[str, str]:
    """Map each term to the form it is counted under."""
    forms = {term: term for term in items_of}
    for plural in sorted(items_of):
        if len(plural) > 3 and plural.endswith("s") and not plural.endswith(("ss", "us", "is")):
            stems = [plural[:-1]] + ([plural[:-2]] if plural.endswith(("shes", "ches", "xes", "sses")) else [])
            stems += [plural[:-3] + "y"] if plural.endswith("ies") else []
            singular = next((stem for stem in stems if stem in items_of), None)
            if singular is not None:
                more = plural if items_of[plural] > items_of[singular] else singular
                forms[plural] = forms[singular] = more
    return forms


def _most_frequent(table: TermTable, item_weights: NDArray[np.float64]) -> TermTable:
    if len(table.terms) <= LARGEST_VOCABULARY:
        return table
    frequency = np.asarray(item_weights @ table.counts).ravel()
    kept = np.sort(np.argsort(-frequency, kind="stable")[:LARGEST_VOCABULARY])
    return TermTable(tuple(table.terms[number] for number in kept.tolist()), table.counts[:, kept].tocsr())
