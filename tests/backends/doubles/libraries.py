"""Fake modules cupy, cuml, rmm, cudf_polars and the GPU part of faiss.

Each call binds to the recorded signature of one RAPIDS version and obeys the rules that the real library checks only on
a device: single linkage, Euclidean metric, an output type, float32 or float64 in C order, explicit metric of FAISS.
"""

from __future__ import annotations

import contextlib
import sys
import types

import numpy as np
from gpu_doubles import kernels
from gpu_doubles.device_array import DeviceArray, unwrap, wrap
from gpu_doubles.signatures import bind, load_contract

from uicgpu.kernels.spanning_tree import spanning_tree


class Device:
    """What the doubles pretend to be; a test changes it before the probe runs."""

    def __init__(self, version: str):
        self.version = version
        self.available = True
        self.count = 1
        self.capability = (8, 0)
        self.memory = 2**34
        self.wrong_arithmetic = False
        self.calls: list[tuple[str, dict]] = []
        self.current: list[int] = []
        self.plans = 0
        self.plan_failure: Exception | None = None

    def bind(self, name, *arguments, **keywords):
        parameters = bind(self.version, name, *arguments, **keywords)
        self.calls.append((name, parameters))
        return parameters

    def called(self, name):
        return [parameters for called, parameters in self.calls if called == name]


class CUDARuntimeError(RuntimeError):
    """Looks like CuPy's error and shares no base class with it."""


def make_modules(device: Device) -> dict[str, types.ModuleType]:
    """Return the fake modules by name."""
    modules = {}
    for name in (
        "cupy cupy.cuda cupy.linalg cupyx cupyx.scipy cupyx.scipy.linalg cuml cuml.cluster rmm rmm.mr rmm.allocators "
        "rmm.allocators.cupy cudf_polars"
    ).split():
        modules[name] = types.ModuleType(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, modules[name])
            modules[parent].__path__ = []
    _fill_cupy(modules, device)
    _fill_cuml(modules["cuml.cluster"], device)
    _fill_rmm(modules, device)

    def execute_with_cudf(nt, duration_since_start, *, config):
        assert config.config["raise_on_fail"], "without raise_on_fail a plan may run on the CPU in silence"
        device.plans += 1
        if device.plan_failure:
            raise device.plan_failure

    modules["cudf_polars"].execute_with_cudf = execute_with_cudf
    return modules


def _fill_cupy(modules, device):
    cupy = modules["cupy"]
    cupy.ndarray = DeviceArray
    for name in ("float16", "float32", "float64", "int32", "int64"):
        setattr(cupy, name, getattr(np, name))
    cupy.inf = np.inf

    def on_device(name, function):
        def call(*arguments, **keywords):
            device.bind(name, *arguments, **keywords)
            assert device.available, "no call may reach a device that is not there"
            return wrap(function(*map(unwrap, arguments), **{key: unwrap(value) for key, value in keywords.items()}))

        return call

    for name in load_contract(device.version):
        module, _, function = name.rpartition(".")
        if module == "cupy" and hasattr(np, function):
            setattr(cupy, function, on_device(name, getattr(np, function)))

    def asarray(*arguments, **keywords):
        parameters = device.bind("cupy.asarray", *arguments, **keywords)
        if not device.available:
            raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
        data = parameters["a"]
        if isinstance(data, DeviceArray):
            return data if parameters["dtype"] in (None, data.dtype) else data.astype(parameters["dtype"])
        return DeviceArray(np.array(data, dtype=parameters["dtype"]))  # a copy: the device has its own memory

    def asnumpy(*arguments, **keywords):
        data = device.bind("cupy.asnumpy", *arguments, **keywords)["a"]
        return data.get() if isinstance(data, DeviceArray) else np.asarray(data)

    def lexsort(keys):
        device.bind("cupy.lexsort", keys)
        assert isinstance(keys, DeviceArray) and keys.ndim <= 2, "cupy.lexsort takes one device array"
        return wrap(np.lexsort(unwrap(keys)))

    def cholesky(a):
        device.bind("cupy.linalg.cholesky", a)
        try:
            return wrap(np.linalg.cholesky(unwrap(a)))
        except np.linalg.LinAlgError:
            return wrap(np.full(a.shape, np.nan))  # CuPy's default does not raise

    def solve_triangular(*arguments, **keywords):
        import scipy.linalg

        device.bind("cupyx.scipy.linalg.solve_triangular", *arguments, **keywords)
        return wrap(scipy.linalg.solve_triangular(*map(unwrap, arguments), **keywords))

    def from_dlpack(tensor):
        device.bind("cupy.from_dlpack", tensor)
        return DeviceArray(tensor.numpy())

    cupy.from_dlpack = from_dlpack
    cupy.asarray, cupy.asnumpy, cupy.lexsort = asarray, asnumpy, lexsort
    modules["cupy.linalg"].cholesky = cholesky
    modules["cupyx.scipy.linalg"].solve_triangular = solve_triangular
    pool = types.SimpleNamespace(free_all_blocks=lambda: device.calls.append(("free_all_blocks", {})))
    cupy.get_default_memory_pool = cupy.get_default_pinned_memory_pool = lambda: pool
    _fill_cuda(cupy.cuda, device)


def _fill_cuda(cuda, device):
    class CudaDevice:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            device.current.append(self.number)

        def __exit__(self, *error):
            device.current.pop()

    cuda.Device = CudaDevice
    cuda.is_available = lambda: device.available
    cuda.Stream = types.SimpleNamespace(null=types.SimpleNamespace(synchronize=lambda: None))
    cuda.set_allocator = lambda allocator: device.calls.append(("set_allocator", {"allocator": allocator}))
    cuda.runtime = types.SimpleNamespace(
        getDeviceCount=lambda: device.count,
        driverGetVersion=lambda: 13000,
        getDeviceProperties=lambda number: {
            "name": b"Pretended GPU",
            "major": device.capability[0],
            "minor": device.capability[1],
            "totalGlobalMem": device.memory,
        },
    )


def _fill_rmm(modules, device):
    mr = modules["rmm.mr"]
    mr.CudaAsyncMemoryResource = lambda: "async pool"
    mr.get_current_device_resource = lambda: "default"
    mr.set_current_device_resource = lambda resource: device.calls.append(("rmm", {"resource": resource}))
    modules["rmm.allocators.cupy"].rmm_cupy_allocator = lambda nbytes: None


def _fill_cuml(cluster, device):
    import sklearn.cluster as host

    class Estimator:
        """Binds the constructor and ``fit``; ``run`` computes with scikit-learn."""

        def __init__(self, *arguments, **keywords):
            self.given = keywords
            self.p = types.SimpleNamespace(**device.bind(f"cuml.cluster.{type(self).__name__}", *arguments, **keywords))
            assert self.p.output_type == "numpy", "set output_type: without it the result follows the input's container"

        def fit(self, *arguments, **keywords):
            parameters = device.bind(f"cuml.cluster.{type(self).__name__}.fit", *arguments, **keywords)
            x = parameters["X"]
            assert isinstance(x, DeviceArray), "pass a device array: cuML would copy the host array"
            assert x.dtype in (np.float32, np.float64), f"cuML takes float32 or float64, not {x.dtype}"
            assert x.flags.c_contiguous, "cuML would copy an array that is not in C order"
            self.check(len(x))
            self.run(unwrap(x).astype(np.float64), parameters)
            return self

    class KMeans(Estimator):
        def check(self, n):
            assert {"init", "random_state", "n_init"} <= set(self.given), "defaults differ from scikit-learn's"
            assert self.p.init in ("scalable-k-means++", "k-means||", "k-means++", "random")
            assert 1 <= self.p.n_clusters <= n and self.p.max_samples_per_batch >= 1

        def run(self, x, parameters):
            p = self.p
            model = host.KMeans(
                p.n_clusters, max_iter=p.max_iter, tol=p.tol, random_state=p.random_state, n_init=p.n_init
            )
            model.fit(x)
            self.labels_ = model.labels_.astype(np.int32)
            self.cluster_centers_ = model.cluster_centers_.astype(np.float32)

    class HDBSCAN(Estimator):
        def check(self, n):
            p = self.p
            assert p.metric == "euclidean" and p.build_algo in ("brute_force", "nn_descent")
            assert p.min_samples is not None and p.min_samples >= 1, "min_samples 0 is not supported"
            assert p.min_samples < n and p.min_cluster_size >= 2 and p.cluster_selection_method in ("eom", "leaf")

        def run(self, x, parameters):
            # here the point itself is not counted, in scikit-learn it is
            model = host.HDBSCAN(
                min_cluster_size=self.p.min_cluster_size, min_samples=self.p.min_samples + 1, copy=True
            )
            model.fit(x)
            self.labels_ = _renamed(model.labels_).astype(np.int32)
            self.probabilities_ = model.probabilities_.astype(np.float32)
            if self.p.gen_min_span_tree:
                tree = spanning_tree(x, self.p.min_samples + 1)
                # either end may come first, and edges stand in no order
                edges = np.column_stack((tree.high, tree.low, tree.weights.astype(np.float32)))
                self._min_spanning_tree = np.random.default_rng(0).permutation(edges)

    class DBSCAN(Estimator):
        def check(self, n):
            p = self.p
            assert p.metric in ("euclidean", "cosine", "precomputed") and p.algorithm in ("brute", "rbc")
            assert p.eps > 0 and p.min_samples >= 1
            assert p.max_mbytes_per_batch is not None, "an unbounded batch is n x n"

        def run(self, x, parameters):
            assert parameters["out_dtype"] in ("int32", "int64")
            model = host.DBSCAN(eps=self.p.eps, min_samples=self.p.min_samples).fit(x)
            self.labels_ = _renamed(model.labels_).astype(parameters["out_dtype"])
            if self.p.calc_core_sample_indices:
                self.core_sample_indices_ = model.core_sample_indices_.astype(parameters["out_dtype"])

    class AgglomerativeClustering(Estimator):
        def check(self, n):
            p = self.p
            assert p.linkage == "single", "cuML knows single linkage only"
            assert p.connectivity in ("knn", "pairwise") and p.metric in (
                "euclidean",
                "cosine",
                "l1",
                "l2",
                "manhattan",
            )
            assert p.connectivity == "pairwise" or p.metric == "euclidean"

        def run(self, x, parameters):
            model = host.AgglomerativeClustering(self.p.n_clusters, linkage="single").fit(x)
            self.labels_ = model.labels_.astype(np.int32)

    for estimator in (KMeans, HDBSCAN, DBSCAN, AgglomerativeClustering):
        setattr(cluster, estimator.__name__, estimator)


def _renamed(labels):
    """Number the clusters in another order than scikit-learn: a GPU promises none."""
    return np.where(labels >= 0, labels.max() - labels, -1)


def install_triton(monkeypatch, device: Device) -> None:
    """Let torch claim a device, and put the stand-ins of the kernels in place unless Triton's interpreter runs them."""
    import torch

    from uicgpu.kernels.assign import cuda as assign
    from uicgpu.kernels.segment_reduce import cuda as segment_reduce

    monkeypatch.setattr(torch.cuda, "is_available", lambda: device.available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: device.count)
    monkeypatch.setattr(torch.cuda, "device", lambda number: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    if not kernels.is_interpreting():
        monkeypatch.setitem(sys.modules, "triton", types.ModuleType("triton"))
        monkeypatch.setattr(assign, "nearest_three", kernels.nearest_three)
        monkeypatch.setattr(segment_reduce, "sum_pieces", kernels.sum_pieces)
        monkeypatch.setattr(segment_reduce, "sum_groups", kernels.sum_groups)


def install(monkeypatch, version: str, triton: bool = False) -> Device:
    """Put the doubles in place of the libraries for one test."""
    import faiss

    from uicgpu.backends import probe

    device = Device(version)
    for name, module in make_modules(device).items():
        monkeypatch.setitem(sys.modules, name, module)

    class StandardGpuResources:
        def setTempMemory(self, size):
            assert 0 < size <= device.memory
            self.size = size

    def knn_gpu(*arguments, **keywords):
        p = device.bind("faiss.knn_gpu", *arguments, **keywords)
        for array in (p["xq"], p["xb"]):
            assert type(array) is np.ndarray and array.dtype == np.float32 and array.flags.c_contiguous
        assert "metric" in keywords and p["metric"] == faiss.METRIC_INNER_PRODUCT, "the default metric is L2"
        assert isinstance(p["res"], StandardGpuResources) and p["k"] <= 2048
        assert p["vectorsMemoryLimit"] > 0 and p["queriesMemoryLimit"] > 0
        scores = p["xq"] @ p["xb"].T
        # equal scores in descending order of rows: FAISS promises none
        rows = len(p["xb"]) - 1 - np.argsort(-scores[:, ::-1], axis=1, kind="stable")[:, : p["k"]]
        return np.take_along_axis(scores, rows, axis=1), rows

    if triton:
        install_triton(monkeypatch, device)
    else:
        monkeypatch.setitem(sys.modules, "triton", None)  # not installed
    monkeypatch.setattr(faiss, "StandardGpuResources", StandardGpuResources, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: device.count, raising=False)
    monkeypatch.setattr(faiss, "knn_gpu", knn_gpu)
    probe.probe_device.cache_clear()
    probe.library_failure.cache_clear()
    DeviceArray.copies = 0
    return device
