"""How does a number read? Thousands separated, three significant digits, ``n/a`` where a figure is missing."""

from __future__ import annotations

import math
from typing import Any, Final

MISSING: Final = "n/a"
NARROW_SPACE: Final = "\u202f"
MINUS: Final = "\u2212"
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number (a truth value is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def count(value: Any) -> str:
    """A whole number with separated thousands.

    >>> count(1234567), count(None)
    ('1,234,567', 'n/a')
    """
    return f"{round(value):,}".replace("-", MINUS) if is_number(value) else MISSING


def figure(value: Any, digits: int = 3) -> str:
    """A number with ``digits`` significant digits, without an exponent where that stays readable.

    >>> figure(0.118412), figure(1234.5), figure(0.0), figure(float("nan"))
    ('0.118', '1,230', '0', 'n/a')
    """
    if not is_number(value):
        return MISSING
    if value == 0:
        return "0"
    # Rounded first: 999.6 has four digits before the point, not three.
    magnitude = math.floor(math.log10(float(f"{abs(value):.{digits - 1}e}")))
    if magnitude < -5 or magnitude > 14:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    rounded = round(value, digits - 1 - magnitude)
    decimals = max(digits - 1 - magnitude, 0)
    return f"{rounded:,.{decimals}f}".replace("-", MINUS)


def signed(value: Any, digits: int = 3) -> str:
    """A difference with its sign.

    >>> signed(0.0123), signed(-0.5)
    ('+0.0123', '−0.500')
    """
    text = figure(value, digits)
    return f"+{text}" if is_number(value) and value > 0 else text


def percent(value: Any) -> str:
    """A share as a percentage: whole numbers from 10 % on, one decimal below.

    >>> percent(0.1234).replace(chr(0x202F), " "), percent(0.0123).replace(chr(0x202F), " ")
    ('12 %', '1.2 %')
    """
    if not is_number(value):
        return MISSING
    scaled = 100 * value
    if 0 < abs(scaled) < 0.05:
        return f"<{NARROW_SPACE}0.1{NARROW_SPACE}%" if scaled > 0 else f"{MINUS}0.0{NARROW_SPACE}%"
    decimals = 0 if abs(scaled) >= 9.95 or scaled == 0 else 1
    return f"{scaled:.{decimals}f}{NARROW_SPACE}%".replace("-", MINUS)


def size(value: Any) -> str:
    """Bytes in decimal units.

    >>> size(1_534_000).replace(chr(0x202F), " ")
    '1.53 MB'
    """
    if not is_number(value):
        return MISSING
    unit = 0
    amount = float(value)
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount /= 1000
        unit += 1
    text = count(amount) if unit == 0 else figure(amount)
    return f"{text}{NARROW_SPACE}{_UNITS[unit]}"


def duration(seconds: Any) -> str:
    """Seconds as people read them.

    >>> [duration(value).replace(chr(0x202F), " ") for value in (0.0042, 3.21, 75.2, 5400)]
    ['<0.1 s', '3.2 s', '1 min 15 s', '1 h 30 min']
    """
    if not is_number(seconds):
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.1f}{NARROW_SPACE}s" if seconds >= 0.05 else f"<0.1{NARROW_SPACE}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{NARROW_SPACE}min {whole % 60}{NARROW_SPACE}s"
    return f"{whole // 3600:,}{NARROW_SPACE}h {whole % 3600 // 60}{NARROW_SPACE}min"


def times(value: Any) -> str:
    """A lift.

    >>> times(1.62)
    '×1.6'
    """
    if not is_number(value):
        return MISSING
    return f"×{value:.1f}" if value < 100 else f"×{round(value):,}"


def within(value: float, low: float, high: float) -> float:
    """Position of ``value`` between ``low`` and ``high`` in percent, cut to 0 … 100."""
    if not high > low:
        return 0.0
    return round(min(max((value - low) / (high - low), 0.0), 1.0) * 100, 2)
