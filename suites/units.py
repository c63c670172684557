"""The one place where numbers become text. Inside and on disk everything is SI; None means unknown."""

import math
from typing import TypeGuard

UNKNOWN = "-"

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def known(value: float | None) -> TypeGuard[float]:
    """Whether `value` is a number: neither None nor NaN, which is what tables make of None."""
    return value is not None and not math.isnan(value)


def count(number: int, noun: str) -> str:
    """`1 case`, `1,680 cases`."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "ch")) else "s"
    return f"{number:,} {noun}{ending}"


def seconds(value: float | None) -> str:
    """`12.3 ms`."""
    return _scaled(value, _SECONDS)


def interval(middle: float | None, low: float | None, high: float | None) -> str:
    """`12.3 ms [12.1, 12.6]`: a time and the bounds of its interval, all in one unit."""
    if not known(middle) or not known(low) or not known(high):
        return seconds(middle)
    factor, unit = _choose(middle, _SECONDS)
    return f"{_digits(middle / factor)} {unit} [{_digits(low / factor)}, {_digits(high / factor)}]"


def octets(value: float | None) -> str:
    """`512 MiB`."""
    return _scaled(value, _BYTES)


def more_octets(value: float, *bounds: float) -> str:
    """`+0.4 MiB`, or `+0.4 MiB [-0.2, +1.0]`: a difference and the bounds of its interval, all in one unit."""
    factor, unit = (2**30, "GiB") if abs(value) >= 10 * 2**30 else (2**20, "MiB")
    texts = [f"{each / factor:+z,.1f}" for each in (value, *bounds)]
    return f"{texts[0]} {unit}" + (f" [{', '.join(texts[1:])}]" if bounds else "")


def rate(value: float | None, unit: str = "") -> str:
    """`1.23 k` and the unit, as in `1.23 GFLOP/s`."""
    return _scaled(value, tuple((factor, prefix + unit) for factor, prefix in _PREFIXES))


def images_per_second(value: float | None) -> str:
    """`1,234 img/s`: a plain count, as the field writes it."""
    return UNKNOWN if not known(value) else f"{_digits(value)} img/s"


def metric(name: str, value: float | None) -> str:
    """A value of one of the metrics: `12.3 GB/s`, `87 GFLOP/s`, `1.2 us`, `341 img/s`, `120 steps`."""
    if name == "seconds":
        return seconds(value)
    if name == "images_per_second":
        return images_per_second(value)
    if name == "samples_per_second":
        return UNKNOWN if not known(value) else f"{_digits(value)} samples/s"
    if name == "steps":
        return UNKNOWN if not known(value) else f"{value:,.0f} steps"
    return rate(value, {"bytes_per_second": "B/s", "flops_per_second": "FLOP/s"}.get(name, name))


def joules(value: float | None) -> str:
    """`12.3 mJ`."""
    return _scaled(value, ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ")))


def number(value: float | None) -> str:
    """`1.23`, `20,304`: three digits, none lost from a large number."""
    return UNKNOWN if not known(value) else _digits(value)


def spread(value: float | None, low: float | None, high: float | None) -> str:
    """`1.23 [1.20, 1.26]`; the value alone where its interval is not known."""
    return number(value) + (f" [{number(low)}, {number(high)}]" if known(low) and known(high) else "")


def percent(share: float | None) -> str:
    """`1.2%` of a share of 0.012."""
    return UNKNOWN if not known(share) else f"{100 * share:.1f}%"


def error(value: float | None) -> str:
    """`3.1e-07`."""
    return UNKNOWN if not known(value) else f"{value:.1e}"


def duration(value: float | None) -> str:
    """`1 h 02 min`, `3 min 20 s`, `45 s`: a time that a person waits."""
    if not known(value):
        return UNKNOWN
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _scaled(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if not known(value):
        return UNKNOWN
    factor, unit = _choose(value, units)
    return f"{_digits(value / factor)} {unit}".rstrip()


def _choose(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """The largest unit of which `value` has at least one, else the smallest."""
    return next((unit for unit in units if abs(value) >= unit[0] * 0.9995), units[-1])


def _digits(value: float) -> str:
    """Three significant digits, none of them lost from a large number."""
    if value == 0:
        return "0"
    for bound, decimals in ((0.9995, 3), (9.995, 2), (99.95, 1)):
        if abs(value) < bound:
            return f"{value:.{decimals}f}"
    return f"{value:,.0f}"
