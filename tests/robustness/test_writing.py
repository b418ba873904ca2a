"""Whatever happens during a write, a reader finds the old file or the new one, whole."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

from running import ASSETS, EPOCH, SCRIPTS, execute

SCHEMAS = ["--before", str(ASSETS / "database_schema_before.json"),
           "--after", str(ASSETS / "database_schema_after.json")]
TOOLS = {
    "compatibility_checker": SCHEMAS,
    "migration_planner": ["-i", str(ASSETS / "examples" / "a_small_schema_change.json")],
    "rollback_generator": ["-i", str(ASSETS / "expected" / "service_plan.json")],
}
each_tool = pytest.mark.parametrize("tool", TOOLS)
# Runs a script as its file would, but the process is killed at the COUNT-th call of an operating system's function.
KILLED = """
import os, runpy, signal, sys
name, count, sys.argv = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
real, calls = getattr(os, name), []
def fatal(*words, **more):
    calls.append(1)
    if len(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*words, **more)
setattr(os, name, fatal)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def command(tool: str, *more: object) -> List[str]:
    return [str(SCRIPTS / f"{tool}.py"), *TOOLS[tool], "-q", *map(str, more)]


def whole(path: Path) -> bool:
    """Tell whether a file is the old one or a complete new one."""
    text = path.read_text(encoding="utf-8")
    return text == "old\n" or (path.suffix == ".txt" and text.endswith("\n")) or bool(json.loads(text))


@each_tool
@pytest.mark.parametrize("call", [("chmod", 1), ("replace", 1), ("replace", 2)], ids=str)
def test_kill_during_a_write_leaves_whole_files(tool: str, call: Tuple[str, int], tmp_path: Path) -> None:
    outputs = [tmp_path / "out.json", tmp_path / "out.txt"]
    for path in outputs:
        path.write_text("old\n")
    done = execute([sys.executable, "-c", KILLED, call[0], str(call[1]), *command(tool, "-o", outputs[0])])
    assert done.code == -signal.SIGKILL
    assert [whole(path) for path in outputs] == [True, True]
    assert outputs[1].read_text() == "old\n"
    assert (outputs[0].read_text() == "old\n") is (call[1] == 1)


@each_tool
def test_two_processes_that_write_one_output_leave_one_of_them_whole(tool: str, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    running = [subprocess.Popen([sys.executable, *command(tool, "-o", output, "-f", "json")]) for _ in range(3)]
    assert {process.wait(timeout=300) for process in running} <= {0, 1, 2}
    json.loads(output.read_text(encoding="utf-8"))
    assert list(tmp_path.iterdir()) == [output]


@each_tool
@pytest.mark.parametrize("size", [0, 3000, 20000])
def test_full_disk_stops_an_export_with_a_plain_error(tool: str, size: int, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the first file that is longer cannot be written."""
    done = subprocess.run(
        [sys.executable, *command(tool, "--export", tmp_path / "kit", "-o", tmp_path / "out.json")],
        capture_output=True, env={"SOURCE_DATE_EPOCH": EPOCH, "PATH": "/usr/bin:/bin"}, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    told = done.stderr.decode()
    assert (done.returncode, told.count("\n")) == (3, 1) and "cannot be written: File too large" in told
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in left if path.name.startswith(".") and path.name[1:].count(".") > 1] == []
    assert [path for path in left if path.suffix == ".json" and not whole(path)] == []


@each_tool
def test_file_in_place_of_a_folder_is_a_plain_error(tool: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for more in (["-o", tmp_path / "file" / "out.json"], ["--export", tmp_path / "file"],
                 ["--export", tmp_path / "file" / "kit"]):
        done = execute([sys.executable, *command(tool, *more)])
        assert (done.code, done.err.count("\n")) == (3, 1)
        assert "Not a directory" in done.err or "File exists" in done.err, done.err
