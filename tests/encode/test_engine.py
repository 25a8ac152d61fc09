"""Same bytes at any thread count and in any company; memory that runs out; weights that do not fit."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import torch

from uicgpu.encode import engine as engine_module
from uicgpu.encode.engine import Engine
from uicgpu.encode.folders import read_folder
from uicgpu.encode.number_format import choose_dtype
from uicgpu.errors import InputError, OutOfResourcesError, SettingsError, UicError

LENGTHS = [3, 17, 5, 5, 30, 3, 9, 17, 1, 5] * 20


def test_bytes_do_not_depend_on_threads(toys, toy_model):
    tokens = toys.tokens(LENGTHS)
    one, two, five = (Engine(toy_model, threads=threads, batch_tokens=128).embed(tokens) for threads in (1, 2, 5))
    assert one.tobytes() == two.tobytes() == five.tobytes()


def test_two_threads_work_at_the_same_time(toys, toy_model, monkeypatch):
    both = threading.Barrier(2, timeout=20)  # passes only when two packs are in work at once
    first_two = iter([True, True])
    real = Engine._embed_packed

    def meeting(self, tokens, pack):
        if next(first_two, False):
            both.wait()
        return real(self, tokens, pack)

    monkeypatch.setattr(Engine, "_embed_packed", meeting)
    Engine(toy_model, threads=2, batch_tokens=128).embed(toys.tokens(LENGTHS))


def test_a_texts_vector_does_not_depend_on_its_company(toys, toy_model):
    tokens = toys.tokens(LENGTHS)
    engine = Engine(toy_model, batch_tokens=300)
    together = engine.embed(tokens)
    for row in (0, 4, 8):
        span = slice(tokens.offsets[row], tokens.offsets[row + 1])
        alone = dataclasses.replace(
            tokens,
            ids=tokens.ids[span],
            offsets=np.array([0, tokens.lengths[row]]),
            blank=tokens.blank[:1],
        )
        assert np.abs(engine.embed(alone)[0] - together[row]).max() < 1e-6


def test_packed_computes_no_padding(toys, toy_model):
    engine = Engine(toy_model, batch_tokens=128)
    engine.embed(toys.tokens(LENGTHS))
    assert engine.computed_tokens - sum(LENGTHS) < engine_module.LEAST_PACK_TOKENS


def test_the_callers_thread_setting_comes_back(toys, toy_model):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        Engine(toy_model).embed(toys.tokens([3, 4]))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_blank_texts_are_zero_and_finished_reports_each_text_once(toys, toy_model):
    tokens = toys.tokens([2, 5, 2, 7])
    tokens.blank[[0, 2]] = True
    told = []
    vectors = Engine(toy_model).embed(tokens, lambda rows: told.extend(rows.tolist()))
    assert not vectors[[0, 2]].any()
    assert np.abs(vectors[[1, 3]]).min() > 0
    assert sorted(told) == [0, 1, 2, 3]


def test_no_texts(toys, toy_model):
    assert Engine(toy_model).embed(toys.tokens([])).shape == (0, 32)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_halves_the_pack_and_goes_on(error, toys, toy_model, monkeypatch):
    tokens = toys.tokens(LENGTHS)
    expected = Engine(toy_model, batch_tokens=2048).embed(tokens)
    real, released, sizes = Engine._embed_packed, [], []

    def limited(self, tokens, pack):
        sizes.append(int(tokens.lengths[pack].sum()))
        if tokens.lengths[pack].sum() > 200:
            raise error
        return real(self, tokens, pack)

    monkeypatch.setattr(Engine, "_embed_packed", limited)
    engine = Engine(toy_model, batch_tokens=2048, release=lambda: released.append(1))
    assert np.abs(engine.embed(tokens) - expected).max() < 1e-6
    assert released
    largest = max(sizes)
    sizes.clear()
    engine.embed(tokens)
    assert max(sizes) <= largest / 2, "the smaller budget is remembered"


def test_one_text_that_does_not_fit_is_an_error_with_a_way_out(toys, toy_model, monkeypatch):
    def never(self, tokens, pack):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Engine, "_embed_packed", never)
    with pytest.raises(OutOfResourcesError, match="one text of 9 tokens") as caught:
        Engine(toy_model).embed(toys.tokens([9]))
    assert "--max-tokens" in caught.value.fix


def test_other_errors_are_not_taken_for_memory(toys, toy_model, monkeypatch):
    def broken(self, tokens, pack):
        raise RuntimeError("something else")

    monkeypatch.setattr(Engine, "_embed_packed", broken)
    with pytest.raises(RuntimeError, match="something else"):
        Engine(toy_model, threads=2, batch_tokens=64).embed(toys.tokens(LENGTHS))


def test_values_that_are_not_finite_are_an_error(toys, tmp_path):
    network = toys.network("bert")
    with torch.no_grad():
        network.encoder.layer[0].output.dense.bias.fill_(float("inf"))
    network.save_pretrained(tmp_path)
    toys.write_tokenizer(tmp_path)
    with pytest.raises(InputError, match="not finite"):
        Engine(read_folder(tmp_path)).embed(toys.tokens([3]))


def test_weights_that_lack_a_tensor_are_refused(toys, tmp_path):
    from safetensors.numpy import load_file, save_file

    toys.write(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack 1 tensors, for example encoder\.layer\.1\.output\.dense\.weight"):
        Engine(read_folder(tmp_path))


def test_damaged_weights_are_refused(toys, tmp_path):
    toys.write(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        Engine(read_folder(tmp_path))
    assert str(tmp_path) in caught.value.where


def test_a_model_that_goes_past_the_packed_attention_is_noticed(toys, toy_model, monkeypatch):
    engine = Engine(toy_model)
    engine.network.set_attn_implementation("sdpa")
    with pytest.raises(UicError, match="went past the packed attention"):
        engine.embed(toys.tokens([3, 4]))


def test_number_formats(monkeypatch):
    monkeypatch.setattr("uicgpu.encode.number_format.cpu_flags", lambda: frozenset({"avx2"}))
    assert choose_dtype("auto", "cpu") == ("float32", None)
    assert choose_dtype("auto", "cuda:0") == ("float16", None)
    assert choose_dtype("auto", "cuda:0", "bfloat16") == ("bfloat16", None)
    dtype, warning = choose_dtype("float16", "cpu")
    assert dtype == "float16"
    assert "slower" in warning
    monkeypatch.setattr("uicgpu.encode.number_format.cpu_flags", lambda: frozenset({"amx_bf16"}))
    assert choose_dtype("bfloat16", "cpu") == ("bfloat16", None)
    with pytest.raises(SettingsError, match="unknown number format"):
        choose_dtype("int8", "cpu")


def test_half_precision_is_close_to_single(toys, toy_model):
    tokens = toys.tokens([3, 17, 5])
    half, single = Engine(toy_model, dtype="bfloat16").embed(tokens), Engine(toy_model).embed(tokens)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - single).max() < 0.2


class Allocator:
    """A device that has room for so many tokens, and tells what was asked of it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[int] = []

    def on(self, engine: Engine) -> Engine:
        real = engine._forward

        def forward(**inputs):
            self.asked.append(inputs["input_ids"].numel())
            if self.asked[-1] > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(**inputs)

        engine._forward = forward
        return engine


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_a_small_device_gives_the_same_vectors_and_is_not_asked_twice_for_too_much(kind, toys, tmp_path):
    model = read_folder(toys.write(tmp_path / kind, kind))
    tokens = toys.tokens(LENGTHS)
    expected = Engine(model, batch_tokens=2048).embed(tokens)
    allocator = Allocator(300)
    engine = allocator.on(Engine(model, batch_tokens=1024))
    assert np.abs(engine.embed(tokens) - expected).max() < 1e-5
    refused = [asked for asked in allocator.asked if asked > allocator.room]
    assert len(refused) <= 3, "1024, 512 and perhaps once more; then the budget fits"
    allocator.asked.clear()
    engine.embed(tokens)
    assert max(allocator.asked) <= allocator.room


def test_a_device_without_room_for_one_text_says_how_to_go_on(toys, toy_model):
    with pytest.raises(OutOfResourcesError, match="one text of 30 tokens") as caught:
        Allocator(20).on(Engine(toy_model)).embed(toys.tokens(LENGTHS))
    assert caught.value.exit_code == 5


def test_padded_packs_waste_little(toys):
    from uicgpu.encode.batches import cut_packs

    lengths = np.random.default_rng(3).integers(3, 120, 1500)
    packs = cut_packs(lengths, 8192, padded=True)
    computed = sum(len(pack) * int(lengths[pack].max()) for pack in packs)
    assert computed / lengths.sum() <= 1.06
