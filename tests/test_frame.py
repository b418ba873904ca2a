"""What stands around the scripts: packaging, the changelog, the CI run, and the rule that CI skips nothing."""

import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest

from running import ROOT, execute

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r'^([\w-]+) = "(\w+:\w+)"$', PYPROJECT, re.MULTILINE))


def test_pyproject_gives_the_three_commands() -> None:
    assert COMMANDS == {
        "migration-planner": "migration_planner:command_line",
        "compatibility-checker": "compatibility_checker:command_line",
        "rollback-generator": "rollback_generator:command_line",
    }


@pytest.mark.parametrize("target", COMMANDS.values())
def test_command_is_there_to_be_called(target: str) -> None:
    module, function = target.split(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.live
def test_installed_commands_work(tmp_path: Path) -> None:
    """Needs a package index: the build backend comes from there."""
    source, venv = tmp_path / "source", tmp_path / "venv"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info"))
    assert execute([sys.executable, "-m", "venv", venv]).code == 0
    installed = execute([venv / "bin" / "python", "-m", "pip", "install", "-q", source], timeout=240)
    if installed.code != 0 and re.search("No matching distribution|ConnectionError|Temporary failure", installed.err):
        pytest.skip("pip reaches no package index")
    assert installed.code == 0, installed.err
    for command, target in COMMANDS.items():
        done = execute([venv / "bin" / command, "--version"], cwd=tmp_path)
        assert (done.code, done.out.split()[0]) == (0, target.split(":")[0]), done.err


def test_supported_python_is_said_once_and_the_same() -> None:
    said = {
        re.search(r'requires-python = "(.+?)"', (ROOT / "scripts" / f"{target.split(':')[0]}.py").read_text()).group(1)
        for target in COMMANDS.values()
    }
    assert said == {re.search(r'^requires-python = "(.+?)"', PYPROJECT, re.MULTILINE).group(1)}


def test_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    groups = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert [title for title in versions[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", title)] == []
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= groups


def test_ci_runs_the_command_of_the_readme() -> None:
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().splitlines()
    assert commands[-1] == "python3 -m pytest"
    assert commands[-1] in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.live
def test_ci_run_is_clean_shell() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = execute(["shellcheck", ROOT / ".ci" / "run"])
    assert (done.code, done.out) == (0, "")


@pytest.mark.parametrize(
    "required, passes, words",
    [
        ("1", False, "REQUIRE_LIVE=1 allows no skips: Skipped: no server"),
        ("0", True, "no server"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        "import pytest\ndef test_live() -> None:\n    pytest.skip('no server')\n",
        "import pytest\npytest.skip('no server', allow_module_level=True)\n",
        "import pytest\n@pytest.fixture\ndef server():\n    pytest.skip('no server')\ndef test_live(server) -> None:\n    pass\n",
    ],
    ids=["in a test", "in a module", "in a fixture"],
)
def test_skip_is_visible_here_and_a_failure_in_ci(
    tmp_path: Path, body: str, required: str, passes: bool, words: str
) -> None:
    for name in ("conftest.py", "running.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / name)
    (tmp_path / "test_live.py").write_text(body)
    (tmp_path / "test_other.py").write_text("def test_other() -> None:\n    pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        tmp_path,
    ]
    done = execute([*command, tmp_path], cwd=tmp_path, env={"REQUIRE_LIVE": required, "PYTHONPATH": str(tmp_path)})
    assert words in done.out
    assert (done.code == 0) is passes
