"""From events to the report on a pretended GPU: stand-ins of the libraries compute, and no copy to the host is implied.

The same world runs on the CPU and on the stand-ins. What was not executed on a GPU is still not executed on one here:
this shows that the rooms above the backend hand device arrays on correctly, and that both twins lead to one result.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from gpu_doubles.device_array import ImplicitCopyError

import uicgpu as uic
from uicgpu.cli.main import call
from uicgpu.runs.folder import sha256_file

THINGS = {
    "kitchen": ["kettle", "grinder", "skillet", "whisk"],
    "garden": ["shears", "trowel", "hose", "seeds"],
    "sky": ["telescope", "atlas", "tripod", "filter"],
}
STYLES = ["small", "large", "red", "plain", "steel"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 96}
CUDA = "The GPU answers: Pretended GPU."


def write_encoder(folder: Path) -> Path:
    """A tiny random BERT with a tokeniser of whole words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    network = transformers.BertModel(transformers.BertConfig(**SMALL)).eval()
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3, generator=random)
    network.save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *STYLES, *THINGS]
    words += [thing for things in THINGS.values() for thing in things]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_shop(folder: Path) -> dict[str, object]:
    """150 users in three groups, 60 items, some 2,000 events in 100 days."""
    random = np.random.default_rng(3)
    titles = [(f"{style} {thing}", topic) for topic in THINGS for thing in THINGS[topic] for style in STYLES]
    rows = []
    for user in range(150):
        for _ in range(int(random.integers(8, 20))):
            topic = user % 3 if random.random() < 0.85 else int(random.integers(3))
            item = topic * 20 + int(20 * random.random() ** 2)
            rows.append((f"u{user:03d}", f"i{item:02d}", 1_700_000_000 + int(random.random() * 8_640_000)))
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(folder / "events.csv")
    pl.DataFrame(
        {
            "item_id": [f"i{number:02d}" for number in range(60)],
            "title": [title for title, _ in titles],
            "category": [topic for _, topic in titles],
        }
    ).write_csv(folder / "items.csv")
    return {"events": [str(folder / "events.csv")], "items": [str(folder / "items.csv")]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings that all runs of this file share."""
    folder = tmp_path_factory.mktemp("shop")
    encoder = write_encoder(tmp_path_factory.mktemp("encoder"))
    small = {"bootstrap": 100, "evaluate_users": 100, "stability_runs": 2, "threads": 1, "k_anonymity": 5}
    return {**write_shop(folder), "model": str(encoder), **small}


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """No test of this file touches the user's cache of vectors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UICGPU_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def on_cpu(shop, own_cache, tmp_path_factory: pytest.TempPathFactory):
    return uic.run({**shop, "device": "cpu", "out": str(tmp_path_factory.mktemp("runs") / "cpu")})


@pytest.fixture(scope="module")
def plain(shop, own_cache, tmp_path_factory: pytest.TempPathFactory):
    """A run on the CPU without tuning, which the other algorithms start from."""
    return uic.run({**shop, "device": "cpu", "tune": "off", "out": str(tmp_path_factory.mktemp("runs") / "plain")})


@pytest.fixture
def install(monkeypatch):
    from gpu_doubles.libraries import install

    return lambda version="26.10", triton=False: install(monkeypatch, version, triton=triton)


@pytest.fixture
def torch_device(monkeypatch, tmp_path):
    """torch knows the pretended device as well, and no text was encoded before; for ``install(triton=True)``."""
    from gpu_doubles.torch_device import pretend

    monkeypatch.setenv("UICGPU_CACHE", str(tmp_path / "vectors"))
    return lambda: pretend(monkeypatch)


def contents(run) -> dict[str, str]:
    """SHA-256 of every artefact but the manifest, which holds seconds, and the report, which names the device."""
    files = sorted(path for path in run.path.rglob("*") if path.is_file())
    kept = [path for path in files if path.name not in {"manifest.json", ".lock", "report.html"}]
    return {str(path.relative_to(run.path)): sha256_file(path) for path in kept}


def engines(run) -> dict[str, set[str]]:
    """Which library did each operation of a run, by its manifest."""
    told: dict[str, set[str]] = {}
    for stage in run.manifest["stages"].values():
        for operation, engine in stage["engines"].items():
            told.setdefault(operation, set()).add(engine)
    return told


def report_without_device(run) -> str:
    """The report without the device's name."""
    text = (run.path / "report.html").read_text(encoding="utf-8")
    shown = f"<dd><b>{run.manifest['device']['name']}</b></dd>"
    assert text.count(shown) == 1
    return text.replace(shown, "")


def test_cupy_and_cuml_lead_to_the_bytes_of_the_cpu(shop, on_cpu, install, tmp_path):
    """The encoder stays on the CPU, because this torch is a CPU build; everything else is asked of the device."""
    gpu = install("26.06")
    run = uic.run({**shop, "device": "cuda", "out": str(tmp_path / "run")})
    assert run.manifest["device"] == {"name": "cuda", "device": "cpu", "reason": CUDA, "engines": {"memory": "rmm"}}
    assert contents(run) == contents(on_cpu)
    assert report_without_device(run) == report_without_device(on_cpu)
    assert engines(run) == {"collect": {"cudf"}, "assign": {"cupy"}, "segment_pool": {"cupy"}, "segment_sum": {"cupy"}}
    # search of the text arms, EASE and the second stage's features
    assert gpu.called("faiss.knn_gpu") and gpu.called("cupy.linalg.cholesky")


def test_kernels_and_torch_lead_to_the_bytes_of_the_cpu(shop, on_cpu, install, torch_device, tmp_path):
    install(triton=True)
    with torch_device() as device:
        run = uic.run({**shop, "device": "cuda:0", "dtype": "float32", "out": str(tmp_path / "run")})
    assert run.manifest["device"]["device"] == "cuda:0"
    assert contents(run) == contents(on_cpu)
    assert engines(run) == {
        "collect": {"cudf"},
        "assign": {"triton"},
        "segment_pool": {"triton"},
        "segment_sum": {"triton"},
    }
    assert device.calls > 100 and device.copies == 1  # one pack of texts, one copy of its vectors


def test_half_precision_of_the_encoder_changes_no_cluster(shop, plain, install, torch_device, tmp_path):
    """What ``--device cuda`` does by default: float16 and one fused attention over texts of all lengths."""
    install(triton=True)
    with torch_device():
        run = uic.run({**shop, "device": "cuda", "tune": "off", "out": str(tmp_path / "run")})
    vectors, wanted = (np.load(each.path / "item_vectors.npy") for each in (run, plain))
    assert 0 < np.abs(vectors - wanted).max() < 2e-3
    for column in ("user_id", "cluster", "second_cluster"):
        assert run.users[column].equals(plain.users[column])
    np.testing.assert_allclose(run.users["confidence"], plain.users["confidence"], atol=5e-3)
    same = run.recommendations["item_id"] == plain.recommendations["item_id"]
    assert same.mean() > 0.99


ALGORITHMS = {
    "hdbscan": ({"algorithm": "hdbscan", "min_cluster_size": 10}, "HDBSCAN"),
    "dbscan": ({"algorithm": "dbscan"}, "DBSCAN"),
    "ward": ({"algorithm": "hierarchical", "k": 3}, None),
    "single": ({"algorithm": "hierarchical", "k": 3, "linkage": "single"}, "AgglomerativeClustering"),
    "cosine": ({"metric": "cosine", "k": 3, "consensus": 3}, None),
    "hdbscan by cosine": ({"metric": "cosine", "algorithm": "hdbscan", "min_cluster_size": 10}, "HDBSCAN"),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_leads_to_the_same_clusters(shop, plain, install, tmp_path, name):
    changed, estimator = ALGORITHMS[name]
    runs = []
    for device in ("cpu", "cuda"):
        shutil.copytree(plain.path, tmp_path / device)
        gpu = install() if device == "cuda" else None
        given = {**shop, **changed, "tune": "off", "device": device, "out": str(tmp_path / device)}
        runs.append(uic.run(given))
    assert contents(runs[1]) == contents(runs[0])
    assert runs[0].users["cluster"].n_unique() > 1
    asked = {called for called, _ in gpu.calls if called.startswith("cuml.cluster.") and not called.endswith(".fit")}
    assert asked == ({f"cuml.cluster.{estimator}"} if estimator else set())


def test_what_is_done_with_a_finished_run(shop, plain, install, tmp_path):
    """Assign, recommend, evaluate and cluster, typed by a person; nothing is asked of the CPU's files in between."""
    outs = []
    for device in ("cpu", "cuda"):
        if device == "cuda":
            install()
        out = tmp_path / device
        shutil.copytree(plain.path, out / "run")
        on = ["--device", device, "--quiet"]
        run, events = str(out / "run"), str(shop["events"][0])
        assert call(["assign", run, "--events", events, "--out", str(out / "assigned.csv"), *on]) == 0
        assert call(["recommend", run, "--top", "12", "--out", str(out / "more.csv"), *on]) == 0
        assert call(["evaluate", run, "--split", "leave-one-out", "--out", str(out / "figures.json"), *on]) == 0
        assert call(["cluster", f"{run}/interest_vectors.npy", "-k", "3", "--out", str(out / "parts"), *on]) == 0
        made = [path for path in sorted(out.rglob("*")) if path.is_file() and "run" not in path.relative_to(out).parts]
        outs.append({str(path.relative_to(out)): sha256_file(path) for path in made})
    assert len(outs[0]) == 6 and outs[1] == outs[0]


def test_consensus_and_former_ids(shop, plain, install, tmp_path):
    """Ward's tree over the merged centres stays on the host; the rest is asked of the device."""
    runs = []
    for device in ("cpu", "cuda"):
        if device == "cuda":
            install()
        shutil.copytree(plain.path, tmp_path / device)
        more = {"k": 4, "consensus": 5, "previous": str(plain.path), "tune": "off"}
        runs.append(uic.run({**shop, **more, "device": device, "out": str(tmp_path / device)}))
    assert contents(runs[1]) == contents(runs[0])
    assert runs[1].facts("cluster")["previous"]["kept"]
    assert runs[1].manifest["stages"]["cluster"]["engines"]["agglomerative"] == "scikit-learn"


@pytest.mark.slow
def test_training_stays_on_the_device(shop, own_cache, install, torch_device, tmp_path):
    """All weights are trained there; packs of other sizes than on the CPU leave the last digits open."""
    given = {**shop, "train": True, "recipe": "full", "tune": "off", "dtype": "float32"}
    cpu = uic.run({**given, "device": "cpu", "out": str(tmp_path / "cpu")})
    install(triton=True)
    with torch_device() as device:
        run = uic.run({**given, "device": "cuda", "out": str(tmp_path / "cuda")})
    ours, wanted = (each.facts("train") for each in (run, cpu))
    assert (ours["ships"], ours["pairs"], ours["users_judged"]) == tuple(
        wanted[name] for name in ("ships", "pairs", "users_judged")
    )
    assert ours["ndcg_held_out"] == pytest.approx(wanted["ndcg_held_out"], abs=0.02)
    assert device.calls > 10_000


@pytest.mark.parametrize(
    "estimator",
    [
        lambda device: uic.KMeans(5, random_state=3, device=device),
        lambda device: uic.KMeans(5, init="k-means||", random_state=3, device=device),
        lambda device: uic.KMeans(5, metric="cosine", random_state=3, device=device),
        lambda device: uic.MiniBatchKMeans(5, batch_size=64, random_state=3, device=device),
        lambda device: uic.HDBSCAN(min_cluster_size=8, device=device),
    ],
    ids=["kmeans", "kmeans||", "cosine", "batches", "hdbscan"],
)
def test_estimators_give_the_labels_of_the_cpu(install, plain, estimator):
    points = np.array(plain.interest_vectors)
    wanted = estimator("cpu").fit_predict(points)
    install()
    np.testing.assert_array_equal(estimator("cuda").fit_predict(points), wanted)
    assert len(set(wanted.tolist())) > 2


class TestNegativeControls:
    """Each of these errors, put into the product, ends the run."""

    def fails(self, shop, plain, tmp_path, error, **changed):
        shutil.copytree(plain.path, tmp_path / "run")
        with pytest.raises(error):
            uic.run({**shop, "device": "cuda", "tune": "off", "out": str(tmp_path / "run"), **changed}, fresh=True)

    def test_a_result_read_without_a_copy(self, shop, plain, install, tmp_path, monkeypatch):
        install()
        monkeypatch.setattr("uicgpu.backends.cuda.assign.to_host", np.asarray)
        self.fails(shop, plain, tmp_path, ImplicitCopyError)

    def test_points_on_the_device_used_as_a_host_array(self, shop, plain, install, tmp_path, monkeypatch):
        """As if a room above the backend went on with what it had moved to the device."""
        from uicgpu.cluster import lloyd

        install()
        exact = lloyd.squared_distances
        on_device = lambda points, *rest: exact(rest[-1].to_device(points), *rest)  # noqa: E731
        monkeypatch.setattr(lloyd, "squared_distances", on_device)
        self.fails(shop, plain, tmp_path, (ImplicitCopyError, TypeError))

    def test_vectors_of_the_encoder_read_without_a_copy(
        self, shop, plain, install, torch_device, tmp_path, monkeypatch
    ):
        import torch

        install(triton=True)
        with torch_device():
            monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: tensor)
            self.fails(shop, plain, tmp_path, ImplicitCopyError)

    def test_tokens_that_stayed_on_the_host(self, shop, plain, install, torch_device, tmp_path, monkeypatch):
        import torch

        install(triton=True)
        with torch_device():
            monkeypatch.setattr("uicgpu.encode.engine.Engine._on_device", lambda self, array: torch.from_numpy(array))
            self.fails(shop, plain, tmp_path, RuntimeError)
