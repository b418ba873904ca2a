"""Every ```console block of the documents is run in an empty folder and compared with what it shows."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Iterator, List, NamedTuple

import pytest

from running import EPOCH, ROOT, copy_product, execute

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)
ANY_LINES = "..."  # a line of its own in a block: any lines, or none


class Command(NamedTuple):
    """One `$ command` of a document with the output that the document shows below it, from `start` on."""

    start: int
    text: str
    shown: str


def documents() -> List[Path]:
    return [
        path
        for path in (ROOT / "README.md", ROOT / "SKILL.md", *sorted((ROOT / "references").glob("*.md")))
        if path.is_file()
    ]


each_document = pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of all console blocks; a command goes on after a backslash at the end of its line."""
    for block in BLOCK.finditer(text):
        for match in COMMAND.finditer(text, block.start(1), block.end(1)):
            yield Command(match.start(2), match.group(1), match.group(2))


def fits(shown: str, printed: str) -> bool:
    """Compare; a line `...` stands for any lines, and help texts may be laid out as the running Python does it."""
    parts = re.split(rf"^{re.escape(ANY_LINES)}\n", shown, flags=re.MULTILINE)
    return re.fullmatch("(?:.*\n)*?".join(map(re.escape, parts)), printed) is not None


def plain_help(text: str) -> str:
    """Return a help text without what differs between Python versions: line breaks, and "-o FILE, --output FILE"."""
    text = re.sub(r"(-\w) (\S+), (--[\w-]+ \2)(?!\S)", r"\1, \3", " ".join(text.split()))
    return text.replace("optional arguments:", "options:")


def run_in(folder: Path, command: Command) -> str:
    """Return what a terminal would show: standard output and standard error together."""
    env = {
        "SOURCE_DATE_EPOCH": EPOCH,
        "COLUMNS": "80",
        "PATH": f"{folder}/.bin{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    return execute(["bash", "-c", f"exec 2>&1\n{command.text}"], cwd=folder, env=env, timeout=120).out


def resolve(shown: str, printed: str) -> str:
    """Return what a document shall show now: as many lines before and after its dots as it shows already."""
    before, dots, after = shown.partition(f"{ANY_LINES}\n")
    lines = printed.splitlines(keepends=True)
    last = len(lines) - after.count("\n")
    return "".join(lines[: before.count("\n")]) + dots + "".join(lines[last:]) if dots else printed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that holds only what a user copies, and a python3 that is the one running the tests."""
    copy_product(tmp_path)
    (tmp_path / ".bin").mkdir()
    (tmp_path / ".bin" / "python3").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tmp_path / ".bin" / "python3").chmod(0o755)
    return tmp_path


@each_document
def test_document_shows_what_happens(document: Path, folder: Path, request: pytest.FixtureRequest) -> None:
    """--regold rewrites the outputs of a document as it does those in assets/expected/."""
    text = document.read_text(encoding="utf-8")
    different, rewritten, end = [], "", 0
    for command in commands(text):
        printed = run_in(folder, command)
        rewritten += text[end : command.start] + resolve(command.shown, printed)
        end = command.start + len(command.shown)
        is_help = command.text.endswith("--help")
        if not (plain_help(command.shown) == plain_help(printed) if is_help else fits(command.shown, printed)):
            different.append(f"{document.name}:{text.count(chr(10), 0, command.start)}: $ {command.text}\n{printed}")
    if request.config.getoption("--regold"):
        document.write_text(rewritten + text[end:], encoding="utf-8")
    else:
        assert not different, "\n".join(different)


@each_document
def test_console_blocks_hold_nothing_but_commands_and_their_output(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert [block.group(1)[:60] for block in BLOCK.finditer(text) if not block.group(1).startswith("$ ")] == []


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    """A relative link names a file that exists; a link inside a document names one of its headings."""
    text = document.read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    broken = [
        target
        for target, _ in LINK.findall(text)
        if not re.match(r"[a-z]+:", target) and not (document.parent / target).exists()
    ]
    broken += [anchor for anchor in re.findall(r"\]\(#([^)]*)\)", text) if anchor not in anchors]
    assert broken == []


@each_document
def test_options_that_a_document_names_exist(document: Path) -> None:
    """Each `script.py ... --option` of a document stands in that script's help, whether or not its block is run."""
    text = re.sub(r"\\\n\s*", " ", document.read_text(encoding="utf-8"))
    unknown = []
    for script, arguments in re.findall(r"scripts/(\w+)\.py([^\n|>`]*)", text):
        known = execute([sys.executable, ROOT / "scripts" / f"{script}.py", "--help"]).out
        unknown += [
            f"{script}.py {option}" for option in re.findall(r"(?<!\S)--[a-z-]+", arguments) if option not in known
        ]
    assert unknown == []


def test_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python3 -m pytest" in text and "python3 scripts/" in text


# The reading of blocks itself


@pytest.mark.parametrize(
    "shown, printed, same",
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("...\n", "anything\n", True),
        ("a.c\n", "abc\n", False),
        ("", "", True),
        ("a\n...\n", "b\n", False),
    ],
)
def test_dots_stand_for_lines_and_nothing_else_is_loose(shown: str, printed: str, same: bool) -> None:
    assert fits(shown, printed) is same


def test_blocks_are_split_into_commands() -> None:
    text = "# T\n\n```console\n$ a \\\n    b\none\ntwo\n$ c\n```\n\n```sh\n$ no\n```\n"
    found = [(command.text, command.shown, text[: command.start].count("\n")) for command in commands(text)]
    assert found == [("a \\\n    b", "one\ntwo\n", 5), ("c", "", 8)]


def test_rewriting_keeps_the_dots_where_they_stand() -> None:
    assert resolve("a\n...\nz\n", "b\nc\nd\ny\n") == "b\n...\ny\n"
    assert resolve("old\n", "new\nlines\n") == "new\nlines\n"


def test_help_reads_the_same_from_every_python() -> None:
    old = "optional arguments:\n  -o FILE, --output FILE\n                where"
    assert plain_help(old) == plain_help("options:\n  -o, --output FILE  where")
    assert plain_help("-f {a,b}, --format {a,b}") == plain_help("-f, --format {a,b}")
