"""Running programs as a user would, for the fixtures and for tests that need no fixture."""

import atexit
import functools
import glob
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
ASSETS = ROOT / "assets"
EPOCH = "1767225600"  # 2026-01-01T00:00:00Z, the time in every golden


class Done(NamedTuple):
    """A program that has ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@functools.lru_cache(maxsize=None)
def bytecode() -> str:
    """Return a folder for this run's compiled scripts."""
    folder = tempfile.mkdtemp(prefix="ma_bytecode_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def from_bytecode(command: List[str], cwd: Optional[Path], env: Dict[str, Optional[str]]) -> List[str]:
    """Return the command with a script of ours, or a copy of it, started as a module.

    Python compiles a file that it is told to run anew each time, which takes longer than most runs; of a module it
    keeps the bytecode.
    """
    script = (cwd or Path.cwd()) / command[1] if len(command) > 1 else ROOT
    if script.parent.name != SCRIPTS.name or script.suffix != ".py" or not script.is_file():
        return command
    env.update(PYTHONPATH=str(script.parent), PYTHONPYCACHEPREFIX=bytecode(), PYTHONDONTWRITEBYTECODE=None)
    return [command[0], "-m", script.stem, *command[2:]]


def execute(
    command: Sequence[Union[str, Path]],
    stdin: Union[str, bytes, None] = None,
    cwd: Optional[Path] = None,
    env: Optional[Dict[str, Optional[str]]] = None,
    timeout: float = 120,
) -> Done:
    """Run a command to its end; `env` is laid over the environment, None takes a variable away."""
    merged = {**os.environ, "PYTHONUNBUFFERED": None, **(env or {})}  # unbuffered streams hide what users meet
    data = stdin.encode("utf-8") if isinstance(stdin, str) else stdin
    done = subprocess.run(
        from_bytecode([str(part) for part in command], cwd, merged),
        input=data or b"",
        capture_output=True,
        cwd=cwd,
        timeout=timeout,
        env={key: text for key, text in merged.items() if text is not None},
    )
    return Done(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


def copy_product(folder: Path) -> None:
    """Copy what a user gets, and nothing that a test run leaves behind."""
    for part in ("scripts", "assets", "references"):
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))


@functools.lru_cache(maxsize=None)
def interpreters() -> List[str]:
    """Return one Python of each minor version from 3.9 that this machine has."""
    found: Dict[str, str] = {}
    candidates = [shutil.which(f"python3.{minor}") for minor in range(9, 30)]
    candidates += ["/usr/bin/python3", *sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python")))]
    for path in filter(os.path.exists, filter(None, candidates)):
        done = execute([path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        version = done.out.strip()
        if done.code == 0 and tuple(map(int, version.split("."))) >= (3, 9):
            found.setdefault(version, path)
    return [found[version] for version in sorted(found, key=lambda version: int(version[2:]))]


def program(name: str) -> str:
    """Return the path of an external program, or skip the test."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path
