from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uicgpu.profiles.counts import even_weights, group_items, group_users
from uicgpu.profiles.terms import Term, choose_terms, class_tf_idf, count_terms, drop_redundant


def test_c_tf_idf_by_hand():
    # Two classes of 4 and 2 words; A = 3. "tea" occurs 3 times (3 + 0), "cup" 3 times (1 + 2).
    weights = class_tf_idf(np.array([[3.0, 1.0], [0.0, 2.0]]))
    assert weights[0].tolist() == pytest.approx([3 / 4 * math.log(2), 1 / 4 * math.log(2)])
    assert weights[1].tolist() == pytest.approx([0.0, math.log(2)])


@given(arrays(np.float64, (3, 4), elements=st.integers(0, 20).map(float)))
def test_c_tf_idf_matches_the_formula_word_by_word(counts):
    weights = class_tf_idf(counts)
    average = sum(counts[c, t] for c in range(3) for t in range(4)) / 3
    for c in range(3):
        length = sum(counts[c])
        for t in range(4):
            frequency = sum(counts[k, t] for k in range(3))
            expected = counts[c, t] / length * math.log(1 + average / frequency) if counts[c, t] else 0.0
            assert weights[c, t] == pytest.approx(expected)


def _choose(interactions, histories, texts, labels, **options):
    made = interactions(histories, len(texts))
    groups = group_users(np.array(labels, np.int32))
    weights = group_items(groups, made, even_weights(made))
    table = count_terms(texts, np.asarray(weights.sum(axis=0)).ravel())
    return table, weights, choose_terms(table, weights, groups, made, **options)


TEXTS = ["green tea", "black tea", "green tea pot", "running shoe", "trail running", "running sock tea"]


def test_chosen_terms_carry_the_weight_of_the_formula(interactions):
    histories = [[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5]]
    table, weights, chosen = _choose(interactions, histories, TEXTS, [0, 0, 0, 1, 1, 1], minimum_users=1)
    oracle = class_tf_idf(np.asarray((weights @ table.counts).toarray()))
    for group in (0, 1):
        for term in chosen[group]:
            assert term.weight == pytest.approx(oracle[group, table.terms.index(term.term)])
    # Two of the three mentions of tea are "green tea": the phrase takes the word's place.
    assert chosen[0][0].term == "green tea"
    assert chosen[1][0].term == "running"
    assert all(term.lift > 1 for terms in chosen for term in terms)


def test_holders_are_counted_and_rare_terms_left_out(interactions):
    histories = [[0, 1], [1, 2], [1], [3], [4], [5]]
    _, _, chosen = _choose(interactions, histories, TEXTS, [0, 0, 0, 1, 1, 1], minimum_users=3)
    assert [(term.term, term.users) for term in chosen[0]] == [("tea", 3)]
    assert [(term.term, term.users) for term in chosen[1]] == [("running", 3)]


def test_one_cluster_and_no_words(interactions):
    _, _, chosen = _choose(interactions, [[0], [1]], ["green tea", "green tea"], [0, 0], minimum_users=1)
    assert [term.term for term in chosen[0]] == ["green tea"]
    assert _choose(interactions, [[0], [1]], ["12", ""], [0, 1], minimum_users=1)[2] == [[], []]


def test_ties_are_ordered_by_text(interactions):
    _, _, chosen = _choose(interactions, [[0], [1]] * 3, ["pear, apple, fig", "plum"], [0, 1] * 3, minimum_users=1)
    assert [term.term for term in chosen[0]] == ["apple", "fig", "pear"]


def test_plurals_are_counted_with_their_singular():
    table = count_terms(["cups", "cups", "cup", "glass", "berries", "berry", "berry", "bus"], np.ones(8), 1)
    assert set(table.terms) == {"cups", "glass", "berry", "bus"}
    assert table.counts[:, [table.terms.index("cups")]].sum() == 3


def test_titles_of_a_single_item_are_no_topics():
    assert count_terms(["solaris drama", "alien drama"], np.ones(2)).terms == ("drama",)
    assert set(count_terms(["solaris", "alien"], np.ones(2)).terms) == {"solaris", "alien"}


def test_a_phrase_replaces_its_word_when_it_is_half_of_it():
    def made(*names):
        return [Term(name, 1.0, 2.0, 9, 9) for name in names]

    common = {"lunch": 0.4, "lunch bag": 0.3}
    assert [term.term for term in drop_redundant(made("lunch", "red", "lunch bag"), common)] == ["lunch bag", "red"]
    rare = {"lunch": 0.4, "lunch bag": 0.1}
    assert [term.term for term in drop_redundant(made("lunch", "lunch bag"), rare)] == ["lunch"]
    assert [term.term for term in drop_redundant(made("lunch bag", "bag"), common)] == ["lunch bag"]


def test_chinese_terms(interactions):
    texts = ["科幻。星际飞船", "科幻。银河飞船", "爱情。校园恋人", "爱情。夏天恋人"]
    _, _, chosen = _choose(interactions, [[0, 1], [0, 1], [2, 3], [2, 3]], texts, [0, 0, 1, 1], minimum_users=2)
    assert {"科幻", "飞船"} <= {term.term for term in chosen[0]}
    assert {"爱情", "恋人"} <= {term.term for term in chosen[1]}
