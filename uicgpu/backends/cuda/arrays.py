"""Move arrays between host and device, by name only: nothing is copied to the host implicitly.

Not executed on a GPU.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_device(array: Any) -> Any:
    """Return a CuPy array; 16-bit floats and other widths than float32 become float32 when an operation uses them."""
    import cupy

    return cupy.asarray(np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array)


def to_float32(array: Any) -> Any:
    """Return a C-contiguous float32 CuPy array, copied only if it is not one already."""
    import cupy

    return cupy.ascontiguousarray(to_device(array), dtype=cupy.float32)


def to_host(array: Any) -> NDArray[Any]:
    """Return a NumPy array; a NumPy array comes back as it is."""
    import cupy

    if isinstance(array, cupy.ndarray):
        host: NDArray[Any] = cupy.asnumpy(array)
        return host
    return np.asarray(array)


def to_torch(array: Any) -> Any:
    """Return a torch tensor on the memory of a CuPy array."""
    from torch.utils.dlpack import from_dlpack

    return from_dlpack(array)


def from_torch(tensor: Any) -> Any:
    """Return a CuPy array on the memory of a torch tensor."""
    import cupy

    return cupy.from_dlpack(tensor)


def share_pool() -> str:
    """Let CuPy, cuML and cuDF allocate from one asynchronous RMM pool; returns the allocator's name for the record."""
    import cupy

    try:
        import rmm.mr
        from rmm.allocators.cupy import rmm_cupy_allocator
    except ImportError:
        return "cupy"
    rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
    cupy.cuda.set_allocator(rmm_cupy_allocator)
    return "rmm"


def release() -> None:
    """Give cached memory back: CuPy's pools, and torch's if torch is in use."""
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
