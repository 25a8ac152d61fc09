"""What screened assignment has to satisfy: the labels of a plain one and bounds that hold, call after call."""

import numpy as np

from uicgpu.kernels.assign import assign
from uicgpu.kernels.assign.remembered import Remembered
from uicgpu.kernels.assign.screened import RepeatedAssign


def topics(seed, n, d=160, count=60, spread=0.5):
    """Points around random topics, with a falling spectrum as text embeddings have; unit length."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, d + 1) ** -0.8
    x = rng.standard_normal((count, d))[rng.integers(0, count, n)] * scale
    x += spread * rng.standard_normal((n, d)) * scale
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def means(x, labels, old):
    new = old.copy()
    for label in np.unique(labels[labels >= 0]):
        new[label] = x[labels == label].mean(axis=0, dtype=np.float64)
    return new


def reference_labels(x, c):
    """Ten lines of float64, with the scores' gaps: what the labels have to be wherever the gap is not nothing."""
    x, c = x.astype(np.float64), c.astype(np.float64)
    scores = x @ c.T - 0.5 * (c * c).sum(axis=1)
    best = scores.argmax(axis=1)
    top = scores.max(axis=1)
    return best, scores, top


def check_bounds(repeated, c):
    bounds = repeated._bounds
    (check_remembered if isinstance(bounds, Remembered) else check_grouped)(repeated._points, bounds, c)


def check_grouped(points, bounds, c):
    """``upper`` is above the own distance, ``lower`` below the distance to every other centroid of the group."""
    x, ordered = points.x.astype(np.float64), c[bounds.ids].astype(np.float64)
    distance = np.sqrt(((x[:, None] - ordered) ** 2).sum(axis=2))
    rows, own = np.arange(len(x)), bounds.positions
    assert (bounds.upper >= distance[rows, own]).all()
    distance[rows, own] = np.inf
    lower = bounds.lower.transpose(0, 2, 1).reshape(-1, bounds.lower.shape[1])[: len(x)]
    for group, (first, stop) in enumerate(zip(bounds.starts[:-1], bounds.starts[1:], strict=True)):
        assert (lower[:, group] - bounds.travelled[group] <= distance[:, first:stop].min(axis=1)).all()


def check_remembered(points, bounds, c):
    """``own`` is below the remainder for the own centroid, ``others`` are above those for theirs."""
    x, y = points.x.astype(np.float64), points.projected[:, :-2].astype(np.float64)
    remainder = x @ c.astype(np.float64).T - y @ (c.astype(np.float64) @ points.axes.astype(np.float64)).T
    norm = np.sqrt(points.squares)[:, None]
    way = points.projected[:, -1:] * bounds.aside + points.margins.turn * norm * bounds.moved
    tight = points.margins.rest * (norm[:, 0] + bounds._peak) * bounds._peak
    rows, own = np.arange(len(x)), bounds.labels
    assert (bounds.own - way[rows, own] - tight <= remainder[rows, own]).all()
    for slot in range(bounds.slots.shape[1]):
        other = bounds.slots[:, slot]
        known = other >= 0
        above = bounds.others[:, slot] + way[rows, other] + tight >= remainder[rows, other]
        assert above[known].all()
        assert (other[known] != own[known]).all()


def check_run(x, c, calls=6, bounds=False, **options):
    """Lloyd's iteration, every call compared with a plain assignment."""
    repeated = RepeatedAssign(x, least_work=0, **options)
    for _ in range(calls):
        labels = repeated(c)
        np.testing.assert_array_equal(labels, assign(x, c)[0])
        if bounds and repeated._bounds is not None:
            check_bounds(repeated, c)
        c = means(x, labels, c)
    return repeated


def check_travellers():
    """Centroids in the noise go far away and come back: a bound for one is far off for another."""
    x, c = noise_in_one_place()
    away = c.copy()
    away[20:] += 2
    repeated = RepeatedAssign(x, least_work=0)
    for place in (c, away, c, c, away, c, c, away):
        np.testing.assert_array_equal(repeated(place), assign(x, place)[0])
        check_bounds(repeated, place)


def noise_in_one_place():
    x = topics(8, 640, 128)
    x[256:384] = np.random.default_rng(8).standard_normal((128, 128)) / 18
    return x, np.concatenate((x[:20], x[256:276]))
