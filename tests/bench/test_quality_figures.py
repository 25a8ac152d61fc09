"""The READMEs quote the quality benchmark's result file, to the digit."""

from __future__ import annotations

import json

import pytest

from uicgpu.bench.quality import RESULTS, markdown_table

HEADINGS = {
    "README.md": ("data set", "popularity", "EASE", "blend", "blend − popularity", "recommender"),
    "README.zh-CN.md": ("数据集", "热门", "EASE", "混合", "混合 − 热门", "最终推荐"),
}


@pytest.mark.parametrize("page", HEADINGS)
def test_the_table_of_the_readme_is_the_result_file(page: str) -> None:
    result = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = (RESULTS.parents[2] / page).read_text(encoding="utf-8")
    assert markdown_table(result, HEADINGS[page]) in text


def test_the_blend_is_nowhere_significantly_below_the_best_single_arm() -> None:
    for found in json.loads(RESULTS.read_text(encoding="utf-8"))["sets"].values():
        _, _, high = found["difference"]["best_single"]
        assert high >= 0
