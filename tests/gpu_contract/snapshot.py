"""Read the signatures of the GPU libraries from the installed wheels, and compare them with the recorded ones.

``python tests/gpu_contract/snapshot.py`` prints the differences to ``tests/backends/contracts`` and fails if there are
any; ``--write`` records. No device is needed. Where a callable has no signature (Cython, CuPy's ufuncs), the first line
of its docstring states it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import re
import sys
from pathlib import Path

CONTRACTS = Path(__file__).parents[1] / "backends" / "contracts"
NAMES = """
cuml.cluster.AgglomerativeClustering cuml.cluster.AgglomerativeClustering.fit
cuml.cluster.DBSCAN cuml.cluster.DBSCAN.fit cuml.cluster.HDBSCAN cuml.cluster.HDBSCAN.fit
cuml.cluster.KMeans cuml.cluster.KMeans.fit cuml.cluster.KMeans.predict
cuml.cluster.hdbscan.approximate_predict cuml.cluster.hdbscan.membership_vector
cuml.decomposition.PCA cuml.neighbors.NearestNeighbors
cuml.metrics.cluster.adjusted_rand_score cuml.metrics.cluster.homogeneity_score cuml.metrics.pairwise_distances
cuml.metrics.cluster.silhouette_samples cuml.metrics.cluster.silhouette_score cuml.metrics.cluster.v_measure_score
cupy.arange cupy.argpartition cupy.asarray cupy.ascontiguousarray cupy.asnumpy cupy.ceil cupy.concatenate cupy.empty
cupy.exp2 cupy.eye cupy.from_dlpack cupy.get_default_memory_pool cupy.get_default_pinned_memory_pool cupy.isfinite
cupy.lexsort cupy.linalg.cholesky cupy.log2 cupy.maximum cupy.nonzero cupy.ones cupy.partition cupy.searchsorted
cupy.sqrt cupy.stack cupy.where cupy.zeros cupy.cuda.Device cupy.cuda.set_allocator
cupyx.scipy.linalg.solve_triangular
cuvs.neighbors.brute_force.build cuvs.neighbors.brute_force.search
faiss.knn_gpu
rmm.allocators.cupy.rmm_cupy_allocator rmm.mr.get_current_device_resource rmm.mr.set_current_device_resource
rmm.reinitialize
""".split()
DISTRIBUTIONS = (
    "cudf cudf-polars cuml cuvs pylibraft rmm cupy-cuda13x faiss-gpu faiss-gpu-cuvs polars triton torch numba numpy"
).split()


def resolve(name):
    """Return what ``from package import name`` gives; an attribute of a class if the last part is one.

    Only packages are imported on the way: importing the submodule of the same name would hide a function, as in
    ``cuml.metrics.cluster.silhouette_score``.
    """
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return getattr(found, parts[-1]) if inspect.ismodule(found) else found
    raise ModuleNotFoundError(name)


def signature_of(name):
    """Return the signature as text without annotations, ``self`` left out."""
    found = resolve(name)
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        first = (found.__doc__ or "").strip().splitlines()[0].replace("\\*", "*").replace("\\\\*", "*")
        match = re.fullmatch(r"[A-Za-z_0-9.]+(\(.*\))(?: ->.*)?", first)
        if match is None:
            raise ValueError(f"{name} states no signature: {first}") from None
        return match.group(1)
    empty = inspect.Parameter.empty
    parameters = [parameter.replace(annotation=empty) for parameter in signature.parameters.values()]
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    text = str(inspect.Signature(parameters))
    return re.sub(r"<class '([a-z]+)'>", r"\1", text)


def versions():
    found = {}
    for name in DISTRIBUTIONS:
        for candidate in (name, f"{name}-cu13"):
            try:
                found[candidate] = importlib.metadata.version(candidate)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def take():
    """Return the snapshot of the installed wheels."""
    signatures = {}
    for name in sorted(NAMES):
        try:
            signatures[name] = signature_of(name)
        except AttributeError:
            signatures[name] = None  # this version does not have it
    year, month = importlib.metadata.version("cuml-cu13").split(".")[:2]
    return {
        "rapids": f"{year}.{int(month):02d}",
        "source": "read from the installed wheels by scripts/gpu-contract",
        "versions": versions(),
        "signatures": {name: text for name, text in signatures.items() if text is not None},
    }


def parameters(text):
    """What of a signature matters to a caller: names, kinds and defaults, in order."""
    source = re.sub(r"<[a-z_]+>", "None", text)
    namespace = {}
    exec(compile(f"from __future__ import annotations\ndef f{source}: pass", "<signature>", "exec"), namespace)
    return [
        (parameter.name, parameter.kind.name, repr(parameter.default))
        for parameter in inspect.signature(namespace["f"]).parameters.values()
    ]


def differences(recorded, found):
    """Return one line per difference between two mappings of names to signatures."""
    lines = [f"{name}: recorded, not in the wheels" for name in sorted(recorded.keys() - found.keys())]
    lines += [f"{name}: in the wheels, not recorded: {found[name]}" for name in sorted(found.keys() - recorded.keys())]
    for name in sorted(recorded.keys() & found.keys()):
        if parameters(recorded[name]) != parameters(found[name]):
            lines.append(f"{name}: recorded {recorded[name]}, in the wheels {found[name]}")
    return lines


def main(write):
    snapshot = take()
    path = CONTRACTS / f"rapids-{snapshot['rapids']}.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))["signatures"] if path.is_file() else {}
    lines = differences(recorded, snapshot["signatures"])
    if write:
        path.write_text(json.dumps(snapshot, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.write(f"{len(snapshot['signatures'])} signatures of RAPIDS {snapshot['rapids']}, {len(lines)} differ\n")
    return bool(lines) and not write


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv))
