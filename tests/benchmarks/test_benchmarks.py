"""The measuring program runs, and the smallest of its figures hold; the large ones are read by people."""

import re
import sys
from typing import Any, Dict

import pytest

import migration_planner as planner
from large_documents import service_move
from planning import make
from running import ROOT, execute


@pytest.mark.live
def test_benchmarks_print_every_row_and_work_grows_with_its_input() -> None:
    for _ in range(3):  # quadratic work shows in each of them, what else the machine does in one
        done = execute([sys.executable, ROOT / "tests" / "benchmarks" / "run.py", "--quick"], timeout=900)
        assert done.code == 0, done.err
        started, documents = done.out.split("\n\n")
        assert len(started.splitlines()) == 1 + 2 * 3
        rows = documents.splitlines()[1:]
        assert len(rows) == 4 + 2 + 1 + 8
        growth = [float(found.group(1)) for row in rows if (found := re.search(r" (-?\d\.\d\d)(?: +\d+\.\d)?$", row))
                  and re.search(r"tables|endpoints", row)]
        if growth and max(growth) < 1.5:
            return
    raise AssertionError(done.out)


def test_many_tasks_drawn_at_once_give_the_figures_of_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = service_move(200, 0)
    at_once = make(spec, 2000, "2026-03-02T09:00", seed=1).document
    monkeypatch.setattr(planner, "LONG_STRETCH", 1000)
    one_by_one = make(spec, 2000, "2026-03-02T09:00", seed=1).document
    for part in ("path_hours", "calendar_days"):
        assert at_once["duration"][part] == pytest.approx(one_by_one["duration"][part], rel=0.04)
    assert phase_hours(at_once) == pytest.approx(phase_hours(one_by_one), rel=0.04)


def phase_hours(document: Dict[str, Any]) -> Dict[str, float]:
    return {f"{phase['name']} {share}": hours for phase in document["phases"]
            for share, hours in phase["duration_range_hours"].items() if share.startswith("p")}


def test_years_of_work_take_as_many_days_as_office_hours_give() -> None:
    duration = make(service_move(3000, 0), 200, "2026-03-02T09:00", seed=1).document["duration"]
    per_week = 7 * duration["path_hours"]["p50"] / duration["calendar_days"]["p50"]
    assert duration["calendar_days"]["p50"] > planner.HORIZON_DAYS and 35 < per_week < 45
    assert duration["calendar_days"]["p80"] > 1.1 * duration["calendar_days"]["p50"]
