"""The pure parts of the benchmarks: percentiles, tables, packages."""

import tarfile

import pytest
from bench.packages import package, said, source
from bench.report import table
from bench.stats import percentile


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1) == 100
    assert percentile(values, 0) == 1
    assert percentile([7.0], 0.99) == 7


def test_one_slow_request_in_a_hundred_is_beyond_the_99th_percentile_and_two_are_not() -> None:
    assert percentile([1.0] * 99 + [500.0], 0.99) == 1
    assert percentile([1.0] * 98 + [500.0] * 2, 0.99) == 500


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_what_has_no_percentile_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError):
        percentile(values, share)


def test_columns_of_a_table_stand_below_each_other_in_chinese_too() -> None:
    lines = table(["name", "ms"], [["工坊", "7"], ["pm2", "1234"]])
    assert lines == ["  name    ms", "  ────  ────", "  工坊     7", "  pm2   1234"]


@pytest.mark.parametrize("app", ["page", "steady"])
def test_a_package_says_its_version(app: str) -> None:
    with tarfile.open(fileobj=package(app, 1), mode="r:gz") as archive:
        file = archive.extractfile("app.py")
        assert file is not None
        content = file.read()
    assert content == source(app, 1)
    assert said(1) in content
    assert said(10) not in content
