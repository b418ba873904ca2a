"""Measure speed and memory of the three scripts, and print one table: python3 tests/benchmarks/run.py [--quick]

Each row stands beside its floor, measured in the same run: what an interpreter needs that reads the same files with
json and writes a report as long as the script's. Times are CPU time (user and system) of the child process, medians of
several runs, so that other work on the machine disturbs little. Documents are measured from bytecode, as an installed
command runs; what it costs to compile a script that is run as a file stands among the starts. The growth is the
exponent between two sizes, both without the start: 1.0 is linear. Memory is what the script's peak adds to its start,
as a multiple of the parsed documents' size.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent.parent / "scripts"
IMPORTS = "import argparse, json"
FLOOR = """
import argparse, json, sys, time
documents = [json.load(open(name, encoding="utf-8")) for name in sys.argv[2:]]
start = time.process_time()
report = json.load(open(sys.argv[1], encoding="utf-8"))  # its reading is no part of the floor
print(time.process_time() - start, flush=True)
with open(sys.argv[1] + ".copy", "w", encoding="utf-8") as file:
    file.write(json.dumps(report, indent=2, ensure_ascii=False))
"""
PARSED = """
import json, sys
def size(value):
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sys.getsizeof(value) + sum(map(size, inner))
print(sum(size(json.load(open(name, encoding="utf-8"))) for name in sys.argv[1:]))
"""


class Usage(NamedTuple):
    """What one child process took."""

    seconds: float
    megabytes: float
    out: str


class Case(NamedTuple):
    """One row of the table: a script, the documents that it reads, and what it may take."""

    name: str
    kind: str
    size: int
    every: int
    files: Tuple[str, ...]
    command: Tuple[str, ...]
    runs: int
    most: Optional[float] = None  # times the floor
    of: str = ""  # rows of the same kind grow with their size


def child(command: Sequence[str], good: Sequence[int] = (0,)) -> Usage:
    """Run a program to its end and return its CPU time and its peak of memory."""
    read, write = os.pipe()
    process = os.posix_spawn(command[0], list(command), os.environ, file_actions=[
        (os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)])
    os.close(write)
    with open(read, encoding="utf-8") as pipe:
        out = pipe.read()
    _, status, usage = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in good:
        raise SystemExit(f"{' '.join(command)}: exit code {code}")
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out)


def median(command: Sequence[str], runs: int, good: Sequence[int] = (0,)) -> Usage:
    found = [child(command, good) for _ in range(runs)]
    return Usage(statistics.median(usage.seconds for usage in found), max(usage.megabytes for usage in found),
                 found[0].out)


def python(*words: object) -> List[str]:
    return [sys.executable, *map(str, words)]


def installed(script: str, *options: object) -> List[str]:
    return python("-m", script, *options)


def starts(runs: int) -> Iterator[Tuple[str, float, float]]:
    """Yield name, seconds and floor of each script's start: as a file that is run, and as an installed command."""
    floor = median(python("-c", IMPORTS), runs).seconds
    for name in ("compatibility_checker", "migration_planner", "rollback_generator"):
        script = median(python(SCRIPTS / f"{name}.py", "--version"), runs).seconds
        yield f"{name}.py", script, floor
        code = f"import {name}; {name}.main(['--version'])"
        child(python("-c", code))  # writes the bytecode that an installation has
        yield f"{name}, installed", median(python("-c", code), runs).seconds, floor


def cases(quick: bool) -> Iterator[Case]:
    """Yield every measurement of documents; what a row reads, an earlier row may have written."""
    check = ("compatibility_checker", "--before", "before.json", "--after", "after.json", "--type")
    sides = ("before.json", "after.json")
    for every, words in ((100, "one changed in 100"), (4, "one changed in 4")):
        for tables in (200, 2000) if quick else (100, 1000, 10000):
            yield Case(f"checker, {tables} tables, {words}", "schemas", tables, every, sides, (*check, "database"),
                       1 if tables > 2000 else 3, 4 if tables == 10000 else None, f"schemas {every}")
    for every, words, most in ((0, "4 changes", 5), (2, "every second component changed", 15)):
        for size in (1,) if quick else (1, 10, 50):
            parts = 520 * size
            yield Case(f"checker, OpenAPI {size} MB, {words}", "clustered", parts, every or parts // 4, sides,
                       (*check, "api"), 1 if size > 1 else 3, most if size == 10 else None, f"clustered {every}")
    yield Case("checker, OpenAPI, 600 components that all reach each other, 30 changed", "recursive", 600, 20, sides,
               (*check, "api"), 1, 15)
    for kind, words in (("database_move", "tables"), ("service_move", "endpoints")):
        for size in (20, 200) if quick else (10, 100, 1000):
            yield Case(f"planner, {size} {words}", kind, size, 0, ("spec.json",),
                       ("migration_planner", "--input", "spec.json"), 3, None, f"planner {words}")
            yield Case(f"rollback, plan of {size} {words}", "", size, 0, ("plan.json",),
                       ("rollback_generator", "--input", "plan.json"), 3, None, f"rollback {words}")


def measure(case: Case, start: Dict[str, Usage]) -> Tuple[Usage, float, float]:
    """Return what a case took, the seconds of its floor, and the megabytes of its parsed documents."""
    if case.kind:
        child(python(HERE / "large_documents.py", case.kind, case.size, case.every, *case.files))
    script, *options = case.command
    output = "plan.json" if script == "migration_planner" else "report.json"
    spent = median(installed(script, *options, "-q", "-f", "json", "-o", output), case.runs, (0, 1, 2))
    floors = [child(python("-c", FLOOR, output, *case.files)) for _ in range(case.runs)]
    floor = statistics.median(usage.seconds - float(usage.out) for usage in floors)
    parsed = float(child(python("-c", PARSED, *case.files)).out) / 2 ** 20
    return spent._replace(megabytes=spent.megabytes - start[script].megabytes), floor, parsed


def growth(case: Case, seconds: float, seen: Dict[str, Tuple[int, float]]) -> str:
    """Return the exponent from the row before of the same kind to this one, both without the start."""
    size, before = seen.get(case.of, (0, 0.0))
    seen[case.of] = (case.size, seconds)
    if before < 0.05:  # beside the start that is noise
        return ""
    return f"{math.log(seconds / before) / math.log(case.size / size):.2f}"


def report(quick: bool) -> Iterator[str]:
    runs = 5 if quick else 15
    yield f"{'start':72} {'CPU s':>8} {'floor s':>8} {'ratio':>6} {'aim':>4}"
    for name, seconds, floor in starts(runs):
        yield f"{name:72} {seconds:8.3f} {floor:8.3f} {seconds / floor:6.1f} {2:4}"
    start = {path.stem: median(installed(path.stem, "--version"), runs) for path in SCRIPTS.glob("*.py")}
    yield (f"\n{'documents':72} {'CPU s':>8} {'floor s':>8} {'ratio':>6} {'aim':>4} {'growth':>6} {'memory':>6}"
           "   aims: growth 1.1, memory 3")
    seen: Dict[str, Tuple[int, float]] = {}
    for case in cases(quick):
        spent, floor, parsed = measure(case, start)
        more = growth(case, spent.seconds - start[case.command[0]].seconds, seen)
        memory = f"{spent.megabytes / parsed:6.1f}" if parsed > 5 else ""  # below, the heap's own steps are larger
        yield (f"{case.name:72} {spent.seconds:8.2f} {floor:8.2f} {spent.seconds / floor:6.1f} {case.most or '':>4}"
               f" {more:>6} {memory:>6}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small documents and few runs: about two minutes")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder  # an installed command finds its bytecode, the repository gets none
        os.environ["PYTHONPATH"] = str(SCRIPTS)
        for line in report(quick):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
