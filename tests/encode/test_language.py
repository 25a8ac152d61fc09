"""The guard: an English encoder never gets Chinese texts in silence."""

from __future__ import annotations

import csv
import random

import pytest

from uicgpu.encode.language import SAMPLE_TEXTS, choose_model, complaint, measure_fit
from uicgpu.encode.models import find_model, minilm_model
from uicgpu.errors import InputError

CHINESE = ["无线降噪耳机", "蓝牙头戴式耳机", "浪漫喜剧电影", "动作惊悚片"]
RUSSIAN = ["беспроводные наушники", "романтическая комедия", "кухонный нож"]
ENGLISH = ["wireless headphones", "romantic comedy film", "kitchen knife"]


@pytest.fixture(scope="module")
def minilm(minilm_folder):
    return minilm_model(minilm_folder)


def test_shares_by_hand(toy_model):
    # 2 of 5 tokens are unknown; letters: 7 Latin (red, bike), 3 CJK (the tokeniser keeps them as unknown words)
    fit = measure_fit(toy_model, ["red bike 中文", "", None, "red bike 中文", "字"])
    assert fit.texts == 2
    assert fit.unknown_share == pytest.approx(3 / 5)
    assert fit.foreign_share == pytest.approx(3 / 10)
    assert fit.scripts == (("LATIN", 0.7), ("CJK", pytest.approx(0.3)))
    assert fit.examples == ("字", "red bike 中文")


def test_no_texts_are_no_reason_to_complain(toy_model):
    for texts in ([], ["", None], ["123 !?"]):
        fit = measure_fit(toy_model, texts)
        assert fit.foreign_share == 0.0
    assert measure_fit(toy_model, [""]).unknown_share == 0.0
    assert complaint(toy_model, measure_fit(toy_model, [""])) is None


def test_the_sample_does_not_depend_on_the_order_of_the_texts(toy_model):
    texts = [f"red {number} {'quux' if number % 3 else 'bike'}" for number in range(3000)]
    shuffled = texts.copy()
    random.Random(5).shuffle(shuffled)
    assert measure_fit(toy_model, texts) == measure_fit(toy_model, shuffled)
    assert measure_fit(toy_model, texts).texts == SAMPLE_TEXTS


def test_auto_keeps_minilm_for_english(minilm):
    model, message = choose_model("auto", ENGLISH)
    assert model.name == "minilm"
    assert message == "encoder minilm: 0.00% unknown tokens in 3 sampled texts"


@pytest.mark.parametrize("texts", [CHINESE, RUSSIAN])
def test_auto_switches_and_says_the_share(texts, minilm, e5_folder, monkeypatch):
    monkeypatch.setattr("uicgpu.encode.models.decoded_folder", lambda source: e5_folder)
    model, message = choose_model("auto", texts)
    assert model.name == "multilingual"
    assert message.startswith("encoder multilingual: ")
    assert "%" in message
    assert "\n" not in message


def test_minilm_by_name_stops_on_chinese_with_share_examples_and_what_to_type(minilm):
    with pytest.raises(InputError) as caught:
        choose_model("minilm", CHINESE)
    share = measure_fit(minilm, CHINESE).unknown_share
    assert share > 0.5
    assert f"{share:.1%} of the tokens are unknown to minilm" in caught.value.message
    assert sum(text in caught.value.message for text in CHINESE) == 3
    assert "--model multilingual" in caught.value.fix
    assert caught.value.exit_code == 3


def test_minilm_by_name_stops_on_scripts_that_fall_apart_into_letters(minilm):
    assert measure_fit(minilm, RUSSIAN).unknown_share < 0.05
    with pytest.raises(InputError, match="not Latin"):
        choose_model("minilm", RUSSIAN)


def test_the_guard_can_be_switched_off(minilm):
    model, message = choose_model("minilm", CHINESE, guard=False)
    assert model.name == "minilm"
    assert "although" in message


def test_a_folder_is_guarded_too(toy_folder):
    with pytest.raises(InputError, match="unknown to"):
        choose_model(str(toy_folder), CHINESE)
    model, _ = choose_model(str(toy_folder), ["red bike", "blue boat"])
    assert model == find_model(str(toy_folder))


def test_real_data_sets_are_far_from_the_limit(minilm, shared_data):
    with (shared_data / "movielens-latest-small" / "movies.csv").open(encoding="utf-8") as lines:
        titles = [f"{row['title']} {row['genres']}" for row in csv.DictReader(lines)]
    assert measure_fit(minilm, titles).unknown_share < 0.001
    with (shared_data / "anime-zh" / "items_zh.csv").open(encoding="utf-8-sig") as lines:
        chinese = [row["zh"] for row in csv.DictReader(lines)]
    assert measure_fit(minilm, chinese).unknown_share > 0.4
