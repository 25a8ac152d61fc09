from __future__ import annotations

import pytest

from uicgpu.report import numbers


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0005678, "0.000568"),
        (12.345, "12.3"),
        (999.6, "1,000"),
        (-0.25, "−0.250"),
        (0, "0"),
        (1e-9, "1.00e−09"),
        (None, "n/a"),
        (float("inf"), "n/a"),
        (True, "n/a"),
    ],
)
def test_three_significant_digits(value, told):
    assert numbers.figure(value) == told


def test_bytes_and_shares():
    assert numbers.size(999).replace("\u202f", " ") == "999 B"
    assert numbers.size(999_600).replace("\u202f", " ") == "1.00 MB"
    assert numbers.percent(0.0003).replace("\u202f", " ") == "< 0.1 %"
    assert numbers.percent(1).replace("\u202f", " ") == "100 %"
    assert numbers.percent(None) == "n/a"


def test_positions_stay_inside():
    assert numbers.within(5, 0, 2) == 100 and numbers.within(-1, 0, 2) == 0 and numbers.within(1, 2, 2) == 0
