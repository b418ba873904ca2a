"""The numbers that the reports state: sizes of samples, bounds of shares, false alarms of the outlier rule."""

import random
from typing import Tuple

import pytest

import compatibility_checker as checker

SIZES = [  # share of differing rows, rows of the table, sizes at 95 and 99 %: hypergeometric, computed independently
    (0.01, 10**4, 294, 448),
    (0.01, 10**6, 299, 459),
    (0.001, 10**4, 2588, 3689),
    (0.001, 10**5, 2950, 4499),
    (0.001, 10**6, 2990, 4593),
    (0.0001, 10**5, 25886, 36903),
    (0.00001, 10**6, 258865, 369041),
]


@pytest.mark.parametrize("share, rows, size95, size99", SIZES)
def test_size_of_a_sample(share: float, rows: int, size95: int, size99: int) -> None:
    assert (checker.sample_size(rows, 0.95, share), checker.sample_size(rows, 0.99, share)) == (size95, size99)


def test_sample_of_a_small_table_is_no_larger_than_it() -> None:
    assert [checker.sample_size(rows, 0.99, 0.01) for rows in (1, 2, 50)] == [1, 2, 50]


@pytest.mark.parametrize("failed, sampled, bounds", [
    (0, 300, (0.0, 0.00994)),  # one-sided for no failure: 1 - 0.05 ** (1 / 300)
    (3, 2995, (0.000207, 0.002924)),
    (10, 10, (0.6915, 1.0)),
])
def test_bounds_of_a_share(failed: int, sampled: int, bounds: Tuple[float, float]) -> None:
    assert checker.failure_bounds(failed, sampled) == pytest.approx(bounds, abs=5e-6 if sampled > 100 else 5e-4)


def poisson(rng: random.Random, mean: float) -> int:
    from math import exp
    limit, product, count = exp(-mean), rng.random(), 0
    while product > limit:
        product, count = product * rng.random(), count + 1
    return count


@pytest.mark.parametrize("mean", [0.05, 1, 10, 100])
def test_late_rows_of_ordinary_traffic_raise_no_alarm(mean: float) -> None:
    """Of 400 clean reports at most one has a chunk that is called an outlier; a chunk that lost 40 % stands out."""
    rng = random.Random(4)
    reports = [[poisson(rng, mean) for _ in range(100)] for _ in range(400)]
    assert sum(bool(checker.outliers(report)) for report in reports) <= 1
    found = 0
    for report in reports:
        report[50] += 30 + int(4.5 * mean**0.5)
        found += checker.outliers(report) == [50]
    assert found >= 0.75 * len(reports)


def test_few_chunks_have_no_outliers() -> None:
    assert checker.outliers([0, 1000]) == []
    assert checker.outliers([0, 1000, 0]) == [1]
