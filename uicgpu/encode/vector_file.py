"""A ``.npy`` file of vectors that is written row by row and never seen half-finished."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from uicgpu.errors import UicError
from uicgpu.runs.folder import atomic_write

VectorFormat = Literal["float32", "float16"]


class VectorFile:
    """An open file of vectors.

    Attributes
    ----------
    rows
        Rows written so far.
    """

    def __init__(self, stream: BinaryIO, dim: int, dtype: VectorFormat) -> None:
        self.rows = 0
        self._stream = stream
        self._dim = dim
        self._dtype = np.dtype(dtype)
        self._start = self._write_header()

    def append(self, vectors: NDArray[np.float32]) -> None:
        """Write float32 [n, dim] behind the rows that are there."""
        self._stream.write(np.ascontiguousarray(vectors, dtype=self._dtype).data)
        self.rows += len(vectors)

    def close(self) -> None:
        """Write the number of rows, which was not known before."""
        self._stream.seek(0)
        if self._write_header() != self._start:
            raise UicError("the header of the vector file has grown over its rows")  # NumPy leaves room for 20 digits

    def _write_header(self) -> int:
        shape = (self.rows, self._dim)
        told = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, told)
        return self._stream.tell()


@contextmanager
def vector_file(path: Path, dim: int, dtype: VectorFormat) -> Iterator[VectorFile]:
    """Open ``path`` for writing vectors; it appears complete, or not at all.

    Raises
    ------
    OutOfResourcesError
        The disk is full; a former file is untouched.
    """
    _remove_leftovers(path)
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        file = VectorFile(stream, dim, dtype)
        yield file
        file.close()


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of this file; it can be as large as the file itself."""
    for leftover in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        process = leftover.name.split("-")[1]
        if process.isdigit() and not Path("/proc", process).exists():
            leftover.unlink(missing_ok=True)
