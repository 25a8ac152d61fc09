from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from uicgpu.cli.main import call
from uicgpu.errors import InputError, SettingsError
from uicgpu.events.interactions import NO_TIME
from uicgpu.finetune.arms import objective_sampler
from uicgpu.finetune.behaviour import History
from uicgpu.finetune.later import LaterBehaviour
from uicgpu.finetune.negatives import near_texts
from uicgpu.finetune.network import TrainableEncoder
from uicgpu.finetune.pairs import MICROSECONDS_PER_DAY as DAY
from uicgpu.finetune.pairs import PairSampler
from uicgpu.finetune.recipe import recipe_of
from uicgpu.finetune.trainer import Training


def history(users: list[list[tuple[int, int]]], n_texts: int) -> History:
    """From (text, day) lists per user."""
    flat = [pair for user in users for pair in user]
    return History(
        np.cumsum([0] + [len(user) for user in users]).astype(np.int64),
        np.array([text for text, _ in flat], np.int32),
        np.array([day * DAY if day is not None else NO_TIME for _, day in flat], np.int64),
        n_texts,
    )


def questions(sampler, steps=40):
    """(texts of the query, answer) that the sampler ever asks."""
    found = set()
    for step in range(steps):
        batch = sampler.draw(step)
        for row in range(batch.queries.shape[0]):
            asked = frozenset(batch.texts[batch.queries[row] > 0].tolist())
            found.add((asked, int(batch.texts[batch.columns[row]])))
    return found


ONE = history([[(0, 0), (1, 1), (2, 2), (3, 9)]], 4)


def test_partners_lie_within_the_window():
    found = questions(PairSampler("pairs", ONE, 4, 0, "x", window=1))
    assert found == {(frozenset([a]), b) for a, b in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)]}
    found = questions(PairSampler("pairs", ONE, 4, 0, "x", window=3, window_days=1))
    assert found == {(frozenset([a]), b) for a, b in [(0, 1), (1, 0), (1, 2), (2, 1)]}


def test_a_history_asks_for_what_came_next():
    found = questions(PairSampler("history", ONE, 4, 0, "x", latest=2))
    assert found == {(frozenset([0]), 1), (frozenset([0, 1]), 2), (frozenset([1, 2]), 3)}
    found = questions(PairSampler("history", ONE, 4, 0, "x", latest=2, window_days=7.5))
    assert (frozenset([2]), 3) in found


def test_texts_of_one_moment_have_no_order():
    basket = history([[(0, 0), (1, 5), (2, 5)]], 3)
    found = questions(PairSampler("history", basket, 3, 0, "x"))
    assert found == {(frozenset([0]), 1), (frozenset([0]), 2)}


def test_without_times_nothing_comes_next():
    timeless = history([[(0, None), (1, None)]], 2)
    with pytest.raises(InputError, match="no times"):
        PairSampler("history", timeless, 4, 0, "x")
    with pytest.raises(InputError, match="--window-days"):
        PairSampler("pairs", timeless, 4, 0, "x", window_days=3)
    assert questions(PairSampler("pairs", timeless, 4, 0, "x")) == {(frozenset([0]), 1), (frozenset([1]), 0)}


def test_a_window_that_nothing_fits_into_is_refused():
    with pytest.raises(InputError, match="within the window"):
        PairSampler("pairs", history([[(0, 0), (1, 9)], [(1, 0)]], 2), 4, 0, "x", window_days=2)


histories = st.lists(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 6)), min_size=0, max_size=9, unique_by=lambda pair: pair[0]),
    min_size=2,
    max_size=8,
).map(lambda users: history([sorted(user, key=lambda pair: (pair[1], pair[0])) for user in users], 12))


@settings(max_examples=60, deadline=None)
@given(histories, st.sampled_from(["pairs", "history"]), st.integers(4, 12), st.integers(0, 3))
def test_only_strangers_are_negatives(behaviour, kind, size, seed):
    try:
        sampler = PairSampler(kind, behaviour, size, seed, "x", window=3, latest=3)
    except InputError:
        return
    batch = sampler.draw(seed)
    again = sampler.draw(seed)
    assert all(np.array_equal(getattr(batch, name), getattr(again, name)) for name in vars(batch))
    rows = batch.queries.shape[0]
    assert batch.texts.size <= size or rows == 1
    owned = [
        set(behaviour.texts[a:b].tolist()) for a, b in zip(behaviour.offsets[:-1], behaviour.offsets[1:], strict=True)
    ]
    for row in range(rows):
        asked = set(batch.texts[batch.queries[row] > 0].tolist())
        answer = int(batch.texts[batch.columns[row]])
        allowed = {int(batch.texts[column]) for column in batch.columns[~batch.same_user[row]]}
        # some user did both, and nothing of that user is a negative
        assert any(asked | {answer} <= texts and not allowed & texts and answer not in asked for texts in owned)


def test_one_giant_user_does_not_decide():
    giant = [(text, text) for text in range(400)]
    others = [[(text, 0), (text + 1, 1)] for text in range(0, 100, 2)]
    sampler = PairSampler("pairs", history([giant, *others], 400), 64, 0, "x")
    own = sum(int((sampler.draw(step).same_user.sum(axis=1) > 5).sum()) for step in range(50))
    rows = sum(sampler.draw(step).queries.shape[0] for step in range(50))
    assert own / rows == pytest.approx(50 / (50 + 2 * 50), abs=0.06)  # by pairs it would be 400 / 500


def test_the_gradient_is_that_of_the_softmax_over_the_columns(build):
    sampler = PairSampler(
        "history", history([[(0, 0), (1, 1), (2, 2)], [(3, 0), (4, 1)], [(5, 0), (1, 3)]], 6), 6, 1, "x"
    )
    batch = sampler.draw(0)
    vectors = functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(2)), dim=1).double()
    seen = {}

    class Trainee:
        def step(self, rows, loss_of):
            seen["loss"] = float(loss_of(vectors[torch.from_numpy(rows)]))
            return seen["loss"]

    schedule = recipe_of("full", "bert", objective="history", log_q=1.0).schedule
    assert batch.gradient(Trainee(), schedule) == seen["loss"]
    total = 0.0
    for row in range(batch.queries.shape[0]):
        asked = batch.texts[batch.queries[row] > 0]
        query = functional.normalize(vectors[asked].sum(0), dim=0)
        logits = [
            float(query @ vectors[batch.texts[column]]) / schedule.temperature - float(batch.log_draw[place])
            for place, column in enumerate(batch.columns)
            if place == row or not batch.same_user[row, place]
        ]
        right = float(query @ vectors[batch.texts[batch.columns[row]]]) / schedule.temperature - float(
            batch.log_draw[row]
        )
        total -= right - float(torch.logsumexp(torch.tensor(logits, dtype=torch.float64), 0))
    assert seen["loss"] == pytest.approx(total / batch.queries.shape[0], rel=1e-5)


def test_near_texts_are_extra_negatives_but_never_ones_own(tuned):
    past = tuned.data.past
    sampler = PairSampler("pairs", past, 24, 0, "x")
    plain = sampler.draw(0)
    assert plain.columns.size == plain.queries.shape[0]
    vectors = tuned.result.vectors[None][sampler.eligible]
    near = near_texts(vectors, twin=1.1)
    sampler.add_near(near, 0.5)
    batch = sampler.draw(0)
    rows = batch.queries.shape[0]
    assert batch.columns.size > rows
    extra = batch.texts[batch.columns[rows:]]
    neighbours = {int(sampler.eligible[n]) for row in near for n in row if n >= 0}
    assert set(extra.tolist()) <= neighbours
    assert not set(extra.tolist()) & set(batch.texts[batch.columns[:rows]].tolist())
    assert batch.texts.size <= 24


@pytest.mark.parametrize("objective", ["block", "pairs", "history"])
def test_every_objective_makes_later_behaviour_easier_to_find(tuned, toy_folder, objective):
    recipe = recipe_of("full", "bert", objective=objective, steps=16, block=32, learning_rate=3e-3)
    trainee = TrainableEncoder(tuned.encoder.model, tuned.data.texts.texts)
    data = tuned.data
    judge = LaterBehaviour(data.past, data.later, 0)
    training = Training(trainee, objective_sampler(data.past, recipe, 0), judge, recipe.schedule, "full")
    record = training.run()
    values = dict(record.validation)
    assert values[record.best_step] > values[0]


def test_objectives_that_cannot_be_are_refused():
    with pytest.raises(SettingsError, match="unknown objective"):
        recipe_of("full", "bert", objective="everything")
    with pytest.raises(SettingsError, match="does not train the encoder"):
        recipe_of("head", "bert", objective="pairs")
    with pytest.raises(SettingsError, match="impossible window"):
        recipe_of("full", "bert", window=0)


@pytest.mark.parametrize(
    ("objective", "more"),
    [
        ("pairs", ["--window", "4", "--window-days", "30", "--log-q", "0.5"]),
        ("history", ["--latest", "3", "--hard-negatives", "0.25"]),
        ("block", ["--hard-negatives", "0.25", "--masked-steps", "3"]),
        ("masked", ["--masked-steps", "4"]),
    ],
)
def test_the_command_trains_with_every_objective(files, toy_folder, tmp_path, capsys, objective, more):
    out = tmp_path / "out"
    given = ["train", *files, "--model", str(toy_folder), "--out", str(out), "--objective", objective, *more]
    assert call([*given, "--steps", "4", "--block", "24", "--json", "--recipe", "full"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] > 0
    facts = json.loads((out / "training.json").read_text())
    assert facts["settings"]["objective"] == objective
    assert set(facts["records"]) >= ({"masked"} if objective == "masked" else {"full"})
    assert ("masked" in facts["records"]) == ("--masked-steps" in more)
    assert {row["arm"] for row in facts["gate"]["table"]} >= {"half-whitened", "head", "full + whitening"}


def test_texts_alone_can_be_adapted_to(files, toy_folder, tmp_path, capsys):
    items = files[files.index("--items") :][:2]
    out = tmp_path / "out"
    given = ["train", *items, "--model", str(toy_folder), "--out", str(out), "--masked-steps", "4"]
    assert call(given) == 2
    assert "--objective masked" in capsys.readouterr().err
    given += ["--objective", "masked"]
    assert call([*given, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4
    assert call([*given, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["pairs"], result["ndcg_held_out"]) == (0, None)
    facts = json.loads((out / "training.json").read_text())
    assert len(facts["records"]["masked"]["held_out_loss"]) == 2
    assert "nothing can be judged" in facts["gate"]["reason"] or "ships" in facts["gate"]["reason"]
    assert (out / "ranking" / "modules.json").is_file()
    assert "nothing" in (out / "README.md").read_text()
