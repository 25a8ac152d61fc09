"""Long work says how it goes; short work says nothing."""

from __future__ import annotations

from uicgpu.encode.speed import REPORT_SECONDS, Speed


def test_lines_come_now_and_then_with_every_figure():
    now, said = [0.0], []
    speed = Speed(1000, said.append, lambda: now[0])
    for second in range(1, 41):
        now[0] = float(second)
        speed.texts, speed.tokens, speed.computed_tokens = 10 * second, 200 * second, 210 * second
        speed.tick()
    assert len(said) == 40 // int(REPORT_SECONDS)
    assert said[0] == (
        "encoded 150 of 1,000 texts: 10 texts/s, 200 tokens/s, padding 1.05, 0 from the cache, about 85 s left"
    )
    speed.finish()
    assert said[-1].startswith("encoded 400 of 1,000")


def test_short_work_and_unknown_totals():
    said = []
    speed = Speed(None, said.append, lambda: 1.0)
    speed.tick()
    speed.finish()
    assert said == []
    assert "left" not in speed.line()
