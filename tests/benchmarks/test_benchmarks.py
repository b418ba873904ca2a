"""The measuring program runs, and the smallest of its figures hold; the large ones are read by people."""

import re
import sys

import pytest

from running import ROOT, execute


@pytest.mark.live
def test_benchmarks_print_every_row_and_work_grows_with_its_input() -> None:
    done = execute([sys.executable, ROOT / "tests" / "benchmarks" / "run.py", "--quick"], timeout=900)
    assert done.code == 0, done.err
    started, documents = done.out.split("\n\n")
    assert len(started.splitlines()) == 1 + 2 * 3
    rows = documents.splitlines()[1:]
    assert len(rows) == 4 + 2 + 1 + 8
    growth = [float(found.group(1)) for row in rows if (found := re.search(r" (-?\d\.\d\d)(?: +\d+\.\d)?$", row))
              and "CPU" not in row and re.search(r"tables|endpoints", row)]
    assert growth and max(growth) < 1.5, done.out  # quadratic work shows, a busy machine does not
