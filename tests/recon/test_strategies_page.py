"""The commands of references/data_reconciliation_strategies.md are run, and print what the page shows."""

import re
from pathlib import Path
from typing import List, Tuple

import pytest

from running import ROOT, Done, copy_product, execute, program

PAGE = ROOT / "references" / "data_reconciliation_strategies.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def commands(block: str) -> List[Tuple[str, List[str]]]:
    """Return each command with the lines that the page shows below it."""
    found: List[Tuple[str, List[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def shown(done: Done) -> str:
    return f"{done.out}{done.err}[exit {done.code}]"


@pytest.mark.live
@pytest.mark.parametrize("block", BLOCKS)
def test_commands_print_what_the_page_shows(block: str, tmp_path: Path) -> None:
    program("sqlite3")
    copy_product(tmp_path)
    for command, lines in commands(block):
        done = execute(["bash", "-c", command], cwd=tmp_path)
        assert [line for line in lines if line not in shown(done)] == [], f"{command}\n{shown(done)}"
        assert lines or done.code == 0, f"{command}\n{done.err}"


def test_every_kind_of_false_difference_has_an_example() -> None:
    assert len(BLOCKS) >= 5
