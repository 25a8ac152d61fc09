from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uicgpu.profiles.names import LONGEST_NAME, NameMaterial, choose_names, join_parts, title_case


def test_two_categories_make_a_name():
    assert choose_names([0], [NameMaterial(["Sci-Fi", "Action"], ["alien"])]) == ["Sci-Fi & Action"]


def test_terms_join_one_category_or_stand_alone():
    materials = [NameMaterial(["books"], ["crime", "murder"]), NameMaterial([], ["lunch bag", "retrospot", "jumbo"])]
    assert choose_names([0, 1], materials) == ["Books & Crime", "Lunch Bag, Retrospot & Jumbo"]


def test_chinese_names_are_joined_the_chinese_way():
    assert choose_names([0], [NameMaterial(["科幻", "冒险"], ["机甲"])], "zh") == ["科幻、冒险"]
    assert join_parts(["科幻", "Action", "冒险"]) == "科幻、Action、冒险"


def test_equal_material_gives_different_names_whatever_the_order():
    names = choose_names(
        [0, 1, 2, 3], [NameMaterial(["A1x", "B1x"], ["c1x"]), NameMaterial(["B1x", "A1x"], ["c1x"])] * 2
    )
    assert names == ["A1x & B1x", "B1x, A1x & C1x", "A1x & C1x", "B1x & C1x"]
    assert choose_names([0, 1, 2], [NameMaterial([], ["tea"])] * 3) == ["Tea", "Tea 2", "Tea 3"]


def test_a_part_that_repeats_a_word_is_left_out():
    names = choose_names([0], [NameMaterial([], ["door mat", "doormat", "mats", "doors", "home"])])
    assert names == ["Door Mat & Home"]


def test_noise_and_clusters_without_material():
    assert choose_names([0, -1], [NameMaterial(), NameMaterial(["x"], ["y"])]) == ["Cluster 1", "Unassigned"]
    assert choose_names([0, -1], [NameMaterial(), NameMaterial()], "zh") == ["群组 1", "未分组"]


def test_title_case_keeps_brands():
    assert title_case("iPhone cases for kids") == "iPhone Cases for Kids"
    assert title_case("film-noir") == "Film-Noir"


def test_markup_and_personal_data_do_not_reach_a_name():
    material = NameMaterial(["<script>alert(1)</script>Tea", "jane@example.org"], ["<b>cup</b>"])
    assert choose_names([0], [material]) == ["Alert(1) Tea & Cup"]


texts = st.lists(st.text(max_size=60), max_size=4)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=12))
def test_names_are_unique_bounded_and_plain(materials):
    names = choose_names(range(len(materials)), [NameMaterial(*material) for material in materials])
    assert len({name.casefold() for name in names}) == len(names)
    assert all(0 < len(name) <= LONGEST_NAME for name in names)
    assert not any(set("<>\n\x00") & set(name) for name in names)
