"""Where a user stands in the space of item texts.

``vector(u) = unit(sum_i log(1 + w_ui) * idf_i * e_i)`` with ``e_i = unit(E_i - centre)`` and
``idf_i = 1 / log(2 + n_i)``: ``w_ui`` is the (decayed) weight of the interaction, ``n_i`` the number of users of item
``i`` in the training interactions and ``centre`` the mean vector of the items used in training. Text embeddings share a
large common direction; without the centring all users point the same way, and without the idf everybody looks like the
bestsellers.
"""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends.interface import Backend
from uicgpu.errors import InputError
from uicgpu.events.interactions import Interactions
from uicgpu.interests.behaviour import Features, FeatureScale, feature_matrix
from uicgpu.kernels.alignment import empty_aligned

ITEM_CHUNK: Final = 4096
"""Items per chunk of a sum: fixed, so that the order of additions never depends on the machine."""
VANISHING: Final = 1e-6
"""Vectors shorter than this part of what was summed are rounding residue and count as zero."""


class InterestPooler:
    """Pools the item vectors of each user's interactions into one interest vector.

    Parameters
    ----------
    numeric_weight
        Weight of the behaviour features against the text part; 0 leaves them out. Each standardised feature is
        multiplied by ``numeric_weight / sqrt(number of features)``, so that at weight 1 an average user's feature part
        is about as long as the text part. The result is not normalised again: the text part keeps length 1.

    Attributes
    ----------
    centre
        float64 [dim], mean vector of the items used in training.
    idf
        float64 [items].
    scale
        Mean and scale of the behaviour features, or None.
    """

    centre: NDArray[np.float64]
    idf: NDArray[np.float64]
    scale: FeatureScale | None

    def __init__(self, numeric_weight: float = 0.0) -> None:
        if not 0 <= numeric_weight < float("inf"):
            raise InputError(f"numeric_weight is {numeric_weight}", fix="pass a finite number, 0 or more")
        self.numeric_weight = float(numeric_weight)
        self.scale = None

    def fit(
        self,
        interactions: Interactions,
        item_vectors: NDArray[np.floating],
        features: Features | pl.DataFrame | None = None,
    ) -> InterestPooler:
        """Learn centre, idf and feature scale from training interactions.

        Parameters
        ----------
        interactions
            Training interactions only: test interactions must not move the centre or the idf.
        item_vectors
            float32 or float16 [items, dim]; a zero row is an item without text.
        features
            Behaviour features of the training users, or the behaviour table; required when ``numeric_weight`` is above
            0. A table is brought into the order of its sorted user ids.
        """
        self._check(interactions, item_vectors)
        counts = interactions.item_counts
        self.idf = 1.0 / np.log(2.0 + counts)
        total = np.zeros(item_vectors.shape[1], np.float64)
        used_items = 0
        for start in range(0, item_vectors.shape[0], ITEM_CHUNK):
            chunk = np.asarray(item_vectors[start : start + ITEM_CHUNK], np.float64)
            used = (counts[start : start + ITEM_CHUNK] > 0) & (chunk != 0).any(axis=1)
            total += chunk[used].sum(axis=0)
            used_items += int(used.sum())
        self.centre = total / max(used_items, 1)
        self.scale = None
        if self.numeric_weight > 0:
            self.scale = FeatureScale.fit(_required(features, interactions.n_users))
        return self

    def transform(
        self,
        interactions: Interactions,
        item_vectors: NDArray[np.floating],
        features: Features | pl.DataFrame | None = None,
        backend: Backend | None = None,
    ) -> NDArray[np.float32]:
        """Return float32 [users, dim (+ features)]; the text part has length 1, or 0 for a user with nothing.

        Parameters
        ----------
        interactions
            Interactions of any users with the items of ``item_vectors``.
        item_vectors
            The vectors of the fit; rows appended since then count as items that nobody used.
        features
            Behaviour features of these users; required when ``numeric_weight`` is above 0.
        backend
            Default: the backend chosen for this machine.
        """
        self._check(interactions, item_vectors)
        if self.centre.size != item_vectors.shape[1]:
            raise InputError(
                f"item_vectors have {item_vectors.shape[1]} dimensions, the pooler learned {self.centre.size}",
                fix="use the encoder that the run used",
            )
        backend = backend or _default_backend()
        idf = np.full(item_vectors.shape[0], 1.0 / np.log(2.0))
        idf[: self.idf.size] = self.idf
        weights = (np.log1p(interactions.weights.astype(np.float64)) * idf[interactions.items]).astype(np.float32)
        items = backend.to_device(self.centred(item_vectors))
        pooled = backend.segment_pool(interactions.offsets, interactions.items, weights, items, unit=True)
        numeric = self._numeric(features, interactions.n_users)
        return np.concatenate((pooled, numeric), axis=1) if numeric.shape[1] else pooled

    def centred(self, item_vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return item vectors minus the centre, of unit length, float32 [items, dim].

        Items without text (zero rows) and items that coincide with the centre stay zero and contribute nothing.
        """
        result = empty_aligned(item_vectors.shape, np.float32)
        for start in range(0, item_vectors.shape[0], ITEM_CHUNK):
            chunk = np.asarray(item_vectors[start : start + ITEM_CHUNK], np.float64)
            length = np.sqrt((chunk**2).sum(axis=1))
            moved = np.where(length[:, None] > 0, chunk - self.centre, 0.0)
            result[start : start + ITEM_CHUNK] = _unit(moved, length)
        return result

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return what was learned as named arrays, for a safetensors file."""
        arrays: dict[str, NDArray[np.generic]] = {
            "centre": self.centre,
            "idf": self.idf,
            "numeric_weight": np.array([self.numeric_weight]),
        }
        if self.scale is not None:
            names = json.dumps(self.scale.names, ensure_ascii=False).encode()
            arrays["feature_names"] = np.frombuffer(names, np.uint8)
            arrays["feature_mean"] = self.scale.mean
            arrays["feature_scale"] = self.scale.scale
        return arrays

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[np.generic]]) -> InterestPooler:
        """Rebuild a pooler from :meth:`state`."""
        missing = {"centre", "idf", "numeric_weight"} - set(arrays)
        if missing:
            raise InputError(
                f"the pooling state lacks {', '.join(sorted(missing))}", fix="run the interests stage again"
            )
        pooler = cls(float(np.asarray(arrays["numeric_weight"], np.float64)[0]))
        pooler.centre = np.asarray(arrays["centre"], np.float64)
        pooler.idf = np.asarray(arrays["idf"], np.float64)
        if "feature_names" in arrays:
            names = tuple(json.loads(np.asarray(arrays["feature_names"], np.uint8).tobytes()))
            pooler.scale = FeatureScale(
                names,
                np.asarray(arrays["feature_mean"], np.float64),
                np.asarray(arrays["feature_scale"], np.float64),
            )
        return pooler

    def _numeric(self, features: Features | pl.DataFrame | None, users: int) -> NDArray[np.float32]:
        if self.scale is None or not self.scale.names:
            return np.empty((users, 0), np.float32)
        standard = self.scale.standardise(_required(features, users))
        return standard * np.float32(self.numeric_weight / np.sqrt(len(self.scale.names)))

    @staticmethod
    def _check(interactions: Interactions, item_vectors: NDArray[np.floating]) -> None:
        if item_vectors.ndim != 2 or item_vectors.shape[0] < interactions.n_items:
            raise InputError(
                f"item_vectors have shape {item_vectors.shape} for {interactions.n_items} items",
                fix="encode the items of this run again",
            )
        if not all(
            np.isfinite(item_vectors[start : start + ITEM_CHUNK]).all()
            for start in range(0, item_vectors.shape[0], ITEM_CHUNK)
        ):
            raise InputError("item_vectors contain NaN or infinity", fix="encode the items again")


def _unit(sums: NDArray[np.float64], summed: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows of length 1; a row whose length is rounding residue of what was summed becomes zero."""
    length = np.sqrt((sums**2).sum(axis=1))
    kept = length > VANISHING * summed
    return np.where(kept[:, None], sums / np.where(kept, length, 1.0)[:, None], 0.0).astype(np.float32)


def _required(features: Features | pl.DataFrame | None, users: int) -> Features:
    if features is None:
        raise InputError("numeric_weight is above 0 but no behaviour features were given", fix="pass features")
    if isinstance(features, pl.DataFrame):
        features = feature_matrix(features)
    if features.values.shape[0] != users:
        raise InputError(
            f"features have {features.values.shape[0]} rows for {users} users",
            fix="pass one row per user, in user order",
        )
    return features


def _default_backend() -> Backend:
    from uicgpu.backends import choose_backend

    return choose_backend()
