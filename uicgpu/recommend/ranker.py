"""The second stage: gradient-boosted trees that rank the candidates, never against what the arms say.

LightGBM's LambdaRank with monotone constraints: a higher score or a better rank of any arm never lowers the result.
Training sees arms that were fitted without the labels (the labels are validation events), and every setting below was
fixed once on one data set. The model is kept as LightGBM's own text, never as a pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.errors import MissingExtraError
from uicgpu.randomness import generator
from uicgpu.recommend.blend import Candidates
from uicgpu.recommend.features import monotone
from uicgpu.recommend.rows import SMALLEST_DEVIATION

Mode = Literal["off", "mix", "alone"]

TREES: Final = 300
NEGATIVES: Final = 100
"""Random candidates per user that the user did not choose."""
PARAMETERS: Final = {
    "objective": "lambdarank",
    "num_leaves": 7,
    "learning_rate": 0.05,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "lambdarank_truncation_level": 30,
    "max_bin": 63,
    "monotone_constraints_method": "basic",
    "deterministic": True,
    "force_row_wise": True,
    # One thread per fit: histogram sums then have one order. Fits of several folds or seeds run side by side.
    "num_threads": 1,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Labelled:
    """Candidates of validation users with their features.

    Attributes
    ----------
    candidates
        Items, z-scores and hits.
    table
        float32 [pairs, features]: the candidates that are not padding, row by row.
    names
        Names of the features.
    """

    candidates: Candidates
    table: NDArray[np.float32]
    names: list[str]

    @property
    def rows(self) -> NDArray[np.int64]:
        """int64 [pairs], the user of each pair."""
        return np.nonzero(self.candidates.items >= 0)[0]


class Ranker:
    """A trained model.

    Parameters
    ----------
    model
        LightGBM's text.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._booster = _library().Booster(model_str=model)

    def predict(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score rows of features, float64 [pairs]; each row on its own."""
        if not len(table):
            return np.empty(0, np.float64)
        return np.asarray(self._booster.predict(table, num_threads=1), np.float64)


def train(labelled: Labelled, seed: int, users: NDArray[np.bool_] | None = None) -> Ranker:
    """Train on the users' hits and about a hundred random other candidates each.

    Parameters
    ----------
    users
        bool [users]: which to train on; default: all. Users without a hit among their candidates drop out.
    """
    library = _library()
    rows, inside = labelled.rows, labelled.candidates.items >= 0
    hits = labelled.candidates.hits[inside]
    wanted = np.asarray(labelled.candidates.hits.any(axis=1), np.bool_)
    if users is not None:
        wanted &= users
    draws = generator(seed, "ranker/negatives").random(rows.size)
    others = np.bincount(rows[~hits], minlength=len(wanted))
    share = NEGATIVES / np.maximum(others, 1)
    kept = wanted[rows] & (hits | (draws < share[rows]))
    data = library.Dataset(
        labelled.table[kept],
        hits[kept].astype(np.float64),
        group=np.bincount(rows[kept], minlength=len(wanted))[wanted],
        feature_name=labelled.names,
        params={"max_bin": PARAMETERS["max_bin"], "verbosity": -1, "num_threads": 1},
    )
    parameters = {
        **PARAMETERS,
        "seed": int(generator(seed, "ranker/trees").integers(2**31)),
        "monotone_constraints": monotone(labelled.names),
    }
    return Ranker(library.train(parameters, data, TREES).model_to_string())


def mix(ranker: NDArray[np.float64], blend: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sum of both z-scores, each over a user's candidates; float64 [users, width], 0 outside."""
    return np.where(inside, standard(ranker, inside) + standard(blend, inside), 0.0)


def standard(scores: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Z-scores over each user's candidates, 0 outside."""
    number = np.maximum(inside.sum(axis=1), 1)
    # Row by row over the row's own candidates: padding, which depends on the block, may not enter the sums.
    mean, spread = np.zeros(len(scores)), np.ones(len(scores))
    for row in range(len(scores)):
        own = scores[row][inside[row]]
        mean[row] = own.sum() / number[row]
        spread[row] = max(float(np.sqrt(((own - mean[row]) ** 2).sum() / number[row])), SMALLEST_DEVIATION)
    return np.where(inside, (np.where(inside, scores, 0.0) - mean[:, None]) / spread[:, None], 0.0)


def _library() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError("the ranker needs LightGBM", fix="pip install lightgbm") from error
    return lightgbm


def train_seeds(labelled: Labelled, seeds: Sequence[int], backend: Backend) -> list[Ranker]:
    """Train one model per seed, side by side."""
    return backend.map(lambda seed: train(labelled, seed), seeds)
