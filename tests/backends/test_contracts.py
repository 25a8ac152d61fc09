"""The doubles themselves: they refuse what the real libraries refuse. And what the CUDA twin asks of the libraries."""

import ast
import logging
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from gpu_doubles.device_array import DeviceArray, ImplicitCopyError
from gpu_doubles.signatures import VERSIONS, load_contract

import uicgpu.backends
from uicgpu.backends import choose_backend
from uicgpu.backends.interface import Backend
from uicgpu.backends.self_test import run_self_test

ROOM = Path(uicgpu.backends.__file__).parent
DEVICE_FILES = sorted((ROOM / "cuda").glob("*.py"))


def points(n=60, d=4):
    centres = 9 * np.random.default_rng(0).standard_normal((3, d))
    return (centres[np.arange(n) % 3] + np.random.default_rng(1).standard_normal((n, d))).astype(np.float32)


def test_both_versions_are_recorded():
    assert VERSIONS == ["26.06", "26.10"]
    for version in VERSIONS:
        contract = load_contract(version)
        assert "n_clusters" in contract["cuml.cluster.KMeans"].parameters
        assert "labels" in contract["cuml.metrics.cluster.silhouette_score"].parameters
    drift = {v: "device_buffer_samples" in load_contract(v)["cuml.cluster.KMeans"].parameters for v in VERSIONS}
    assert drift == {"26.06": False, "26.10": True}


class TestRefusals:
    """Negative controls: each mistake is caught."""

    def cluster(self, gpu):
        return sys.modules["cuml.cluster"]

    def device(self, gpu, array):
        return sys.modules["cupy"].asarray(array)

    def test_positional_argument(self, gpu):
        with pytest.raises(TypeError, match=r"cuml\.cluster\.KMeans: too many positional"):
            self.cluster(gpu).KMeans(4, output_type="numpy")

    def test_unknown_keyword(self, gpu):
        for keyword in ("handle", "convert_dtype", "n_cluster"):
            with pytest.raises(TypeError, match=f"unexpected keyword argument '{keyword}'"):
                self.cluster(gpu).HDBSCAN(**{keyword: None}, output_type="numpy")

    def test_keyword_of_another_version(self, gpu):
        make = lambda: self.cluster(gpu).KMeans(device_buffer_samples=9, output_type="numpy")  # noqa: E731
        if gpu.version == "26.06":
            with pytest.raises(TypeError, match="device_buffer_samples"):
                make()
        else:
            make()

    def test_wrong_linkage(self, gpu):
        model = self.cluster(gpu).AgglomerativeClustering(n_clusters=2, linkage="ward", output_type="numpy")
        with pytest.raises(AssertionError, match="single linkage only"):
            model.fit(self.device(gpu, points()))

    def test_output_type_left_out(self, gpu):
        with pytest.raises(AssertionError, match="set output_type"):
            self.cluster(gpu).DBSCAN(eps=1.0)

    @pytest.mark.parametrize("min_samples", [0, None])
    def test_min_samples_too_small_or_left_out(self, gpu, min_samples):
        model = self.cluster(gpu).HDBSCAN(min_samples=min_samples, output_type="numpy")
        with pytest.raises(AssertionError):
            model.fit(self.device(gpu, points()))

    def test_arrays_that_would_be_copied(self, gpu):
        def fit(x):
            self.cluster(gpu).DBSCAN(eps=1.0, max_mbytes_per_batch=9, output_type="numpy").fit(x)

        for array in (points().astype(np.float16), np.asfortranarray(points())):
            with pytest.raises(AssertionError):
                fit(DeviceArray(array))
        with pytest.raises(AssertionError, match="pass a device array"):
            fit(points())

    def test_faiss_without_the_metric(self, gpu):
        import faiss

        resources = faiss.StandardGpuResources()
        with pytest.raises(AssertionError, match="default metric is L2"):
            faiss.knn_gpu(resources, points(), points(), 3, vectorsMemoryLimit=1, queriesMemoryLimit=1)

    def test_implicit_copies_to_the_host(self, gpu):
        x = self.device(gpu, points())
        for copy in (np.asarray, list, lambda a: float(a[0, 0]), lambda a: bool(a.all()), lambda a: a.tolist()):
            with pytest.raises(ImplicitCopyError, match="copies it to the host"):
                copy(x)
        for mix in (lambda: x + points(), lambda: points() + x, lambda: x @ points().T, lambda: np.sqrt(x)):
            with pytest.raises(TypeError):
                mix()
        before = DeviceArray.copies
        np.testing.assert_array_equal(x.get(), points())
        assert DeviceArray.copies == before + 1

    def test_a_device_array_has_its_own_memory(self, gpu):
        host = points()
        x = self.device(gpu, host)
        x += 1
        np.testing.assert_array_equal(host, points())


class TestCalls:
    """What reaches the libraries."""

    def test_hdbscan_maps_min_samples(self, gpu):
        choose_backend("cuda").hdbscan(points(), 5, 4)
        (given,) = gpu.called("cuml.cluster.HDBSCAN")
        assert given["min_samples"] == 3 and given["min_cluster_size"] == 5 and given["build_algo"] == "brute_force"

    def test_clusters_are_numbered_by_their_first_member(self, gpu):
        x = points(200)
        for labels in (choose_backend("cuda").hdbscan(x, 5, 4)[0], choose_backend("cuda").dbscan(x, 3.0, 4)[0]):
            found = list(dict.fromkeys(labels[labels >= 0].tolist()))
            assert found == list(range(len(found))) and len(found) >= 3

    def test_dbscan_does_not(self, gpu):
        choose_backend("cuda", memory=2**28).dbscan(points(), 1.0, 4)
        (given,) = gpu.called("cuml.cluster.DBSCAN")
        assert given["min_samples"] == 4 and given["max_mbytes_per_batch"] == 256

    def test_other_linkage_runs_on_the_host_and_says_so(self, gpu, caplog):
        backend = choose_backend("cuda")
        with caplog.at_level(logging.WARNING):
            for clusters in (3, 4):
                backend.agglomerative(points(), clusters, "ward")
        assert (
            not gpu.called("cuml.cluster.AgglomerativeClustering")
            and backend.engines["agglomerative"] == "scikit-learn"
        )
        assert caplog.text.count("ward linkage runs on the CPU") == 1
        backend.agglomerative(points(), 3, "single")
        assert gpu.called("cuml.cluster.AgglomerativeClustering") and backend.engines["agglomerative"] == "cuml"

    def test_kmeans_names_its_start(self, gpu):
        choose_backend("cuda", memory=2**20).kmeans_engine(points(), 3, 7, 15)
        (given,) = gpu.called("cuml.cluster.KMeans")
        assert (given["random_state"], given["n_init"], given["max_iter"]) == (7, 1, 15)
        assert given["init"] == "scalable-k-means++" and given["max_samples_per_batch"] == 32768

    def test_search_is_cut_to_memory_and_goes_to_the_host_beyond_2048(self, gpu):
        x = np.random.default_rng(0).integers(-2, 3, size=(3000, 3)).astype(np.float32)
        backend = choose_backend("cuda", memory=2**24)
        _, rows = backend.top_k(x[:2], x, 2100)
        assert all(given["k"] <= 2048 for given in gpu.called("faiss.knn_gpu"))
        np.testing.assert_array_equal(rows, choose_backend("cpu").top_k(x[:2], x, 2100)[1])
        backend.top_k(x[:2], x, 5)
        assert gpu.called("faiss.knn_gpu")[-1]["vectorsMemoryLimit"] == 2**23

    def test_one_pool_for_all_libraries(self, gpu):
        choose_backend("cuda")
        assert gpu.called("rmm") == [{"resource": "async pool"}] and len(gpu.called("set_allocator")) == 1

    def test_release_empties_the_pools(self, gpu):
        choose_backend("cuda").release()
        assert len(gpu.called("free_all_blocks")) == 2

    def test_every_call_is_made_inside_the_device(self, gpu, monkeypatch):
        gpu.count = 3
        backend = choose_backend("cuda:2")
        seen = set()
        bind = gpu.bind
        monkeypatch.setattr(gpu, "bind", lambda *a, **k: (seen.add(tuple(gpu.current)), bind(*a, **k))[1])
        backend.assign(points(), points()[:3])
        backend.hdbscan(points(), 5, 4)
        backend.principal_axes(points(), 2)
        assert seen == {(2,)} and gpu.current == []

    def test_points_on_the_device_stay_there(self, gpu):
        backend = choose_backend("cuda")
        x, c = backend.to_device(points(600)), backend.to_device(points(5))
        DeviceArray.copies = 0
        backend.assign(x, c)
        # one question (are the centroids finite) and the four results
        assert DeviceArray.copies == 5
        DeviceArray.copies = 0
        backend.segment_sum(np.array([0, 300, 600]), np.arange(600, dtype=np.int32), np.ones(600, np.float32), x)
        assert DeviceArray.copies == 1
        DeviceArray.copies = 0
        backend.segment_pool(np.array([0, 300, 600]), np.arange(600, dtype=np.int32), np.ones(600, np.float32), x, True)
        assert DeviceArray.copies == 1


class TestTriton:
    """Who proposes the nearest centroids and sums the segments, and that it makes no difference to the result."""

    def both(self, monkeypatch, call):
        from gpu_doubles.libraries import install

        results = []
        for triton in (True, False):
            gpu = install(monkeypatch, "26.10", triton=triton)
            backend = choose_backend("cuda")
            results.append((call(backend), backend.engines, gpu))
            monkeypatch.undo()
        return results

    def test_assign_gives_the_same_bytes(self, monkeypatch):
        x, c = points(500, 24), points(40, 24)[:, ::-1].copy()
        (ours, engines, _), (theirs, others, _) = self.both(monkeypatch, lambda backend: backend.assign(x, c))
        assert engines["assign"] == "triton" and others["assign"] == "cupy"
        for field in ("labels", "scores", "second_labels", "second_scores"):
            assert getattr(ours, field).tobytes() == getattr(theirs, field).tobytes()

    def test_segment_pool_gives_the_bytes_of_the_cpu(self, monkeypatch):
        offsets = np.array([0, 3, 3, 700], np.int64)
        given = offsets, np.arange(700, dtype=np.int32) % 60, np.random.default_rng(0).random(700, np.float32), points()
        for unit in (False, True):
            want = choose_backend("cpu").segment_pool(*given, unit).tobytes()
            results = self.both(monkeypatch, lambda backend, unit=unit: backend.segment_pool(*given, unit))
            for (got, engines, _), engine in zip(results, ("triton", "cupy"), strict=True):
                assert engines["segment_pool"] == engine and got.tobytes() == want

    def test_segment_sum_gives_the_same_bytes(self, monkeypatch):
        offsets = np.array([0, 3, 3, 700], np.int64)
        given = offsets, np.arange(700, dtype=np.int32) % 60, np.random.default_rng(0).random(700, np.float32), points()
        (ours, engines, _), (theirs, others, _) = self.both(monkeypatch, lambda backend: backend.segment_sum(*given))
        assert engines["segment_sum"] == "triton" and others["segment_sum"] == "cupy"
        assert ours.tobytes() == theirs.tobytes()

    @pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12])
    def test_half_precision_decides_most_points_at_any_scale(self, monkeypatch, scale):
        from uicgpu.backends.cuda import assign

        rng = np.random.default_rng(2)
        x, c = ((scale * rng.standard_normal((n, 16))).astype(np.float32) for n in (400, 12))
        seen = []
        decide = assign._candidates
        monkeypatch.setattr(assign, "_candidates", lambda rest, *more: (seen.append(len(rest)), decide(rest, *more))[1])
        from gpu_doubles.libraries import install

        install(monkeypatch, "26.10", triton=True)
        got, want = choose_backend("cuda").assign(x, c), choose_backend("cpu").assign(x, c)
        np.testing.assert_array_equal(got.labels, want.labels)
        np.testing.assert_array_equal(got.second_labels, want.second_labels)
        assert sum(seen) < 100

    def test_a_score_within_the_rounding_of_float16_is_left_to_float32(self, monkeypatch):
        """Three centroids whose products with the point differ by 2^-13: in float16 they are equal."""
        from gpu_doubles.libraries import install

        install(monkeypatch, "26.10", triton=True)
        c = np.zeros((4, 2), np.float32)
        c[:, 0] = [0.5, 0.5 + 2**-13, 0.5 + 2**-12, -1]
        c[:, 1] = np.sqrt(1 - c[:, 0].astype(np.float64) ** 2)
        x = np.array([[1, 0]], np.float32)
        got, want = choose_backend("cuda").assign(x, c), choose_backend("cpu").assign(x, c)
        assert (got.labels[0], got.second_labels[0]) == (2, 1) == (want.labels[0], want.second_labels[0])

    def test_turing_is_served_by_cupy(self, monkeypatch):
        from gpu_doubles.libraries import install

        gpu = install(monkeypatch, "26.10", triton=True)
        gpu.capability = (7, 5)
        backend = choose_backend("cuda")
        backend.assign(points(), points(3))
        assert backend.engines["assign"] == "cupy"

    def test_torch_is_imported_before_faiss(self):
        """The other way round, torch loads a CUDA 12 library and cuDF no longer finds its own."""
        from uicgpu.backends.probe import _CHECKS

        assert list(_CHECKS).index("torch") < list(_CHECKS).index("faiss")


class TestTables:
    PLAN = pl.LazyFrame({"user": [2, 1, 2]}).group_by("user").len().sort("user")

    def test_the_cudf_engine_runs_and_is_recorded(self, gpu, caplog):
        backend = choose_backend("cuda")
        probed = gpu.plans
        frames = backend.collect([self.PLAN, self.PLAN])
        assert [frame.rows() for frame in frames] == [[(1, 1), (2, 2)]] * 2
        assert gpu.plans - probed >= 2 and backend.engines["collect"] == "cudf" and not caplog.records

    def test_a_refused_plan_runs_on_the_cpu_with_one_line(self, gpu, caplog):
        backend = choose_backend("cuda")
        backend.collect([self.PLAN])
        gpu.plan_failure = NotImplementedError("list.len\nmore")
        with caplog.at_level(logging.WARNING):
            frames = backend.collect([self.PLAN, self.PLAN])
        assert [frame.rows() for frame in frames] == [[(1, 1), (2, 2)]] * 2
        assert backend.engines["collect"] == "polars-cpu"
        assert len(caplog.records) == 1 and "list.len" in caplog.text and "more" not in caplog.text

    def test_without_cudf_polars(self, gpu, monkeypatch):
        monkeypatch.setitem(sys.modules, "cudf_polars", None)
        backend = choose_backend("cuda")
        assert backend.collect([self.PLAN])[0].height == 2 and backend.engines["collect"] == "polars-cpu"


def test_the_self_test_passes_on_both_twins(gpu):
    for device in ("cpu", "cuda"):
        checks = run_self_test(choose_backend(device))
        assert [check for check in checks if not check.passed] == [] and len(checks) >= 10


def test_the_self_test_reports_a_broken_operation():
    backend = choose_backend("cpu")
    backend.gram = lambda *arguments: 1 / 0
    backend.top_k = lambda q, x, k: (np.zeros((len(q), k), np.float32), np.zeros((len(q), k), np.int64))
    failed = {check.name: check.told for check in run_self_test(backend) if not check.passed}
    assert failed.keys() == {"gram and inverse", "top_k"} and failed["gram and inverse"].startswith("ZeroDivisionError")


def test_twins_have_the_same_files_and_operations():
    names = {folder: {path.name for path in (ROOM / folder).glob("*.py")} for folder in ("cpu", "cuda")}
    assert names["cpu"] == names["cuda"]
    operations = [name for name in vars(Backend) if not name.startswith("_") and name != "map"]
    for folder in ("cpu", "cuda"):
        trees = [ast.parse(path.read_text()) for path in (ROOM / folder).glob("*.py") if path.name != "__init__.py"]
        functions = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert functions >= {name for name in operations if callable(getattr(Backend, name))}, folder


@pytest.mark.parametrize("path", DEVICE_FILES, ids=lambda path: path.name)
def test_device_files(path):
    """GPU libraries are imported inside functions, cuML is called by keyword, and the file says that it never ran."""
    tree = ast.parse(path.read_text())
    assert "ot executed on a GPU" in ast.get_docstring(tree)
    gpu_libraries = {"cupy", "cupyx", "cuml", "cudf", "rmm", "cuvs", "faiss", "torch", "triton"}
    cuml_names = set()
    for node in ast.walk(tree):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) else []
        if any(module.split(".")[0] in gpu_libraries for module in modules):
            assert node not in tree.body, f"line {node.lineno}: import inside the function"
        if isinstance(node, ast.ImportFrom) and node.module.startswith("cuml"):
            cuml_names |= {alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in cuml_names:
            assert not node.args and "output_type" in {keyword.arg for keyword in node.keywords}
