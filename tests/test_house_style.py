"""The budget and the conventions of the three scripts, measured on their syntax trees."""

import ast
import builtins
import codecs
import collections
import functools
import re
import statistics
import subprocess
import sys
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple, Union

import pytest

from running import ROOT, SCRIPTS

NAMES = ("compatibility_checker", "migration_planner", "rollback_generator")
SKELETON_START = "# == Skeleton (identical in the three scripts) "
SKELETON_END = "# == End of the skeleton "
BANNER = re.compile(r"^# == (\d+)\. ([^=]+?) =+$")
MAP_ENTRY = re.compile(r"(?<![\w.])(\d+)\.? +([A-Z][\w/-]*(?: [\w/-]+)*)")  # 7 Comparing schemas

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)
DECISIONS = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.BoolOp, ast.comprehension)

# What the scripts may use of the standard library of Python 3.9 and later; sys.stdlib_module_names came with 3.10.
ALLOWED_IMPORTS = {
    "__future__",
    "argparse",
    "base64",
    "bisect",
    "calendar",
    "collections",
    "contextlib",
    "copy",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "fnmatch",
    "fractions",
    "functools",
    "gc",
    "graphlib",
    "hashlib",
    "heapq",
    "html",
    "io",
    "itertools",
    "json",
    "math",
    "operator",
    "os",
    "random",
    "re",
    "shlex",
    "signal",
    "sqlite3",
    "statistics",
    "string",
    "sys",
    "tempfile",
    "textwrap",
    "time",
    "typing",
    "unicodedata",
    "urllib",
    "uuid",
    "xml",
    "zlib",
    "zoneinfo",
}
CLOCKS_FILES_AND_TERMINALS = {
    "print",
    "input",
    "open",
    "breakpoint",
    "exit",
    "quit",
    "os.open",
    "os.listdir",
    "os.walk",
    "os.scandir",
    "os.system",
    "os.popen",
    "os.environ",
    "os.getenv",
    "os.urandom",
    "os.getcwd",
    "sys.stdin",
    "sys.stdout",
    "sys.stderr",
    "sys.exit",
    "time.time",
    "time.localtime",
    "time.monotonic",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "random.random",
    "random.choice",
    "random.shuffle",
    "random.randint",
    "random.sample",
    "uuid.uuid1",
    "uuid.uuid4",
}
CACHES = re.compile(r"__pycache__|(^|/)\.(?!ci/|gitignore)")
VAGUE_SECTIONS = re.compile(r"\b(util|utils|utilities|helper|helpers|misc|common|various|other)\b", re.IGNORECASE)
VAGUE_CLASSES = re.compile(r"(Manager|Engine|Processor|Analyzer)$")


class Source(NamedTuple):
    """One script: its text and its tree, with the line numbers between which the skeleton stands."""

    name: str
    text: str
    tree: ast.Module
    skeleton: Tuple[int, int]


@functools.lru_cache(maxsize=None)
def source(name: str) -> Source:
    text = (SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
    lines = text.splitlines()
    marks = [
        next(number for number, line in enumerate(lines, 1) if line.startswith(mark))
        for mark in (SKELETON_START, SKELETON_END)
    ]
    return Source(name, text, ast.parse(text), (marks[0], marks[1]))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def length(node: Union[Function, ast.ClassDef]) -> int:
    return node.end_lineno - node.lineno + 1


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield what a function holds, without the functions that are defined inside it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, FUNCTIONS):
            yield node
            yield from own_nodes(node)


def nesting(node: ast.AST, is_elif: bool = False) -> int:
    """Return how deep compound statements stand in each other; an elif stands beside its if."""
    inner = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, FUNCTIONS):
                chained = (
                    field == "orelse" and isinstance(child, ast.If) and isinstance(node, ast.If) and len(value) == 1
                )
                inner = max(inner, nesting(child, chained))
    return inner + (isinstance(node, BLOCKS) and not is_elif)


def cyclomatic(function: Function) -> int:
    """Return the number of paths: one, and one more for each branch, loop, handler, comprehension and and/or."""
    return 1 + sum(isinstance(node, DECISIONS) for node in own_nodes(function))


def dotted(node: ast.AST) -> str:
    """Return the text of a.b.c, or an empty string for what is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def banners(name: str) -> List[Tuple[int, str]]:
    """Return number and title of each numbered section, in the order of the file."""
    found = (BANNER.match(line) for line in source(name).text.splitlines())
    return [(int(match.group(1)), match.group(2)) for match in found if match]


def section_map(name: str) -> Dict[int, str]:
    """Return number -> noun as the module docstring lists them under "Sections"."""
    docstring = ast.get_docstring(source(name).tree) or ""
    paragraph = re.search(r"Sections\b[^\n]*\n(.*?)\n\s*\n", docstring, re.DOTALL)
    return {int(number): noun for number, noun in MAP_ENTRY.findall(paragraph.group(1))} if paragraph else {}


PATHS_DEBT = {"compatibility_checker": 19, "migration_planner": 0, "rollback_generator": 0}
NESTING_DEBT: Dict[str, List[str]] = {}
WIDTH_DEBT = 35  # lines over 120 characters: a debt that may only fall
INPUT_FUNCTIONS = ("is_sqlite_file", "load_sqlite", "look_at_terminal")  # they read what the command line names,
# as the skeleton does, and the width and colours of a terminal

each_script = pytest.mark.parametrize("name", NAMES)


@each_script
def test_functions_are_short(name: str) -> None:
    lengths = sorted(length(node) for node in functions(source(name).tree) if node.name != "build_parser")
    long = [
        f"{node.name}: {length(node)}"
        for node in functions(source(name).tree)
        if length(node) > 70 and node.name != "build_parser"
    ]
    assert not long
    assert statistics.median(lengths) <= 12
    assert lengths[max(0, int(len(lengths) * 0.95) - 1)] <= 45


@each_script
def test_functions_nest_at_most_four_deep(name: str) -> None:
    assert [f"{node.name}: {nesting(node)}" for node in functions(source(name).tree) if nesting(node) > 4] == (
        NESTING_DEBT.get(name, [])
    )


@each_script
def test_functions_take_at_most_fifteen_paths(name: str) -> None:
    """The budget is fifteen; the functions over it are a debt that may only fall."""
    over = [f"{node.name}: {cyclomatic(node)}" for node in functions(source(name).tree) if cyclomatic(node) > 15]
    assert len(over) <= PATHS_DEBT[name], over


@each_script
def test_no_name_of_a_script_is_given_twice(name: str) -> None:
    """The later of two functions or classes takes the earlier one's place everywhere, without a word."""
    given = collections.Counter()
    for node in source(name).tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        given.update(getattr(target, "name", getattr(target, "id", None)) for target in targets)
    assert [word for word, times in given.items() if word and times > 1] == []


@each_script
def test_classes_are_small_and_named_for_what_they_are(name: str) -> None:
    classes = [node for node in ast.walk(source(name).tree) if isinstance(node, ast.ClassDef)]
    assert [f"{node.name}: {length(node)}" for node in classes if length(node) > 250] == []
    assert [node.name for node in classes if VAGUE_CLASSES.search(node.name)] == []


@each_script
def test_every_signature_is_typed(name: str) -> None:
    untyped = []
    for node in functions(source(name).tree):
        given = node.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
        untyped += [
            f"{node.name}({argument.arg})"
            for argument in arguments
            if argument.annotation is None and argument.arg not in ("self", "cls")
        ]
        untyped += [f"{node.name} -> ?"] if node.returns is None else []
    assert untyped == []


@each_script
def test_syntax_is_that_of_python_39(name: str) -> None:
    ast.parse(source(name).text, feature_version=(3, 9))


@each_script
def test_imports_are_from_the_standard_library(name: str) -> None:
    imported: Set[str] = set()
    for node in ast.walk(source(name).tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or ".").split(".")[0])
    assert imported - ALLOWED_IMPORTS == set()


def test_skeleton_is_the_same_in_all_scripts() -> None:
    blocks = {name: source(name).text.splitlines()[slice(*source(name).skeleton)] for name in NAMES}
    assert blocks[NAMES[1]] == blocks[NAMES[0]]
    assert blocks[NAMES[2]] == blocks[NAMES[0]]


def test_version_is_the_newest_of_the_changelog() -> None:
    versions = {re.search(r'^VERSION = "(.+)"', source(name).text, re.MULTILINE).group(1) for name in NAMES}
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(versions) == 1
    assert not released or released[0] in versions


@each_script
def test_docstring_maps_the_sections(name: str) -> None:
    titles, nouns = dict(banners(name)), section_map(name)
    assert sorted(nouns) == sorted(titles)
    assert [
        (number, noun) for number, noun in nouns.items() if not titles[number].lower().startswith(noun.lower())
    ] == []


@each_script
def test_sections_are_numbered_upwards_and_named_by_nouns(name: str) -> None:
    numbers = [number for number, _ in banners(name)]
    assert numbers == sorted(set(numbers))
    assert [title for _, title in banners(name) if VAGUE_SECTIONS.search(title)] == []


@each_script
def test_docstring_says_how_the_script_ends(name: str) -> None:
    docstring = ast.get_docstring(source(name).tree) or ""
    assert "Exit codes: 0" in docstring
    assert source(name).text.startswith('#!/usr/bin/env python3\n# /// script\n# requires-python = ">=3.9"\n# ///\n"""')


@each_script
def test_only_the_skeleton_touches_files_clocks_and_terminals(name: str) -> None:
    first, last = source(name).skeleton
    readers = [node for node in functions(source(name).tree) if node.name in INPUT_FUNCTIONS]
    reading = {line for node in readers for line in range(node.lineno, node.end_lineno + 1)}
    touched = []
    for node in ast.walk(source(name).tree):
        outside = not first < getattr(node, "lineno", first + 1) < last and getattr(node, "lineno", 0) not in reading
        if outside and isinstance(node, (ast.Name, ast.Attribute)) and dotted(node) in CLOCKS_FILES_AND_TERMINALS:
            touched.append(f"line {node.lineno}: {dotted(node)}")
    assert touched == []


@each_script
def test_no_local_name_hides_a_builtin_that_is_forbidden(name: str) -> None:
    hidden = [node.name for node in functions(source(name).tree) if hasattr(builtins, node.name)]
    assert [word for word in hidden if word in CLOCKS_FILES_AND_TERMINALS] == []


@each_script
def test_only_the_dialects_ask_which_dialect_it_is(name: str) -> None:
    """A new database must be a new class of answers, not one more branch in forty functions."""
    asked = []
    for node in ast.walk(source(name).tree):
        if isinstance(node, ast.Compare):
            asked += [
                f"line {node.lineno}: {dotted(side)}"
                for side in (node.left, *node.comparators)
                if dotted(side).endswith("dialect.name")
            ]
    assert asked == []


@each_script
def test_no_name_is_defined_twice(name: str) -> None:
    """In a file this long a second function of the same name silently replaces the first one."""
    kinds = (*FUNCTIONS, ast.ClassDef)
    names = [node.name for node in source(name).tree.body if isinstance(node, kinds)]
    assert sorted({word for word in names if names.count(word) > 1}) == []


def committed() -> List[str]:
    """Return the paths that the repository holds; outside of one, what the folder holds but for tools' caches."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if done.returncode == 0 and done.stdout:
        return [path for path in done.stdout.decode("utf-8").split("\0") if path and (ROOT / path).is_file()]
    files = [path.relative_to(ROOT) for path in sorted(ROOT.rglob("*")) if path.is_file()]
    return [str(path) for path in files if not CACHES.search(str(path))]


def text_of(path: str) -> str:
    return (ROOT / path).read_bytes().decode("utf-8", "replace")


def test_code_lines_are_at_most_120_wide() -> None:
    wide = [
        f"{path}:{number}"
        for path in committed()
        if path.endswith(".py")
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if len(line) > 120
    ]
    assert len(wide) <= WIDTH_DEBT, wide


def test_nothing_committed_names_where_it_was_made() -> None:
    """Machine paths, workplaces, registries' hosts and writing programs have no place in it (words in rot13)."""
    words = codecs.decode(
        "/jbex/|/ebbg/|/bcg/jurryf|[.]yvoenel/|onfu_wbof|"
        "clcv[.]bet|clgubaubfgrq|pynhqr|naguebcvp|bcranv|pungtcg|pbcvybg",
        "rot13",
    )
    forbidden = re.compile(words, re.IGNORECASE)
    found = [
        f"{path}: {match.group()}" for path in committed() for match in forbidden.finditer(path + "\n" + text_of(path))
    ]
    assert found == []


def test_measures_see_what_they_are_meant_to_see() -> None:
    """The measures themselves: an elif adds no depth, a nested function is measured on its own."""
    chain = "def f(a: int):\n  if a:\n    return 1\n  elif a > 2 and a < 9:\n    return 2\n  else:\n    for b in a: 1"
    function = next(functions(ast.parse(chain)))
    assert (nesting(function), cyclomatic(function), length(function)) == (2, 5, 7)
    nested = ast.parse(
        "def f() -> None:\n  def g() -> None:\n    if 1:\n      if 2:\n        pass\n  if 3:\n    pass\n"
    )
    assert [nesting(node) for node in functions(nested)] == [1, 2]
    assert sys.version_info >= (3, 9)
