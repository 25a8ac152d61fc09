"""Single rooms used on their own: encode a catalogue, cluster any vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from uicgpu.backends import choose_backend
from uicgpu.errors import InputError
from uicgpu.pipeline.stages_vectors import encode_file
from uicgpu.runs.folder import write_array, write_json, write_parquet, write_tensors
from uicgpu.runs.progress import Progress
from uicgpu.settings import Settings
from uicgpu.vocabulary import Column


def encode_items(settings: Settings, out_file: Path, progress: Progress) -> dict[str, Any]:
    """Encode the texts of ``settings.items``; write vectors and, beside them, ids.

    Returns
    -------
    dict
        Items, dimensions, model, tokens, cache hits and the paths written.
    """
    from uicgpu.items.read import read_items

    backend = choose_backend(settings.device, settings.threads, settings.memory)
    no_events = pl.DataFrame(schema={Column.ITEM: pl.String, Column.TEXT: pl.String, Column.CATEGORY: pl.String})
    items = read_items(settings, no_events, progress.say).items
    texts = items[Column.TEXT].to_list()
    facts = encode_file(texts, out_file, settings, backend, progress)
    ids_file = out_file.with_suffix(".ids.parquet")
    write_parquet(
        ids_file,
        items.select(Column.ROW, Column.ITEM, pl.col(Column.TEXT).str.len_chars().alias("characters")),
    )
    return {
        "items": items.height,
        "dimensions": facts["dim"],
        **facts,
        "vectors": str(out_file.resolve()),
        "ids": str(ids_file.resolve()),
    }


def read_vectors(path: Path) -> NDArray[np.float32]:
    """Read a 2-D array of finite numbers as float32.

    Raises
    ------
    InputError
        For a missing or foreign file, another number of dimensions, or NaN and infinity (names the first such row).
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}", fix="check the path; uicgpu encode … --out VECTORS.npy makes one")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"not a plain NumPy array: {error}", where=str(path), fix="save it with numpy.save as numbers"
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu":
        seen = f"shape {array.shape}, dtype {array.dtype}" if isinstance(array, np.ndarray) else "an archive"
        raise InputError(f"expected numbers [rows, dimensions], got {seen}", where=str(path))
    if 0 in array.shape:
        raise InputError(f"the array is empty: shape {array.shape}", where=str(path))
    vectors = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise InputError(
            f"{int((~finite).sum())} rows hold NaN or infinity", where=f"{path}, row {row}", fix="drop or repair them"
        )
    return vectors


def cluster_file(vectors_file: Path, out_folder: Path, settings: Settings, progress: Progress) -> dict[str, Any]:
    """Cluster the rows of an ``.npy`` file; write labels, centroids, density and figures into a folder.

    Returns
    -------
    dict
        Rows, clusters, algorithm, silhouette, stability and the folder.
    """
    from uicgpu.cluster import cluster_vectors
    from uicgpu.cluster.quality import cluster_quality
    from uicgpu.cluster.stability import bootstrap_stability

    vectors = read_vectors(vectors_file)
    if out_folder.is_file():
        raise InputError(f"--out is a file, not a folder: {out_folder}", fix="name another folder")
    backend = choose_backend(settings.device, settings.threads, settings.memory)
    with progress.task("cluster", total=None, unit="rows") as advance:
        clustering = cluster_vectors(vectors, settings, backend, advance)
    quality = cluster_quality(vectors, clustering, backend, settings.seed, settings.metric)
    with progress.task("stability", total=settings.stability_runs, unit="resamples") as advance:
        stability = bootstrap_stability(vectors, settings, backend, clustering, advance)
    write_parquet(
        out_folder / "labels.parquet",
        pl.DataFrame(
            {
                Column.ROW: np.arange(vectors.shape[0], dtype=np.int64),
                Column.CLUSTER: clustering.labels.astype(np.int32),
                Column.CONFIDENCE: clustering.confidence.astype(np.float32),
                Column.SECOND_CLUSTER: clustering.second_labels.astype(np.int32),
            }
        ),
    )
    write_array(out_folder / "centroids.npy", clustering.centroids.astype(np.float32))
    if clustering.model is not None:
        write_tensors(out_folder / "density.safetensors", clustering.model.state())
    figures = {"algorithm": clustering.algorithm, **clustering.facts, "quality": quality, "stability": stability}
    write_json(out_folder / "metrics.json", figures)
    return {
        "rows": int(vectors.shape[0]),
        "clusters": int(clustering.centroids.shape[0]),
        "algorithm": clustering.algorithm,
        "silhouette": quality.get("silhouette"),
        "stability": stability.get("mean"),
        "out": str(out_folder.resolve()),
    }
