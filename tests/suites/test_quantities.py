"""Quantities as a person writes them."""

import pytest

from suites import quantities
from suites.errors import DlhwError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20ms", 0.02),
        ("0.5s", 0.5),
        ("300us", 3e-4),
        ("1e-2 s", 0.01),
        ("10m", 600.0),
        ("2 min", 120.0),
        ("1h", 3600.0),
    ],
)
def test_times(text, value):
    assert quantities.seconds(text, "--max-latency") == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("8GB", 8e9), ("512MiB", 2**29), ("1.5 GiB", 1.5 * 2**30)])
def test_amounts_of_memory(text, value):
    assert quantities.octets(text, "--max-memory") == value


@pytest.mark.parametrize(("text", "value"), [("3%", 0.03), ("0.03", 0.03), ("0", 0.0), ("2.5%", 0.025)])
def test_shares(text, value):
    assert quantities.share(text, "--detect") == pytest.approx(value)


@pytest.mark.parametrize("text", ["20", "ms", "20 parsecs", "-1ms", "", "1.2.3s"])
def test_what_is_no_amount_is_one_clear_error(text):
    with pytest.raises(DlhwError, match=r"--max-latency .*a number and a unit are wanted, as in 20ms"):
        quantities.seconds(text, "--max-latency")


@pytest.mark.parametrize("text", ["", "%", "three", "-1%", "100%", "1.0", "nan", "inf"])
def test_what_is_no_share_is_one_clear_error(text):
    with pytest.raises(DlhwError, match=r"--detect .*a share .*is wanted, as in 3% or 0.03"):
        quantities.share(text, "--detect")
