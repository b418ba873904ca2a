"""No mutated document makes a script fail: a verdict and valid JSON, or an error that says what is wrong."""

import multiprocessing
import os
from pathlib import Path

import fuzzing
import pytest

RUNS = int(os.environ.get("FUZZ_RUNS", "20000"))  # of each script
PROCESSES = 2


@pytest.mark.parametrize("script", sorted(fuzzing.SCRIPTS))
def test_no_mutated_document_makes_a_script_fail(script: str, tmp_path: Path) -> None:
    parts = []
    for number in range(PROCESSES):
        (tmp_path / str(number)).mkdir()
        seeds = RUNS * number // PROCESSES, RUNS * (number + 1) // PROCESSES
        parts.append((script, *seeds, str(tmp_path / str(number))))
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        results = pool.starmap(fuzzing.fuzz, parts)
    faults = [fault for result in results for fault in result["faults"]]
    assert faults == [], "\n".join(faults[:40])
    assert sum(sum(result["codes"].values()) for result in results) == RUNS
    answered = sum(count for result in results for code, count in result["codes"].items() if code != 3)
    assert answered > RUNS / 5  # most mutations reach the work behind the reading
