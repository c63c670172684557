"""Numbers as text, at the boundaries of units and digits."""

import math

import pytest

from suites import units

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (NAN, "-"),
        (0, "0 ns"),
        (0.0, "0 ns"),
        (1e-12, "0.001 ns"),
        (1e-9, "1.00 ns"),
        (999.4e-9, "999 ns"),
        (999.6e-9, "1.00 us"),
        (1e-6, "1.00 us"),
        (9.994e-6, "9.99 us"),
        (9.996e-6, "10.0 us"),
        (99.94e-6, "99.9 us"),
        (99.96e-6, "100 us"),
        (0.0123, "12.3 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1, "1.00 s"),
        (59.99, "60.0 s"),
        (999.95, "1,000 s"),
        (1234567.8, "1,234,568 s"),
        (-0.0123, "-12.3 ms"),
        (INF, "inf s"),
    ],
)
def test_seconds(value, text):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("middle", "low", "high", "text"),
    [
        (0.0123, 0.0121, 0.0126, "12.3 ms [12.1, 12.6]"),
        (1e-6, 999e-9, 1.2e-3, "1.00 us [0.999, 1,200]"),
        (0.9996, 0.5, 2, "1.00 s [0.500, 2.00]"),
        (0.002, None, 0.003, "2.00 ms"),
        (0.002, 0.001, NAN, "2.00 ms"),
        (None, 0.001, 0.003, "-"),
        (NAN, None, None, "-"),
        (0, 0, 1e-9, "0 ns [0, 1.00]"),
    ],
)
def test_an_interval_has_one_unit(middle, low, high, text):
    assert units.interval(middle, low, high) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (NAN, "-"),
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1,023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (2**20 - 1, "1.00 MiB"),
        (2**20, "1.00 MiB"),
        (512 * 2**20, "512 MiB"),
        (1000 * 2**20, "1,000 MiB"),
        (2**30, "1.00 GiB"),
        (139 * 2**30, "139 GiB"),
        (2**40, "1.00 TiB"),
        (2**51, "2,048 TiB"),
    ],
)
def test_octets(value, text):
    assert units.octets(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (NAN, "-"),
        (0, "0 FLOP/s"),
        (0.5, "0.500 FLOP/s"),
        (999.4, "999 FLOP/s"),
        (999.95, "1.00 kFLOP/s"),
        (1e3, "1.00 kFLOP/s"),
        (1.23e9, "1.23 GFLOP/s"),
        (9.996e11, "1.00 TFLOP/s"),
        (2.5e15, "2,500 TFLOP/s"),
    ],
)
def test_rate(value, text):
    assert units.rate(value, "FLOP/s") == text


def test_a_rate_without_unit_has_no_blank_at_its_end():
    assert (units.rate(0.5), units.rate(1230)) == ("0.500", "1.23 k")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (NAN, "-"),
        (0, "0 img/s"),
        (0.05, "0.050 img/s"),
        (0.9994, "0.999 img/s"),
        (0.9996, "1.00 img/s"),
        (9.996, "10.0 img/s"),
        (99.96, "100 img/s"),
        (999.95, "1,000 img/s"),
        (1234.4, "1,234 img/s"),
        (1e6, "1,000,000 img/s"),
    ],
)
def test_images_per_second(value, text):
    assert units.images_per_second(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (NAN, "-"), (0, "0.0%"), (0.0004, "0.0%"), (0.012, "1.2%"), (0.9996, "100.0%"), (2.5, "250.0%")],
)
def test_percent(share, text):
    assert units.percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (NAN, "-"), (0, "0.0e+00"), (3.14e-7, "3.1e-07")])
def test_error(value, text):
    assert units.error(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (NAN, "-"),
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (60, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3720, "1 h 02 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_duration(value, text):
    assert units.duration(value) == text


@pytest.mark.parametrize(("value", "answer"), [(None, False), (NAN, False), (0, True), (-1.5, True), (INF, True)])
def test_what_is_known(value, answer):
    assert units.known(value) is answer


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("seconds", 1.2e-6, "1.20 us"),
        ("bytes_per_second", 12.3e9, "12.3 GB/s"),
        ("flops_per_second", 87e9, "87.0 GFLOP/s"),
        ("images_per_second", 341.2, "341 img/s"),
        ("steps", 1204.0, "1,204 steps"),
        ("steps", None, "-"),
        ("bytes_per_second", None, "-"),
    ],
)
def test_a_metric_has_its_unit(name, value, text):
    assert units.metric(name, value) == text


@pytest.mark.parametrize(("value", "text"), [(20304.0, "20,304"), (1.234, "1.23"), (0.0, "0"), (None, "-")])
def test_a_plain_number(value, text):
    assert units.number(value) == text


def test_a_number_has_its_interval_beside_it_where_that_is_known():
    assert units.spread(1.234, 1.2, 1.2678) == "1.23 [1.20, 1.27]"
    assert units.spread(1.234, None, None) == "1.23"


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "case", "1 case"), (0, "case", "0 cases"), (1680, "case", "1,680 cases"), (1, "launch", "1 launch"),
     (2, "launch", "2 launches"), (2, "process", "2 processes")],
)  # fmt: skip
def test_what_is_counted_has_its_plural(number, noun, text):
    assert units.count(number, noun) == text
