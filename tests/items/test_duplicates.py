from hypothesis import given
from hypothesis import strategies as st

from uicgpu.items.duplicates import distinct_texts


@given(st.lists(st.sampled_from(["", "a", "b", "漢", "é"])))
def test_distinct_texts(texts):
    distinct, inverse = distinct_texts(texts)
    assert distinct == sorted(set(texts))
    assert [distinct[position] for position in inverse] == texts
    assert inverse.dtype == "int64"
