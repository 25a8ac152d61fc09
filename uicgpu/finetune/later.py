"""Early stopping's judge: does the encoder rank what the same users did later?"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from uicgpu.finetune.behaviour import History
from uicgpu.randomness import generator

VALIDATION_TEXTS: Final = 512


class LaterBehaviour:
    """A fixed block of texts and what users did with them later: cheap enough to be asked often.

    Each user is the sum of the past texts in the block; the later ones are to be found among the texts of the block
    that are not past.
    """

    def __init__(self, past: History, later: History, seed: int, texts: int = VALIDATION_TEXTS) -> None:
        used = np.flatnonzero((later.popularity > 0) & (past.popularity > 0))
        random = generator(seed, "finetune/later")
        self.texts = np.sort(random.choice(used, min(texts, used.size), replace=False)) if used.size else used
        before = past.matrix()[:, self.texts].tocsr()
        after = later.matrix()[:, self.texts].tocsr()
        users = np.flatnonzero((np.diff(before.indptr) > 0) & (np.diff(after.indptr) > 0))[:2000]
        self._before = before[users].toarray() > 0
        self._after = (after[users].toarray() > 0) & ~self._before

    def __len__(self) -> int:
        return int(self._before.shape[0])

    def ndcg(self, vectors: NDArray[np.float32]) -> float:
        """Return mean NDCG@10 over the users."""
        centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
        centred /= np.maximum(np.sqrt((centred**2).sum(axis=1)), 1e-12)[:, None]
        scores = np.where(self._before, -np.inf, (self._before.astype(np.float64) @ centred) @ centred.T)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        discounts = 1 / np.log2(np.arange(2, 2 + best.shape[1]))
        hits = np.take_along_axis(self._after, best, axis=1)
        ideal = np.concatenate([[1.0], np.cumsum(discounts)])
        true = np.minimum(self._after.sum(axis=1), best.shape[1])
        return float(((hits * discounts).sum(axis=1) / ideal[true]).mean())
