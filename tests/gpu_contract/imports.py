"""Import the GPU libraries in several orders and let the product's probe judge a machine without a GPU.

Libraries bring their own copies of CUDA's libraries, so that what loads in one order may fail in another.
"""

from __future__ import annotations

import subprocess
import sys

ORDERS = (
    "torch faiss cuml cudf_polars triton",  # the order of the product: its backend asks torch first
    "cuml cudf_polars faiss torch triton",
    "cudf_polars triton torch cuml faiss",
    "faiss cuml cudf_polars torch triton",
)
KNOWN_TO_FAIL = ("faiss torch cudf_polars",)
"""torch, seeing the CUDA 12 runtime of faiss-gpu, loads the compiler library of CUDA 12; cuDF is then handed that one
and does not find version 13. Seen with the CPU build of torch 2.13. The backend imports torch before FAISS."""
ALWAYS = "cupy cupyx.scipy.linalg rmm rmm.allocators.cupy cuml.cluster cuvs.neighbors.brute_force pylibraft"
PROBE = """
from uicgpu.backends import choose_backend
from uicgpu.backends.probe import probe_device, probe_in_child
probe = probe_device()
assert not probe.available and probe.reason, probe
assert not probe_in_child().available
backend = choose_backend("auto")
assert backend.name == "cpu" and probe.reason in backend.reason, backend.reason
print(probe.reason)
"""


def main():
    for order in ORDERS:
        names = [*order.split(), *ALWAYS.split()]
        program = "; ".join(f"import {name}" for name in names)
        # cuML can replace scikit-learn at start-up: "CPU" would then mean the GPU
        program += "; import sklearn.cluster; assert 'cuml' not in sklearn.cluster.KMeans.__module__"
        subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
        sys.stdout.write(f"imported: {order}\n")
    for order in KNOWN_TO_FAIL:
        program = "; ".join(f"import {name}" for name in order.split())
        failed = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], capture_output=True, check=False
        ).returncode
        sys.stdout.write(f"{'does not import, as known' if failed else 'imports by now'}: {order}\n")
    subprocess.run([sys.executable, "-c", PROBE], check=True)


if __name__ == "__main__":
    main()
