from __future__ import annotations

import json

import numpy as np
import pytest

from uicgpu.cli.main import call
from uicgpu.encode.encoder import Encoder
from uicgpu.encode.folders import read_folder
from uicgpu.errors import InputError, MissingExtraError, OutOfResourcesError, SettingsError
from uicgpu.finetune import folder as folder_room
from uicgpu.finetune.arms import train_masked
from uicgpu.finetune.folder import base_licence, check_out, merged_weights, read_ranking_map, write_encoder
from uicgpu.finetune.lora import folded_state, low_rank, without_adapters
from uicgpu.finetune.masked import MaskedReader, mask_tokens
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.recipe import recipe_of
from uicgpu.finetune.similarity import meaning_of
from uicgpu.finetune.train import fine_tune
from uicgpu.runs.progress import SilentProgress


def test_all_arms_are_judged_from_the_cheapest_to_the_dearest(tuned):
    assert [row["arm"] for row in tuned.result.verdict.table] == [
        "frozen",
        "half-whitened",
        "head",
        "head + whitening",
        "blend",
        "blend + whitening",
        "blend + head",
        "blend + head + whitening",
        "full",
        "full + whitening",
        "full + head",
        "full + head + whitening",
    ]
    json.dumps(tuned.result.facts, allow_nan=False)


def test_training_finds_the_word_that_behaviour_follows(tuned):
    table = {row["arm"]: row["ndcg"] for row in tuned.result.verdict.table}
    assert table["head"] > table["half-whitened"]


def test_the_same_seed_gives_the_same_bytes_at_any_number_of_threads(tuned):
    again = fine_tune(tuned.data, tuned.encoder, tuned.recipe, seed=0, threads=2)
    assert json.dumps(again.facts) == json.dumps(tuned.result.facts)
    for name, value in tuned.result.states["full"].items():
        assert np.array_equal(again.states["full"][name], value), name


@pytest.fixture
def written(tuned, tmp_path):
    result = tuned.result
    ranking = result.arms["full + head"].ranking
    write_encoder(tmp_path / "encoder", result.model, result.states["full"], ranking, result.facts)
    return tmp_path / "encoder"


def test_the_folder_gives_the_vectors_that_were_trained(written, tuned):
    found = Encoder(written, device="cpu", guard=False, threads=1).encode(tuned.data.texts.texts)
    assert np.abs(found - tuned.result.vectors["full"]).max() < 1e-5
    assert read_folder(written).identity != tuned.result.model.identity


def test_the_ranking_map_survives_the_folder(written, tuned):
    vectors = tuned.result.vectors["full"]
    expected = tuned.result.arms["full + head"].ranking.apply(vectors)
    assert np.array_equal(read_ranking_map(written).apply(vectors), expected)
    assert (written / "ranking" / "model.safetensors").stat().st_ino == (written / "model.safetensors").stat().st_ino


def test_a_ranking_map_cannot_lead_out_of_its_folder(written):
    modules = written / "ranking" / "modules.json"
    entries = json.loads(modules.read_text())
    entries[-2]["path"] = "../../../elsewhere"
    modules.write_text(json.dumps(entries))
    with pytest.raises(InputError, match="leads out"):
        read_ranking_map(written)
    modules.write_text('["no module"]')
    with pytest.raises(InputError, match="not a list of modules"):
        read_ranking_map(written)


def test_transformers_reads_the_folder(written, tuned):
    import transformers

    network = transformers.AutoModel.from_pretrained(written, local_files_only=True)
    state = {name: value.detach().numpy() for name, value in network.named_parameters()}
    for name, value in tuned.result.states["full"].items():
        assert np.array_equal(state[name], value), name


def test_sentence_transformers_reads_both_folders(written, tuned):
    library = pytest.importorskip("sentence_transformers")
    texts = tuned.data.texts.texts[:20]
    plain = library.SentenceTransformer(str(written), device="cpu").encode(texts)
    assert np.abs(plain - tuned.encoder.__class__(written, device="cpu", guard=False).encode(texts)).max() < 1e-5
    ranking = library.SentenceTransformer(str(written / "ranking"), device="cpu").encode(texts)
    assert np.abs(ranking - read_ranking_map(written).apply(plain)).max() < 1e-5


def test_the_model_card_says_what_it_is(written, tuned):
    card = (written / "README.md").read_text()
    assert tuned.data.sha256 in card
    assert tuned.result.verdict.reason in card
    assert "license: unknown" in card
    assert "| head |" in card


def test_a_full_disk_leaves_the_earlier_folder(written, tuned, monkeypatch):
    before = (written / "README.md").read_bytes()

    def full(*_):
        raise OutOfResourcesError("no space left on the disk")

    monkeypatch.setattr(folder_room, "write_text", full)
    with pytest.raises(OutOfResourcesError):
        write_encoder(written, tuned.result.model, None, tuned.result.ranking, tuned.result.facts)
    assert (written / "README.md").read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["encoder"]


def test_foreign_folders_are_not_overwritten(tmp_path, written):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(SettingsError, match="not empty"):
        check_out(tmp_path / "notes", fresh=True)
    with pytest.raises(SettingsError, match="--fresh") as caught:
        check_out(written, fresh=False)
    assert "--fresh" in str(caught.value)
    check_out(written, fresh=True)


def test_weights_keep_the_prefix_and_the_unused_tensors_of_the_base(tmp_path, build, tuned):
    from safetensors.numpy import load_file, save_file

    folder = build.folder(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file({f"bert.{name}": value for name, value in tensors.items()}, folder / "model.safetensors")
    merged = merged_weights(read_folder(folder), tuned.result.states["full"])
    assert set(merged) == {f"bert.{name}" for name in tensors}
    name = "embeddings.word_embeddings.weight"
    assert np.array_equal(merged[f"bert.{name}"], tuned.result.states["full"][name])


def test_a_base_without_safetensors_is_refused(tmp_path, build):
    folder = build.folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="can run code"):
        Encoder(folder, device="cpu")


def test_decoder_models_default_to_lora():
    assert recipe_of("auto", "qwen3").name == "lora"
    assert recipe_of("auto", "bert").name == "full"
    with pytest.raises(SettingsError, match="unknown recipe"):
        recipe_of("everything", "bert")


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_adapters_begin_as_nothing_and_fold_in(kind, build, tmp_path):
    pytest.importorskip("peft")
    model = read_folder(build.folder(tmp_path, kind))
    texts = ["red bike", "blue boat", "green lamp chair", "hat"]
    plain = TrainableEncoder(model, texts)
    adapted = TrainableEncoder(model, texts, adapt=low_rank(4, 0))
    rows = np.arange(4)
    assert np.abs(adapted.vectors(rows) - plain.vectors(rows)).max() < 1e-6
    assert set(folded_state(adapted.network)) == {name for name, _ in plain.network.named_parameters()}
    assert all("lora" in name for name in adapted.parameters())
    for _ in range(3):
        adapted.step(rows, lambda vectors: (vectors @ vectors.T).sum())
        import torch

        with torch.no_grad():
            for value in adapted.parameters().values():
                value -= 0.05 * value.grad
    moved = adapted.vectors(rows)
    assert np.abs(moved - plain.vectors(rows)).max() > 1e-3
    adapted.network = without_adapters(adapted.network)
    assert np.abs(adapted.vectors(rows) - moved).max() < 1e-5


def test_lora_without_peft_names_the_install_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        low_rank(4, 0)
    assert "uicgpu[train]" in caught.value.fix


def test_masks_spare_special_tokens_and_most_of_the_rest():
    random = np.random.default_rng(0)
    texts = [np.arange(10, 30, dtype=np.int32) for _ in range(50)]
    ids, places, truth = mask_tokens(texts, 4, 24, random)
    inside = places % 20
    assert not np.isin(inside, [0, 19]).any()
    assert 0.1 < places.size / (18 * 50) < 0.2
    assert np.array_equal(truth, 10 + inside)
    assert 0.7 < (ids[places] == 4).mean() < 0.95
    untouched = np.setdiff1d(np.arange(ids.size), places)
    assert np.array_equal(ids[untouched], np.concatenate(texts)[untouched])


def test_masked_training_learns_words(toy_folder, tuned):
    encoder = TrainableEncoder(read_folder(toy_folder), tuned.data.texts.texts)
    judged = tuned.data.rows[::5]
    readable = np.setdiff1d(tuned.data.rows, judged)
    record = train_masked(encoder, readable, 150, 0, None, "id", SilentProgress(), judged)
    assert record["losses"][-1] < record["losses"][0]
    assert record["held_out_loss"][1] < record["held_out_loss"][0]


def test_a_decoder_has_no_mask(build, tmp_path, monkeypatch):
    encoder = TrainableEncoder(read_folder(build.folder(tmp_path, "qwen3")), ["red"])
    monkeypatch.setattr(encoder, "mask_token", lambda: None)
    with pytest.raises(InputError, match="no mask token"):
        MaskedReader(encoder, 0)


def test_similarity_sees_damage():
    from uicgpu.finetune.similarity import ENGLISH

    grades = {left: grade / 5 for left, _, grade in ENGLISH}

    def right(texts):
        rows = []
        for left in texts[0::2]:
            cosine = grades[left]
            rows += [[1.0, 0.0], [cosine, np.sqrt(1 - cosine**2)]]
        return np.array(rows, np.float32)

    assert meaning_of(right).similarity == pytest.approx(1.0, abs=1e-3)
    assert meaning_of(lambda texts: np.ones((len(texts), 2), np.float32)).similarity == 0.0


def test_the_command_writes_an_encoder(files, toy_folder, tmp_path, capsys):
    given = ["train", *files, "--model", str(toy_folder), "--recipe", "head", "--out", str(tmp_path / "out"), "-q"]
    assert call([*given, "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    capsys.readouterr()
    assert call([*given, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["out"] == str((tmp_path / "out").resolve())
    assert (tmp_path / "out" / "README.md").is_file()
    assert result["ships"] in ("half-whitened", "head", "head + whitening")
    assert call(given) == 2


def test_the_command_says_how_much_is_needed(tmp_path, toy_folder, capsys):
    (tmp_path / "e.csv").write_text("user_id,item_id,title\n1,a,red bike\n1,b,hat\n2,a,red bike\n")
    given = ["train", "--events", str(tmp_path / "e.csv"), "--model", str(toy_folder), "--out", str(tmp_path / "o")]
    assert call([*given, "--split", "none"]) == 3
    assert "needed are 300 pairs" in capsys.readouterr().err


def test_the_card_holds_fingerprint_settings_figures_and_licence(written, tuned, tmp_path):
    card = (written / "README.md").read_text()
    facts = tuned.result.facts
    front = card.split("---")[1]
    assert "license: unknown" in front and "library_name: sentence-transformers" in front
    assert f"`{facts['data']['sha256']}`" in card and f"`{facts['base']['weights_sha256']}`" in card
    for name, value in facts["settings"].items():
        assert f"{name} = {value}" in card
    for row in facts["gate"]["table"]:
        assert f"| {row['arm']} | {row['ndcg']:.4f} |" in card
        if "gain" in row:
            assert f"[{row['low']:+.1f}, {row['high']:+.1f}]" in card
    assert f"base {facts['similarity']['base']:.3f}" in card


def test_the_licence_of_the_base_is_handed_on(build, tmp_path, written):
    folder = build.folder(tmp_path / "base")
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# A model\n")
    assert base_licence(read_folder(folder)) == "cc-by-4.0"
    facts = json.loads((written / "training.json").read_text())
    (written / "training.json").write_text(json.dumps({**facts, "base_licence": "mit"}))
    assert base_licence(read_folder(written)) == "mit"
