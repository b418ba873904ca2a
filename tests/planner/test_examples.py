"""The five example specifications: valid, planned, and every figure inside the range that was worked out by hand.

Ranges that were given as ranges are taken as they are. A single figure of a machine may differ by its rounding (6 %),
one of the calendar by 20 %: weekends and windows move it in whole days.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from json_schema import problems, read_schema
from planning import Planned, example, make, text_of
from running import ASSETS

EXAMPLES = sorted((ASSETS / "examples").glob("*.json"))
RUNS = 5000


class Figure(NamedTuple):
    """One figure of one example and where it has to lie."""

    example: str
    where: str
    low: float
    high: float


def about(letter: str, where: str, value: float, share: float = 0.06) -> Figure:
    return Figure(letter, where, value * (1 - share), value * (1 + share))


def three(letter: str, where: str, *values: float) -> "list[Figure]":
    names = ("optimistic", "likely", "pessimistic")
    return [about(letter, f"{where}.{name}", value) for name, value in zip(names, values)]


def days(letter: str, likely: float, *quantiles: float, where: str = "duration") -> "list[Figure]":
    found = [about(letter, f"{where}.likely_days", likely, 0.2)]
    names = zip(("p50", "p80", "p95"), quantiles)
    return found + [about(letter, f"{where}.calendar_days.{name}", value, 0.2) for name, value in names]


MACHINE = "estimates.machine_hours"
SECOND = 1 / 3600
FIGURES = [
    # A: a column, its backfill and its index on 12 million rows
    *three("A", "task.Backfill", 0.22, 0.67, 3.3),
    *three("A", "task.Build index", 0.1 + 12 * SECOND, 0.25 + 30 * SECOND, 1 + 100 * SECOND),
    *three("A", "task.Prove old and new", 1 + 7 * SECOND, 2 + 24 * SECOND, 4 + 96 * SECOND),
    Figure("A", "downtime.minutes.p50", 1 / 60, 2 / 60),
    Figure("A", "downtime.minutes.p80", 0, 5 / 60),
    about("A", "downtime.probability_within", 0.98, 0.02),
    Figure("A", "duration.likely_hours", 90, 105),
    *days("A", 7, 8, 11, 14),
    Figure("A", "complexity_score", 8, 18),
    Figure("A", "success_probability.probability", 0.88, 0.93),
    # B: 2.5 TB from PostgreSQL 13 to 15 in another place
    about("B", "estimates.network_gb_per_hour", 394),
    *three("B", f"{MACHINE}.copy", 8.3, 12.6, 33),
    *three("B", "estimates.limits.4 streams", 6.5, 9.8, 26),
    *three("B", f"{MACHINE}.index", 1.0, 2.6, 8.7),
    Figure("B", f"{MACHINE}.catch_up.optimistic", 0.05, 0.15),
    Figure("B", f"{MACHINE}.catch_up.likely", 0.75, 0.85),
    about("B", f"{MACHINE}.catch_up.pessimistic", 14),
    Figure("B", "estimates.retained_wal_gb.0", 13.5, 14.5),
    Figure("B", "estimates.retained_wal_gb.1", 67.5, 68.5),
    *three("B", f"{MACHINE}.hash", 4, 8, 25),
    *three("B", f"{MACHINE}.dump", 11, 24, 50),
    Figure("B", "downtime.minutes.p50", 8, 9),
    Figure("B", "downtime.minutes.p80", 10, 12),
    Figure("B", "downtime.minutes.p95", 25, 35),
    Figure("B", "downtime.probability_within", 0.93, 0.97),
    about("B", "downtime.offline_copy_hours.p50", 29),
    about("B", "downtime.offline_copy_hours.p95", 42, 0.1),
    about("B", "duration.likely_hours", 377, 0.2),
    *days("B", 29, 37, 44, 53),
    Figure("B", "complexity_score", 48, 60),
    Figure("B", "success_probability.probability", 0.60, 0.75),
    # C: nine endpoints of a service whose figures contradict each other
    Figure("C", "sample_minutes", 10, 10.1),
    *three("C", "sum.Build ", 22, 45, 112),
    Figure("C", "downtime.minutes.p95", 0, 0),
    about("C", "duration.likely_hours", 441, 0.2),
    *days("C", 29, 36, 44, 56),
    about("C", "schedule.alternatives.0.likely_days", 28, 0.2),
    Figure("C", "capacity.5", 0.8, 0.8),
    Figure("C", "capacity.25", 4, 4),
    Figure("C", "capacity.50", 8, 8),
    Figure("C", "capacity.100", 16, 16),
    Figure("C", "complexity_score", 40, 50),
    Figure("C", "success_probability.probability", 0.82, 0.90),
    # D: 40 servers in four waves
    about("D", "estimates.network_gb_per_hour", 315),
    *three("D", f"{MACHINE}.copy", 22, 34, 51),
    about("D", "downtime.minutes.p50", 44, 0.03),
    about("D", "downtime.minutes.p80", 52, 0.03),
    Figure("D", "downtime.minutes.p95", 65, 70),
    Figure("D", "downtime.probability_within", 0.90, 0.94),
    Figure("D", "downtime.probability_all_waves", 0.66, 0.78),
    *days("D", 51, 59, 73, 88),
    *days("D", 74, 86, 100, 116, where="schedule.alternatives.0"),
    # E: thirty million orders become events
    Figure("E", "task.Write 30.optimistic", 0.15, 0.25),
    Figure("E", "task.Write 30.likely", 0.35, 0.45),
    about("E", "task.Write 30.pessimistic", 4.2),
    Figure("E", "task.Rebuild from.optimistic", 0.15, 0.25),
    Figure("E", "task.Rebuild from.likely", 0.75, 0.85),
    about("E", "task.Rebuild from.pessimistic", 8.3),
    about("E", "downtime.minutes.p80", 0.5, 0.1),
    about("E", "downtime.minutes.p95", 20, 0.15),
    about("E", "downtime.probability_within", 0.92, 0.02),
    about("E", "duration.likely_hours", 966, 0.05),
    about("E", "soak", 744, 0.04),
    *days("E", 70, 78, 93, 109),
    Figure("E", "success_probability.probability", 0.50, 0.70),
]

SAYINGS = [  # what the plan of an example has to say, as a pattern over its text
    ("A", r"CHECK \(\"region_code\" IS NOT NULL\) NOT VALID; .*VALIDATE CONSTRAINT"),
    ("A", r"2 400 batches"),
    ("A", r"Complexity:\s+low"),
    ("B", r"cdc \+ expand_contract"),
    ("B", r"V022 .*\(0\.2 %\)"),
    ("B", r"V084 .*postgresql 13.*end of life"),
    ("B", r"GRANT CREATE ON SCHEMA public"),
    ("B", r"reverse replication.*for 7 d|for 7 d.*reverse replication"),
    ("B", r"Complexity:\s+high"),
    ("C", r"a fault at 10 % errors eats 0\.058 % of the 30-day error budget"),
    ("C", r"Complexity:\s+high"),
    ("C", r"POST /api/v1/users/login -> /api/v2/auth/login"),
    ("D", r"3 servers \(directory\)"),
    ("D", r"10 servers"),
    ("D", r"13 servers"),
    ("D", r"14 servers"),
    ("D", r"240 GB a day \(22\.2 Mbit/s\)"),
    ("D", r"V071 .*expected 7[0-9.]+ min"),
    ("D", r"Leave 14 days between test and cutover"),
    ("D", r"33\.9 h to carry 8 000 GB with the servers off > 60 min"),
    ("E", r"back-projection"),
    ("E", r"crypto-shredding"),
    ("E", r"at most 4 h"),
]


@functools.lru_cache(maxsize=None)
def planned(letter: str) -> Planned:
    return make(example(letter), RUNS)


def tasks(letter: str, start: str) -> "list[dict[str, Any]]":
    rows = [item for phase in planned(letter).document["phases"] for item in phase["task_details"]]
    return [item for item in rows if item["title"].startswith(start)]


def value_of(letter: str, where: str) -> float:
    """Return a figure of a plan by its path, or by the title of its task."""
    document = planned(letter).document
    kind, _, rest = where.partition(".")
    if kind in ("task", "sum"):
        start, _, case = rest.rpartition(".")
        found = [item["hours"][case] for item in tasks(letter, start)]
        assert found, f"no task {start!r}"
        return sum(found) if kind == "sum" else found[0]
    if where == "sample_minutes":
        step = next(item for item in tasks(letter, "Set enable_new_user_service to 5 %"))
        return float(re.search(r"([\d.]+) min show a doubled", step["action"]).group(1))
    if where == "soak":
        return sum(item["hours"]["likely"] for item in tasks(letter, "") if item["calendar"] == "soak")
    if kind == "capacity":
        return next(row["cores"] for row in document["capacity"]["steps"] if row["percentage"] == float(rest))
    if where.startswith("estimates.limits."):
        name, case = where[len("estimates.limits.") :].rsplit(".", 1)
        return next(row[case] for row in document["estimates"]["limits"] if row["limit"] == name)
    here: Any = document
    for key in where.split("."):
        here = here[int(key)] if isinstance(here, list) else here[key]
    return here


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example_is_a_valid_specification(path: Path) -> None:
    spec = json.loads(path.read_text(encoding="utf-8"))
    assert [str(problem) for problem in problems(spec, read_schema("migration_spec"))] == []


@pytest.mark.parametrize("figure", FIGURES, ids=[f"{row.example}-{row.where}" for row in FIGURES])
def test_figure_lies_in_its_range(figure: Figure) -> None:
    assert figure.low <= value_of(figure.example, figure.where) <= figure.high


@pytest.mark.parametrize("letter, pattern", SAYINGS, ids=[f"{letter}-{text[:24]}" for letter, text in SAYINGS])
def test_plan_says_what_it_must(letter: str, pattern: str) -> None:
    flat = re.sub(r"\s+", " ", text_of(planned(letter)).replace("\n", " "))
    assert re.search(pattern, flat)
