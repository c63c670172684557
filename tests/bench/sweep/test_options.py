"""The options that change every case's budget."""

import argparse
import json
from types import SimpleNamespace

import pytest

from bench.records.summary import by_launch
from bench.sweep import options
from reports.results.frames import load, records
from suites.case import Budget


def parser():
    """argparse with our options, as pytest has them."""
    found = argparse.ArgumentParser(exit_on_error=False)
    options.add(SimpleNamespace(addoption=found.add_argument))
    return found


def changes(*arguments, **of_pytest_benchmark):
    given = vars(parser().parse_args(arguments))
    defaults = {"benchmark_precision": None, "benchmark_max_time": "1.0", "benchmark_min_rounds": 5}
    values = {f"--{name.replace('_', '-')}": value for name, value in given.items()} | defaults | of_pytest_benchmark
    return options.budget_changes(SimpleNamespace(getoption=values.__getitem__))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--precision", "1%"], {"precision": 0.01}),
        (["--precision=0.005"], {"precision": 0.005}),
        (["--max-time", "2.5"], {"max_seconds": 2.5}),
        (["--min-samples", "30"], {"min_samples": 30}),
        (["--launches", "5", "--precision", "2%"], {"launches": 5, "precision": 0.02}),
    ],
)
def test_each_option_is_a_field_of_the_budget(arguments, expected):
    assert changes(*arguments) == expected
    assert all(type(value) is type(getattr(Budget(), field)) for field, value in changes(*arguments).items())


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--precision", "0", "0 should be greater than 0"),
        ("--precision", "200%", "200% should be less than 1"),
        ("--precision", "one", "'one' is no number"),
        ("--precision", "nan", "nan should be a finite number"),
        ("--max-time", "-1", "-1 should be greater than 0"),
        ("--min-samples", "2.5", "'2.5' is no number"),
        ("--launches", "0", "0 should be greater than or equal to 1"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_the_options_name(option, text, message):
    with pytest.raises(argparse.ArgumentError) as caught:
        parser().parse_args([f"{option}={text}"])
    assert str(caught.value) == f"argument {option}: {message}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"benchmark_precision": 0.02}, {"precision": 0.02}),
        ({"benchmark_max_time": "0.3"}, {"max_seconds": 0.3}),
        ({"benchmark_min_rounds": 12}, {"min_samples": 12}),
    ],
)
def test_what_pytest_benchmark_calls_the_same_is_the_same(given, expected):
    assert changes(**given) == expected


def test_our_own_options_go_before_pytest_benchmarks():
    assert changes("--max-time=2", benchmark_max_time="0.3") == {"max_seconds": 2.0}


def test_more_time_to_sample_does_not_come_off_the_limit():
    budget = Budget(max_seconds=1, time_limit_seconds=60)
    assert budget.updated({"max_seconds": 100.0}).time_limit_seconds == 159
    assert budget.updated({"max_seconds": 0.5}).time_limit_seconds == 60
    assert budget.updated({}) == budget
    assert budget.updated({"precision": 0.2, "launches": 3}) == Budget(
        max_seconds=1, time_limit_seconds=60, precision=0.2, launches=3
    )


def test_a_run_with_all_of_them(runner):
    output = runner.run(
        "--launches=2", "--min-samples=9", "--max-time=0.02", "--precision=1e-9", "--axis=precision=fp32",
        "--axis=batch_size=1", "--benchmark-json=r.json",
    )  # fmt: skip
    assert output.returncode == 0, output.stdout
    assert "between 2 launches" in output.stdout
    data = json.loads((runner.folder / "r.json").read_text())
    found = list(records(data))
    assert len(found) == 2
    for record in found:
        assert [launch.stop_reason for launch in record.sampling.launches] == ["max_seconds"] * 2
        assert all(len(seconds) >= 9 for seconds in by_launch(record))
    assert load(runner.folder / "r.json")["launches"].tolist() == [2, 2]


def test_what_was_measured_otherwise_is_measured_again(runner):
    arguments = ["--axis=precision=fp32", "--axis=batch_size=1", "--axis=mode=inference", "--benchmark-json=r.json"]
    assert runner.run(*arguments).returncode == 0
    assert "1 taken over" in runner.run(*arguments, "--resume").stdout
    assert "taken over" not in runner.run(*arguments, "--resume", "--precision=20%").stdout
