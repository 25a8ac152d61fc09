import pytest

from uicgpu.items.texts import clean_columns, item_text, item_texts


@pytest.mark.parametrize(
    ("parts", "categories", "text"),
    [
        (["Toy Story (1995)"], ["Adventure", "Animation"], "Toy Story (1995). Adventure, Animation"),
        (["Airplane!"], ["Comedy"], "Airplane! Comedy"),
        (["A", "Long text."], [], "A. Long text."),
        (["Same", "Same"], [], "Same"),
        (["你的名字。"], ["剧情", "恋爱"], "你的名字。剧情、恋爱"),
        (["钢之炼金术师"], ["动作", "冒险"], "钢之炼金术师。动作、冒险"),
        (["FLCL"], ["科幻", "喜剧"], "FLCL。科幻、喜剧"),
        ([""], ["Drama"], "Drama"),
        (["Box"], ["Home_and_Garden"], "Box. Home and Garden"),
        (["", ""], [], ""),
    ],
)
def test_item_text(parts, categories, text):
    assert item_text(parts, categories) == text


def test_columns_are_cleaned_and_shouting_is_judged_over_distinct_texts():
    cleaned = clean_columns([["RED BOX", "RED BOX", "Blue &amp; box", None], ["a\x00b", "", None, "x"]])
    assert cleaned == [["RED BOX", "RED BOX", "Blue & box", ""], ["a b", "", "", "x"]]


def test_texts_of_items_without_text_columns_are_their_categories():
    assert item_texts([], ["A|B", None]) == ["A, B", ""]
    assert item_texts([["x", "y"], ["", "z"]], ["A", None]) == ["x. A", "y. z"]
