"""Long work says at its end how fast it was; short work says nothing, and nothing is said on the way."""

from __future__ import annotations

from uicgpu.encode.speed import REPORT_SECONDS, Speed


def test_long_work_ends_with_one_line_of_every_figure():
    now, said = [0.0], []
    speed = Speed(1000, said.append, lambda: now[0])
    now[0] = REPORT_SECONDS
    speed.texts, speed.tokens, speed.computed_tokens, speed.cache_hits = 150, 3000, 3150, 7
    speed.finish()
    assert said == ["encoded 150 of 1,000 texts: 10 texts/s, 200 tokens/s, padding 1.05, 7 from the cache"]


def test_short_work_says_nothing():
    now, said = [0.0], []
    speed = Speed(None, said.append, lambda: now[0])
    now[0] = REPORT_SECONDS - 0.1
    speed.texts = 150
    speed.finish()
    assert said == []
    assert speed.line().startswith("encoded 150 texts: ")
