#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# ///
"""Compare two schemas, API documents or data profiles: what breaks for whom, and the scripts there and back.

A change is a fact without an opinion. Rules turn changes into findings, the same changes become steps:

             schema documents -> Schema \\              /-> Finding (a RULES row + where) \\
    JSON ->                              > Change ------<                                 > Report -> json | text | ...
             API documents ---> Api     /              \\-> Step (do + undo + proof) ------/

Sections, in the order of the data flow:
    (in work)

Names used throughout: `before, after` are the two sides of a comparison, always in that order; `old, new` the two
sides of one object; `change` a fact; `finding` an opinion; `step` an action with its undo and its proof.

Exit codes: 0 no compatibility issues, 1 potentially breaking, 2 breaking, 3 unusable input, output or usage.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import Any, Callable, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, NoReturn, Optional, Sequence, Set, Tuple, Union

TOOL = "compatibility_checker"

# == Skeleton (identical in the three scripts) ========================================================
# Standard behaviour of the suite at its edges: reading JSON, naming faults, writing whole files, exit codes.

VERSION = "1.0.0"
EXIT_DONE = 0
EXIT_UNUSABLE = 3  # input that cannot be read or parsed, output that cannot be written, wrong usage
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_TERMINATED = 143  # 128 + SIGTERM
MAX_PROBLEMS = 20  # more lines than this hide the first one
JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')  # "text" { } [ ] , : true -1.5e3
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
PLAIN_KEY = re.compile(r"[^\W\d][\w-]*")  # a key that needs no quotes in a path: user_id

Path = Tuple[Union[str, int], ...]


class InputError(Exception):
    """The user's input, output path or usage cannot be used; each argument is one printable line."""


class Terminated(Exception):
    """SIGTERM arrived: leave through the same clean-up as an error."""


class Document(NamedTuple):
    """One JSON document as it was read: `name` is the path as the user gave it."""

    name: str
    text: str
    value: Any
    sha256: str


class Faults:
    """Collects what is wrong with one document, so that all of it is reported at once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.found: List[Tuple[Path, str, str, str]] = []

    def add(self, path: Path, found: str, expected: str, hint: str = "") -> None:
        self.found.append((path, found, expected, hint))

    def typed(self, value: Any, path: Path, kind: Any, expected: str) -> Any:
        """Return `value` when it is a `kind` (bool never passes for a number), else note the fault and return None."""
        if isinstance(value, kind) and (not isinstance(value, bool) or kind is bool):
            return value
        self.add(path, describe(value), expected)
        return None

    def keys(self, mapping: Dict[str, Any], path: Path, known: Iterable[str]) -> None:
        """Note the keys that look like misspelled `known` ones; other unknown keys are allowed."""
        known = tuple(known)
        for key in mapping:
            guess = did_you_mean(key, known) if key not in known else ""
            if guess and guess not in mapping:
                self.add(path + (key,), f"unknown key {describe(key)}", "a known key", f"did you mean {guess!r}?")

    def lines(self) -> List[str]:
        """Return one line for each fault, in the order of the document, at most MAX_PROBLEMS of them."""
        places = locate(self.document.text) if self.found else {}
        nowhere = (1, 1)
        positions = [next((places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in places), nowhere)
                     for path, *_ in self.found]
        ranked = sorted(zip(positions, self.found), key=lambda pair: (pair[0], show_path(pair[1][0])))
        lines = [problem(self.document.name, line, column, *fault) for (line, column), fault in ranked]
        more = len(lines) - MAX_PROBLEMS
        return lines[:MAX_PROBLEMS] + ([f"{self.document.name}: and {more} more problems"] if more > 0 else [])

    def finish(self) -> None:
        """Raise InputError when anything was noted."""
        if self.found:
            raise InputError(*self.lines())


def problem(name: str, line: int, column: int, path: Path, found: str, expected: str, hint: str = "") -> str:
    """Return the one line that tells a user where a document is wrong."""
    advice = f" ({hint})" if hint else ""
    return f"{name}:{line}:{column}: {show_path(path)}: found {found}, expected {expected}{advice}"


def show_path(path: Path) -> str:
    """Return a path as people write it: ("tables", "users", 0) is tables.users[0]; the root is $."""
    parts = []
    for key in path:
        plain = isinstance(key, str) and PLAIN_KEY.fullmatch(key)
        parts.append(f".{key}" if plain else f"[{json.dumps(key, ensure_ascii=False)}]")
    return "".join(parts).lstrip(".") or "$"


def describe(value: Any) -> str:
    """Return what a value is, in the words of JSON, short enough for one line."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return the choice that `word` most resembles, or an empty string."""
    import difflib
    return next(iter(difflib.get_close_matches(word, list(choices), n=1, cutoff=0.75)), "")


def locate(text: str, duplicates: Optional[List[Tuple[Path, Tuple[int, int]]]] = None) -> Dict[Path, Tuple[int, int]]:
    """Return line and column (from 1) of every value of a valid JSON text; collect the keys that stand twice."""
    places: Dict[Path, Tuple[int, int]] = {}
    stack: List[List[Any]] = []  # of [current key or index, whether a key comes next, kind of container]
    line, line_start = 1, 0
    for match in JSON_TOKEN.finditer(text):
        token, start = match.group(), match.start()
        newlines = text.count("\n", line_start, start)
        if newlines:
            line, line_start = line + newlines, text.rfind("\n", 0, start) + 1
        if token in "}]":
            stack.pop()
        elif token == ",":
            stack[-1][:2] = [stack[-1][0] + 1, False] if stack[-1][2] == "[" else [None, True]
        elif token != ":":
            is_key = bool(stack) and stack[-1][1]
            if is_key:
                stack[-1][:2] = [json.loads(token), False]
            path = tuple(level[0] for level in stack)
            if is_key and path in places and duplicates is not None:
                duplicates.append((path, (line, start - line_start + 1)))
            if token in "{[":
                stack.append([0, False, "["] if token == "[" else [None, True, "{"])
            places[path] = (line, start - line_start + 1)
    return places


def load(path: str) -> Document:
    """Read one JSON document from a file, or from standard input for "-".

    Raises InputError for what cannot be read, decoded or parsed, and for duplicate keys, NaN, Infinity and
    unpaired surrogates, which JSON (RFC 8259) leaves open and other readers take differently.
    """
    import hashlib
    name = "<stdin>" if path == "-" else path
    try:
        data = read_bytes(path)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise InputError(problem(name, line, column, (), f"the byte 0x{data[error.start]:02x}", "UTF-8 text"))
    if not text.strip():
        raise InputError(problem(name, 1, 1, (), "an empty file", "a JSON document"))
    document = Document(name, text, parse(name, text), hashlib.sha256(data).hexdigest())
    if re.search(r"\\u[dD][89a-fA-F]", text):
        refuse_surrogates(document)
    return document


def read_bytes(path: str) -> bytes:
    if path == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def parse(name: str, text: str) -> Any:
    """Return the value of a JSON text; raises InputError with the place of the first fault."""
    odd: List[str] = []

    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            odd.append("duplicate")
        return mapping

    def finite(word: str) -> float:
        number = float(word)
        if number - number != 0:  # true of NaN and the infinities only
            odd.append(word)
        return number

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=finite, parse_float=finite)
    except json.JSONDecodeError as error:
        rest = text[error.pos:error.pos + 12]
        found = json.dumps(rest, ensure_ascii=False) if rest else "the end of the file"
        raise InputError(problem(name, error.lineno, error.colno, (), found, "valid JSON", error.msg))
    except RecursionError:
        raise InputError(f"{name}: found JSON that is nested too deeply to be read")
    except ValueError as error:  # an integer with thousands of digits
        raise InputError(f"{name}: found a number that cannot be read, expected fewer digits ({error})")
    if odd:
        raise InputError(*odd_places(name, text, odd))
    return value


def odd_places(name: str, text: str, odd: List[str]) -> List[str]:
    """Return a line for each duplicate key and each number that is not finite in a parsed JSON text."""
    duplicates: List[Tuple[Path, Tuple[int, int]]] = []
    places = locate(text, duplicates)
    lines = [problem(name, *here, path, "the key a second time", "each key once in an object")
             for path, here in duplicates]
    rows = text.split("\n")
    for path, (line, column) in places.items():
        word = JSON_TOKEN.match(rows[line - 1], column - 1)
        if word and word.group() in odd:
            lines.append(problem(name, line, column, path, word.group(), "a finite number"))
    return lines[:MAX_PROBLEMS]


def refuse_surrogates(document: Document) -> None:
    """Raise InputError for a text with half of a surrogate pair: it has no UTF-8 form."""
    faults = Faults(document)
    waiting: List[Tuple[Path, Any]] = [((), document.value)]
    while waiting:
        path, value = waiting.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in inner:
            waiting.append((path + (key,), item))
            if isinstance(key, str) and re.search("[\ud800-\udfff]", key):
                faults.add(path, "a key with an unpaired surrogate", "Unicode text")
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            faults.add(path, "an unpaired surrogate", "Unicode text")
    faults.finish()


def clean(text: str) -> str:
    """Return text that is safe on a terminal: control, escape and direction marks become visible escapes."""
    return CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def now() -> str:
    """Return the time as ISO 8601 UTC in whole seconds, from SOURCE_DATE_EPOCH when that is set."""
    import time
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if given is None else int(given)))
    except (ValueError, OverflowError, OSError):
        raise InputError(f"SOURCE_DATE_EPOCH: found {given!r}, expected whole seconds since 1970")


def provenance(tool: str, inputs: Iterable[Document]) -> Dict[str, Any]:
    """Return who wrote a document, when, and from which bytes."""
    return {"tool": tool, "version": VERSION, "generated_at": now(),
            "inputs": [{"path": document.name, "sha256": document.sha256} for document in inputs]}


def to_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def say(message: str) -> None:
    """Print one message on standard error, if there is one."""
    if sys.stderr is not None:
        try:
            sys.stderr.buffer.write((clean(message) + "\n").encode("utf-8", "backslashreplace"))
            sys.stderr.flush()
        except (OSError, ValueError):
            pass


def print_out(text: str) -> None:
    """Write a result to standard output; a reader that went away is no error, a full disk is."""
    if sys.stdout is None:
        raise InputError("standard output: cannot be written: it is closed")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        silence_stdout()
    except (OSError, ValueError) as error:
        silence_stdout()
        raise InputError(f"standard output: cannot be written: {getattr(error, 'strerror', None) or error}")


def silence_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def write_file(path: str, text: str, mode: int = 0o666) -> None:
    """Replace a file as a whole: readers see the old content or the new, never half of it."""
    import tempfile
    temporary = ""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb", buffering=0) as device:  # /dev/full, a named pipe: nothing to replace
                device.write(text.encode("utf-8"))
            return
        target = os.path.realpath(path)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=f".{os.path.basename(target)}.")
        with open(handle, "wb") as file:
            file.write(text.encode("utf-8"))
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, mode & ~mask)
        os.replace(temporary, target)
        temporary = ""
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}")
    finally:
        if temporary:
            os.unlink(temporary)


def refuse_inputs_as_outputs(outputs: Iterable[str], inputs: Iterable[str]) -> None:
    """Raise InputError when writing would destroy what was read."""
    real = {os.path.realpath(path) for path in inputs if path != "-"}
    for path in outputs:
        if os.path.realpath(path) in real:
            raise InputError(f"{path}: is an input of this run, expected another path for the output")


def output_paths(output: Optional[str], chosen: str) -> List[str]:
    """Return the files that `-o output -f chosen` writes: `both` puts the text beside the JSON."""
    if output in (None, "-"):
        return []
    stem = output[:-5] if output.endswith(".json") else output
    return [output, stem + ".txt"] if chosen == "both" else [output]


def emit(output: Optional[str], chosen: str, render: Dict[str, Callable[[], str]], quiet: bool) -> None:
    """Write the chosen format; `both` is JSON plus text: X.json and X.txt, or stdout and stderr."""
    texts = [render[name]() for name in (("json", "text") if chosen == "both" else (chosen,))]
    paths = output_paths(output, chosen)
    for path, text in zip(paths, texts):
        write_file(path, text)
        if not quiet:
            say(f"wrote {path}")
    if not paths:
        print_out(texts[0])
        if len(texts) > 1 and not quiet:
            say(texts[1].rstrip("\n"))


class Parser(argparse.ArgumentParser):
    """Exits 3 on wrong usage (argparse's own 2 means "breaking" here) and suggests what was meant."""

    def _print_message(self, message: str, file: Any = None) -> None:
        print_out(message)  # --help and --version are results: a full disk must not pass unnoticed

    def error(self, message: str) -> NoReturn:
        words = re.findall(r"(?:invalid choice: '|unrecognized arguments: )([^'\s]+)", message)
        known = [text for action in self._actions for text in (*action.option_strings, *(action.choices or ()))]
        guess = did_you_mean(words[0].split("=")[0], known) if words else ""
        raise InputError(message + (f" (did you mean {guess!r}?)" if guess else "") + f"; see {self.prog} --help")


def run(tool: str, main: Callable[[Optional[Sequence[str]]], int], argv: Optional[Sequence[str]] = None) -> int:
    """Call `main` and turn every way of failing into an exit code and a line that names the cause."""
    import signal

    def stop(*_: Any) -> NoReturn:
        raise Terminated

    try:
        signal.signal(signal.SIGTERM, stop)
        return main(argv)
    except InputError as error:
        for line in error.args:
            say(f"{tool}: {line}")
    except BrokenPipeError:
        silence_stdout()
    except RecursionError:
        say(f"{tool}: the input is nested too deeply to be processed")
    except MemoryError:
        say(f"{tool}: the input is too large for the memory of this machine")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Terminated:
        return EXIT_TERMINATED
    except OSError as error:
        say(f"{tool}: {error.filename or 'output'}: {error.strerror or error}")
    except Exception as error:
        if os.environ.get("MIGRATION_ARCHITECT_DEBUG"):
            raise
        say(f"{tool}: internal error, please report it: {type(error).__name__}: {error}"
            " (MIGRATION_ARCHITECT_DEBUG=1 shows where)")
    return EXIT_UNUSABLE
# == End of the skeleton ==============================================================================


# == 1. Vocabulary ====================================================================================

EXIT_POTENTIALLY_BREAKING = 1
EXIT_BREAKING = 2
BREAKING, POTENTIALLY, NON_BREAKING, ADDITIVE = "breaking", "potentially_breaking", "non_breaking", "additive"
SEVERITIES = (BREAKING, POTENTIALLY, NON_BREAKING, ADDITIVE)  # worst first
EXPAND, MIGRATE, CONTRACT = "expand", "migrate", "contract"
PHASES = (EXPAND, MIGRATE, CONTRACT)
TEXT_ISSUES_SHOWN = 200  # a report longer than this is read with -f json


# == 2. Records =======================================================================================


class Rule(NamedTuple):
    """One kind of finding: an id never changes its severity; texts are whole sentences."""

    id: str
    severity: str
    title: str
    impact: str
    remedy: str


class Finding(NamedTuple):
    """A rule that applies at one place of the compared documents.

    `path` is the place in the after document, or in the before document for what was removed; `operations`
    are the API operations, or the kinds of SQL statement, that the change reaches.
    """

    rule: Rule
    path: Path
    description: str
    old: Any = None
    new: Any = None
    operations: Tuple[str, ...] = ()
    impact: str = ""  # instead of the rule's, when this case knows better
    remedy: str = ""


class Step(NamedTuple):
    """One script with its undo and its proof; `issues` are the paths of the findings that it carries out."""

    id: str
    phase: str
    description: str
    script_content: str
    rollback_script: str
    script_type: str = "sql"
    dependencies: Tuple[str, ...] = ()
    validation_query: Optional[str] = None
    transactional: bool = True
    lock: Optional[str] = None
    rewrites_table: bool = False
    reversibility: str = "lossless"
    data_loss: Optional[str] = None
    issues: Tuple[Path, ...] = ()


class Comparison(NamedTuple):
    """Everything that comparing two documents of one type has found out."""

    findings: Tuple[Finding, ...] = ()
    steps: Tuple[Step, ...] = ()
    dialect: Optional[str] = None
    data_migrations: Tuple[Dict[str, Any], ...] = ()
    reconciliation: Optional[Dict[str, Any]] = None
    recommendations: Tuple[str, ...] = ()
    not_compared: Tuple[Dict[str, Any], ...] = ()


class Options(NamedTuple):
    """What the command line asks for, as far as comparing needs it."""

    dialect: Optional[str] = None
    config: Dict[str, Any] = {}
    exclude: Tuple[str, ...] = ()
    tolerance: float = 0.0
    direction: str = "both"


def catalogue(*rows: Tuple[str, str, str, str, str]) -> Dict[str, Rule]:
    return {row[0]: Rule(*row) for row in rows}


# == 3. Database rules: one row is one kind of finding ================================================

# fmt: off
DATABASE_RULES = catalogue(
    # id, severity, title, impact, remedy
    ("table_removed", BREAKING, "Table removed",
     "Every statement that names the table fails.",
     "Stop the programs that use it first; the scripts move it to the archive, they do not destroy it."),
    ("table_added", ADDITIVE, "Table added", "Nobody uses it yet.", "Run the expand scripts before the release."),
    ("table_renamed", BREAKING, "Table renamed",
     "Programs that use the old name fail once the view that bears it is gone.",
     "Release the programs that use the new name between the expand and the contract scripts."),
    ("table_option_changed", NON_BREAKING, "Table option changed",
     "Storage or planning differs, results do not.", "Run the script; nothing to change in programs."),
    ("table_persistence_changed", POTENTIALLY, "Table persistence changed",
     "An unlogged table is empty after a crash and absent from replicas.", "Check who relies on its rows after a crash."),
    ("row_security_changed", POTENTIALLY, "Row level security switched",
     "Roles without a fitting policy see or change other rows than before.", "Test each role that reads the table."),
    ("partitioning_changed", BREAKING, "Partitioning changed",
     "The table has to be built anew; keys may have to hold the partition columns.",
     "Build the new table beside the old one, copy, and switch in a maintenance window."),
    ("partition_bound_changed", POTENTIALLY, "Partition bound changed",
     "Rows may fit no partition, or another one.", "Check the rows at the border first."),
    ("inheritance_changed", POTENTIALLY, "Table inheritance changed",
     "Queries on the parent return other rows than before.", "Check the queries on the parent."),
    ("column_removed", BREAKING, "Column removed",
     "Statements that name the column fail.", "Release programs that ignore it first; the contract script archives it."),
    ("column_added", ADDITIVE, "Optional column added", "Programs that do not know it go on.", "Run the expand scripts first."),
    ("required_column_added", BREAKING, "Required column added",
     "INSERTs of the running release leave it out and fail.",
     "Give the column a default, or a backfill for the rows that exist and a release that writes it."),
    ("column_renamed", BREAKING, "Column renamed",
     "Statements that use the old name fail after the contract script.",
     "Release the programs that use the new name between the expand and the contract scripts."),
    ("column_rename_suspected", NON_BREAKING, "Column removed and a similar one added",
     "If it is a rename, dropping and adding would lose the values.",
     "State \"renamed_from\" on the new column if it is a rename."),
    ("column_length_increased", NON_BREAKING, "Column length increased",
     "Readers may meet longer values; going back narrows the column.", "Check buffers and forms that hold the old length."),
    ("column_length_reduced", BREAKING, "Column length reduced",
     "Longer values are refused, and existing ones stop the conversion.", "Shorten or move the long values first."),
    ("column_type_widened", POTENTIALLY, "Column type widened",
     "Readers may meet values beyond the range of the old type.", "Check the types that programs read it into."),
    ("column_type_narrowed", BREAKING, "Column type narrowed",
     "Values beyond the new range are refused or lose precision.", "Count the values that do not fit first."),
    ("column_type_changed", BREAKING, "Column type changed",
     "Programs read and write it as the old type.", "Release programs that accept both before the contract script."),
    ("column_type_incompatible", BREAKING, "Column type changed without a known conversion",
     "No cast leads from the old type to the new one.", "State the conversion as \"using\" on the new column."),
    ("column_made_required", BREAKING, "Column made NOT NULL",
     "Writes of NULL fail, and rows that hold NULL stop the change.", "Fill the NULLs and stop writing them first."),
    ("column_made_nullable", POTENTIALLY, "Column made nullable",
     "Readers may meet NULL.", "Check the programs that take the value for granted."),
    ("column_default_added", NON_BREAKING, "Column default added", "INSERTs without the column get the default.", "None needed."),
    ("column_default_changed", POTENTIALLY, "Column default changed",
     "INSERTs without the column get another value.", "Check the programs that rely on the old default."),
    ("column_default_removed", POTENTIALLY, "Column default removed",
     "INSERTs without the column now store NULL.", "Check the programs that rely on the default."),
    ("required_column_default_removed", BREAKING, "Default of a required column removed",
     "INSERTs without the column fail.", "Release programs that write the column first."),
    ("identity_added", POTENTIALLY, "Identity added",
     "Numbers now come from the server.", "Check that programs do not number rows themselves."),
    ("identity_always_added", BREAKING, "Identity GENERATED ALWAYS added",
     "INSERTs that give a number fail.", "Use BY DEFAULT, or stop giving numbers."),
    ("identity_removed", BREAKING, "Identity removed",
     "INSERTs without the column get no number.", "Release programs that give a number first."),
    ("generated_column_added", ADDITIVE, "Generated column added", "Programs that do not know it go on.", "None needed."),
    ("column_made_generated", BREAKING, "Column made generated",
     "Writes to it fail.", "Stop writing the column first."),
    ("column_generation_removed", POTENTIALLY, "Column no longer generated",
     "The value is NULL or stale unless a program writes it.", "Release programs that write the column first."),
    ("column_generation_changed", POTENTIALLY, "Generation expression changed",
     "The column holds other values than before.", "Check the readers of the column."),
    ("column_collation_changed", POTENTIALLY, "Column collation changed",
     "Order, equality and indexes of the column differ.", "Check ORDER BY, unique values and LIKE on it."),
    ("column_storage_changed", NON_BREAKING, "Column storage changed", "Space and speed differ, values do not.", "None needed."),
    ("column_visibility_changed", POTENTIALLY, "Column visibility changed",
     "SELECT * and INSERT without a column list see other columns.", "Name the columns in statements."),
    ("primary_key_added", POTENTIALLY, "Primary key added",
     "NULLs and duplicates are refused.", "Count NULLs and duplicates first."),
    ("primary_key_removed", POTENTIALLY, "Primary key removed",
     "Upserts, replication and references that need it fail.", "Check ON CONFLICT, foreign keys and replication."),
    ("primary_key_changed", BREAKING, "Primary key changed",
     "Rows are identified by other columns.", "Check upserts, references and replication."),
    ("unique_added", POTENTIALLY, "Unique constraint added", "Duplicates are refused.", "Count the duplicates first."),
    ("unique_removed", POTENTIALLY, "Unique constraint removed",
     "Upserts that name it fail, duplicates may appear.", "Check ON CONFLICT and readers that expect one row."),
    ("unique_changed", POTENTIALLY, "Unique constraint changed", "Other duplicates are refused.", "Count the duplicates first."),
    ("foreign_key_added", POTENTIALLY, "Foreign key added",
     "Rows without a parent are refused.", "Count the orphans first."),
    ("foreign_key_removed", NON_BREAKING, "Foreign key removed",
     "Orphans may appear, cascades no longer run.", "Check who relied on the cascade."),
    ("foreign_key_changed", POTENTIALLY, "Foreign key changed",
     "Other rows are refused, or deletes act differently.", "Check deletes of the parent."),
    ("check_added", POTENTIALLY, "CHECK added", "Rows that violate it are refused.", "Count the violating rows first."),
    ("check_removed", NON_BREAKING, "CHECK removed", "Readers may meet values it kept out.", "Check the readers."),
    ("check_changed", POTENTIALLY, "CHECK changed", "Other rows are refused.", "Count the violating rows first."),
    ("exclude_added", POTENTIALLY, "EXCLUDE constraint added", "Conflicting rows are refused.", "Count the conflicts first."),
    ("exclude_removed", NON_BREAKING, "EXCLUDE constraint removed", "Conflicting rows may appear.", "Check the readers."),
    ("exclude_changed", POTENTIALLY, "EXCLUDE constraint changed", "Other rows are refused.", "Count the conflicts first."),
    ("constraint_renamed", NON_BREAKING, "Constraint renamed",
     "Programs that look at its name in error messages no longer find it.", "Search programs for the old name."),
    ("index_added", ADDITIVE, "Index added", "Reads may get faster, writes a little slower.", "None needed."),
    ("index_removed", NON_BREAKING, "Index removed", "Queries that use it get slower.", "Check the plans that use it."),
    ("index_changed", NON_BREAKING, "Index changed", "Query plans may differ.", "Check the plans that use it."),
    ("index_renamed", NON_BREAKING, "Index renamed", "Only statements that name it notice.", "None needed."),
    ("unique_index_added", POTENTIALLY, "Unique index added", "Duplicates are refused.", "Count the duplicates first."),
    ("unique_index_removed", POTENTIALLY, "Unique index removed",
     "Upserts that rely on it fail, duplicates may appear.", "Check ON CONFLICT."),
    ("unique_index_changed", POTENTIALLY, "Unique index changed", "Other duplicates are refused.", "Count the duplicates first."),
    ("enum_added", ADDITIVE, "Enum type added", "Nobody uses it yet.", "None needed."),
    ("enum_removed", BREAKING, "Enum type removed", "Casts to it and parameters of it fail.", "Release programs without it first."),
    ("enum_value_added", POTENTIALLY, "Enum value added",
     "Programs that know all values may meet a new one.", "Release programs that accept it before it is written."),
    ("enum_value_removed", BREAKING, "Enum value removed",
     "Writes of it fail; rows that hold it stop the change.", "Change the rows that hold it first."),
    ("enum_values_reordered", POTENTIALLY, "Enum values reordered",
     "ORDER BY and comparisons of the column differ.", "Check sorting by the column."),
    ("domain_added", ADDITIVE, "Domain added", "Nobody uses it yet.", "None needed."),
    ("domain_removed", BREAKING, "Domain removed", "Casts to it fail.", "Release programs without it first."),
    ("domain_changed", POTENTIALLY, "Domain changed", "Its columns accept other values.", "Count the violating rows first."),
    ("domain_type_changed", BREAKING, "Base type of a domain changed",
     "Its columns have another type.", "Add a new domain and change the columns one by one."),
    ("composite_type_added", ADDITIVE, "Composite type added", "Nobody uses it yet.", "None needed."),
    ("composite_type_removed", BREAKING, "Composite type removed", "Casts to it fail.", "Release programs without it first."),
    ("composite_type_changed", BREAKING, "Composite type changed",
     "Programs that read or build its values fail.", "Release programs that accept both."),
    ("sequence_added", ADDITIVE, "Sequence added", "Nobody uses it yet.", "None needed."),
    ("sequence_removed", BREAKING, "Sequence removed", "nextval() on it fails.", "Release programs without it first."),
    ("sequence_changed", NON_BREAKING, "Sequence changed", "Numbers may come in another range or step.", "Check its readers."),
    ("function_added", ADDITIVE, "Function added", "Nobody calls it yet.", "None needed."),
    ("function_removed", BREAKING, "Function removed", "Calls of it fail.", "Release programs that do not call it first."),
    ("function_changed", POTENTIALLY, "Function body changed", "Calls may return or do something else.", "Test its callers."),
    ("function_signature_changed", BREAKING, "Function result or parameters changed",
     "Callers get another shape.", "Add a new function beside it, and remove the old one later."),
    ("view_added", ADDITIVE, "View added", "Nobody reads it yet.", "None needed."),
    ("view_removed", BREAKING, "View removed", "Queries of it fail.", "Release programs without it first."),
    ("view_column_removed", BREAKING, "View column removed", "Queries that name it fail.", "Release programs without it first."),
    ("view_column_added", ADDITIVE, "View column added", "Programs that do not know it go on.", "None needed."),
    ("view_changed", POTENTIALLY, "View definition changed", "It may return other rows.", "Compare its result before and after."),
    ("trigger_added", POTENTIALLY, "Trigger added", "Writes do more than before.", "Test the writers of the table."),
    ("trigger_removed", POTENTIALLY, "Trigger removed", "Writes do less than before.", "Check what relied on it."),
    ("trigger_changed", POTENTIALLY, "Trigger changed", "Writes act differently.", "Test the writers of the table."),
    ("rule_added", POTENTIALLY, "Rewrite rule added", "Statements are rewritten.", "Test the statements on the table."),
    ("rule_removed", POTENTIALLY, "Rewrite rule removed", "Statements are no longer rewritten.", "Test them."),
    ("rule_changed", POTENTIALLY, "Rewrite rule changed", "Statements are rewritten differently.", "Test them."),
    ("policy_added", POTENTIALLY, "Row policy added", "Roles see other rows.", "Test each role."),
    ("policy_removed", POTENTIALLY, "Row policy removed", "Roles see other rows.", "Test each role."),
    ("policy_changed", POTENTIALLY, "Row policy changed", "Roles see other rows.", "Test each role."),
    ("extension_added", ADDITIVE, "Extension added", "Nobody uses it yet.", "The server needs its files, and the right to create it."),
    ("extension_removed", BREAKING, "Extension removed", "Its functions and types are gone.", "Release programs without it first."),
    ("extension_changed", NON_BREAKING, "Extension changed", "Its functions may act differently.", "Read its release notes."),
    ("schema_added", ADDITIVE, "Schema added", "Nobody uses it yet.", "None needed."),
    ("schema_removed", BREAKING, "Schema removed", "Names in it no longer resolve.", "Release programs without it first."),
    ("virtual_table_added", ADDITIVE, "Virtual table added", "Nobody uses it yet.", "The client needs the module that it names."),
    ("virtual_table_removed", BREAKING, "Virtual table removed", "Statements that name it fail.",
     "Stop the programs that use it first."),
    ("virtual_table_changed", BREAKING, "Virtual table changed",
     "It has to be made and filled anew.", "Build the new one beside it and fill it from its source."),
    ("column_affinity_changed", POTENTIALLY, "Column affinity changed",
     "SQLite stores and compares values of the column in another way, and refuses none.",
     "Check comparisons and ORDER BY on the column, and programs that look at typeof()."),
    ("column_declared_type_changed", NON_BREAKING, "Declared type changed, affinity the same",
     "SQLite stores the same values as before and enforces no length.", "Check programs that read the declared type."),
    ("comment_changed", NON_BREAKING, "Comment changed", "Nothing acts differently.", "None needed."),
)
# fmt: on


# == 4. SQL text: tokens, names, canonical forms ======================================================
# Only here is SQL taken apart, with one tokenizer; everything else handles whole expressions.

SQL_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<string>[eEbBxXnN]?'(?:[^'\\]|''|\\.)*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
  | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<other>::|.)""",
    re.X | re.S,
)

MISSING = object()


def tokens(text: str) -> List[Tuple[str, str]]:
    """Return (kind, text) of each token without space and comments; a word is lower case, a quoted name unquoted."""
    found = []
    for match in SQL_TOKEN.finditer(text):
        kind, token = match.lastgroup or "", match.group()
        if match.group("string") is not None:
            found.append(("string", token))
        elif kind == "word":
            found.append(("word", token.lower()))
        elif kind == "quoted":
            found.append(("name", token[1:-1].replace(token[0] * 2, token[0])))
        elif kind != "space":
            found.append((kind, token))
    return found


def names_in(text: str) -> FrozenSet[str]:
    """Return every word and quoted name of a SQL text; string literals that look like names count too (regclass)."""
    known = NAMES_IN_CACHE.get(text)
    if known is None:
        known = frozenset(name for kind, token in tokens(text) for name in token_names(kind, token))
        NAMES_IN_CACHE[text] = known
    return known


NAMES_IN_CACHE: Dict[str, FrozenSet[str]] = {}


def token_names(kind: str, token: str) -> Iterable[str]:
    if kind in ("word", "name"):
        return (token,)
    if kind == "string":
        inner = token[token.index("$", 1) + 1 : token.rindex("$", 0, -1)] if token[0] == "$" else token.strip("'")
        return re.findall(r"[^\W\d][\w$]*", inner.lower()) if token[0] == "$" or len(inner) < 130 else ()
    return ()


def replace_name(text: str, old: str, new: str) -> str:
    """Return SQL with the column name `old` replaced by `new` (already quoted) wherever it stands as a name."""
    parts: List[str] = []
    matches = list(SQL_TOKEN.finditer(text))
    for index, match in enumerate(matches):
        kind, token = match.lastgroup, match.group()
        name = token.lower() if kind == "word" else token[1:-1].replace('""', '"') if kind == "quoted" else None
        called = text[match.end() : match.end() + 1] == "("
        cast = index > 0 and matches[index - 1].group() == "::"
        parts.append(new if name == old and not called and not cast else token)
    return "".join(parts)


def canonical(text: Optional[str]) -> Optional[str]:
    """Return the form of an expression in which equal meaning is equal text, for comparing only.

    Covers what servers do to expressions when they print them back: case, space, redundant parentheses, casts of
    literals, and IN lists that PostgreSQL deparses as `= ANY (ARRAY[...])`.
    """
    if text is None:
        return None
    known = CANONICAL_CACHE.get(text)
    if known is None:
        known = CANONICAL_CACHE[text] = canonical_tokens(text)
    return known


CANONICAL_CACHE: Dict[str, str] = {}
CAST_NOISE = re.compile(
    r" :: (?:pg_catalog \. )?(?:character varying|text|bpchar|character|varchar)(?: \( \d+ \))?((?: \[ \])?)(?= |$)"
)
REDUNDANT_NAME = re.compile(r"\( ([^\s()]+) \)")


def canonical_tokens(text: str) -> str:
    plain = " ".join(token.replace(" ", "\x00") if kind == "string" else token for kind, token in tokens(text))
    plain = CAST_NOISE.sub(" ", f" {plain} ").replace("  ", " ")
    plain = re.sub(r"(?<![\w\"]) \( ((?:'[^']*'|[\w.]+)) \)", r" \1", plain)
    plain = re.sub(r"= any \( (?:\( )?array \[ (.*?) \](?: \))? \)", r"in ( \1 )", plain)
    plain = re.sub(r"<> all \( (?:\( )?array \[ (.*?) \](?: \))? \)", r"not in ( \1 )", plain)
    plain = re.sub(r"\s+", " ", plain).strip()
    while plain.startswith("( ") and closes_at_end(plain):
        plain = plain[2:-2].strip()
    return plain


def closes_at_end(plain: str) -> bool:
    """Tell whether the first parenthesis of a token text is closed by its last character."""
    depth = 0
    for index, token in enumerate(plain):
        depth += (token == "(") - (token == ")")
        if depth == 0:
            return index == len(plain) - 1
    return False


def split_top(text: str) -> List[str]:
    """Split a SQL list at its commas outside parentheses, brackets and quotes."""
    parts, depth, start = [], 0, 0
    for match in SQL_TOKEN.finditer(text):
        token = match.group()
        depth += (token in "([") - (token in ")]") if len(token) == 1 else 0
        if token == "," and depth == 0:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return parts + [text[start:].strip()] if text[start:].strip() else parts


def strip_words(text: str) -> str:
    """Return text without the semicolon and space at its end."""
    return text.strip().rstrip(";").rstrip()
# == 5. Database records ==============================================================================


class Column(NamedTuple):
    """One column; `default` and `generated` are SQL text as it is written, `type` is in canonical spelling."""

    name: str
    type: str
    nullable: bool = True
    default: Optional[str] = None
    identity: Optional[str] = None  # always | by_default
    identity_options: Optional[Dict[str, Any]] = None
    generated: Optional[str] = None
    collation: Optional[str] = None
    traits: Tuple[Tuple[str, Any], ...] = ()  # storage, compression, statistics, on_update, invisible ...
    comment: Optional[str] = None
    renamed_from: Optional[str] = None
    using: Optional[str] = None
    backfill: Optional[str] = None


class Constraint(NamedTuple):
    """One table constraint; `definition` is what follows its name in ADD CONSTRAINT."""

    kind: str  # primary_key | unique | foreign_key | check | exclude
    name: str
    columns: Tuple[str, ...]
    definition: str
    references: Optional[Tuple[str, Tuple[str, ...]]] = None
    comment: Optional[str] = None
    named: bool = True  # false when the document left the name to the server


class Index(NamedTuple):
    """One index that no constraint owns; `tail` is what follows `ON table` in its definition."""

    name: str
    unique: bool
    tail: str
    columns: Tuple[str, ...] = ()
    comment: Optional[str] = None
    flags: Tuple[str, ...] = ()  # clustered, replica_identity
    named: bool = True


class Part(NamedTuple):
    """A trigger, rule or policy of a table or view, as its whole CREATE statement."""

    kind: str
    name: str
    definition: str
    enabled: str = "O"
    comment: Optional[str] = None


class Table(NamedTuple):
    key: str
    schema: str
    name: str
    columns: Dict[str, Column]
    constraints: Dict[str, Constraint]
    indexes: Dict[str, Index]
    parts: Dict[Tuple[str, str], Part]
    traits: Dict[str, Any]  # row_security, unlogged, options, inherits, partition_by, partition_of ...
    comment: Optional[str] = None
    renamed_from: Optional[str] = None
    row_count: Optional[int] = None
    size_mb: Optional[float] = None


class Thing(NamedTuple):
    """An object that is not a table: enum, domain, composite_type, sequence, function, view, extension, schema."""

    kind: str
    key: str
    schema: str
    name: str
    facts: Dict[str, Any]
    comment: Optional[str] = None


class Schema(NamedTuple):
    dialect: str
    server_version: str
    tables: Dict[str, Table]
    things: Dict[Tuple[str, str], Thing]
    not_exported: Tuple[Dict[str, Any], ...] = ()


class Change(NamedTuple):
    """A fact about one object that differs; no opinion."""

    kind: str  # noun.verb, as column.type
    path: Path
    table: Optional[str] = None  # key of the table in the after document, else in the before document
    old: Any = None
    new: Any = None


class Conversion(NamedTuple):
    """How values get from one type to another: `loss` is none, narrowing, or impossible."""

    loss: str = "none"
    instant: bool = False  # only the catalogue changes
    cast: str = ""  # expression with {c} for the column; empty when the types need none
    fallible: bool = False  # a value may be refused


# == 6. Types =========================================================================================

TYPE_TEXT = re.compile(
    r"""^\s*(?P<base>(?:"[^"]+"|[^\s("\[]+)(?:\s+[^\s(\["]+)*?)\s*(?:\((?P<args>[^()]*(?:\([^)]*\)[^()]*)*)\))?\s*
    (?P<tail>(?:with(?:out)?\s+time\s+zone|unsigned|zerofill|\s)*)(?P<array>(?:\s*\[\d*\])*)\s*$""",
    re.X | re.I | re.S,
)
POSTGRESQL_ALIASES = {  # PostgreSQL docs, table 8.1
    "int": "integer",
    "int4": "integer",
    "int2": "smallint",
    "int8": "bigint",
    "varchar": "character varying",
    "char": "character",
    "bool": "boolean",
    "decimal": "numeric",
    "dec": "numeric",
    "float8": "double precision",
    "float": "double precision",
    "double": "double precision",
    "float4": "real",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "datetime": "timestamp without time zone",
    "timetz": "time with time zone",
    "time": "time without time zone",
    "varbit": "bit varying",
    "blob": "bytea",
    "string": "text",
    "national character varying": "character varying",
    "nvarchar": "character varying",
}
SERIALS = {
    "serial": "integer",
    "bigserial": "bigint",
    "smallserial": "smallint",
    "serial4": "integer",
    "serial8": "bigint",
    "serial2": "smallint",
}


class Type(NamedTuple):
    """A column type taken apart: `numeric(10,2)[]` is base numeric, args (10, 2), dims 1."""

    base: str
    args: Tuple[int, ...] = ()
    dims: int = 0
    words: str = ""  # arguments that are not numbers: enum labels, interval fields, geometry kinds


TYPE_CACHE: Dict[str, Type] = {}


def parse_type(text: str) -> Type:
    """Return a PostgreSQL type with its alias resolved, so that equal types are equal."""
    known = TYPE_CACHE.get(text)
    if known is None:
        known = TYPE_CACHE[text] = parse_type_text(text)
    return known


def parse_type_text(text: str) -> Type:
    match = TYPE_TEXT.match(text)
    if not match:
        return Type(text.strip())
    base = match.group("base").strip()
    base = base if '"' in base else re.sub(r"\s+", " ", base.lower())
    tail = re.sub(r"\s+", " ", (match.group("tail") or "").strip().lower())
    args = (match.group("args") or "").strip()
    dims = (match.group("array") or "").count("[")
    if base.startswith("_") and base[1:] in POSTGRESQL_ALIASES:
        base, dims = base[1:], 1
    if tail:
        base = f"{base} {tail}"
    base = re.sub(r"^(?:pg_catalog|public)\.", "", POSTGRESQL_ALIASES.get(base, base))
    base = POSTGRESQL_ALIASES.get(base, base)
    numbers = [part.strip() for part in args.split(",") if part.strip()]
    if base == "character" and not numbers:
        numbers = ["1"]
    if base == "numeric" and len(numbers) == 1:
        numbers.append("0")
    if all(re.fullmatch(r"-?\d+", number) for number in numbers):
        return Type(base, tuple(int(number) for number in numbers), dims)
    return Type(base, (), dims, args)


def show_type(kind: Type) -> str:
    """Return a type as PostgreSQL's format_type prints it."""
    args = kind.words or ",".join(str(arg) for arg in kind.args)
    base, zone = (
        (kind.base.split(" ", 1)[0], " " + kind.base.split(" ", 1)[1])
        if re.match(r"time", kind.base)
        else (kind.base, "")
    )
    return base + (f"({args})" if args else "") + zone + "[]" * kind.dims


INTEGERS = {"smallint": 1, "integer": 2, "bigint": 3}
FLOATS = {"real": 1, "double precision": 2}
TEXTS = ("character varying", "character", "text", "bpchar", "citext", "name")
NARROWING = Conversion("narrowing", False, "{c}::{t}", True)
LOSSLESS_CASTS = {  # from -> to: every value survives there and back
    "boolean": ("integer",),
    "date": ("timestamp without time zone", "timestamp with time zone"),
    "timestamp without time zone": ("timestamp with time zone",),
    "timestamp with time zone": ("timestamp without time zone",),
    "time without time zone": ("interval", "time with time zone"),
    "jsonb": ("json",),
    "cidr": ("inet",),
    "json": (),
    "real": ("double precision",),
    "inet": (),
    "uuid": (),
    "citext": ("text",),
    "smallint": ("real", "double precision", "numeric"),
    "integer": ("double precision", "numeric"),
    "bigint": ("numeric",),
    "oid": ("bigint",),
    "character": (),
    "money": ("numeric",),
}
NARROWING_CASTS = {
    "integer": ("boolean", "real", "oid", "character", "bit"),
    "bigint": ("real", "double precision", "oid"),
    "timestamp without time zone": ("date", "time without time zone"),
    "timestamp with time zone": ("date", "time without time zone", "time with time zone"),
    "interval": ("time without time zone",),
    "json": ("jsonb",),
    "inet": ("cidr",),
    "double precision": ("real", "numeric"),
    "real": ("numeric",),
    "numeric": ("real", "double precision", "money"),
    "time with time zone": ("time without time zone",),
}
INSTANT_CASTS = {
    ("cidr", "inet"),
    ("text", "character varying"),
    ("xml", "text"),
    ("timestamp without time zone", "timestamp with time zone"),
    ("timestamp with time zone", "timestamp without time zone"),
    ("citext", "text"),
    ("text", "citext"),
}


def convert_type(old: Type, new: Type) -> Conversion:
    """Judge a PostgreSQL type change by what happens to values, not by a list of pairs.

    Instant conversions are those that PostgreSQL makes in the catalogue alone (ALTER TABLE notes; tried on 15).
    """
    if old.dims != new.dims:
        return Conversion("impossible")
    if old.base == new.base:
        return convert_modifier(old, new)
    if old.base in TEXTS or new.base in TEXTS:
        return convert_text(old, new)
    pair = (old.base, new.base)
    if old.base in INTEGERS and new.base in INTEGERS:
        return Conversion("none", False, "{c}::{t}") if INTEGERS[old.base] < INTEGERS[new.base] else NARROWING
    if new.base in LOSSLESS_CASTS.get(old.base, ()) and not new.args:
        return Conversion("none", pair in INSTANT_CASTS, "{c}::{t}")
    numeric = {*INTEGERS, *FLOATS, "numeric"}
    if {old.base, new.base} <= numeric or new.base in NARROWING_CASTS.get(old.base, ()):
        return NARROWING
    if new.base in LOSSLESS_CASTS.get(old.base, ()):
        return NARROWING
    if pair == ("bigint", "boolean") or pair == ("smallint", "boolean"):
        return Conversion("narrowing", False, "({c} <> 0)", False)
    if new.base in INTEGERS and old.base == "boolean":
        return Conversion("none", False, "{c}::integer::{t}")
    return Conversion("impossible")


def convert_modifier(old: Type, new: Type) -> Conversion:
    """Judge a change of length, precision or scale within one base type."""
    if old.words or new.words or old == new:
        return Conversion("none" if old == new else "narrowing", old == new, "{c}::{t}", True)
    widens = not new.args or (
        bool(old.args) and len(old.args) == len(new.args) and all(b >= a for a, b in zip(old.args, new.args))
    )
    if old.base == "numeric" and old.args and new.args:
        widens = new.args[1] >= old.args[1] and new.args[0] - new.args[1] >= old.args[0] - old.args[1]
        return Conversion("none", new.args[1] == old.args[1], "{c}::{t}") if widens else NARROWING
    if not widens:
        return NARROWING
    return Conversion("none", old.base not in ("character", "bit") and not old.dims, "{c}::{t}")


BYTES_CASTS = {("text", "bytea"): "convert_to({c}, 'UTF8')", ("bytea", "text"): "convert_from({c}, 'UTF8')"}


def convert_text(old: Type, new: Type) -> Conversion:
    """Judge a change from or to a character type: every type has a text form, not every text is a value."""
    if old.base in TEXTS and new.base in TEXTS:
        fits = not new.args or (bool(old.args) and new.args[0] >= old.args[0])
        plain = old.base in ("character varying", "text") and new.base in ("character varying", "text")
        instant = (plain or (old.base, new.base) in INSTANT_CASTS) and fits and not old.dims
        return Conversion("none", instant, "{c}::{t}") if fits and old.base != "character" else NARROWING
    if "bytea" in (old.base, new.base) and not old.dims:
        cast = BYTES_CASTS["bytea" if old.base == "bytea" else "text", "bytea" if new.base == "bytea" else "text"]
        fits = new.base == "bytea" and not old.args
        return Conversion("none" if fits else "narrowing", False, cast, not fits)
    if new.base in TEXTS:
        return (
            Conversion("none", old.base == "xml", "{c}::text::{t}", bool(new.args))
            if not new.args
            else NARROWING._replace(cast="{c}::text::{t}")
        )
    return Conversion("narrowing", False, "{c}::text::{t}", True)
# == 7. Dialects: every difference between databases that is not a recipe =============================

RESERVED = frozenset(
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation column "
    "concurrently constraint create cross current_catalog current_date current_role current_schema current_time "
    "current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from "
    "full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime "
    "localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references returning "
    "right select session_user similar some symmetric system_user table tablesample then to trailing true union unique user "
    "using variadic verbose when where window with".split()
)  # pg_get_keywords() on 15 and 17, catcode R and T
PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")


class Dialect:
    """The answers that differ between databases; the base class answers as the SQL standard does."""

    name = "ansi"
    quote_char = '"'
    max_name_bytes = 63
    key_not_null = True  # a primary key makes its columns NOT NULL
    strict_types = True  # the server refuses values that are not of the column's type

    def quote(self, name: str) -> str:
        """Return an identifier as SQL, quoted only where it must be."""
        if PLAIN_NAME.fullmatch(name) and name not in RESERVED:
            return name
        return self.quote_char + name.replace(self.quote_char, 2 * self.quote_char) + self.quote_char

    def literal(self, text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def boolean(self, value: bool) -> str:
        return "true" if value else "false"

    def table_sql(self, schema: str, name: str) -> str:
        return f"{self.quote(schema)}.{self.quote(name)}"

    def names_sql(self, names: Iterable[str]) -> str:
        return ", ".join(self.quote(name) for name in names)

    def reference_sql(self, key: str) -> str:
        schema, name = self.split_key(key, None)
        return self.table_sql(schema, name)

    def split_key(self, key: str, body: Any) -> Tuple[str, str]:
        return split_key(key, body)

    def table_body(self, body: Dict[str, Any]) -> Dict[str, Any]:
        """Return a table's members as they are to be read."""
        return body

    def align(self, before: Schema, after: Schema) -> Schema:
        """Return the after schema with the names that mean the same spelled as in the before schema."""
        return after

    def implied_name(self, table: str, columns: Sequence[str], label: str) -> str:
        """Return the name that the server would give, shortened as PostgreSQL's makeObjectName does."""
        middle = "_".join(columns)
        room = self.max_name_bytes - len(label.encode()) - (2 if middle else 1)
        first = table
        while len(first.encode()) + len(middle.encode()) > room:
            if len(first.encode()) > len(middle.encode()):
                first = first[:-1]
            else:
                middle = middle[:-1]
        return "_".join(part for part in (first, middle, label) if part)

    def type_text(self, kind: str, spec: Dict[str, Any]) -> str:
        """Return the canonical spelling of a column's type from its type and length, precision, scale members."""
        parsed = parse_type(SERIALS.get(kind.strip().lower(), kind))
        sizes = [spec.get("length")] if spec.get("length") is not None else [spec.get("precision"), spec.get("scale")]
        numbers = tuple(size for size in sizes if isinstance(size, int) and not isinstance(size, bool))
        if numbers and not parsed.words and (not parsed.args or kind.strip().lower() in ("char", "character")):
            takes = parsed.base not in (*INTEGERS, *FLOATS, "text", "boolean", "date", "uuid", "json", "jsonb", "bytea")
            return show_type(parse_type(show_type(parsed._replace(args=numbers if takes else ()))))
        return show_type(parsed)

    def complete_column(self, column: Column, spec: Dict[str, Any]) -> Column:
        """Return the column with what the document implies: a serial counts itself."""
        serial = str(spec.get("type", "")).strip().lower() in SERIALS or spec.get("auto_increment")
        if not serial or column.identity or column.default:
            return column
        return column._replace(nullable=False, traits=column.traits + (("serial", True),))

    def complete(self, schema: Schema) -> Schema:
        return schema

    def key_constraint(self, kind: str, table: str, columns: Tuple[str, ...], entry: Dict[str, Any]) -> Constraint:
        """Return a primary key or unique constraint from the names of its columns and what the entry adds."""
        word, label = ("PRIMARY KEY", "pkey") if kind == "primary_key" else ("UNIQUE", "key")
        name = entry.get("name") or self.implied_name(table, () if kind == "primary_key" else columns, label)
        nulls = " NULLS NOT DISTINCT" if entry.get("nulls_not_distinct") else ""
        definition = entry.get("definition") or f"{word}{nulls} ({self.names_sql(columns)}){self.deferral(entry)}"
        return Constraint(kind, name, columns, definition, None, entry.get("comment"), bool(entry.get("name")))

    def deferral(self, entry: Dict[str, Any]) -> str:
        value = entry.get("deferrable")
        if not value:
            return ""
        deferred = (
            entry.get("initially_deferred")
            or "deferred" in str(value).lower()
            or "deferred" in str(entry.get("initially", "")).lower()
        )
        return " DEFERRABLE INITIALLY DEFERRED" if deferred else " DEFERRABLE"

    def foreign_key(
        self, table: str, columns: Tuple[str, ...], target: str, there: Tuple[str, ...], entry: Dict[str, Any]
    ) -> Constraint:
        actions = ""
        for event in ("update", "delete"):
            action = str(entry.get(f"on_{event}") or "").upper().replace("_", " ")
            actions += f" ON {event.upper()} {action}" if action and action != "NO ACTION" else ""
        definition = entry.get("definition") or (
            f"FOREIGN KEY ({self.names_sql(columns)}) REFERENCES {self.reference_sql(target)}({self.names_sql(there)})"
            f"{actions}{self.deferral(entry)}"
        )
        name = entry.get("name") or self.implied_name(table, columns, "fkey")
        return Constraint(
            "foreign_key", name, columns, definition, (target, there), entry.get("comment"), bool(entry.get("name"))
        )

    def check_constraint(self, kind: str, table: str, entry: Dict[str, Any], columns: Tuple[str, ...]) -> Constraint:
        expression = strip_words(str(entry.get("expression") or ""))
        definition = entry.get("definition") or (
            f"CHECK ({expression})" if kind == "check" else f"EXCLUDE {expression}"
        )
        used = names_in(definition)
        mentioned = tuple(column for column in columns if column in used)
        name = entry.get("name") or self.implied_name(
            table, mentioned if len(mentioned) == 1 else (), "check" if kind == "check" else "excl"
        )
        return Constraint(kind, name, mentioned, definition, None, entry.get("comment"), bool(entry.get("name")))

    def index(self, table: str, entry: Dict[str, Any]) -> Index:
        """Return an index from its full definition or from its columns."""
        listed_columns = entry.get("columns") or []
        columns = tuple([listed_columns] if isinstance(listed_columns, str) else listed_columns)
        flags = tuple(flag for flag in ("clustered", "replica_identity") if entry.get(flag))
        definition = entry.get("definition")
        tail = index_tail(definition) if definition else self.index_tail_sql(columns, entry)
        unique = bool(entry.get("unique")) or bool(definition and re.match(r"(?i)\s*create\s+unique\b", definition))
        plain = [
            column.split()[0].strip('"') if PLAIN_NAME.match(column) and "(" not in column else "expr"
            for column in columns
        ]
        name = entry.get("name") or self.implied_name(table, plain, "idx")
        return Index(name, unique, tail, columns, entry.get("comment"), flags, bool(entry.get("name")))

    def index_tail_sql(self, columns: Tuple[str, ...], entry: Dict[str, Any]) -> str:
        method = str(entry.get("method") or "btree").lower()
        include = f" INCLUDE ({self.names_sql(entry['include'])})" if entry.get("include") else ""
        where = f" WHERE ({entry['where']})" if entry.get("where") else ""
        return f"USING {method} ({', '.join(self.index_column(column) for column in columns)}){include}{where}"

    def index_column(self, text: str) -> str:
        """Return one index column: a name, a name with an order, a call, or an expression in parentheses."""
        if re.fullmatch(r"[\w$ -]+", text) and not re.search(r"(?i)\s(asc|desc|nulls|\w+_ops)\b", text):
            return self.quote(text)
        if text.startswith(("(", '"')) or re.fullmatch(
            r"(?is)[\w.]+\s*\(.*\)(?:\s+(?:asc|desc|nulls\s+\w+|\w+_ops))*", text
        ):
            return text
        return (
            text if re.fullmatch(r"(?i)\w+(?:\s+(?:asc|desc|nulls\s+(?:first|last)|\w+_ops))+", text) else f"({text})"
        )

    def convert(self, old: str, new: str) -> Conversion:
        return convert_type(parse_type(old), parse_type(new))

    def plan(self, before: Schema, after: Schema, changes: Sequence[Change]) -> List[Step]:
        raise InputError(f"--dialect: found {self.name}, for which no scripts can be written yet")


def index_tail(definition: str) -> str:
    """Return what follows the table's name in a CREATE INDEX statement."""
    match = re.search(
        r"(?is)\bON\s+(?:ONLY\s+)?(?:(?:\"(?:[^\"]|\"\")*\"|[^\s(.]+)(?:\s*\.\s*(?:\"(?:[^\"]|\"\")*\"|[^\s(.]+))?)\s*",
        definition,
    )
    tail = strip_words(definition[match.end() :]) if match else definition
    return tail if tail.upper().startswith("USING") else f"USING btree {tail}"


class PostgreSQL(Dialect):
    name = "postgresql"

    def complete(self, schema: Schema) -> Schema:
        """Return the schema with the sequences that serial columns imply, named as the server names them."""
        things, tables = dict(schema.things), dict(schema.tables)
        for key, table in schema.tables.items():
            columns = dict(table.columns)
            for name, column in table.columns.items():
                if ("serial", True) not in column.traits:
                    continue
                sequence = self.implied_name(table.name, (name,), "seq")
                there = sequence if table.schema == "public" else f"{table.schema}.{sequence}"
                kind = column.type if column.type in INTEGERS else "bigint"
                things.setdefault(
                    ("sequence", there),
                    Thing(
                        "sequence",
                        there,
                        table.schema,
                        sequence,
                        {"type": kind, "owned_by": {"table": key, "column": name}, "implied": True},
                    ),
                )
                target = self.literal(self.table_sql(table.schema, sequence))
                columns[name] = column._replace(default=f"nextval({target}::regclass)")
            tables[key] = table._replace(columns=columns)
        return schema._replace(tables=tables, things=things)

    def plan(self, before: Schema, after: Schema, changes: Sequence[Change]) -> List[Step]:
        return plan_postgresql(before, after, changes)


SQLITE_KEYWORDS = frozenset(
    "abort action add after all alter always analyze and as asc attach autoincrement before begin between by cascade case "
    "cast check collate column commit conflict constraint create cross current current_date current_time current_timestamp "
    "database default deferrable deferred delete desc detach distinct do drop each else end escape except exclude exclusive "
    "exists explain fail filter first following for foreign from full generated glob group groups having if ignore immediate "
    "in index indexed initially inner insert instead intersect into is isnull join key last left like limit match "
    "materialized natural no not nothing notnull null nulls of offset on or order others outer over partition plan pragma "
    "preceding primary query raise range recursive references regexp reindex release rename replace restrict returning right "
    "rollback row rows savepoint select set table temp temporary then ties to transaction trigger unbounded union unique "
    "update using vacuum values view virtual when where window with within without".split()
)  # https://www.sqlite.org/lang_keywords.html
SQLITE_CONSTANT = re.compile(  # what DEFAULT takes without parentheses
    r"(?is)[+-]?\s*(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|0x[0-9a-f]+|x?'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[a-z_]\w*"
)
SQLITE_TRAITS = ("strict", "without_rowid", "sql")


class SQLite(Dialect):
    """Types are affinities, names fold case, and the text of a statement says more than the pragmas."""

    name = "sqlite"
    max_name_bytes = 1000
    key_not_null = False  # a primary key that is not the rowid may hold NULL: https://www.sqlite.org/quirks.html
    strict_types = False

    def quote(self, name: str) -> str:
        if PLAIN_NAME.fullmatch(name) and name not in SQLITE_KEYWORDS and "$" not in name:
            return name
        return '"' + name.replace('"', '""') + '"'

    def boolean(self, value: bool) -> str:
        return "1" if value else "0"

    def split_key(self, key: str, body: Any) -> Tuple[str, str]:
        return "main", key

    def table_sql(self, schema: str, name: str) -> str:
        return self.quote(name)

    def reference_sql(self, key: str) -> str:
        return self.quote(key)

    def type_text(self, kind: str, spec: Dict[str, Any]) -> str:
        """Return the declared type in capitals with its sizes; SQLite keeps any words and draws an affinity from them."""
        text = re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", kind.strip().upper()))
        sizes = [spec.get("length")] if spec.get("length") is not None else [spec.get("precision"), spec.get("scale")]
        numbers = [str(size) for size in sizes if isinstance(size, int) and not isinstance(size, bool)]
        return f"{text}({','.join(numbers)})" if numbers and "(" not in text else text

    def complete_column(self, column: Column, spec: Dict[str, Any]) -> Column:
        serial = str(spec.get("type", "")).strip().lower() in SERIALS
        traits = [("autoincrement", True)] if spec.get("auto_increment") or column.identity or serial else []
        traits += [(key, spec[key]) for key in ("on_conflict", "primary_key_order") if spec.get(key)]
        default = spec.get("default")
        if isinstance(default, dict) and str(default.get("expression")).strip().upper() == "NULL":
            traits.append(("default", "NULL"))
        if column.generated:
            traits.append(("generated_kind", str(spec.get("generated_kind") or "virtual").lower()))
        return column._replace(traits=tuple(traits), identity=None, identity_options=None, comment=None)

    def table_body(self, body: Dict[str, Any]) -> Dict[str, Any]:
        """Return a table as its own text tells it, or without the text where the members no longer agree with it."""
        parsed = table_text(body["sql"]) if isinstance(body.get("sql"), str) else None
        if parsed is None or table_form(parsed.members, self) != table_form(body, self):
            return {key: value for key, value in body.items() if key != "sql"}
        columns = {name: {**body["columns"][name], **spec} for name, spec in parsed.members["columns"].items()}
        constraints = dict(parsed.members["constraints"])
        stated = body["constraints"].get("foreign_key") or []
        constraints["foreign_key"] = [
            {**entry, "references": other["references"]} for entry, other in zip(constraints["foreign_key"], stated)
        ]
        return {**body, "columns": columns, "constraints": constraints}

    def key_constraint(self, kind: str, table: str, columns: Tuple[str, ...], entry: Dict[str, Any]) -> Constraint:
        word = "PRIMARY KEY" if kind == "primary_key" else "UNIQUE"
        answer = f" ON CONFLICT {str(entry['on_conflict']).upper()}" if entry.get("on_conflict") else ""
        definition = entry.get("definition") or f"{word} ({self.names_sql(columns)}){answer}"
        name = entry.get("name") or (kind if kind == "primary_key" else f"unique ({', '.join(columns)})")
        return Constraint(kind, name, columns, definition, None, None, bool(entry.get("name")))

    def foreign_key(
        self, table: str, columns: Tuple[str, ...], target: str, there: Tuple[str, ...], entry: Dict[str, Any]
    ) -> Constraint:
        name = entry.get("name") or f"foreign key ({', '.join(columns)})"
        made = super().foreign_key(table, columns, target, there, {**entry, "name": name})
        return made._replace(comment=None, named=bool(entry.get("name")))

    def check_constraint(self, kind: str, table: str, entry: Dict[str, Any], columns: Tuple[str, ...]) -> Constraint:
        name = entry.get("name") or f"check ({' '.join(str(entry.get('expression') or '').split())})"
        made = super().check_constraint(kind, table, {**entry, "name": name}, columns)
        used = {token.name.lower() for token in sqlite_tokens(made.definition)}
        mentioned = tuple(column for column in columns if column.lower() in used)
        return made._replace(comment=None, named=bool(entry.get("name")), columns=mentioned)

    def index(self, table: str, entry: Dict[str, Any]) -> Index:
        if isinstance(entry.get("definition"), str):
            name, unique, tail = index_text(entry["definition"])
            return Index(entry.get("name") or name, unique, tail, tuple(index_terms(tail)[0]))
        columns = [entry["columns"]] if isinstance(entry["columns"], str) else list(entry["columns"])
        falling = entry.get("descending") or ()
        terms = ", ".join(self.index_column(name) + (" DESC" if name in falling else "") for name in columns)
        tail = f"({terms})" + (f" WHERE {entry['where']}" if entry.get("where") else "")
        name = entry.get("name") or self.implied_name(table, [re.sub(r"\W+", "_", name) for name in columns], "idx")
        return Index(name, bool(entry.get("unique")), tail, tuple(columns), named=bool(entry.get("name")))

    def complete(self, schema: Schema) -> Schema:
        """Return the schema without what SQLite cannot hold, and with all that makes one of its views."""
        tables, things = {}, {}
        for key, table in schema.tables.items():
            traits = {trait: table.traits[trait] for trait in SQLITE_TRAITS if table.traits.get(trait)}
            table = table._replace(traits=traits, comment=None)
            tables[key] = table if is_export(schema) or "sql" in traits else numbered(table)
        for identity, thing in schema.things.items():
            facts = dict(thing.facts)
            if thing.kind == "view":
                facts["column_list"] = list(facts.get("columns") or ()) if "sql" in facts else None
                parts = {name: part.get("definition", "") for name, part in (facts.get("triggers") or {}).items()}
                facts["instead_of"] = {name: strip_words(parts[name]) for name in sorted(parts)}
            things[identity] = thing._replace(facts=facts, name=thing.key, comment=None)
        return schema._replace(tables=tables, things=things)

    def align(self, before: Schema, after: Schema) -> Schema:
        return align_sqlite(before, after)

    def convert(self, old: str, new: str) -> Conversion:
        """Judge a change of type by affinity: only it decides how a value is stored."""
        here, there = affinity(old), affinity(new)
        numbers = {"INTEGER", "NUMERIC", "REAL"}
        if here == there or there == "BLOB" or {here, there} == {"INTEGER", "NUMERIC"}:
            return Conversion("none", True)
        if there == "TEXT" and here in numbers or here in numbers and there in numbers:
            return Conversion("none", False)
        return Conversion("narrowing", False, "", True)

    def plan(self, before: Schema, after: Schema, changes: Sequence[Change]) -> List[Step]:
        return plan_sqlite(before, after, changes)


def affinity(kind: str) -> str:
    """Return a type's affinity by the five rules of https://www.sqlite.org/datatype3.html#determination_of_column_affinity."""
    text = kind.upper()
    for words, found in (("INT", "INTEGER"), ("CHAR CLOB TEXT", "TEXT"), ("BLOB", "BLOB"), ("REAL FLOA DOUB", "REAL")):
        if any(word in text for word in words.split()):
            return found
    return "NUMERIC" if text else "BLOB"


def numbered(table: Table) -> Table:
    """Return a table written by hand whose key of one integer is the rowid: only the type INTEGER makes it that."""
    keys = [c.columns for c in table.constraints.values() if c.kind == "primary_key" and len(c.columns) == 1]
    columns = dict(table.columns)
    for name, column in table.columns.items():
        if ("autoincrement", True) in column.traits or ((name,) in keys and column.type in ("INT", "BIGINT", "INT4", "INT8")):
            columns[name] = column._replace(type="INTEGER")
    return table._replace(columns=columns)


def table_form(body: Dict[str, Any], dialect: SQLite) -> Any:
    """Return what a table's text and its members in the document both say, in comparable form."""
    columns = {}
    for name, spec in (body.get("columns") or {}).items():
        spec = spec if isinstance(spec, dict) else {"type": spec}
        default = spec.get("default")
        default = default.get("expression") if isinstance(default, dict) else default
        kind = dialect.type_text(str(spec.get("type") or ""), spec)
        facts = [kind, spec.get("nullable", True), canonical(default if isinstance(default, str) else to_json(default))]
        facts += [canonical(spec.get("generated")), spec.get("generated_kind"), bool(spec.get("auto_increment"))]
        extras = [spec.get(key) for key in ("on_conflict", "unique", "primary_key", "references", "check")]
        columns[name] = facts + [str(spec.get("collation") or "").lower()] + [extra or None for extra in extras]
    constraints = body.get("constraints")
    return columns, constraint_form(constraints), bool(body.get("strict")), bool(body.get("without_rowid"))


def constraint_form(constraints: Any) -> Any:
    if not isinstance(constraints, dict):
        return None
    keys = [constraints.get("primary_key"), *(constraints.get("unique") or ())]
    if not all(key is None or isinstance(key, dict) for key in keys):
        return None
    forms: List[Any] = [key and (key.get("name"), key["columns"], key.get("on_conflict")) for key in keys]
    for entry in constraints.get("foreign_key") or ():
        target = entry.get("references") if isinstance(entry, dict) else None
        if not isinstance(target, dict):
            return None
        table = str(target.get("table")).lower()
        answers = [entry.get(key) for key in ("name", "columns", "on_delete", "on_update", "deferrable")]
        forms.append([*answers, table])
    for entry in constraints.get("check") or ():
        expression = entry.get("expression") if isinstance(entry, dict) else entry
        forms.append([entry.get("name") if isinstance(entry, dict) else None, canonical(str(expression))])
    return forms


def align_sqlite(before: Schema, after: Schema) -> Schema:
    """Return the after schema in the spelling of the before schema: SQLite folds the case of names.

    Where the after document was written by hand, what it leaves open is taken from the before schema too.
    """
    written = not (is_export(before) and is_export(after))
    spelled = {key.lower(): key for key in before.tables}
    tables: Dict[str, Table] = {}
    for key, table in after.tables.items():
        old = before.tables.get(spelled.get(key.lower(), ""))
        if old is not None:
            table = respelled(old, table)
            table = completed(old, table) if written else table
        tables[table.key] = table
    things = {}
    known = {(kind, key.lower()): key for kind, key in before.things}
    for (kind, key), thing in after.things.items():
        name = known.get((kind, key.lower()), key)
        things[kind, name] = thing._replace(key=name, name=name)
    return after._replace(tables=tables, things=things)


def respelled(old: Table, new: Table) -> Table:
    """Return a table with names spelled as in the old one wherever they differ in case only."""
    names = {name.lower(): name for name in (*old.columns, *old.indexes, *old.constraints)}
    names.update({part[1].lower(): part[1] for part in old.parts})

    def spell(name: str) -> str:
        return names.get(name.lower(), name)

    columns = {spell(name): column._replace(name=spell(name)) for name, column in new.columns.items()}
    constraints, indexes = {}, {}
    for constraint in new.constraints.values():
        name, there = spell(constraint.name), old.constraints.get(spell(constraint.name))
        equal = there is not None and folded(there.definition) == folded(constraint.definition)
        constraint = constraint._replace(name=name, columns=tuple(spell(column) for column in constraint.columns))
        constraints[name] = constraint._replace(definition=there.definition) if there and equal else constraint
    for index in new.indexes.values():
        name, known = spell(index.name), old.indexes.get(spell(index.name))
        equal = known is not None and known.unique == index.unique and folded(known.tail) == folded(index.tail)
        indexes[name] = index._replace(name=name, tail=known.tail) if known and equal else index._replace(name=name)
    parts = {}
    for (kind, name), part in new.parts.items():
        part = part._replace(name=spell(name))
        twin = old.parts.get((kind, part.name))
        equal = twin is not None and folded(twin.definition) == folded(part.definition)
        parts[kind, part.name] = part._replace(definition=twin.definition) if twin and equal else part
    return new._replace(
        key=old.key, name=old.name, columns=columns, constraints=constraints, indexes=indexes, parts=parts
    )


def folded(text: Optional[str]) -> Optional[str]:
    """Return SQL in which the case, quotes and spacing of names do not count; strings do."""
    if text is None:
        return None
    return " ".join(t.name if t.kind == "string" else t.name.lower() for t in sqlite_tokens(text) if t.word != ";")


def completed(old: Table, new: Table) -> Table:
    """Return a table written by hand with the spellings of the database where both mean the same."""
    columns = {}
    for name, column in new.columns.items():
        live = old.columns.get(name) or old.columns.get(column.renamed_from or "")
        if live is not None:
            column = column._replace(
                type=live.type if plain_type(live.type) == plain_type(column.type) else column.type,
                default=live.default if plain_value(live.default) == plain_value(column.default) else column.default,
                traits=live.traits if not column.traits else column.traits,
            )
            keyed = any(c.kind == "primary_key" and name in c.columns for c in new.constraints.values())
            column = column._replace(nullable=live.nullable) if keyed else column
        columns[name] = column
    constraints = {}
    for constraint in new.constraints.values():
        twin = next((c for c in old.constraints.values() if meaning(c) == meaning(constraint)), None)
        if twin is not None and (not constraint.named or constraint.name == twin.name):
            constraint = twin
        constraints[constraint.name] = constraint
    traits = {**{key: value for key, value in old.traits.items() if key != "sql"}, **new.traits}
    return new._replace(columns=columns, constraints=constraints, traits=traits)


def plain_type(kind: str) -> Tuple[str, Any]:
    parsed = parse_type(kind)
    return affinity(kind), (parsed.base, parsed.args, parsed.words)


def plain_value(text: Optional[str]) -> Optional[str]:
    """Return a default without what SQLite does not tell apart: true and 1, now() and CURRENT_TIMESTAMP, (1) and 1."""
    plain = canonical(text)
    return {"true": "1", "false": "0", "now ( )": "current_timestamp"}.get(plain or "", plain)


def meaning(constraint: Constraint) -> Any:
    """Return what a constraint demands, without its name and spelling."""
    words = [token.word for token in sqlite_tokens(constraint.definition)]
    if constraint.kind == "foreign_key" and constraint.references:
        table, columns = constraint.references
        deferred = words[-3:] == ["DEFERRABLE", "INITIALLY", "DEFERRED"]
        actions = (action_of(words, "DELETE"), action_of(words, "UPDATE"), deferred)
        return ("foreign_key", constraint.columns, table.lower(), tuple(c.lower() for c in columns), actions)
    return (constraint.kind, loose(folded(constraint.definition)))


DIALECTS: Dict[str, Dialect] = {dialect.name: dialect for dialect in (PostgreSQL(), SQLite())}
DIALECT_ALIASES = {"postgres": "postgresql", "pg": "postgresql", "mariadb": "mysql", "sqlite3": "sqlite"}
# == 8. Reading schemas ===============================================================================
# In: a schema document. Out: a Schema in which one fact has one spelling, whoever wrote the document.

COLUMN_KEYS = (
    "type",
    "length",
    "precision",
    "scale",
    "nullable",
    "default",
    "primary_key",
    "unique",
    "auto_increment",
    "identity",
    "identity_options",
    "generated",
    "collation",
    "comment",
    "references",
    "renamed_from",
    "using",
    "backfill",
    "storage",
    "compression",
    "statistics",
    "on_update",
    "invisible",
    "charset",
    "check",
    "name",
    "unsigned",
    "values",
    "generated_kind",
    "visible",
    "autoincrement",
    "on_conflict",
    "hidden",
    "primary_key_order",
)
TABLE_KEYS = (
    "columns",
    "constraints",
    "indexes",
    "comment",
    "renamed_from",
    "row_count",
    "size_mb",
    "triggers",
    "rules",
    "policies",
    "row_security",
    "force_row_security",
    "unlogged",
    "options",
    "inherits",
    "partition_by",
    "partition_of",
    "replica_identity",
    "schema",
    "name",
    "engine",
    "charset",
    "collation",
    "strict",
    "without_rowid",
    "sql",
    "autoincrement",
    "auto_increment",
    "row_format",
    "description",
    "primary_key",
    "partitions",
    "kind",
    "virtual",
)
KEYWORD_DEFAULTS = re.compile(
    r"(?i)(?:current_timestamp|current_date|current_time|localtimestamp|localtime|now|uuid|"
    r"gen_random_uuid|uuid_generate_v4|null|true|false|current_user|session_user)(?:\s*\(\d*\))?"
)
TRAITS = ("storage", "compression", "statistics", "on_update", "invisible", "charset")
TABLE_TRAITS = (
    "row_security",
    "force_row_security",
    "unlogged",
    "options",
    "inherits",
    "partition_by",
    "partition_of",
    "replica_identity",
    "engine",
    "charset",
    "collation",
    "row_format",
    "strict",
    "without_rowid",
    "sql",
)
THING_SECTIONS = {
    "schemas": "schema",
    "extensions": "extension",
    "enums": "enum",
    "domains": "domain",
    "composite_types": "composite_type",
    "sequences": "sequence",
    "functions": "function",
    "views": "view",
    "virtual_tables": "virtual_table",
    "materialized_views": "materialized_view",
    "events": "event",
    "routines": "function",
}


def split_key(key: str, body: Any) -> Tuple[str, str]:
    """Return (schema, name) of a document key: `auth.users`, or the members that spell out a name with dots."""
    if isinstance(body, dict) and isinstance(body.get("name"), str) and isinstance(body.get("schema", ""), str):
        return body.get("schema", "public"), body["name"]
    schema, dot, name = key.partition(".")
    return (schema, name) if dot and name else ("public", key)


def read_schema(document: Document, dialect: "Dialect") -> Schema:
    """Return the schema of a document; raises InputError with every fault of its form."""
    faults = Faults(document)
    root = faults.typed(document.value, (), dict, 'an object with "tables"') or {}
    if isinstance(document.value, dict) and "tables" not in root and not any(key in root for key in THING_SECTIONS):
        faults.add(
            (),
            'an object without "tables"',
            'a schema document with "tables"',
            "export a live database with assets/export_schema_*.sql",
        )
    faults.keys(
        root, (), ("schema_version", "database", "dialect", "server_version", "tables", "not_exported", *THING_SECTIONS)
    )
    tables = faults.typed(root.get("tables", {}), ("tables",), dict, "an object keyed by table name") or {}
    read: Dict[str, Table] = {}
    for key, body in tables.items():
        if faults.typed(body, ("tables", key), dict, 'an object with "columns"') is not None:
            read[key] = read_table(key, body, faults, dialect)
    things = {(thing.kind, thing.key): thing for thing in read_things(root, faults)}
    not_exported = tuple(entry for entry in root.get("not_exported") or () if isinstance(entry, dict))
    faults.finish()
    schema = Schema(dialect.name, str(root.get("server_version", "")), read, things, not_exported)
    return dialect.complete(schema)


def read_things(root: Dict[str, Any], faults: Faults) -> Iterator[Thing]:
    for section, kind in THING_SECTIONS.items():
        bodies = faults.typed(root.get(section, {}), (section,), dict, "an object keyed by name") or {}
        for key, body in bodies.items():
            path = (section, key)
            if kind == "enum" and isinstance(body, list):
                body = {"values": body}
            elif isinstance(body, str):
                body = {"definition": body}
            if faults.typed(body, path, dict, "an object") is None:
                continue
            if kind == "enum":
                check_labels(body.get("values"), path, faults)
            if kind in ("view", "materialized_view", "function"):
                faults.typed(body.get("definition"), path + ("definition",), str, "SQL text")
            schema, name = split_key(key.partition("(")[0] if kind == "function" else key, body)
            facts = {name: value for name, value in body.items() if name not in ("schema", "name", "comment")}
            yield Thing(kind, key, schema, name, facts, read_text(body, "comment", path, faults))


def check_labels(values: Any, path: Path, faults: Faults) -> None:
    for index, value in enumerate(faults.typed(values, path, list, "a list of values") or ()):
        faults.typed(value, path + (index,), str, "a text")


def read_text(body: Dict[str, Any], key: str, path: Path, faults: Faults) -> Optional[str]:
    value = body.get(key)
    return None if value is None else faults.typed(value, path + (key,), str, "a text")


def read_table(key: str, body: Dict[str, Any], faults: Faults, dialect: "Dialect") -> Table:
    path: Path = ("tables", key)
    faults.keys(body, path, TABLE_KEYS)
    body = dialect.table_body(body)
    schema, name = dialect.split_key(key, body)
    columns: Dict[str, Column] = {}
    bodies = faults.typed(body.get("columns", {}), path + ("columns",), dict, "an object keyed by column name") or {}
    for column, spec in bodies.items():
        spec = {"type": spec} if isinstance(spec, str) else spec
        if faults.typed(spec, path + ("columns", column), dict, 'an object with "type"') is not None:
            columns[column] = read_column(column, spec, path + ("columns", column), faults, dialect)
    constraints = list(read_constraints(name, body, bodies, path, faults, dialect))
    constraints = unique_constraints(constraints)
    for constraint in constraints:
        if constraint.kind == "primary_key" and dialect.key_not_null:
            columns = {n: c._replace(nullable=False) if n in constraint.columns else c for n, c in columns.items()}
    parts = {(part.kind, part.name): part for part in read_parts(body, path, faults)}
    count = body.get("row_count")
    size = body.get("size_mb")
    if count is not None:
        faults.typed(count, path + ("row_count",), int, "a number of rows")
    if size is not None:
        faults.typed(size, path + ("size_mb",), (int, float), "a size in MB")
    return Table(
        key,
        schema,
        name,
        columns,
        {c.name: c for c in constraints},
        {index.name: index for index in read_indexes(name, body, path, faults, dialect)},
        parts,
        {trait: body[trait] for trait in TABLE_TRAITS if body.get(trait)},
        read_text(body, "comment", path, faults),
        read_text(body, "renamed_from", path, faults),
        count,
        size,
    )


def read_column(name: str, spec: Dict[str, Any], path: Path, faults: Faults, dialect: "Dialect") -> Column:
    faults.keys(spec, path, COLUMN_KEYS)
    kind = faults.typed(spec.get("type"), path + ("type",), str, 'a type, such as "integer"')
    kind = "text" if kind is None else kind
    nullable = spec.get("nullable", True)
    faults.typed(nullable, path + ("nullable",), bool, "true or false")
    identity = spec.get("identity")
    if identity is True:
        identity = "by_default"
    if identity not in (None, False, "always", "by_default"):
        faults.add(path + ("identity",), describe(identity), '"always" or "by_default"')
    generated = spec.get("generated")
    if isinstance(generated, dict):
        generated = generated.get("expression")
    column = Column(
        name,
        dialect.type_text(kind, spec),
        bool(nullable),
        read_default(spec, path, faults, dialect),
        identity or None,
        spec.get("identity_options") or None,
        generated or None,
        spec.get("collation") or None,
        tuple((trait, spec[trait]) for trait in TRAITS if spec.get(trait)),
        read_text(spec, "comment", path, faults),
        read_text(spec, "renamed_from", path, faults),
        read_text(spec, "using", path, faults),
        read_hint(spec, path, faults),
    )
    return dialect.complete_column(column, spec)


def read_hint(spec: Dict[str, Any], path: Path, faults: Faults) -> Optional[str]:
    """Return the backfill expression; a number is the expression of that number."""
    value = spec.get("backfill")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return json.dumps(value)
    return read_text(spec, "backfill", path, faults)


def read_default(spec: Dict[str, Any], path: Path, faults: Faults, dialect: "Dialect") -> Optional[str]:
    """Return a default as SQL text; None when there is none, which DEFAULT NULL means too."""
    value = spec.get("default")
    if isinstance(value, dict):
        value = faults.typed(value.get("expression"), path + ("default", "expression"), str, "SQL text")
        return None if value is None or value.strip().lower() == "null" else value.strip()
    if isinstance(value, bool):
        return dialect.boolean(value)
    if isinstance(value, (int, float)):
        return json.dumps(value)
    if value is None:
        return None
    if faults.typed(value, path + ("default",), str, 'a value, or {"expression": SQL}') is None:
        return None
    if KEYWORD_DEFAULTS.fullmatch(value.strip()):
        return None if value.strip().lower() == "null" else value.strip()
    return dialect.literal(value)


def name_list(value: Any, path: Path, faults: Faults) -> Tuple[str, ...]:
    """Return a list of column names; one name may stand alone."""
    value = [value] if isinstance(value, str) else value
    found = faults.typed(value, path, list, "a list of column names") or []
    return tuple(
        name
        for index, name in enumerate(found)
        if faults.typed(name, path + (index,), str, "a column name") is not None
    )


def listed(value: Any, path: Path, faults: Faults, expected: str) -> List[Any]:
    return [] if value is None else faults.typed(value, path, list, expected) or []


def read_constraints(
    table: str, body: Dict[str, Any], columns: Dict[str, Any], path: Path, faults: Faults, dialect: "Dialect"
) -> Iterator[Constraint]:
    """Yield the constraints of a table from both places where a document may state them."""
    spec = faults.typed(body.get("constraints", {}), path + ("constraints",), dict, "an object") or {}
    where = path + ("constraints",)
    faults.keys(spec, where, ("primary_key", "unique", "foreign_key", "check", "exclude"))
    primary = spec.get("primary_key", body.get("primary_key"))
    if primary:
        entry = primary if isinstance(primary, dict) else {"columns": primary}
        names = name_list(entry.get("columns"), where + ("primary_key",), faults)
        yield dialect.key_constraint("primary_key", table, names, entry)
    flagged = tuple(n for n, c in columns.items() if isinstance(c, dict) and c.get("primary_key"))
    if flagged and not primary:
        yield dialect.key_constraint("primary_key", table, flagged, {})
    uniques = listed(spec.get("unique"), where + ("unique",), faults, "a list of keys")
    if uniques and all(isinstance(entry, str) for entry in uniques):
        uniques = [[name] for name in uniques]
    for index, entry in enumerate(uniques):
        entry = entry if isinstance(entry, dict) else {"columns": entry}
        yield dialect.key_constraint(
            "unique", table, name_list(entry.get("columns"), where + ("unique", index), faults), entry
        )
    for index, entry in enumerate(
        listed(spec.get("foreign_key"), where + ("foreign_key",), faults, "a list of objects")
    ):
        if faults.typed(entry, where + ("foreign_key", index), dict, "an object") is not None:
            yield from read_foreign_key(table, entry, where + ("foreign_key", index), faults, dialect)
    for kind in ("check", "exclude"):
        for index, entry in enumerate(listed(spec.get(kind), where + (kind,), faults, "a list")):
            entry = {"expression": entry} if isinstance(entry, str) else entry
            if faults.typed(entry, where + (kind, index), dict, "an expression or an object") is not None:
                yield dialect.check_constraint(kind, table, entry, tuple(columns))
    yield from read_column_constraints(table, columns, path, faults, dialect)


def read_column_constraints(
    table: str, columns: Dict[str, Any], path: Path, faults: Faults, dialect: "Dialect"
) -> Iterator[Constraint]:
    for name, spec in columns.items():
        if not isinstance(spec, dict):
            continue
        if spec.get("unique"):
            yield dialect.key_constraint("unique", table, (name,), {})
        if spec.get("references"):
            target = spec["references"]
            entry = dict(target) if isinstance(target, dict) and "columns" not in target else {}
            entry = {**entry, "columns": [name], "references": entry.get("references", target)}
            yield from read_foreign_key(table, entry, path + ("columns", name, "references"), faults, dialect)
        if isinstance(spec.get("check"), str):
            yield dialect.check_constraint("check", table, {"expression": spec["check"]}, tuple(columns))


def read_foreign_key(
    table: str, entry: Dict[str, Any], path: Path, faults: Faults, dialect: "Dialect"
) -> Iterator[Constraint]:
    columns = name_list(entry.get("columns", entry.get("column")), path + ("columns",), faults)
    target = entry.get("references")
    if isinstance(target, str):
        match = re.fullmatch(r"\s*([^()]+?)\s*(?:\(([^()]*)\))?\s*", target)
        target = (
            {"table": match.group(1), "columns": [c.strip() for c in (match.group(2) or "").split(",") if c.strip()]}
            if match
            else None
        )
    if not isinstance(target, dict) or not isinstance(target.get("table"), str):
        faults.add(path + ("references",), describe(entry.get("references")), 'a reference such as "users(id)"')
        return
    there = name_list(target.get("columns") or [target.get("column", "id")], path + ("references", "columns"), faults)
    yield dialect.foreign_key(table, columns, target["table"], there, entry)


def unique_constraints(constraints: Iterable[Constraint]) -> List[Constraint]:
    """Return the constraints with each fact once: a key said on the column and in the list is one key."""
    kept: List[Constraint] = []
    for constraint in constraints:
        same = [
            c
            for c in kept
            if (c.kind, c.columns, c.references) == (constraint.kind, constraint.columns, constraint.references)
            and (
                c.kind in ("primary_key", "unique", "foreign_key")
                or canonical(c.definition) == canonical(constraint.definition)
            )
        ]
        if same and not (constraint.named and same[0].named):
            if constraint.named:
                kept[kept.index(same[0])] = constraint
            continue
        kept.append(constraint)
    return distinct_names(kept)


def distinct_names(constraints: List[Constraint]) -> List[Constraint]:
    """Number the implied names that clash, as the server does: t_check, t_check1."""
    taken = {constraint.name for constraint in constraints if constraint.named}
    result = []
    for constraint in constraints:
        name, number = constraint.name, 0
        while not constraint.named and name in taken:
            number += 1
            name = f"{constraint.name}{number}"
        taken.add(name)
        result.append(constraint._replace(name=name))
    return result


def read_indexes(table: str, body: Dict[str, Any], path: Path, faults: Faults, dialect: "Dialect") -> Iterator[Index]:
    for number, entry in enumerate(listed(body.get("indexes"), path + ("indexes",), faults, "a list of objects")):
        where = path + ("indexes", number)
        entry = {"columns": [entry]} if isinstance(entry, str) else entry
        if faults.typed(entry, where, dict, 'an object with "name" and "columns"') is None:
            continue
        if not isinstance(entry.get("definition"), str):
            name_list(entry.get("columns"), where + ("columns",), faults)
            if not isinstance(entry.get("columns"), (list, str)):
                continue
        yield dialect.index(table, entry)


def read_parts(body: Dict[str, Any], path: Path, faults: Faults) -> Iterator[Part]:
    for section, kind in (("triggers", "trigger"), ("rules", "rule"), ("policies", "policy")):
        for name, spec in (
            faults.typed(body.get(section, {}), path + (section,), dict, "an object keyed by name") or {}
        ).items():
            spec = {"definition": spec} if isinstance(spec, str) else spec
            if faults.typed(spec, path + (section, name), dict, 'an object with "definition"') is None:
                continue
            definition = faults.typed(
                spec.get("definition"), path + (section, name, "definition"), str, "a CREATE statement"
            )
            yield Part(kind, name, strip_words(definition or ""), spec.get("enabled", "O"), spec.get("comment"))
# == 9. Comparing schemas: facts only =================================================================
# In: two schemas. Out: changes, sorted by place. Renames are what the author states; guesses are only hints.

SEQUENCE_DEFAULTS = {"start": 1, "increment": 1, "min": 1, "cache": 1, "cycle": False}
SEQUENCE_MAXIMUM = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def loose(text: Optional[str]) -> Optional[str]:
    """Return a form that a hand-written expression shares with what a server prints of it, for comparing only."""
    if text is None:
        return None
    words = [token for kind, token in tokens(canonical(text).replace("\x00", " ")) if token not in "()"]
    kept: List[str] = []
    skip = False
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if word == "::":
            skip = True
        elif skip and (word in TYPE_WORDS or kept_type(word)):
            skip = word in TYPE_WORDS
        elif following == "." or word in (".", "as", "asc") or (word == "btree" and kept[-1:] == ["using"]):
            skip = False
        else:
            skip = False
            kept.append({"!=": "<>", "now": "current_timestamp"}.get(word, word))
    plain = re.sub(r"(\S+)(?: \1)+(?= ,| from|$)", r"\1", " ".join(kept))
    plain = plain.replace("= any array [", "in").replace(" ]", "").replace("! =", "<>")
    return re.sub(r"\s+", " ", plain.replace(" using ", " ")).strip()


TYPE_WORDS = frozenset("character double timestamp time bit with without".split())


def kept_type(word: str) -> bool:
    """Tell whether a word after `::` belongs to the type and not to the expression."""
    return bool(re.fullmatch(r"[\w.]+", word))


def adopt(before: Schema, after: Schema) -> Schema:
    """Return the after schema with names and spellings that its author left open taken from the before schema."""
    exact = bool(before.not_exported is not None and is_export(before) and is_export(after))
    tables = {}
    for key, table in after.tables.items():
        old = before.tables.get(key) or before.tables.get(table.renamed_from or "")
        tables[key] = adopt_table(old, table, exact) if old else table
    things = dict(after.things)
    for identity, thing in after.things.items():
        known = before.things.get(identity)
        if known and not exact and loose(thing.facts.get("definition")) == loose(known.facts.get("definition")):
            things[identity] = thing._replace(facts={**thing.facts, **{"definition": known.facts.get("definition")}})
    return drop_implied_sequences(before, after._replace(tables=tables, things=things))


def is_export(schema: Schema) -> bool:
    return bool(schema.server_version)


def adopt_table(old: Table, new: Table, exact: bool) -> Table:
    constraints = {}
    for constraint in new.constraints.values():
        constraint = adopt_constraint(old, constraint, exact)
        constraints[constraint.name] = constraint
    indexes = {}
    for index in new.indexes.values():
        index = adopt_index(old, index, exact)
        indexes[index.name] = index
    columns = {name: adopt_column(old.columns.get(name), column, exact) for name, column in new.columns.items()}
    traits = dict(new.traits)
    return new._replace(constraints=constraints, indexes=indexes, columns=columns, traits=traits)


def adopt_constraint(old: Table, constraint: Constraint, exact: bool) -> Constraint:
    """Give a constraint without a name of its own the name of its equal, and equal meaning the same text."""

    def equal(other: Constraint) -> bool:
        return other.kind == constraint.kind and (
            canonical(other.definition) == canonical(constraint.definition)
            or (not exact and loose(other.definition) == loose(constraint.definition))
        )

    if constraint.name in old.constraints and equal(old.constraints[constraint.name]):
        return constraint._replace(
            definition=old.constraints[constraint.name].definition, columns=old.constraints[constraint.name].columns
        )
    if not constraint.named:
        for other in old.constraints.values():
            if equal(other):
                return constraint._replace(name=other.name, definition=other.definition, columns=other.columns)
    return constraint


def adopt_index(old: Table, index: Index, exact: bool) -> Index:
    def equal(other: Index) -> bool:
        return other.unique == index.unique and (
            canonical(other.tail) == canonical(index.tail) or (not exact and loose(other.tail) == loose(index.tail))
        )

    if index.name in old.indexes and equal(old.indexes[index.name]):
        return index._replace(tail=old.indexes[index.name].tail, columns=old.indexes[index.name].columns)
    if not index.named:
        for other in old.indexes.values():
            if equal(other):
                return index._replace(name=other.name, tail=other.tail)
    return index


def adopt_column(old: Optional[Column], new: Column, exact: bool) -> Column:
    """Take over from the old column what the new one means too, in other words."""
    if old is None:
        return new
    serial = ("serial", True) in new.traits
    if serial and (old.identity or (old.default or "").startswith("nextval(")):
        new = new._replace(default=old.default, identity=old.identity, identity_options=old.identity_options)
    if new.identity and old.identity and not new.identity_options:
        new = new._replace(identity_options=old.identity_options)
    if default_form(old.default) == default_form(new.default):
        new = new._replace(default=old.default)
    for field in ("default", "generated"):
        if not exact and loose(getattr(old, field)) == loose(getattr(new, field)):
            new = new._replace(**{field: getattr(old, field)})
        elif canonical(getattr(old, field)) == canonical(getattr(new, field)):
            new = new._replace(**{field: getattr(old, field)})
    traits = tuple(trait for trait in new.traits if trait[0] != "serial")
    return new._replace(traits=traits)


def default_form(text: Optional[str]) -> Optional[str]:
    """Return a default without the casts that the server adds to literals: '-1'::integer is -1."""
    if text is None:
        return None
    bare = re.sub(r"^'(-?[\d.]+)'::[\w ]+$", r"\1", text.strip())
    bare = re.sub(r"^('(?:[^']|'')*')::[\w .\"]+(?:\(\d+\))?(?:\[\])?$", r"\1", bare)
    quoted = re.fullmatch(r"'(-?\d+(?:\.\d+)?|true|false)'", bare)
    bare = quoted.group(1) if quoted else bare
    return {"now()": "current_timestamp"}.get(bare.lower(), canonical(bare))


def drop_implied_sequences(before: Schema, after: Schema) -> Schema:
    """Forget the sequences that a serial in the after document implies where the live column counts otherwise."""
    things = dict(after.things)
    for identity, thing in after.things.items():
        if thing.facts.get("implied") and identity not in before.things:
            owner = thing.facts["owned_by"]
            column = after.tables[owner["table"]].columns[owner["column"]]
            if column.identity or thing.name not in (column.default or ""):
                del things[identity]
        elif thing.facts.get("implied") and identity in before.things:
            things[identity] = before.things[identity]
    if not is_export(after):  # a hand-written document names no sequence that a column of its own counts with
        for identity, thing in before.things.items():
            owner = thing.facts.get("owned_by") if thing.kind == "sequence" else None
            table = after.tables.get(owner["table"]) if owner else None
            if (
                owner
                and table
                and owner["column"] in table.columns
                and thing.name in (table.columns[owner["column"]].default or "")
            ):
                things.setdefault(identity, thing)
    return after._replace(things=things)


def diff_schemas(before: Schema, after: Schema) -> List[Change]:
    """Return every difference of two schemas."""
    changes = list(diff_things(before, after))
    renamed = {
        table.renamed_from: key
        for key, table in after.tables.items()
        if table.renamed_from in before.tables and key not in before.tables
    }
    for key in sorted(before.tables.keys() | after.tables.keys()):
        old, new = before.tables.get(key), after.tables.get(key)
        if old and key in renamed and not new:
            continue
        if new and not old and new.renamed_from in before.tables and renamed.get(new.renamed_from) == key:
            old = before.tables[new.renamed_from]
            changes.append(Change("table.renamed", ("tables", key), key, old, new))
        if old is None or new is None:
            verb = "added" if new else "removed"
            changes.append(Change(f"table.{verb}", ("tables", key), key, old, new))
        else:
            changes += diff_table(key, old, new)
    return changes


def diff_things(before: Schema, after: Schema) -> Iterator[Change]:
    sections = {kind: section for section, kind in THING_SECTIONS.items()}
    for kind, key in sorted(before.things.keys() | after.things.keys()):
        old, new = before.things.get((kind, key)), after.things.get((kind, key))
        path: Path = (sections[kind], key)
        if old is None or new is None:
            yield Change(f"{kind}.{'added' if new else 'removed'}", path, None, old, new)
            continue
        if thing_facts(old) != thing_facts(new):
            yield Change(f"{kind}.changed", path, None, old, new)
        if (old.comment or None) != (new.comment or None):
            yield Change("comment.changed", path, None, old, new)
        yield from diff_members(path, old.facts, new.facts)


def thing_facts(thing: Thing) -> Any:
    """Return what makes a thing equal to another, without what follows from it or is compared apart."""
    facts = {
        name: value
        for name, value in thing.facts.items()
        if value not in (None, {}, [], False)
        and name
        not in (
            "columns",
            "column_comments",
            "triggers",
            "rules",
            "indexes",
            "populated",
            "implied",
            "sql",
            "depends_on",
        )
    }
    if "definition" in facts:
        facts["definition"] = canonical(strip_words(facts["definition"]))
    if thing.kind == "extension":
        return {}
    if thing.kind == "sequence":
        kind = facts.get("type", "bigint")
        full = {**SEQUENCE_DEFAULTS, "max": SEQUENCE_MAXIMUM.get(kind), "type": kind, **facts}
        return {name: value for name, value in full.items() if value is not False}
    if thing.kind == "domain":
        facts["type"] = show_type(parse_type(str(facts.get("type", "text"))))
        facts["default"] = json.dumps(facts.get("default"))
        facts["constraints"] = sorted(
            (c.get("name", ""), canonical(c.get("definition", "")) or "")
            for c in facts.get("constraints", ())
            if isinstance(c, dict)
        )
        facts["nullable"] = thing.facts.get("nullable", True)
    return facts


def diff_members(path: Path, old: Dict[str, Any], new: Dict[str, Any]) -> Iterator[Change]:
    """Yield changes of a view's or materialized view's own parts: column comments."""
    if (old.get("column_comments") or {}) != (new.get("column_comments") or {}):
        yield Change(
            "comment.changed",
            path + ("column_comments",),
            None,
            old.get("column_comments") or {},
            new.get("column_comments") or {},
        )


def diff_table(key: str, old: Table, new: Table) -> Iterator[Change]:
    path: Path = ("tables", key)
    renamed = {
        column.renamed_from: name
        for name, column in new.columns.items()
        if column.renamed_from in old.columns and column.renamed_from not in new.columns and name not in old.columns
    }
    for name in [*new.columns, *(name for name in old.columns if name not in new.columns)]:
        before, after = old.columns.get(name), new.columns.get(name)
        if before and not after and name in renamed:
            continue
        if after and not before and after.renamed_from in renamed:
            before = old.columns[after.renamed_from]
            yield Change("column.renamed", path + ("columns", name), key, before, after)
        if before is None or after is None:
            yield Change(f"column.{'added' if after else 'removed'}", path + ("columns", name), key, before, after)
        else:
            yield from diff_column(path + ("columns", name), key, before, after)
    yield from diff_named(
        "constraints", path, key, old.constraints, new.constraints, renamed
    )
    yield from diff_named("indexes", path, key, old.indexes, new.indexes, renamed)
    yield from diff_named("parts", path, key, old.parts, new.parts, renamed)
    for trait in sorted(old.traits.keys() | new.traits.keys()):
        if old.traits.get(trait) != new.traits.get(trait) and trait != "sql":
            yield Change(f"table.{trait}", path + (trait,), key, old.traits.get(trait), new.traits.get(trait))
    if (old.comment or None) != (new.comment or None):
        yield Change("comment.changed", path + ("comment",), key, old, new)


def diff_column(path: Path, table: str, old: Column, new: Column) -> Iterator[Change]:
    if old.type != new.type:
        yield Change("column.type", path, table, old, new)
    for field in ("nullable", "default", "identity", "generated", "collation", "traits"):
        before, after = getattr(old, field), getattr(new, field)
        if field in ("default", "generated"):
            before, after = canonical(before), canonical(after)
        if before != after and not (
            field == "nullable" and (new.identity or old.identity) and old.identity != new.identity
        ):
            yield Change(f"column.{field}", path, table, old, new)
    if identity_facts(old) != identity_facts(new) and old.identity == new.identity and old.identity:
        yield Change("column.identity_options", path, table, old, new)
    if (old.comment or None) != (new.comment or None):
        yield Change("comment.changed", path + ("comment",), table, old, new)


def identity_facts(column: Column) -> Dict[str, Any]:
    kind = (column.identity_options or {}).get("type", column.type)
    return {**SEQUENCE_DEFAULTS, "max": SEQUENCE_MAXIMUM.get(kind), "type": kind, **(column.identity_options or {})}


PATH_OF_KIND = {"primary_key": "constraints.primary_key", "trigger": "triggers", "rule": "rules", "policy": "policies"}


def diff_named(
    section: str, path: Path, table: str, old: Dict[Any, Any], new: Dict[Any, Any], renamed: Dict[Optional[str], str]
) -> Iterator[Change]:
    """Yield the changes of constraints, indexes or parts; equal content under another name is a rename."""
    gone = {name: item for name, item in sorted(old.items()) if name not in new}
    come = {name: item for name, item in sorted(new.items()) if name not in old}
    pairs = [] if section == "parts" else list(pair_renamed(gone, come, renamed))
    for before, after in pairs:
        del gone[before.name], come[after.name]
        yield Change(f"{kind_of(after)}.renamed", path + place_of(after), table, before, after)
    for name, item in gone.items():
        yield Change(f"{kind_of(item)}.removed", path + place_of(item), table, item, None)
    for name, item in come.items():
        yield Change(f"{kind_of(item)}.added", path + place_of(item), table, None, item)
    for name in sorted(old.keys() & new.keys()):
        if content(old[name], renamed) != content(new[name], {}):
            yield Change(f"{kind_of(new[name])}.changed", path + place_of(new[name]), table, old[name], new[name])
        if (old[name].comment or None) != (new[name].comment or None):
            yield Change("comment.changed", path + place_of(new[name]) + ("comment",), table, old[name], new[name])


def pair_renamed(
    gone: Dict[str, Any], come: Dict[str, Any], renamed: Dict[Optional[str], str]
) -> Iterator[Tuple[Any, Any]]:
    by_content: Dict[Any, List[Any]] = {}
    for item in come.values():
        by_content.setdefault(content(item, {}), []).append(item)
    for item in gone.values():
        same = by_content.get(content(item, renamed))
        if same:
            yield item, same.pop(0)


def kind_of(item: Any) -> str:
    return "index" if isinstance(item, Index) else str(item.kind)


def place_of(item: Any) -> Path:
    if isinstance(item, Index):
        return ("indexes", item.name)
    if isinstance(item, Part):
        return (PATH_OF_KIND[item.kind], item.name)
    return ("constraints", item.kind) if item.kind == "primary_key" else ("constraints", item.kind, item.name)


def content(item: Any, renamed: Dict[Optional[str], str]) -> Any:
    """Return what makes a named item equal to another, apart from its name and comment."""
    text = item.tail if isinstance(item, Index) else item.definition
    for old, new in renamed.items():
        text = replace_name(text, str(old), f'"{new}"')
    if isinstance(item, Index):
        return ("index", item.unique, canonical(text), item.flags)
    return (item.kind, canonical(text), getattr(item, "enabled", "O"))


# == 10. Judging schemas ==============================================================================
# In: changes. Out: findings; each judge is a few lines and yields rule ids with a sentence.

Verdict = Tuple[str, str]  # rule id, what changed in one sentence
JUDGES: Dict[str, Callable[[Change, Dialect], Iterator[Verdict]]] = {}
COLUMN_STATEMENTS = ("SELECT", "INSERT", "UPDATE")


def judges(
    *kinds: str,
) -> Callable[[Callable[[Change, Dialect], Iterator[Verdict]]], Callable[[Change, Dialect], Iterator[Verdict]]]:
    def register(
        function: Callable[[Change, Dialect], Iterator[Verdict]],
    ) -> Callable[[Change, Dialect], Iterator[Verdict]]:
        for kind in kinds:
            JUDGES[kind] = function
        return function

    return register


def column_name(change: Change) -> str:
    return f"Column {change.path[-1]!r} of table {change.table!r}".replace("'", '"')


@judges("table.removed", "table.added")
def judge_table(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    table = change.old or change.new
    verb = change.kind.split(".")[1]
    rows = f" with {table.row_count} rows" if table.row_count else ""
    yield f"table_{verb}", f'Table "{table.key}"{rows} is {verb}.'


@judges("table.renamed")
def judge_table_renamed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    yield "table_renamed", f'Table "{change.old.key}" is renamed to "{change.new.key}".'


TRAIT_RULES = {
    "row_security": "row_security_changed",
    "force_row_security": "row_security_changed",
    "unlogged": "table_persistence_changed",
    "inherits": "inheritance_changed",
    "partition_by": "partitioning_changed",
    "partition_of": "partition_bound_changed",
}


@judges(*(f"table.{trait}" for trait in TABLE_TRAITS))
def judge_table_trait(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    trait = change.kind.split(".")[1]
    yield (
        TRAIT_RULES.get(trait, "table_option_changed"),
        (f'Table "{change.table}": {trait} changes from {describe(change.old)} to {describe(change.new)}.'),
    )


@judges("column.removed")
def judge_column_removed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    yield "column_removed", f"{column_name(change)} ({change.old.type}) is removed."


@judges("column.added")
def judge_column_added(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    column = change.new
    if column.generated:
        yield "generated_column_added", f"{column_name(change)} is added, generated as {column.generated}."
    elif column.nullable or column.default is not None or column.identity:
        extra = f" with default {column.default}" if column.default is not None else ""
        yield "column_added", f"{column_name(change)} ({column.type}) is added{extra}."
    else:
        yield (
            "required_column_added",
            f"{column_name(change)} ({column.type}) is added, NOT NULL and without a default.",
        )


@judges("column.renamed")
def judge_column_renamed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    yield "column_renamed", f'Column "{change.old.name}" of table "{change.table}" is renamed to "{change.new.name}".'


@judges("column.type")
def judge_column_type(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    old, new = change.old.type, change.new.type
    conversion = dialect.convert(old, new)
    if not dialect.strict_types:
        rule = "column_declared_type_changed" if conversion.instant else "column_affinity_changed"
        yield rule, f"{column_name(change)} changes its type from {old or 'none'} to {new or 'none'}."
        return
    same_base = parse_type(old).base == parse_type(new).base and parse_type(old).base in TEXTS + ("bit varying", "bit")
    family = {parse_type(old).base, parse_type(new).base} <= {*INTEGERS, *FLOATS, "numeric"} or parse_type(
        old
    ).base == parse_type(new).base
    said = f"{column_name(change)} changes its type from {old} to {new}."
    if conversion.loss == "impossible" and not change.new.using:
        yield "column_type_incompatible", said
    elif conversion.loss == "none":
        both_text = {parse_type(old).base, parse_type(new).base} <= set(TEXTS)
        yield (
            (
                "column_length_increased"
                if same_base or both_text
                else "column_type_widened"
                if family
                else "column_type_changed"
            ),
            said,
        )
    elif same_base or {parse_type(old).base, parse_type(new).base} <= set(TEXTS):
        yield "column_length_reduced", said
    else:
        yield ("column_type_narrowed" if family else "column_type_changed"), said


@judges("column.nullable")
def judge_column_nullable(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    if change.new.nullable:
        yield "column_made_nullable", f"{column_name(change)} may be NULL from now on."
    else:
        yield "column_made_required", f"{column_name(change)} must not be NULL from now on."


@judges("column.default")
def judge_column_default(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    old, new = change.old.default, change.new.default
    if old is None:
        yield "column_default_added", f"{column_name(change)} gets the default {new}."
    elif new is not None:
        yield "column_default_changed", f"{column_name(change)} changes its default from {old} to {new}."
    elif change.new.nullable or change.new.identity:
        yield "column_default_removed", f"{column_name(change)} loses its default {old}."
    else:
        yield "required_column_default_removed", f"{column_name(change)} is NOT NULL and loses its default {old}."


@judges("column.identity", "column.identity_options")
def judge_column_identity(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    if change.kind == "column.identity_options":
        yield "sequence_changed", f"{column_name(change)} numbers its rows with other options."
    elif change.new.identity is None:
        yield "identity_removed", f"{column_name(change)} no longer numbers its rows."
    else:
        rule = "identity_always_added" if change.new.identity == "always" else "identity_added"
        yield rule, f"{column_name(change)} is numbered by the server ({change.new.identity.replace('_', ' ')})."


@judges("column.generated")
def judge_column_generated(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    rule = (
        "column_made_generated"
        if change.old.generated is None
        else "column_generation_removed"
        if change.new.generated is None
        else "column_generation_changed"
    )
    yield (
        rule,
        f"{column_name(change)}: generated as {change.new.generated or 'nothing'}, before as {change.old.generated or 'nothing'}.",
    )


@judges("column.collation")
def judge_column_collation(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    yield (
        "column_collation_changed",
        (
            f"{column_name(change)} changes its collation from {change.old.collation or 'the default'} "
            f"to {change.new.collation or 'the default'}."
        ),
    )


@judges("column.traits")
def judge_column_traits(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    rule = (
        "column_visibility_changed"
        if dict(change.old.traits).get("invisible") != dict(change.new.traits).get("invisible")
        else "column_storage_changed"
    )
    yield (
        rule,
        f"{column_name(change)} changes {describe(dict(change.old.traits))} to {describe(dict(change.new.traits))}.",
    )


def item_text(item: Any) -> str:
    return f"{item.name}: {' '.join((item.tail if isinstance(item, Index) else item.definition).split())[:200]}"


@judges(
    *(
        f"{kind}.{verb}"
        for kind in ("primary_key", "unique", "foreign_key", "check", "exclude", "trigger", "rule", "policy")
        for verb in ("added", "removed", "changed")
    )
)
def judge_item(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    kind, verb = change.kind.split(".")
    words = {
        "primary_key": "Primary key",
        "foreign_key": "Foreign key",
        "unique": "Unique constraint",
        "check": "CHECK",
        "exclude": "EXCLUDE",
    }.get(kind, kind.capitalize())
    yield f"{kind}_{verb}", f'{words} of table "{change.table}" {verb}: {item_text(change.new or change.old)}.'


@judges(*(f"{kind}.renamed" for kind in ("primary_key", "unique", "foreign_key", "check", "exclude")))
def judge_constraint_renamed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    yield (
        "constraint_renamed",
        f'Constraint "{change.old.name}" of table "{change.table}" is renamed to "{change.new.name}".',
    )


@judges("index.added", "index.removed", "index.changed", "index.renamed")
def judge_index(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    verb = change.kind.split(".")[1]
    item = change.new or change.old
    unique = verb != "renamed" and (item.unique or bool(change.old and change.old.unique))
    yield f"{'unique_' if unique else ''}index_{verb}", f'Index of table "{change.table}" {verb}: {item_text(item)}.'


@judges("enum.changed")
def judge_enum_changed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    old, new = change.old.facts.get("values", []), change.new.facts.get("values", [])
    for value in (value for value in old if value not in new):
        yield "enum_value_removed", f'Enum "{change.old.key}" loses the value "{value}".'
    for value in (value for value in new if value not in old):
        yield "enum_value_added", f'Enum "{change.old.key}" gets the value "{value}".'
    if [value for value in old if value in new] != [value for value in new if value in old]:
        yield "enum_values_reordered", f'Enum "{change.old.key}" orders its values {", ".join(new)}.'


@judges("domain.changed")
def judge_domain_changed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    same = thing_facts(change.old)["type"] == thing_facts(change.new)["type"]
    yield "domain_changed" if same else "domain_type_changed", f'Domain "{change.old.key}" changes.'


@judges("view.changed", "materialized_view.changed")
def judge_view_changed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    old, new = (thing.facts.get("columns") or [] for thing in (change.old, change.new))
    for name in (name for name in old if new and name not in new):
        yield "view_column_removed", f'View "{change.old.key}" loses the column "{name}".'
    for name in (name for name in new if old and name not in old):
        yield "view_column_added", f'View "{change.old.key}" gets the column "{name}".'
    yield "view_changed", f'View "{change.old.key}" is defined otherwise.'


@judges("function.changed")
def judge_function_changed(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    old, new = function_head(change.old.facts["definition"]), function_head(change.new.facts["definition"])
    yield (
        ("function_changed" if old == new else "function_signature_changed"),
        f'Function "{change.old.key}" is defined otherwise.',
    )


def function_head(definition: str) -> str:
    """Return name, parameters and result of a CREATE FUNCTION statement, canonical."""
    head = re.split(
        r"(?is)\b(?:LANGUAGE|AS\s+[$']|TRANSFORM|WINDOW|IMMUTABLE|STABLE|VOLATILE)\b", definition, maxsplit=1
    )[0]
    return canonical(head) or ""


@judges("comment.changed")
def judge_comment(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    yield "comment_changed", f"The comment of {show_path(change.path)} changes."


@judges(
    *(
        f"{kind}.{verb}"
        for kind in (
            "enum",
            "domain",
            "composite_type",
            "sequence",
            "function",
            "view",
            "materialized_view",
            "virtual_table",
            "extension",
            "schema",
        )
        for verb in ("added", "removed", "changed")
        if f"{kind}.{verb}" not in JUDGES
    )
)
def judge_thing(change: Change, dialect: Dialect) -> Iterator[Verdict]:
    kind, verb = change.kind.split(".")
    rule = f"{'view' if kind == 'materialized_view' else kind}_{verb}"
    name = kind.replace("_", " ").capitalize()
    yield rule, f'{name} "{(change.new or change.old).key}" is {verb}.'


def public_value(item: Any) -> Any:
    """Return a fact as the report shows it: short, and in the words of the document."""
    if item is None or isinstance(item, (str, int, float, bool, list, dict)):
        return item
    if isinstance(item, Column):
        words = (
            [item.type]
            + ([] if item.nullable else ["NOT NULL"])
            + ([f"DEFAULT {item.default}"] if item.default is not None else [])
        )
        return " ".join(words)
    if isinstance(item, Table):
        return sorted(item.columns)
    if isinstance(item, Index):
        return ("UNIQUE " if item.unique else "") + item.tail
    if isinstance(item, Thing):
        return item.facts.get("values") or item.facts.get("definition") or item.key
    return item.definition


def judge_schemas(changes: Iterable[Change], dialect: Dialect) -> Iterator[Finding]:
    for change in changes:
        for rule_id, sentence in JUDGES[change.kind](change, dialect):
            old, new = public_value(change.old), public_value(change.new)
            if rule_id == "comment_changed":
                old, new = (getattr(item, "comment", item) for item in (change.old, change.new))
            yield Finding(DATABASE_RULES[rule_id], change.path, sentence, old, new, statements_reached(change))


def statements_reached(change: Change) -> Tuple[str, ...]:
    """Return the kinds of SQL statement that can meet a change."""
    noun, verb = change.kind.split(".")
    if noun in ("column", "table") and verb in ("removed", "renamed", "type"):
        return ("SELECT", "INSERT", "UPDATE", "DELETE") if noun == "table" else COLUMN_STATEMENTS
    if noun == "column" and verb in ("nullable", "default", "added", "generated", "identity"):
        return ("INSERT", "UPDATE") if verb != "nullable" or not change.new.nullable else ("SELECT",)
    if noun in ("unique", "primary_key", "foreign_key", "check", "exclude"):
        return ("INSERT", "UPDATE") + (("DELETE",) if noun == "foreign_key" else ())
    return ("SELECT",) if noun in ("view", "materialized_view") else ()


def suspect_renames(changes: Sequence[Change]) -> Iterator[Finding]:
    """Yield a hint for each removed column that an added one of the same table and type resembles."""
    import difflib

    removed = [change for change in changes if change.kind == "column.removed"]
    added = [change for change in changes if change.kind == "column.added"]
    for gone in removed:
        similar = [
            (difflib.SequenceMatcher(None, gone.old.name, come.new.name).ratio(), come.new.name, come)
            for come in added
            if come.table == gone.table and come.new.type == gone.old.type
        ]
        score, name, come = max(similar, default=(0.0, "", None), key=lambda entry: entry[:2])
        if come is not None and score >= 0.6:
            yield Finding(
                DATABASE_RULES["column_rename_suspected"],
                come.path,
                f'Column "{gone.old.name}" of table "{gone.table}" is removed and the similar "{name}" added.',
                gone.old.name,
                name,
                (),
                remedy=f'State "renamed_from": "{gone.old.name}" on {show_path(come.path)} if it is a rename.',
            )
# == 11. Ordering steps ===============================================================================
# In: drafts, each with what it makes, reads, frees and holds. Out: steps in the order of execution.


class Draft(NamedTuple):
    """A step before it has its place: names say what has to be there, or gone, when it runs.

    `makes` and `frees` hold groups of names, all of which a text must mention to mean the object: ("users",) or
    ("users", "email"). `reads` is SQL that needs what it names; `holds` is SQL that keeps what it names from going.
    """

    key: str
    phase: str
    rank: int
    description: str
    do: str
    undo: str
    makes: Tuple[Tuple[str, ...], ...] = ()
    reads: str = ""
    frees: Tuple[Tuple[str, ...], ...] = ()
    holds: str = ""
    proof: Optional[str] = None
    transactional: bool = True
    lock: Optional[str] = None
    rewrites: bool = False
    lossy: Optional[str] = None
    issues: Tuple[Path, ...] = ()
    script_type: str = "sql"
    after: Tuple[str, ...] = ()


def edges(drafts: Sequence[Draft]) -> Dict[int, Set[int]]:
    """Return for each draft (by position) those that must run before it."""
    makers: Dict[str, List[Tuple[Tuple[str, ...], int]]] = {}
    freers: Dict[str, List[Tuple[Tuple[str, ...], int]]] = {}
    keys = {draft.key: position for position, draft in enumerate(drafts)}
    for position, draft in enumerate(drafts):
        for registry, groups in ((makers, draft.makes), (freers, draft.frees)):
            for group in groups:
                registry.setdefault(group[-1], []).append((group, position))
    before: Dict[int, Set[int]] = {position: set() for position in range(len(drafts))}
    for position, draft in enumerate(drafts):
        before[position].update(keys[key] for key in draft.after if key in keys)
        before[position].update(named(draft.reads, makers))
        for group in draft.makes:  # a name that is given up must be free before it is taken again
            before[position].update(other for names, other in freers.get(group[-1], ()) if names == group)
        for other in named(draft.holds, freers):
            before[other].add(position)
    for position, others in before.items():
        others.discard(position)
    return before


def named(text: str, registry: Dict[str, List[Tuple[Tuple[str, ...], int]]]) -> Iterator[int]:
    words = names_in(text)
    for word in words:
        for group, position in registry.get(word, ()):
            if all(name in words for name in group):
                yield position


def order_drafts(drafts: Sequence[Draft]) -> List[Draft]:
    """Return the drafts by phase, dependency, kind and name; a phase is raised where a dependency asks for it."""
    import heapq

    before = edges(drafts)
    after: Dict[int, List[int]] = {position: [] for position in before}
    for position, others in before.items():
        for other in others:
            after[other].append(position)
    phases = [PHASES.index(draft.phase) for draft in drafts]
    waiting = {position: len(others) for position, others in before.items()}
    ranked = [(phases[p], drafts[p].rank, drafts[p].key, p) for p in waiting if not waiting[p]]
    heapq.heapify(ranked)
    placed: List[int] = []
    done: Set[int] = set()
    while len(placed) < len(drafts):
        if not ranked:  # a cycle: cut it at the step that usually comes first
            p = min((q for q in waiting if q not in done), key=lambda q: (phases[q], drafts[q].rank, drafts[q].key))
            ranked.append((phases[p], drafts[p].rank, drafts[p].key, p))
        phase, _, _, position = heapq.heappop(ranked)
        if position in done:
            continue
        done.add(position)
        placed.append(position)
        for other in after[position]:
            phases[other] = max(phases[other], phase)
            waiting[other] -= 1
            if waiting[other] == 0 and other not in done:
                heapq.heappush(ranked, (phases[other], drafts[other].rank, drafts[other].key, other))
    return [drafts[p]._replace(phase=PHASES[phases[p]]) for p in sorted_by_phase(placed, phases)]


def sorted_by_phase(placed: Sequence[int], phases: Sequence[int]) -> List[int]:
    """Return positions phase by phase, each phase in the order in which they were placed."""
    return sorted(placed, key=lambda position: phases[position])


def number_drafts(drafts: Sequence[Draft]) -> List[Step]:
    """Return steps with stable ids and the ids that each one needs."""
    before = edges(drafts)
    ids = [f"{position + 1:03d}_{draft.phase}_{slug(draft.key)}" for position, draft in enumerate(drafts)]
    return [
        Step(
            ids[position],
            draft.phase,
            draft.description,
            draft.do,
            draft.undo,
            draft.script_type,
            tuple(ids[other] for other in sorted(before[position]) if other < position),
            draft.proof,
            draft.transactional,
            draft.lock,
            draft.rewrites,
            "lossy" if draft.lossy else "lossless",
            draft.lossy,
            draft.issues,
        )
        for position, draft in enumerate(drafts)
    ]


def slug(text: str) -> str:
    """Return a name that is safe as a file name in any shell."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60] or "step"
# == 12. PostgreSQL statements ========================================================================
# Small pieces of SQL, each with the reason why it is written that way. Facts: PostgreSQL 15 docs and runs on 15.

ARCHIVE = "migration_archive"
SMALL_ROWS = 10_000  # assumption: a table this small is rewritten in well under a second
SETTINGS = "SET lock_timeout = '2s';\nSET statement_timeout = 0;\nSET client_min_messages = warning;\n"
UNLIMITED = "SET lock_timeout = 0;\nSET statement_timeout = 0;\nSET client_min_messages = warning;\n"
BATCH_BLOCKS = 16  # of 8 kB: about a thousand rows of ordinary width in one transaction
STABLE_CALLS = frozenset(
    "now current_timestamp current_date current_time localtimestamp localtime transaction_timestamp "
    "statement_timestamp current_user session_user current_setting timezone date_trunc lower upper "
    "coalesce array jsonb_build_object jsonb_build_array to_jsonb".split()
)
SQL = PostgreSQL()
quote, literal = SQL.quote, SQL.literal


def dollar(body: str, tag: str = "ma") -> str:
    """Return a body in dollar quotes whose tag does not occur in it."""
    while f"${tag}$" in body:
        tag += "a"
    return f"${tag}${body}${tag}$"


def locked(*statements: str, declare: str = "") -> str:
    """Return a block that runs statements in one transaction and never lets the application queue behind its wait.

    A waiting ALTER TABLE blocks every statement behind it, so each try gives up after 100 ms and its locks go with the
    subtransaction. Every fifth try waits for the deadlock check, which is what makes an autovacuum give way.
    """
    lines = "\n".join("      " + strip_words(statement) + ";" for statement in statements if statement.strip())
    return (
        "DO "
        + dollar(f"""
DECLARE
  _deadline timestamptz := clock_timestamp() + interval '120 s'; _tries integer := 0;{declare and chr(10) + "  " + declare}
BEGIN
  LOOP
    _tries := _tries + 1;
    BEGIN
      PERFORM set_config('lock_timeout', CASE WHEN _tries % 5 = 0 THEN '300ms' ELSE '100ms' END, true);
      IF _tries % 5 = 0 THEN
        BEGIN
          PERFORM set_config('deadlock_timeout', '50ms', true);
        EXCEPTION WHEN insufficient_privilege THEN
          IF _tries % 50 = 0 THEN PERFORM set_config('lock_timeout', '1200ms', true); END IF;
        END;
      END IF;
{lines}
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      IF clock_timestamp() > _deadline THEN RAISE; END IF;
    END;
    PERFORM pg_sleep(0.2 + random() * 0.3);
  END LOOP;
END """)
        + ";\n"
    )


def transaction(*statements: str) -> str:
    lines = "\n".join(strip_words(statement) + ";" for statement in statements if statement.strip())
    return f"{SETTINGS}BEGIN;\n{lines}\nCOMMIT;\n"


def table_sql(table: Table) -> str:
    return SQL.table_sql(table.schema, table.name)


def thing_sql(thing: Thing) -> str:
    return SQL.table_sql(thing.schema, thing.name)


def own_name(*parts: str) -> str:
    """Return a name for an object of the tool's own, at most 63 bytes, different for different parts."""
    text = "__".join(parts)
    if len(text.encode("utf-8")) <= 63:
        return text
    import hashlib

    mark = hashlib.sha256(text.encode("utf-8")).hexdigest()[:8]
    return text.encode("utf-8")[:50].decode("utf-8", "ignore") + "__" + mark


def regclass(table_text: str) -> str:
    return f"{literal(table_text)}::regclass"


def has_relation(name: str) -> str:
    return f"SELECT to_regclass({literal(name)}) IS NOT NULL;\n"


def has_column(table: Table, column: str, more: str = "true") -> str:
    return (
        "SELECT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass("
        + literal(table_sql(table))
        + f") AND a.attname = {literal(column)} AND NOT a.attisdropped AND {more});\n"
    )


def lacks(query: str) -> str:
    return query.replace("SELECT EXISTS", "SELECT NOT EXISTS", 1).replace("IS NOT NULL;", "IS NULL;")


def has_constraint(table: Table, name: str, more: str = "true") -> str:
    return (
        "SELECT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass("
        + literal(table_sql(table))
        + f") AND c.conname = {literal(name)} AND {more});\n"
    )


def has_index(table_schema: str, name: str) -> str:
    return (
        f"SELECT coalesce((SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = "
        f"to_regclass({literal(SQL.table_sql(table_schema, name))})), false);\n"
    )


def drop_empty_archive() -> str:
    """Return SQL that removes the archive schema when nothing is left in it."""
    return (
        "DO $ma$ BEGIN DROP SCHEMA IF EXISTS "
        + ARCHIVE
        + "; EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END $ma$;\n"
    )


def make_archive() -> str:
    return f"CREATE SCHEMA IF NOT EXISTS {ARCHIVE};\n"


def backfill(table_text: str, sets: str, where: str, silent: bool) -> str:
    """Return a block that updates rows in short transactions, can be stopped and run again, and never waits.

    It walks the table by blocks (ctid ranges need no key), skips rows that a writer holds, and repeats until no row is
    left. `silent` keeps the user's own triggers from firing: they would change other columns (updated_at).
    """
    quiet = "SET session_replication_role = replica;\n" if silent else ""
    loud = "SET session_replication_role = DEFAULT;\n" if silent else ""
    here = regclass(table_text)
    body = f"""
DECLARE
  _block bigint; _last bigint; _rows bigint;
BEGIN
  LOOP
    _block := 0;
    _last := pg_relation_size({here}) / current_setting('block_size')::bigint;
    WHILE _block <= _last LOOP
      UPDATE {table_text} SET {sets}
      WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table_text}
        WHERE ctid >= format('(%s,0)', _block)::tid AND ctid < format('(%s,0)', _block + {BATCH_BLOCKS})::tid AND ({where})
        FOR NO KEY UPDATE SKIP LOCKED));
      GET DIAGNOSTICS _rows = ROW_COUNT;
      COMMIT;
      _block := _block + {BATCH_BLOCKS};
      IF _rows > 0 THEN PERFORM pg_sleep(0.01); END IF;
    END LOOP;
    EXIT WHEN NOT EXISTS (SELECT FROM {table_text} WHERE {where});
    PERFORM pg_sleep(0.1);
  END LOOP;
END """
    return f"{quiet}DO {dollar(body)};\n{loud}"


def sync_trigger(table: Table, name: str, assignments: str) -> Tuple[str, str]:
    """Return SQL that installs and that removes a BEFORE trigger; its name makes it fire after the user's own."""
    function = SQL.table_sql(table.schema, name)
    body = f"\nBEGIN\n{assignments}\n  RETURN NEW;\nEND "
    install = f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {dollar(body, 'fn')};\n"
    trigger = trigger_name(name)
    create = (f"DROP TRIGGER IF EXISTS {trigger} ON {table_sql(table)}", fire(table, name))
    remove = (
        locked(f"DROP TRIGGER IF EXISTS {trigger} ON {table_sql(table)}") + f"DROP FUNCTION IF EXISTS {function}();\n"
    )
    return install + locked(*create), remove


def trigger_name(name: str) -> str:
    return quote(own_name("zz", name))


def drop_function(table: Table, name: str) -> str:
    return f"DROP FUNCTION IF EXISTS {SQL.table_sql(table.schema, name)}();\n"


def column_sql(column: Column, *, bare: bool = False) -> str:
    """Return a column as CREATE TABLE and ADD COLUMN write it; bare leaves out default, identity and NOT NULL."""
    words = [quote(column.name), column.type]
    if column.collation:
        words.append(f"COLLATE {collation_sql(column.collation)}")
    if column.generated:
        words.append(f"GENERATED ALWAYS AS ({column.generated}) STORED")
    if not bare:
        if column.default is not None:
            words.append(f"DEFAULT {column.default}")
        if column.identity:
            words.append(identity_sql(column))
        if not column.nullable:
            words.append("NOT NULL")
    return " ".join(words)


def collation_sql(name: str) -> str:
    return name if name.startswith('"') or "." in name else '"' + name.replace('"', '""') + '"'


def identity_sql(column: Column) -> str:
    word = "ALWAYS" if column.identity == "always" else "BY DEFAULT"
    options = dict(column.identity_options or {})
    name = options.pop("sequence", None)
    text = sequence_options({key: value for key, value in options.items() if key != "type"})
    parts = ([f"SEQUENCE NAME {SQL.reference_sql(name)}"] if name else []) + ([text] if text else [])
    return f"GENERATED {word} AS IDENTITY" + (f" ({' '.join(parts)})" if parts else "")


def sequence_options(facts: Dict[str, Any], everything: bool = False) -> str:
    """Return the options of a sequence that differ from the defaults, or all of them for ALTER SEQUENCE."""
    words = []
    for key, text in (
        ("increment", "INCREMENT BY"),
        ("min", "MINVALUE"),
        ("max", "MAXVALUE"),
        ("start", "START WITH"),
        ("cache", "CACHE"),
    ):
        if facts.get(key) is not None:
            words.append(f"{text} {facts[key]}")
    if facts.get("cycle") or everything:
        words.append("CYCLE" if facts.get("cycle") else "NO CYCLE")
    return " ".join(words)


def column_extras(table: Table, column: Column) -> List[str]:
    """Return the statements that give a column what ADD COLUMN cannot say."""
    statements = [
        f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(column.name)} SET {trait.upper()} {value}"
        for trait, value in column.traits
        if trait in ("storage", "compression", "statistics")
    ]
    if column.comment:
        statements.append(comment_sql(f"COLUMN {table_sql(table)}.{quote(column.name)}", column.comment))
    return statements


def comment_sql(target: str, comment: Optional[str]) -> str:
    return f"COMMENT ON {target} IS {text_literal(comment)}"


def text_literal(text: Optional[str]) -> str:
    if text is None:
        return "NULL"
    return ("E" + literal(text.replace("\\", "\\\\"))) if "\\" in text else literal(text)


def index_sql(table: Table, index: Index, name: str, *, concurrently: bool = False, tail: Optional[str] = None) -> str:
    words = "CREATE UNIQUE INDEX" if index.unique else "CREATE INDEX"
    return f"{words}{' CONCURRENTLY' if concurrently else ''} {quote(name)} ON {table_sql(table)} {tail or index.tail}"


def build_index(table: Table, index: Index, name: str, tail: Optional[str] = None) -> str:
    """Return SQL that builds an index without blocking writes; a failed earlier try leaves an invalid one to remove."""
    full = SQL.table_sql(table.schema, name)
    if "partition_by" in table.traits:  # CONCURRENTLY is refused on a partitioned table
        return UNLIMITED + locked(index_sql(table, index, name, tail=tail))
    return (
        f"{UNLIMITED}{refuse_duplicates(table, index, name, tail or index.tail)}DROP INDEX CONCURRENTLY IF EXISTS {full};\n"
        f"{index_sql(table, index, name, concurrently=True, tail=tail)};\n"
    )


def remove_index(table: Table, name: str) -> str:
    full = SQL.table_sql(table.schema, name)
    if "partition_by" in table.traits:
        return UNLIMITED + locked(f"DROP INDEX IF EXISTS {full}")
    return f"{UNLIMITED}DROP INDEX CONCURRENTLY IF EXISTS {full};\n"


def index_extras(table: Table, index: Index) -> List[str]:
    statements = []
    if index.comment:
        statements.append(comment_sql(f"INDEX {SQL.table_sql(table.schema, index.name)}", index.comment))
    if "clustered" in index.flags:
        statements.append(f"ALTER TABLE {table_sql(table)} CLUSTER ON {quote(index.name)}")
    if "replica_identity" in index.flags:
        statements.append(f"ALTER TABLE {table_sql(table)} REPLICA IDENTITY USING INDEX {quote(index.name)}")
    return statements


KEY_DEFINITION = re.compile(
    r"(?is)^(?P<word>PRIMARY\s+KEY|UNIQUE)(?P<nulls>\s+NULLS\s+NOT\s+DISTINCT)?\s*"
    r"(?P<columns>\((?:\"(?:[^\"]|\"\")*\"|[^()])*\))(?P<include>\s*INCLUDE\s*\((?:\"(?:[^\"]|\"\")*\"|[^()])*\))?(?P<rest>.*)$"
)


def key_index(constraint: Constraint) -> Optional[Tuple[Index, str]]:
    """Return the unique index under a key constraint and what follows USING INDEX; None when it has no such form."""
    match = KEY_DEFINITION.match(constraint.definition)
    if not match or re.search(r"(?i)\bWITH\b", match.group("rest")):
        return None
    tail = f"USING btree {match.group('columns')}{match.group('include') or ''}{match.group('nulls') or ''}"
    return Index(constraint.name, True, tail, constraint.columns), match.group("rest").strip()


def constraint_comment(table: Table, constraint: Constraint) -> List[str]:
    target = f"CONSTRAINT {quote(constraint.name)} ON {table_sql(table)}"
    return [comment_sql(target, constraint.comment)] if constraint.comment else []


def add_constraint(
    table: Table, constraint: Constraint, name: Optional[str] = None, definition: Optional[str] = None
) -> str:
    return f"ALTER TABLE {table_sql(table)} ADD CONSTRAINT {quote(name or constraint.name)} {definition or constraint.definition}"


def drop_constraint(table: Table, name: str) -> str:
    return f"ALTER TABLE {table_sql(table)} DROP CONSTRAINT IF EXISTS {quote(name)}"


def add_unvalidated(
    table: Table, constraint: Constraint, name: Optional[str] = None, definition: Optional[str] = None
) -> str:
    """Return SQL that adds a CHECK or foreign key for new rows first and proves the old ones in a second transaction."""
    text = definition or constraint.definition
    add = (
        drop_constraint(table, name or constraint.name),
        add_constraint(table, constraint, name, text + not_valid(text)),
    )
    return (
        refuse_violations(table, constraint, text)
        + locked(*add)
        + ("" if is_not_valid(text) else validate(table, name or constraint.name))
    )


def not_valid(definition: str) -> str:
    return "" if is_not_valid(definition) else " NOT VALID"


def is_not_valid(definition: str) -> bool:
    return bool(re.search(r"(?i)\bNOT VALID\s*$", definition))


def refuse(condition: str, message: str) -> str:
    """Return a block that stops the script, before it has changed anything, where rows stand in the way."""
    return (
        "DO "
        + dollar(f"""
BEGIN
  IF {condition} THEN
    RAISE EXCEPTION {literal(message.replace("%", "%%"))} USING ERRCODE = 'check_violation';
  END IF;
END """)
        + ";\n"
    )


def refuse_violations(table: Table, constraint: Constraint, definition: str) -> str:
    """Return a block that stops where rows violate a CHECK or foreign key that is about to be added."""
    if is_not_valid(definition):
        return ""
    text = table_sql(table)
    said = f"rows of {table.key} violate {constraint.name}: nothing was changed"
    if constraint.kind == "check":
        condition = re.sub(r"(?is)^\s*CHECK\s*|\s+NO\s+INHERIT\s*$", "", definition)
        return refuse(f"EXISTS (SELECT FROM {text} WHERE NOT {condition})", said)
    match = re.match(r"(?is)FOREIGN KEY\s*\((.*?)\)\s*REFERENCES\s+(.+?)\s*\((.*?)\)", definition)
    if not match:
        return ""
    pairs = list(zip(split_top(match.group(1)), split_top(match.group(3))))
    filled = " AND ".join(f"_c.{a} IS NOT NULL" for a, _ in pairs)
    equal = " AND ".join(f"_p.{b} = _c.{a}" for a, b in pairs)
    return refuse(
        f"EXISTS (SELECT FROM {text} _c WHERE {filled} AND NOT EXISTS (SELECT FROM {match.group(2)} _p WHERE {equal}))",
        said,
    )


def refuse_duplicates(table: Table, index: Index, name: str, tail: str) -> str:
    """Return a block that stops where a unique index could not be built; a failed concurrent build leaves an invalid one."""
    match = re.match(
        r"(?is)USING\s+btree\s*(\(.*\))\s*$", re.split(r"(?i)\s(?:INCLUDE|NULLS NOT DISTINCT|WITH|WHERE)\b", tail)[0]
    )
    if not index.unique or not match:
        return ""
    names = [
        re.sub(r"(?i)\s+(asc|desc)\b|\s+nulls\s+(first|last)\b|\s+\w+_ops\b", "", part)
        for part in split_top(match.group(1)[1:-1])
    ]
    where = re.search(r"(?is)\sWHERE\s+(.*)$", tail)
    conditions = [] if re.search(r"(?i)NULLS NOT DISTINCT", tail) else [f"({part}) IS NOT NULL" for part in names]
    conditions += [f"({where.group(1)})"] if where else []
    return refuse(
        f"EXISTS (SELECT FROM {table_sql(table)} WHERE {' AND '.join(conditions) or 'true'} GROUP BY {', '.join(names)} HAVING count(*) > 1)",
        f"rows of {table.key} are not unique for {name}: nothing was changed",
    )


def validate(table: Table, name: str) -> str:
    return locked(f"ALTER TABLE {table_sql(table)} VALIDATE CONSTRAINT {quote(name)}")


def add_key(table: Table, constraint: Constraint) -> str:
    """Return SQL that adds a primary key or unique constraint over an index that was built without blocking."""
    known = key_index(constraint)
    if known is None or "partition_by" in table.traits or "partition_of" in table.traits:
        return SETTINGS + locked(
            drop_constraint(table, constraint.name),
            add_constraint(table, constraint),
            *constraint_comment(table, constraint),
        )
    index, rest = known
    word = "PRIMARY KEY" if constraint.kind == "primary_key" else "UNIQUE"
    using = f"{word} USING INDEX {quote(constraint.name)} {rest}".rstrip()
    nulls = [not_null_check(table, name) for name in constraint.columns if constraint.kind == "primary_key"]
    sets = [
        f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(name)} SET NOT NULL"
        for name in constraint.columns
        if constraint.kind == "primary_key"
    ]
    drops = [
        drop_constraint(table, own_name(table.name, name, "not_null"))
        for name in constraint.columns
        if constraint.kind == "primary_key"
    ]
    return (
        SETTINGS
        + locked(drop_constraint(table, constraint.name))
        + build_index(table, index, constraint.name)
        + "".join(nulls)
        + locked(*sets, *drops, add_constraint(table, constraint, None, using), *constraint_comment(table, constraint))
    )


def not_null_check(table: Table, column: str, real: Optional[str] = None) -> str:
    """Return SQL that proves a column free of NULL by a CHECK, so that SET NOT NULL need not scan under its lock."""
    name = own_name(table.name, real or column, "not_null")
    check = f"CHECK ({quote(column)} IS NOT NULL)"
    text = table_sql(table)
    there = refuse(
        f"EXISTS (SELECT FROM {text} WHERE {quote(column)} IS NULL)",
        f"rows of {table.key} hold NULL in {column}: nothing was changed",
    )
    return (
        there
        + locked(
            f"ALTER TABLE {text} DROP CONSTRAINT IF EXISTS {quote(name)}",
            f"ALTER TABLE {text} ADD CONSTRAINT {quote(name)} {check} NOT VALID",
        )
        + validate(table, name)
    )


def set_not_null(table: Table, column: str) -> str:
    """Two statements on purpose: in one ALTER TABLE the drop would run first, and the scan would come back."""
    return locked(
        f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(column)} SET NOT NULL",
        drop_constraint(table, own_name(table.name, column, "not_null")),
    )


def is_volatile(default: Optional[str]) -> bool:
    """Tell whether a default may differ from row to row, so that adding the column would rewrite the table."""
    if default is None:
        return False
    listed_tokens = tokens(default)
    return any(
        kind in ("word", "name")
        and index + 1 < len(listed_tokens)
        and listed_tokens[index + 1][1] == "("
        and token not in STABLE_CALLS
        and (index == 0 or listed_tokens[index - 1][1] != "::")
        for index, (kind, token) in enumerate(listed_tokens)
    )


NEUTRAL_VALUES = {
    "text": "''",
    "character varying": "''",
    "character": "''",
    "integer": "0",
    "bigint": "0",
    "smallint": "0",
    "numeric": "0",
    "real": "0",
    "double precision": "0",
    "boolean": "false",
    "jsonb": "'{}'",
    "json": "'{}'",
    "bytea": "''",
    "timestamp with time zone": "now()",
    "timestamp without time zone": "now()",
    "date": "now()",
}


def neutral_value(table: Table, column: Column) -> Optional[str]:
    """Return a value for rows that know none, or None where such a value could break a constraint."""
    bound = any(column.name in constraint.columns for constraint in table.constraints.values())
    bound = bound or any(index.unique and column.name in names_in(index.tail) for index in table.indexes.values())
    kind = parse_type(column.type)
    return None if bound else "'{}'" if kind.dims else NEUTRAL_VALUES.get(kind.base)


def create_table(table: Table, after: Schema) -> List[str]:
    """Return the statements that create a table with everything but foreign keys, triggers, rules and policies."""
    text = table_sql(table)
    parts = [f"  {column_sql(column)}" for column in table.columns.values()]
    parts += [
        f"  CONSTRAINT {quote(c.name)} {c.definition}"
        for c in table.constraints.values()
        if c.kind != "foreign_key" and not is_not_valid(c.definition)
    ]
    traits = table.traits
    words = "CREATE UNLOGGED TABLE" if traits.get("unlogged") else "CREATE TABLE"
    if traits.get("partition_of"):
        parent = SQL.reference_sql(traits["partition_of"]["parent"])
        head = f"{words} {text} PARTITION OF {parent} {traits['partition_of']['bound']}"
    else:
        head = f"{words} {text} (\n" + ",\n".join(parts) + "\n)"
    head += (
        f" INHERITS ({', '.join(SQL.reference_sql(key) for key in traits['inherits'])})"
        if traits.get("inherits")
        else ""
    )
    head += f" PARTITION BY {traits['partition_by']}" if traits.get("partition_by") else ""
    head += f" WITH ({options_sql(traits['options'])})" if traits.get("options") else ""
    statements = [head]
    for constraint in table.constraints.values():
        if constraint.kind == "check" and is_not_valid(constraint.definition):
            statements.append(add_constraint(table, constraint))
        statements += constraint_comment(table, constraint) if constraint.kind != "foreign_key" else []
    for index in table.indexes.values():
        statements += [index_sql(table, index, index.name), *index_extras(table, index)]
    for column in table.columns.values():
        statements += column_extras(table, column)
    if table.comment:
        statements.append(comment_sql(f"TABLE {text}", table.comment))
    for trait in ("row_security", "force_row_security", "replica_identity"):
        if traits.get(trait) and not (trait == "replica_identity" and traits[trait] == "index"):
            statements.append(table_trait_sql(table, trait, traits[trait]))
    statements += [
        f"ALTER SEQUENCE {thing_sql(thing)} OWNED BY {text}.{quote(thing.facts['owned_by']['column'])}"
        for thing in after.things.values()
        if thing.kind == "sequence" and (thing.facts.get("owned_by") or {}).get("table") == table.key
    ]
    return statements


def options_sql(options: Any) -> str:
    if isinstance(options, dict):
        return ", ".join(f"{key}={option_value(value)}" for key, value in options.items())
    return ", ".join(str(option) for option in options) if isinstance(options, list) else str(options)


def option_value(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if re.fullmatch(r"[\w.]+", text) else literal(text)


def table_trait_sql(table: Table, trait: str, value: Any) -> str:
    text = table_sql(table)
    if trait == "row_security":
        return f"ALTER TABLE {text} {'ENABLE' if value else 'DISABLE'} ROW LEVEL SECURITY"
    if trait == "force_row_security":
        return f"ALTER TABLE {text} {'FORCE' if value else 'NO FORCE'} ROW LEVEL SECURITY"
    if trait == "unlogged":
        return f"ALTER TABLE {text} SET {'UNLOGGED' if value else 'LOGGED'}"
    return f"ALTER TABLE {text} REPLICA IDENTITY {str(value or 'default').upper()}"


def part_sql(table_text: str, part: Part) -> List[str]:
    """Return the statements that create a trigger, rule or policy, with its state and comment."""
    statements = [part.definition]
    word = {"trigger": "TRIGGER", "rule": "RULE"}.get(part.kind)
    state = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}.get(part.enabled)
    if word and state:
        statements.append(f"ALTER TABLE {table_text} {state} {word} {quote(part.name)}")
    if part.comment:
        statements.append(comment_sql(f"{part.kind.upper()} {quote(part.name)} ON {table_text}", part.comment))
    return statements


def drop_part(table_text: str, part: Part) -> str:
    return f"DROP {part.kind.upper()} IF EXISTS {quote(part.name)} ON {table_text}"


def create_view(view: Thing, *, replace: bool = False) -> List[str]:
    """Return the statements that create a view or materialized view with all that hangs on it."""
    text, facts = thing_sql(view), view.facts
    material = view.kind == "materialized_view"
    options = facts.get("options") or {}
    check = options.get("check_option") if isinstance(options, dict) else None
    named_options = {k: v for k, v in options.items() if k != "check_option"} if isinstance(options, dict) else options
    words = "CREATE MATERIALIZED VIEW" if material else "CREATE OR REPLACE VIEW" if replace else "CREATE VIEW"
    names = f" ({SQL.names_sql(facts['columns'])})" if facts.get("columns") and not replace else ""
    head = f"{words} {text}{names}" + (f" WITH ({options_sql(named_options)})" if named_options else "")
    head += f" AS\n{strip_words(facts['definition'])}"
    head += "\nWITH NO DATA" if material and facts.get("populated") is False else ""
    head += f"\nWITH {str(check).upper()} CHECK OPTION" if check else ""
    statements = [head]
    word = "MATERIALIZED VIEW" if material else "VIEW"
    if view.comment:
        statements.append(comment_sql(f"{word} {text}", view.comment))
    statements += [
        comment_sql(f"COLUMN {text}.{quote(name)}", comment)
        for name, comment in (facts.get("column_comments") or {}).items()
    ]
    statements += [
        f"ALTER VIEW {text} ALTER COLUMN {quote(name)} SET DEFAULT {default_expression(default)}"
        for name, default in (facts.get("column_defaults") or {}).items()
        if not replace
    ]
    host = Table(view.key, view.schema, view.name, {}, {}, {}, {}, {})
    for entry in facts.get("indexes") or ():
        index = SQL.index(view.name, entry)
        statements += [index_sql(host, index, index.name), *index_extras(host, index)]
    if not replace:
        for section, kind in (("triggers", "trigger"), ("rules", "rule")):
            for name, spec in (facts.get(section) or {}).items():
                statements += part_sql(
                    text,
                    Part(kind, name, strip_words(spec["definition"]), spec.get("enabled", "O"), spec.get("comment")),
                )
    return statements


def default_expression(value: Any) -> str:
    return str(value.get("expression")) if isinstance(value, dict) else str(value)


def drop_view(view: Thing) -> str:
    word = "MATERIALIZED VIEW" if view.kind == "materialized_view" else "VIEW"
    return f"DROP {word} IF EXISTS {thing_sql(view)}"
# == 13. PostgreSQL recipes ===========================================================================
# In: changes. Out: drafts; each recipe writes the do and the undo side by side. Ranks order the kinds in a phase.

RANKS = {
    "schema": 0,
    "extension": 1,
    "enum": 2,
    "domain": 3,
    "composite_type": 3,
    "sequence": 4,
    "function": 5,
    "table": 6,
    "column": 7,
    "index": 8,
    "key": 9,
    "check": 10,
    "foreign_key": 11,
    "view": 12,
    "materialized_view": 13,
    "trigger": 14,
    "rule": 14,
    "policy": 14,
    "trait": 15,
    "comment": 16,
    "switch": 20,
    "drop_part": 21,
    "drop_view": 22,
    "drop_foreign_key": 24,
    "drop_constraint": 25,
    "drop_index": 26,
    "drop_column": 27,
    "drop_table": 28,
    "drop_function": 29,
    "drop_sequence": 30,
    "drop_type": 31,
    "drop_extension": 33,
    "drop_schema": 34,
}


class Context(NamedTuple):
    """What the recipes need to know of the whole: both schemas, the changes, and what other recipes take care of."""

    before: Schema
    after: Schema
    changes: Tuple[Change, ...]
    owned: FrozenSet[Path]  # changes that a column conversion carries out itself

    def old_table(self, key: str) -> Optional[Table]:
        table = self.after.tables.get(key)
        return self.before.tables.get(key) or (self.before.tables.get(table.renamed_from or "") if table else None)


Recipe = Callable[[Context, Change], Iterator[Draft]]
RECIPES: Dict[str, Recipe] = {}


def scripts(*kinds: str) -> Callable[[Recipe], Recipe]:
    def register(function: Recipe) -> Recipe:
        for kind in kinds:
            RECIPES[kind] = function
        return function

    return register


def manual(change: Change, question: str) -> Draft:
    """Return an entry for what cannot be scripted safely: the question that a person has to answer."""
    return Draft(
        "manual " + show_path(change.path),
        EXPAND,
        99,
        question,
        f"-- {question}\n",
        "",
        script_type="manual",
        transactional=False,
        issues=(change.path,),
    )


def live_table(context: Context, change: Change) -> Table:
    """Return the table as it is named while the scripts run: a renamed one has its new name first."""
    return context.after.tables.get(change.table or "") or context.before.tables[change.table or ""]


@scripts("schema.added", "schema.removed")
def schema_recipe(context: Context, change: Change) -> Iterator[Draft]:
    thing = change.new or change.old
    name = quote(thing.name if thing.schema == "public" and thing.name == thing.key else thing.key)
    comment = [comment_sql(f"SCHEMA {name}", thing.comment)] if thing.comment else []
    create, drop = (
        transaction(f"CREATE SCHEMA IF NOT EXISTS {name}", *comment),
        transaction(f"DROP SCHEMA IF EXISTS {name}"),
    )
    proof = f"SELECT to_regnamespace({literal(name)}) IS NOT NULL;\n"
    if change.new:
        yield Draft(
            f"schema {thing.key}",
            EXPAND,
            RANKS["schema"],
            f"Create schema {thing.key}",
            create,
            drop,
            makes=((thing.key,),),
            proof=proof,
            issues=(change.path,),
        )
    else:
        yield Draft(
            f"drop schema {thing.key}",
            CONTRACT,
            RANKS["drop_schema"],
            f"Drop the empty schema {thing.key}",
            drop,
            create,
            frees=((thing.key,),),
            proof=lacks(proof),
            issues=(change.path,),
        )


@scripts("extension.added", "extension.removed")
def extension_recipe(context: Context, change: Change) -> Iterator[Draft]:
    thing = change.new or change.old
    schema = thing.facts.get("schema") or (thing.schema if thing.schema != "public" else None)
    where = f" SCHEMA {quote(schema)}" if schema and schema not in ("pg_catalog",) else ""
    comment = [comment_sql(f"EXTENSION {quote(thing.key)}", thing.comment)] if thing.comment else []
    create = transaction(f"CREATE EXTENSION IF NOT EXISTS {quote(thing.key)}{where}", *comment)
    drop = transaction(f"DROP EXTENSION IF EXISTS {quote(thing.key)}")
    proof = f"SELECT EXISTS (SELECT FROM pg_extension WHERE extname = {literal(thing.key)});\n"
    if change.new:
        yield Draft(
            f"extension {thing.key}",
            EXPAND,
            RANKS["extension"],
            f"Create extension {thing.key}",
            create,
            drop,
            makes=((thing.key,),),
            reads=quote(schema or "public"),
            proof=proof,
            issues=(change.path,),
        )
    else:
        yield Draft(
            f"drop extension {thing.key}",
            CONTRACT,
            RANKS["drop_extension"],
            f"Drop extension {thing.key}",
            drop,
            create,
            frees=((thing.key,),),
            holds=quote(schema or "public"),
            proof=lacks(proof),
            issues=(change.path,),
        )


def type_sql(thing: Thing) -> List[str]:
    """Return the statements that create an enum, domain or composite type."""
    text, facts = thing_sql(thing), thing.facts
    if thing.kind == "enum":
        head = f"CREATE TYPE {text} AS ENUM ({', '.join(text_literal(value) for value in facts['values'])})"
    elif thing.kind == "composite_type":
        head = f"CREATE TYPE {text} AS ({', '.join(attribute_sql(a) for a in facts.get('attributes', ()))})"
    else:
        default = f" DEFAULT {default_expression(facts['default'])}" if facts.get("default") is not None else ""
        collation = f" COLLATE {collation_sql(facts['collation'])}" if facts.get("collation") else ""
        head = f"CREATE DOMAIN {text} AS {facts.get('type', 'text')}{collation}{default}"
        head += "" if facts.get("nullable", True) else " NOT NULL"
        head += "".join(
            f" CONSTRAINT {quote(c['name'])} {c['definition']}"
            for c in facts.get("constraints", ())
            if not is_not_valid(c["definition"])
        )
    word = "DOMAIN" if thing.kind == "domain" else "TYPE"
    return [head] + ([comment_sql(f"{word} {text}", thing.comment)] if thing.comment else [])


def attribute_sql(attribute: Dict[str, Any]) -> str:
    collation = f" COLLATE {collation_sql(attribute['collation'])}" if attribute.get("collation") else ""
    return f"{quote(attribute['name'])} {attribute['type']}{collation}"


@scripts(
    "enum.added", "enum.removed", "domain.added", "domain.removed", "composite_type.added", "composite_type.removed"
)
def type_recipe(context: Context, change: Change) -> Iterator[Draft]:
    thing = change.new or change.old
    word = "DOMAIN" if thing.kind == "domain" else "TYPE"
    label = thing.kind.replace("_", " ")
    text = thing_sql(thing)
    proof = f"SELECT to_regtype({literal(text)}) IS NOT NULL;\n"
    if change.new:
        statements = type_sql(thing)
        yield Draft(
            f"{label} {thing.key}",
            EXPAND,
            RANKS[thing.kind],
            f"Create {label} {thing.key}",
            transaction(*statements),
            transaction(f"DROP {word} IF EXISTS {text}"),
            makes=((thing.name,),),
            reads=" ".join(statements),
            proof=proof,
            issues=(change.path,),
        )
    else:
        yield archive_draft(
            f"{word} {text}",
            thing.schema,
            thing.name,
            f"drop {label} {thing.key}",
            f"Move {label} {thing.key} to the archive",
            RANKS["drop_type"],
            proof=lacks(proof),
            holds=" ".join(type_sql(thing)),
            issues=(change.path,),
        )


def archive_draft(
    target: str,
    schema: str,
    name: str,
    key: str,
    description: str,
    rank: int,
    *,
    proof: str,
    holds: str,
    issues: Tuple[Path, ...],
) -> Draft:
    """Return the draft that takes an object out of the schema without destroying it; SET SCHEMA only changes the catalogue."""
    word = target.split(" ")[0] if not target.startswith("MATERIALIZED") else "MATERIALIZED VIEW"
    signature = target[target.index("(", len(word)) :] if word in ("FUNCTION", "PROCEDURE", "AGGREGATE") else ""
    there = f"{word} {ARCHIVE}.{quote(name)}{signature}"
    do = SETTINGS + locked(make_archive(), f"ALTER {target} SET SCHEMA {ARCHIVE}")
    undo = SETTINGS + locked(f"ALTER {there} SET SCHEMA {quote(schema)}") + drop_empty_archive()
    return Draft(
        key,
        CONTRACT,
        rank,
        description,
        do,
        undo,
        frees=((name,),),
        holds=holds,
        proof=proof,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=issues,
    )


@scripts("domain.changed")
def domain_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    old, new = change.old, change.new
    if thing_facts(old)["type"] != thing_facts(new)["type"]:
        yield manual(
            change,
            f"Domain {old.key} changes its base type: which columns are to be converted, and how? "
            "Add a domain with a new name and change the columns one by one.",
        )
        return
    yield Draft(
        f"domain {new.key}",
        MIGRATE,
        RANKS["domain"],
        f"Change domain {new.key}",
        SETTINGS + "".join(domain_changes(old, new)),
        SETTINGS + "".join(domain_changes(new, old)),
        reads=" ".join(type_sql(new)),
        lock="SHARE on the tables that use it, for a scan",
        transactional=False,
        issues=(change.path,),
    )


def domain_changes(old: Thing, new: Thing) -> Iterator[str]:
    text = thing_sql(new)
    before = {c["name"]: c["definition"] for c in old.facts.get("constraints", ())}
    after = {c["name"]: c["definition"] for c in new.facts.get("constraints", ())}
    statements = [
        f"ALTER DOMAIN {text} DROP CONSTRAINT IF EXISTS {quote(name)}"
        for name in sorted(before)
        if canonical(after.get(name)) != canonical(before[name])
    ]
    for name in sorted(after):
        if canonical(before.get(name)) != canonical(after[name]):
            statements += [
                f"ALTER DOMAIN {text} DROP CONSTRAINT IF EXISTS {quote(name)}",
                f"ALTER DOMAIN {text} ADD CONSTRAINT {quote(name)} {after[name]}",
            ]
    if old.facts.get("default") != new.facts.get("default"):
        default = new.facts.get("default")
        statements.append(
            f"ALTER DOMAIN {text} "
            + (f"SET DEFAULT {default_expression(default)}" if default is not None else "DROP DEFAULT")
        )
    if old.facts.get("nullable", True) != new.facts.get("nullable", True):
        statements.append(f"ALTER DOMAIN {text} {'DROP' if new.facts.get('nullable', True) else 'SET'} NOT NULL")
    if statements:
        yield locked(*statements)


@scripts("composite_type.changed")
def composite_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    old, new = ({a["name"]: a for a in thing.facts.get("attributes", ())} for thing in (change.old, change.new))
    using = [
        table.key
        for table in context.before.tables.values()
        for column in table.columns.values()
        if change.old.name in names_in(column.type)
    ]
    if using:
        yield manual(
            change,
            f"Composite type {change.old.key} changes while columns of {', '.join(sorted(set(using)))} hold its values: "
            "what becomes of the stored values? Add a new type and a new column, and copy.",
        )
        return
    lost = [name for name in old if name not in new]
    yield Draft(
        f"composite type {change.new.key}",
        CONTRACT,
        RANKS["switch"],
        f"Change composite type {change.new.key}",
        transaction(*attribute_changes(change.new, old, new)),
        transaction(*attribute_changes(change.old, new, old)),
        lossy=f"values of the attributes {', '.join(lost)} in stored rows" if lost else None,
        issues=(change.path,),
    )


def attribute_changes(thing: Thing, old: Dict[str, Any], new: Dict[str, Any]) -> Iterator[str]:
    text = thing_sql(thing)
    for name in (name for name in old if name not in new):
        yield f"ALTER TYPE {text} DROP ATTRIBUTE IF EXISTS {quote(name)}"
    for name, attribute in new.items():
        if name not in old:
            yield f"ALTER TYPE {text} ADD ATTRIBUTE {attribute_sql(attribute)}"
        elif old[name] != attribute:
            yield f"ALTER TYPE {text} ALTER ATTRIBUTE {quote(name)} TYPE {attribute['type']}"


def create_sequence(thing: Thing) -> str:
    facts = {key: value for key, value in thing.facts.items() if key not in ("owned_by", "type", "implied")}
    kind = thing.facts.get("type", "bigint")
    return f"CREATE SEQUENCE IF NOT EXISTS {thing_sql(thing)} AS {kind} {sequence_options(facts)}".rstrip()


@scripts("sequence.added", "sequence.removed")
def sequence_recipe(context: Context, change: Change) -> Iterator[Draft]:
    thing = change.new or change.old
    text = thing_sql(thing)
    if change.new:
        comment = [comment_sql(f"SEQUENCE {text}", thing.comment)] if thing.comment else []
        yield Draft(
            f"sequence {thing.key}",
            EXPAND,
            RANKS["sequence"],
            f"Create sequence {thing.key}",
            transaction(create_sequence(thing), *comment),
            transaction(f"DROP SEQUENCE IF EXISTS {text}"),
            makes=((thing.name,),),
            proof=has_relation(text),
            issues=(change.path,),
        )
        owner = thing.facts.get("owned_by") or {}
        table = context.after.tables.get(owner.get("table", ""))
        if table and context.old_table(table.key):
            yield Draft(
                f"sequence {thing.key} owner",
                EXPAND,
                RANKS["trait"],
                f"Let sequence {thing.key} go with its column",
                SETTINGS + locked(f"ALTER SEQUENCE {text} OWNED BY {table_sql(table)}.{quote(owner['column'])}"),
                SETTINGS + locked(f"ALTER SEQUENCE IF EXISTS {text} OWNED BY NONE"),
                reads=f"{quote(thing.name)} {quote(table.name)} {quote(owner['column'])}",
                issues=(change.path,),
            )
        return
    owner = thing.facts.get("owned_by") or {}
    if (
        owner.get("table") in context.before.tables
        and owner["table"] not in context.after.tables
        and not any(t.renamed_from == owner["table"] for t in context.after.tables.values())
    ):
        return  # it goes to the archive with its table
    moved = archive_draft(
        f"SEQUENCE {text}",
        thing.schema,
        thing.name,
        f"drop sequence {thing.key}",
        f"Move sequence {thing.key} to the archive",
        RANKS["drop_sequence"],
        proof=lacks(has_relation(text)),
        holds="",
        issues=(change.path,),
    )
    if owner:
        table = context.before.tables[owner["table"]]
        free = SETTINGS + locked(f"ALTER SEQUENCE {text} OWNED BY NONE")
        back = SETTINGS + locked(f"ALTER SEQUENCE {text} OWNED BY {table_sql(table)}.{quote(owner['column'])}")
        moved = moved._replace(do=free + moved.do, undo=moved.undo + back)
    yield moved


@scripts("sequence.changed")
def sequence_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    def alter(thing: Thing, other: Thing) -> str:
        facts = {**SEQUENCE_DEFAULTS, **{k: v for k, v in thing.facts.items() if k != "owned_by"}}
        facts["max"] = facts.get("max") or SEQUENCE_MAXIMUM.get(facts.get("type", "bigint"))
        statements = [
            f"ALTER SEQUENCE {thing_sql(thing)} AS {facts.get('type', 'bigint')} {sequence_options(facts, True)}"
        ]
        owner, former = thing.facts.get("owned_by"), other.facts.get("owned_by")
        if owner != former:
            table = (
                (context.after.tables.get(owner["table"]) or context.before.tables.get(owner["table"]))
                if owner
                else None
            )
            target = f"{table_sql(table)}.{quote(owner['column'])}" if owner and table else "NONE"
            statements.append(f"ALTER SEQUENCE {thing_sql(thing)} OWNED BY {target}")
        return SETTINGS + locked(*statements)

    owner = change.new.facts.get("owned_by") or {}
    yield Draft(
        f"sequence {change.new.key}",
        EXPAND,
        RANKS["trait"],
        f"Change sequence {change.new.key}",
        alter(change.new, change.old),
        alter(change.old, change.new),
        reads=quote(str(owner.get("column", "x"))),
        issues=(change.path,),
    )


def function_target(thing: Thing) -> str:
    word = {"procedure": "PROCEDURE", "aggregate": "AGGREGATE"}.get(thing.facts.get("kind", "function"), "FUNCTION")
    arguments = thing.key[thing.key.index("(") :] if "(" in thing.key else "()"
    return f"{word} {thing_sql(thing)}{arguments}"


def create_function(thing: Thing) -> List[str]:
    comment = [comment_sql(function_target(thing), thing.comment)] if thing.comment else []
    return [strip_words(thing.facts["definition"]), *comment]


def unchecked(*statements: str) -> str:
    """Return a transaction that creates routines before what their bodies name; the bodies are checked when called."""
    return transaction("SET LOCAL check_function_bodies = off", *statements)


@scripts("function.added", "function.removed")
def function_recipe(context: Context, change: Change) -> Iterator[Draft]:
    thing = change.new or change.old
    target = function_target(thing)
    proof = f"SELECT to_regprocedure({literal(target.split(' ', 1)[1])}) IS NOT NULL;\n"
    if change.new:
        yield Draft(
            f"function {thing.key}",
            EXPAND,
            RANKS["function"],
            f"Create function {thing.key}",
            unchecked(*create_function(thing)),
            transaction(f"DROP {target.replace(' ', ' IF EXISTS ', 1)}"),
            makes=((thing.name,),),
            reads=function_head(thing.facts["definition"]) + sql_body(thing),
            proof=proof,
            issues=(change.path,),
        )
    else:
        yield archive_draft(
            target,
            thing.schema,
            thing.name,
            f"drop function {thing.key}",
            f"Move function {thing.key} to the archive",
            RANKS["drop_function"],
            proof=lacks(proof),
            holds=function_head(thing.facts["definition"]),
            issues=(change.path,),
        )


def sql_body(thing: Thing) -> str:
    """Return the body of a function in SQL, which the server binds when it is created; other bodies bind when called."""
    definition = thing.facts["definition"]
    return definition if re.search(r"(?i)\blanguage\s+sql\b|\baggregate\b|begin\s+atomic", definition) else ""


@scripts("function.changed")
def function_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    old, new = change.old, change.new
    if function_head(old.facts["definition"]) == function_head(new.facts["definition"]) and "aggregate" not in (
        old.facts.get("kind"),
        new.facts.get("kind"),
    ):
        do, undo = unchecked(replaceable(new)), unchecked(replaceable(old))
        yield Draft(
            f"function {new.key}",
            EXPAND,
            RANKS["function"] + 2,
            f"Replace function {new.key}",
            do,
            undo,
            reads=sql_body(new),
            holds=sql_body(old),
            issues=(change.path,),
        )
        return
    affected = dependents_of(context.before, [(new.name,)]), dependents_of(context.after, [(new.name,)])
    yield Draft(
        f"function {new.key}",
        CONTRACT,
        RANKS["switch"],
        f"Replace function {new.key}, whose parameters or result change",
        unchecked(
            *around(
                affected[0],
                affected[1],
                [f"DROP {function_target(old).replace(' ', ' IF EXISTS ', 1)}", *create_function(new)],
            )
        ),
        unchecked(
            *around(
                affected[1],
                affected[0],
                [f"DROP {function_target(new).replace(' ', ' IF EXISTS ', 1)}", *create_function(old)],
            )
        ),
        reads=function_head(new.facts["definition"]) + sql_body(new),
        issues=(change.path,),
    )


def replaceable(thing: Thing) -> str:
    return re.sub(
        r"(?i)^\s*CREATE\s+(?:OR\s+REPLACE\s+)?", "CREATE OR REPLACE ", strip_words(thing.facts["definition"]), count=1
    )


# == 14. PostgreSQL recipes: views and what depends on others =========================================


class Dependents(NamedTuple):
    """What must be out of the way while something it uses is replaced, in the order of creation."""

    functions: Tuple[Thing, ...] = ()
    views: Tuple[Thing, ...] = ()
    parts: Tuple[Tuple[Table, Part], ...] = ()


def dependents_of(schema: Schema, groups: Sequence[Tuple[str, ...]]) -> Dependents:
    """Return the views (transitively) and the parts of tables that mention any of the groups of names."""
    found: Dict[str, Thing] = {}
    wanted = list(groups)
    views = [thing for thing in schema.things.values() if thing.kind in ("view", "materialized_view")]
    while wanted:
        group = wanted.pop()
        for view in views:
            if view.key not in found and mentions(str(view.facts.get("definition", "")), group):
                found[view.key] = view
                wanted.append((view.name,))
    parts = [
        (table, part)
        for table in schema.tables.values()
        for part in table.parts.values()
        if any(part_uses(table, part, group) for group in groups)
    ]
    return Dependents((), tuple(sort_views(found.values())), tuple(parts))


def mentions(text: str, group: Tuple[str, ...]) -> bool:
    words = names_in(text)
    return all(name in words for name in group)


def part_uses(table: Table, part: Part, group: Tuple[str, ...]) -> bool:
    """Tell whether a part hangs on the group: a trigger does so by UPDATE OF, WHEN and its function only."""
    return (
        mentions(part.definition, group)
        if part.kind != "trigger" or len(group) == 1 or group[0] == table.name
        else False
    )


def sort_views(views: Iterable[Thing]) -> List[Thing]:
    """Return views with those that others read first."""
    pending = sorted(views, key=lambda view: view.key)
    placed: List[Thing] = []
    while pending:
        ready = [
            view
            for view in pending
            if not any(
                other is not view and mentions(str(view.facts["definition"]), (other.name,)) for other in pending
            )
        ] or pending[:1]
        placed += ready
        pending = [view for view in pending if view not in ready]
    return placed


def around(drop: Dependents, create: Dependents, statements: Sequence[str]) -> List[str]:
    """Return statements with what depends on them dropped before and created again after."""
    before = [drop_part(table_sql(table), part) for table, part in drop.parts]
    before += [drop_view(view) for view in reversed(drop.views)]
    after = [statement for view in create.views for statement in create_view(view)]
    after += [statement for table, part in create.parts for statement in part_sql(table_sql(table), part)]
    return [*before, *statements, *after]


@scripts("view.added", "view.removed", "materialized_view.added", "materialized_view.removed")
def view_recipe(context: Context, change: Change) -> Iterator[Draft]:
    view = change.new or change.old
    text = " ".join(create_view(view))
    create = SETTINGS + "BEGIN;\n" + "".join(strip_words(s) + ";\n" for s in create_view(view)) + "COMMIT;\n"
    label = view.kind.replace("_", " ")
    if change.new:
        yield Draft(
            f"{label} {view.key}",
            EXPAND,
            RANKS[view.kind],
            f"Create {label} {view.key}",
            create,
            SETTINGS + locked(drop_view(view)),
            makes=((view.name,),),
            reads=text,
            proof=has_relation(thing_sql(view)),
            issues=(change.path,),
        )
    else:
        yield Draft(
            f"drop {label} {view.key}",
            CONTRACT,
            RANKS["drop_view"],
            f"Drop {label} {view.key}",
            SETTINGS + locked(drop_view(view)),
            create,
            frees=((view.name,),),
            holds=text,
            proof=lacks(has_relation(thing_sql(view))),
            issues=(change.path,),
        )


@scripts("view.changed", "materialized_view.changed")
def view_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    old, new = change.old, change.new
    before, after = old.facts.get("columns"), new.facts.get("columns")
    label = new.kind.replace("_", " ")
    grows = bool(before and after and after[: len(before)] == before)
    if old.kind == "view" and before == after and before and same_view_types(context, old, new):
        yield Draft(
            f"{label} {new.key}",
            EXPAND,
            RANKS[new.kind],
            f"Replace {label} {new.key}",
            SETTINGS + locked(*create_view(new, replace=True)),
            SETTINGS + locked(*create_view(old, replace=True)),
            reads=" ".join(create_view(new)),
            holds=" ".join(create_view(old)),
            issues=(change.path,),
        )
        return
    down = [view for view in dependents_of(context.before, [(old.name,)]).views if view.key != old.key]
    up = [view for view in dependents_of(context.after, [(new.name,)]).views if view.key != new.key]
    forward = around(Dependents(views=tuple(down)), Dependents(views=tuple(up)), [drop_view(old), *create_view(new)])
    backward = around(Dependents(views=tuple(up)), Dependents(views=tuple(down)), [drop_view(new), *create_view(old)])
    phase = EXPAND if grows or not before else CONTRACT
    yield Draft(
        f"{label} {new.key}",
        phase,
        RANKS["view"] if phase == EXPAND else RANKS["drop_view"] - 1,
        f"Replace {label} {new.key} in one transaction",
        SETTINGS + locked(*forward),
        SETTINGS + locked(*backward),
        reads=" ".join(create_view(new)),
        holds=" ".join(create_view(old)),
        lock="ACCESS EXCLUSIVE on the view",
        issues=(change.path,),
    )


def same_view_types(context: Context, old: Thing, new: Thing) -> bool:
    """Tell whether CREATE OR REPLACE may do: it refuses other column types, which only equal select lists exclude."""

    def select_list(view: Thing) -> str:
        return (canonical(view.facts["definition"]) or "").split(" from ")[0]

    return select_list(old) == select_list(new)


# == 15. PostgreSQL recipes: tables, keys, indexes, parts =============================================


@scripts("table.added")
def table_added_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table = change.new
    statements = create_table(table, context.after)
    foreign = [c for c in table.constraints.values() if c.kind == "foreign_key"]
    parent = table.traits.get("partition_of") or {}
    touches = bool(parent or table.traits.get("inherits"))
    do = SETTINGS + locked(*statements) if touches else transaction(*statements)
    yield Draft(
        f"table {table.key}",
        EXPAND,
        RANKS["table"],
        f"Create table {table.key}",
        do,
        SETTINGS + locked(f"DROP TABLE IF EXISTS {table_sql(table)}"),
        makes=((table.name,), (f"key {table.key}",), *index_names(table)),
        reads=" ".join(creation_words(table)),
        proof=has_relation(table_sql(table)),
        issues=(change.path,),
    )
    for constraint in foreign:
        yield foreign_key_draft(context, table, constraint, change.path)
    for part in table.parts.values():
        yield part_draft(table, part, change.path)


def index_names(table: Table) -> Iterator[Tuple[str, ...]]:
    """Yield the names that a table's indexes and keys take from the other relations of the schema."""
    for item in [*table.indexes.values(), *table.constraints.values()]:
        if isinstance(item, Index) or item.kind in ("primary_key", "unique", "exclude"):
            yield (f"name {item.name}",)


def creation_words(table: Table) -> Iterator[str]:
    """Yield the SQL of a table in which names of other objects stand."""
    for column in table.columns.values():
        yield " ".join(filter(None, (column.type, column.default, column.generated)))
    for constraint in table.constraints.values():
        if constraint.kind in ("check", "exclude"):
            yield constraint.definition
    for index in table.indexes.values():
        yield index.tail
    for key in [*(table.traits.get("inherits") or ()), (table.traits.get("partition_of") or {}).get("parent")]:
        if key:
            yield SQL.reference_sql(key)


@scripts("table.removed")
def table_removed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table = change.old
    for constraint in table.constraints.values():
        if constraint.kind == "foreign_key":
            yield drop_foreign_key_draft(table, constraint, change.path)
    move = archive_draft(
        f"TABLE {table_sql(table)}",
        table.schema,
        table.name,
        f"drop table {table.key}",
        f"Move table {table.key} with its rows to the archive",
        RANKS["drop_table"],
        proof=lacks(has_relation(table_sql(table))),
        holds=" ".join(creation_words(table)),
        issues=(change.path,),
    )
    move = move._replace(frees=(*move.frees, *index_names(table)))
    parent = (table.traits.get("partition_of") or {}).get("parent")
    if parent in context.after.tables:
        name = SQL.reference_sql(parent)
        bound = table.traits["partition_of"]["bound"]
        move = move._replace(
            do=SETTINGS + locked(f"ALTER TABLE {name} DETACH PARTITION {table_sql(table)}") + move.do,
            undo=move.undo + locked(f"ALTER TABLE {name} ATTACH PARTITION {table_sql(table)} {bound}"),
        )
    yield move


@scripts("table.renamed")
def table_renamed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    """Rename at once and leave a view with the old name, through which old programs read and write until the contract."""
    old, new = change.old, change.new
    rename = f"ALTER TABLE {table_sql(old)} RENAME TO {quote(new.name)}"
    back = f"ALTER TABLE {SQL.table_sql(old.schema, new.name)} RENAME TO {quote(old.name)}"
    view = f"CREATE VIEW {table_sql(old)} AS SELECT * FROM {SQL.table_sql(old.schema, new.name)}"
    yield Draft(
        f"rename table {old.key}",
        EXPAND,
        -1,
        f"Rename table {old.key} to {new.name} and leave a view with the old name",
        SETTINGS + locked(rename, view),
        SETTINGS + locked(f"DROP VIEW IF EXISTS {table_sql(old)}", back),
        makes=((new.name,),),
        proof=has_relation(SQL.table_sql(old.schema, new.name)),
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )
    yield Draft(
        f"drop old name {old.key}",
        CONTRACT,
        0,
        f"Drop the view with the old name {old.key}",
        SETTINGS + locked(f"DROP VIEW IF EXISTS {table_sql(old)}"),
        SETTINGS + locked(view),
        frees=((old.name,),),
        proof=lacks(has_relation(table_sql(old))),
        issues=(change.path,),
        after=(f"rename table {old.key}",),
    )


@scripts(*(f"table.{trait}" for trait in TABLE_TRAITS))
def table_trait_recipe(context: Context, change: Change) -> Iterator[Draft]:
    trait = change.kind.split(".")[1]
    table = live_table(context, change)
    text = table_sql(table)
    rewrites = trait == "unlogged"
    if trait in ("row_security", "force_row_security", "unlogged", "replica_identity"):
        do, undo = (table_trait_sql(table, trait, value) for value in (change.new, change.old))
    elif trait == "options":
        do, undo = (
            table_options(text, change.old or {}, change.new or {}),
            table_options(text, change.new or {}, change.old or {}),
        )
    elif trait == "inherits":
        do, undo = (
            inheritance(text, change.old or [], change.new or []),
            inheritance(text, change.new or [], change.old or []),
        )
    elif trait == "partition_of":
        do, undo = attach(text, change.old, change.new), attach(text, change.new, change.old)
    else:
        yield manual(
            change,
            f"Table {table.key}: {trait.replace('_', ' ')} changes, which needs a new table; which keys and which window? "
            "Build the new table beside the old one, copy, and switch.",
        )
        return
    yield Draft(
        f"{trait} {table.key}",
        CONTRACT,
        RANKS["trait"],
        f"Set {trait.replace('_', ' ')} of table {table.key}",
        SETTINGS + locked(*do.split(";\n")),
        SETTINGS + locked(*undo.split(";\n")),
        rewrites=rewrites,
        lock="ACCESS EXCLUSIVE" + ("" if rewrites else " (catalogue only)"),
        issues=(change.path,),
    )


def table_options(text: str, old: Any, new: Any) -> str:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return f"ALTER TABLE {text} SET ({options_sql(new)})"
    reset = [key for key in old if key not in new]
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    parts = [f"ALTER TABLE {text} RESET ({', '.join(reset)})"] if reset else []
    return ";\n".join(parts + ([f"ALTER TABLE {text} SET ({options_sql(changed)})"] if changed else []))


def inheritance(text: str, old: Sequence[str], new: Sequence[str]) -> str:
    parts = [f"ALTER TABLE {text} NO INHERIT {SQL.reference_sql(key)}" for key in old if key not in new]
    return ";\n".join(parts + [f"ALTER TABLE {text} INHERIT {SQL.reference_sql(key)}" for key in new if key not in old])


def attach(text: str, old: Any, new: Any) -> str:
    parts = [f"ALTER TABLE {SQL.reference_sql(old['parent'])} DETACH PARTITION {text}"] if old else []
    return ";\n".join(
        parts
        + ([f"ALTER TABLE {SQL.reference_sql(new['parent'])} ATTACH PARTITION {text} {new['bound']}"] if new else [])
    )


def foreign_key_words(constraint: Constraint) -> str:
    target, columns = constraint.references or ("", ())
    _, name = split_key(target, None)
    mark = '"key ' + target.replace('"', '""') + '"'
    return f"{quote(name)} {SQL.names_sql(columns)} {mark} " + SQL.names_sql(constraint.columns)


def foreign_key_draft(context: Context, table: Table, constraint: Constraint, path: Path) -> Draft:
    """Add for new rows, then prove the old ones: the first lock is short, the scan blocks nobody."""
    partitioned = "partition_by" in table.traits  # NOT VALID is refused on a partitioned child up to 17
    do = (
        locked(drop_constraint(table, constraint.name), add_constraint(table, constraint))
        if partitioned
        else add_unvalidated(table, constraint)
    )
    comment = locked(*constraint_comment(table, constraint)) if constraint.comment else ""
    return Draft(
        f"foreign key {table.key} {constraint.name}",
        EXPAND,
        RANKS["foreign_key"],
        f"Add foreign key {constraint.name} to table {table.key}",
        SETTINGS + do + comment,
        SETTINGS + locked(drop_constraint(table, constraint.name)),
        makes=(),
        reads=f"{quote(table.name)} {foreign_key_words(constraint)}",
        proof=has_constraint(
            table, constraint.name, "true" if is_not_valid(constraint.definition) else "c.convalidated"
        ),
        transactional=False,
        lock="SHARE ROW EXCLUSIVE on both tables (catalogue only), then SHARE UPDATE EXCLUSIVE",
        issues=(path,),
    )


def drop_foreign_key_draft(table: Table, constraint: Constraint, path: Path) -> Draft:
    comment = locked(*constraint_comment(table, constraint)) if constraint.comment else ""
    partitioned = "partition_by" in table.traits
    back = locked(add_constraint(table, constraint)) if partitioned else add_unvalidated(table, constraint)
    return Draft(
        f"drop foreign key {table.key} {constraint.name}",
        CONTRACT,
        RANKS["drop_foreign_key"],
        f"Drop foreign key {constraint.name} of table {table.key}",
        SETTINGS + locked(drop_constraint(table, constraint.name)),
        SETTINGS + back + comment,
        holds=foreign_key_words(constraint),
        frees=((f"fk {table.key} {constraint.name}",),),
        proof=lacks(has_constraint(table, constraint.name)),
        lock="ACCESS EXCLUSIVE on both tables (catalogue only)",
        issues=(path,),
    )


@scripts("foreign_key.added")
def foreign_key_added_recipe(context: Context, change: Change) -> Iterator[Draft]:
    yield foreign_key_draft(context, live_table(context, change), change.new, change.path)


@scripts("foreign_key.removed")
def foreign_key_removed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    yield drop_foreign_key_draft(live_table(context, change), change.old, change.path)


@scripts("foreign_key.changed", "check.changed")
def constraint_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table = live_table(context, change)
    old, new = change.old, change.new
    words = foreign_key_words(new) if new.kind == "foreign_key" else new.definition
    yield Draft(
        f"{new.kind} {table.key} {new.name}",
        CONTRACT,
        RANKS["switch"] + 2,
        f"Replace {new.kind.replace('_', ' ')} {new.name} of table {table.key}",
        SETTINGS + add_unvalidated(table, new),
        SETTINGS + add_unvalidated(table, old),
        reads=f"{quote(table.name)} {words}",
        holds=old.definition if old.kind == "check" else foreign_key_words(old),
        lock="ACCESS EXCLUSIVE (catalogue only), then SHARE UPDATE EXCLUSIVE",
        transactional=False,
        issues=(change.path,),
    )


@scripts("check.added", "exclude.added")
def check_added_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, constraint = live_table(context, change), change.new
    comment = locked(*constraint_comment(table, constraint)) if constraint.comment else ""
    exclude = constraint.kind == "exclude"
    do = (
        locked(drop_constraint(table, constraint.name), add_constraint(table, constraint))
        if exclude
        else add_unvalidated(table, constraint)
    )
    phase = CONTRACT if exclude else EXPAND
    yield Draft(
        f"{constraint.kind} {table.key} {constraint.name}",
        phase,
        RANKS["check"] if not exclude else RANKS["switch"],
        f"Add {constraint.kind.upper()} {constraint.name} to table {table.key}",
        SETTINGS + do + comment,
        SETTINGS + locked(drop_constraint(table, constraint.name)),
        reads=f"{quote(table.name)} {constraint.definition}",
        proof=has_constraint(table, constraint.name),
        transactional=exclude,
        lock="ACCESS EXCLUSIVE for an index build"
        if exclude
        else "ACCESS EXCLUSIVE (catalogue only), then SHARE UPDATE EXCLUSIVE",
        issues=(change.path,),
    )


@scripts("check.removed", "exclude.removed")
def check_removed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, constraint = live_table(context, change), change.old
    comment = locked(*constraint_comment(table, constraint)) if constraint.comment else ""
    exclude = constraint.kind == "exclude"
    undo = (
        locked(drop_constraint(table, constraint.name), add_constraint(table, constraint))
        if exclude
        else add_unvalidated(table, constraint)
    )
    yield Draft(
        f"drop {constraint.kind} {table.key} {constraint.name}",
        CONTRACT,
        RANKS["drop_constraint"],
        f"Drop {constraint.kind.upper()} {constraint.name} of table {table.key}",
        SETTINGS + locked(drop_constraint(table, constraint.name)),
        SETTINGS + undo + comment,
        holds=constraint.definition,
        proof=lacks(has_constraint(table, constraint.name)),
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


@scripts("exclude.changed")
def exclude_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table = live_table(context, change)
    yield Draft(
        f"exclude {table.key} {change.new.name}",
        CONTRACT,
        RANKS["switch"],
        f"Replace EXCLUDE {change.new.name} of table {table.key}",
        SETTINGS + locked(drop_constraint(table, change.old.name), add_constraint(table, change.new)),
        SETTINGS + locked(drop_constraint(table, change.new.name), add_constraint(table, change.old)),
        reads=change.new.definition,
        holds=change.old.definition,
        lock="ACCESS EXCLUSIVE for an index build",
        issues=(change.path,),
    )


@scripts(*(f"{kind}.renamed" for kind in ("primary_key", "unique", "foreign_key", "check", "exclude")))
def constraint_renamed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    text = table_sql(live_table(context, change))
    yield Draft(
        f"rename constraint {change.table} {change.old.name}",
        CONTRACT,
        RANKS["drop_constraint"] - 0,
        f"Rename constraint {change.old.name} to {change.new.name}",
        SETTINGS + locked(f"ALTER TABLE {text} RENAME CONSTRAINT {quote(change.old.name)} TO {quote(change.new.name)}"),
        SETTINGS + locked(f"ALTER TABLE {text} RENAME CONSTRAINT {quote(change.new.name)} TO {quote(change.old.name)}"),
        makes=((f"name {change.new.name}",),),
        frees=((f"name {change.old.name}",),),
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


def incoming_keys(schema: Schema, key: str, constraint: Constraint) -> List[Tuple[Table, Constraint]]:
    """Return the foreign keys that rest on a key of a table."""
    return [
        (table, c)
        for table in schema.tables.values()
        for c in table.constraints.values()
        if c.kind == "foreign_key"
        and c.references
        and c.references[0] == key
        and set(c.references[1]) == set(constraint.columns)
    ]


@scripts("primary_key.added", "unique.added")
def key_added_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, constraint = live_table(context, change), change.new
    yield Draft(
        f"key {table.key} {constraint.name}",
        EXPAND,
        RANKS["key"],
        f"Add {constraint.kind.replace('_', ' ')} {constraint.name} to table {table.key}",
        add_key(table, constraint),
        SETTINGS + locked(drop_constraint(table, constraint.name), *nullable_again(context, table, constraint)),
        makes=((f"key {table.key}",), (f"name {constraint.name}",)),
        reads=f"{quote(table.name)} {SQL.names_sql(constraint.columns)}",
        proof=has_constraint(table, constraint.name),
        transactional=False,
        lock="SHARE UPDATE EXCLUSIVE for the build, ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


def nullable_again(context: Context, table: Table, constraint: Constraint) -> Iterator[str]:
    old = context.old_table(table.key)
    for name in constraint.columns if constraint.kind == "primary_key" and old else ():
        if name in old.columns and old.columns[name].nullable:
            yield f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(name)} DROP NOT NULL"


@scripts("primary_key.removed", "unique.removed")
def key_removed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, constraint = live_table(context, change), change.old
    new = context.after.tables.get(change.table or "")
    loosen = [
        f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(name)} DROP NOT NULL"
        for name in constraint.columns
        if new and constraint.kind == "primary_key" and name in new.columns and new.columns[name].nullable
    ]
    yield Draft(
        f"drop key {table.key} {constraint.name}",
        CONTRACT,
        RANKS["drop_constraint"],
        f"Drop {constraint.kind.replace('_', ' ')} {constraint.name} of table {table.key}",
        SETTINGS + locked(drop_constraint(table, constraint.name), *loosen),
        add_key(table, constraint),
        holds=SQL.names_sql(constraint.columns),
        frees=((f"key {table.key}",), (f"name {constraint.name}",)),
        proof=lacks(has_constraint(table, constraint.name)),
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


@scripts("primary_key.changed", "unique.changed")
def key_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    """Build the new key's index beside the old key, then change them over in one short transaction."""
    table = live_table(context, change)
    yield Draft(
        f"key {table.key} {change.new.name}",
        CONTRACT,
        RANKS["switch"] + 1,
        f"Replace {change.new.kind.replace('_', ' ')} {change.new.name} of table {table.key}",
        replace_key(
            table,
            change.old,
            change.new,
            incoming_keys(context.before, table.key, change.old),
            incoming_keys(context.after, table.key, change.new),
        ),
        replace_key(
            table,
            change.new,
            change.old,
            incoming_keys(context.after, table.key, change.new),
            incoming_keys(context.before, table.key, change.old),
        ),
        reads=f"{quote(table.name)} {SQL.names_sql(change.new.columns)}",
        holds=SQL.names_sql(change.old.columns),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


def replace_key(
    table: Table,
    old: Constraint,
    new: Constraint,
    leave: Sequence[Tuple[Table, Constraint]],
    come: Sequence[Tuple[Table, Constraint]],
) -> str:
    known = key_index(new)
    drops = [drop_constraint(other, c.name) for other, c in leave] + [drop_constraint(table, old.name)]
    adds = [add_constraint(other, c, None, c.definition + not_valid(c.definition)) for other, c in come]
    proofs = "".join(validate(other, c.name) for other, c in come if not is_not_valid(c.definition))
    if known is None:
        return SETTINGS + locked(*drops, add_constraint(table, new), *adds) + proofs
    index, rest = known
    temporary = own_name(table.name, new.name, "key")
    word = "PRIMARY KEY" if new.kind == "primary_key" else "UNIQUE"
    names = new.columns if new.kind == "primary_key" else ()
    checks = "".join(not_null_check(table, name) for name in names)
    sets = [
        s
        for name in names
        for s in (
            f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(name)} SET NOT NULL",
            drop_constraint(table, own_name(table.name, name, "not_null")),
        )
    ]
    return (
        build_index(table, index, temporary)
        + checks
        + locked(
            *sets,
            *drops,
            add_constraint(table, new, None, f"{word} USING INDEX {quote(temporary)} {rest}".rstrip()),
            *adds,
        )
        + proofs
    )


@scripts("index.added")
def index_added_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, index = live_table(context, change), change.new
    extras = index_extras(table, index)
    keys = ((f"key {table.key}",),) if index.unique else ()
    yield Draft(
        f"index {table.key} {index.name}",
        EXPAND,
        RANKS["index"],
        f"Build index {index.name} on table {table.key}",
        build_index(table, index, index.name) + (locked(*extras) if extras else ""),
        remove_index(table, index.name),
        makes=((f"name {index.name}",), *keys),
        reads=f"{quote(table.name)} {index.tail}",
        proof=has_index(table.schema, index.name),
        transactional=False,
        lock="SHARE UPDATE EXCLUSIVE",
        issues=(change.path,),
    )


@scripts("index.removed")
def index_removed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, index = live_table(context, change), change.old
    extras = index_extras(table, index)
    yield Draft(
        f"drop index {table.key} {index.name}",
        CONTRACT,
        RANKS["drop_index"],
        f"Drop index {index.name} of table {table.key}",
        remove_index(table, index.name),
        build_index(table, index, index.name) + (locked(*extras) if extras else ""),
        holds=index.tail,
        frees=((f"name {index.name}",),),
        proof=lacks(has_relation(SQL.table_sql(table.schema, index.name))),
        transactional=False,
        lock="SHARE UPDATE EXCLUSIVE",
        issues=(change.path,),
    )


@scripts("index.changed")
def index_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    """Build the new index under another name, exchange the names, and drop the old one: queries always have one of them."""
    table, old, new = live_table(context, change), change.old, change.new

    def exchange(come: Index, leave: Index) -> str:
        temporary = own_name(table.name, come.name, "index")
        full = SQL.table_sql(table.schema, come.name)
        swap = [
            f"ALTER INDEX {full} RENAME TO {quote(own_name(table.name, come.name, 'former'))}",
            f"ALTER INDEX {SQL.table_sql(table.schema, temporary)} RENAME TO {quote(come.name)}",
            *index_extras(table, come),
        ]
        return (
            build_index(table, come, temporary)
            + locked(*swap)
            + remove_index(table, own_name(table.name, come.name, "former"))
        )

    yield Draft(
        f"index {table.key} {new.name}",
        CONTRACT,
        RANKS["switch"] + 1,
        f"Replace index {new.name} of table {table.key}",
        exchange(new, old),
        exchange(old, new),
        reads=f"{quote(table.name)} {new.tail}",
        holds=old.tail,
        transactional=False,
        lock="SHARE UPDATE EXCLUSIVE, ACCESS EXCLUSIVE on the index (catalogue only)",
        issues=(change.path,),
    )


@scripts("index.renamed")
def index_renamed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table = live_table(context, change)
    old, new = (SQL.table_sql(table.schema, index.name) for index in (change.old, change.new))
    yield Draft(
        f"rename index {change.old.name}",
        EXPAND,
        RANKS["index"],
        f"Rename index {change.old.name} to {change.new.name}",
        SETTINGS + locked(f"ALTER INDEX {old} RENAME TO {quote(change.new.name)}"),
        SETTINGS + locked(f"ALTER INDEX {new} RENAME TO {quote(change.old.name)}"),
        proof=has_index(table.schema, change.new.name),
        makes=((f"name {change.new.name}",),),
        frees=((f"name {change.old.name}",),),
        lock="SHARE UPDATE EXCLUSIVE",
        issues=(change.path,),
    )


def part_draft(table: Table, part: Part, path: Path) -> Draft:
    return Draft(
        f"{part.kind} {table.key} {part.name}",
        EXPAND,
        RANKS[part.kind],
        f"Create {part.kind} {part.name} on table {table.key}",
        SETTINGS + locked(drop_part(table_sql(table), part), *part_sql(table_sql(table), part)),
        SETTINGS + locked(drop_part(table_sql(table), part)),
        reads=part.definition,
        lock="SHARE ROW EXCLUSIVE" if part.kind == "trigger" else "ACCESS EXCLUSIVE (catalogue only)",
        issues=(path,),
    )


@scripts("trigger.added", "rule.added", "policy.added")
def part_added_recipe(context: Context, change: Change) -> Iterator[Draft]:
    yield part_draft(live_table(context, change), change.new, change.path)


@scripts("trigger.removed", "rule.removed", "policy.removed")
def part_removed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, part = live_table(context, change), change.old
    yield Draft(
        f"drop {part.kind} {table.key} {part.name}",
        CONTRACT,
        RANKS["drop_part"],
        f"Drop {part.kind} {part.name} of table {table.key}",
        SETTINGS + locked(drop_part(table_sql(table), part)),
        SETTINGS + locked(*part_sql(table_sql(table), part)),
        holds=part.definition,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


@scripts("trigger.changed", "rule.changed", "policy.changed")
def part_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, old, new = live_table(context, change), change.old, change.new
    text = table_sql(table)
    yield Draft(
        f"{new.kind} {table.key} {new.name}",
        EXPAND,
        RANKS[new.kind],
        f"Replace {new.kind} {new.name} of table {table.key}",
        SETTINGS + locked(drop_part(text, old), *part_sql(text, new)),
        SETTINGS + locked(drop_part(text, new), *part_sql(text, old)),
        reads=new.definition,
        holds=old.definition,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


@scripts("comment.changed")
def comment_recipe(context: Context, change: Change) -> Iterator[Draft]:
    pairs = list(comment_targets(context, change))
    if pairs:
        do = transaction(*(comment_sql(target, new) for target, _, new in pairs))
        undo = transaction(*(comment_sql(target, old) for target, old, _ in pairs))
        words = " ".join(target for target, _, _ in pairs)
        yield Draft(
            "comment " + show_path(change.path),
            EXPAND,
            RANKS["comment"],
            f"Set the comment of {show_path(change.path)}",
            do,
            undo,
            reads=words if "CONSTRAINT" not in words else "",
            lock="SHARE UPDATE EXCLUSIVE",
            issues=(change.path,),
        )


def comment_targets(context: Context, change: Change) -> Iterator[Tuple[str, Optional[str], Optional[str]]]:
    """Yield (object, old comment, new comment) of a changed comment."""
    old, new, path = change.old, change.new, change.path
    if isinstance(new, Thing):
        words = {"composite_type": "TYPE", "enum": "TYPE", "materialized_view": "MATERIALIZED VIEW"}
        target = (
            function_target(new)
            if new.kind == "function"
            else (
                f"{words.get(new.kind, new.kind.upper())} "
                + (quote(new.key) if new.kind in ("schema", "extension") else thing_sql(new))
            )
        )
        yield target, old.comment, new.comment
    elif path[-1] == "column_comments":
        view = (
            context.after.things.get(("view", str(path[1])))
            or context.after.things[("materialized_view", str(path[1]))]
        )
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                yield f"COLUMN {thing_sql(view)}.{quote(name)}", old.get(name), new.get(name)
    else:
        text = table_sql(live_table(context, change))
        if isinstance(new, Table):
            yield f"TABLE {text}", old.comment, new.comment
        elif isinstance(new, Column):
            yield f"COLUMN {text}.{quote(new.name)}", old.comment, new.comment
        elif isinstance(new, Index):
            yield f"INDEX {SQL.table_sql(live_table(context, change).schema, new.name)}", old.comment, new.comment
        else:
            word = new.kind.upper() if isinstance(new, Part) else "CONSTRAINT"
            yield f"{word} {quote(new.name)} ON {text}", old.comment, new.comment
# == 16. PostgreSQL recipes: columns ==================================================================


def is_empty(table: Optional[Table]) -> bool:
    return table is not None and table.row_count == 0


def is_small(table: Optional[Table]) -> bool:
    return table is not None and table.row_count is not None and table.row_count <= SMALL_ROWS


def is_silent(context: Context, key: str) -> bool:
    """Tell whether a backfill has to keep user triggers from firing."""
    tables = (context.old_table(key), context.after.tables.get(key))
    return any(part.kind == "trigger" for table in tables if table for part in table.parts.values())


def column_words(column: Column) -> str:
    return " ".join(filter(None, (column.type, column.default, column.generated)))


@scripts("column.added")
def column_added_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, column = live_table(context, change), change.new
    text, old = table_sql(table), context.old_table(table.key)
    staged = column.backfill or (
        not column.generated
        and not is_empty(old)
        and (is_volatile(column.default) or (column.identity and not is_small(old)))
    )
    if staged:
        yield from staged_column(context, change)
        return
    if not (column.nullable or column.default is not None or column.identity or column.generated or is_empty(old)):
        yield manual(
            change,
            f"Column {column.name} of table {table.key} is NOT NULL without a default: what do the rows that exist get? "
            f'State "default", or "backfill" with an expression, on {show_path(change.path)}.',
        )
        return
    add = f"ALTER TABLE {text} ADD COLUMN IF NOT EXISTS {column_sql(column)}"
    rewrites = bool(column.generated or column.identity) and not is_empty(old)
    yield Draft(
        f"column {table.key} {column.name}",
        EXPAND,
        RANKS["column"],
        f"Add column {column.name} to table {table.key}",
        SETTINGS + locked(add, *column_extras(table, column)),
        SETTINGS + locked(f"ALTER TABLE {text} DROP COLUMN IF EXISTS {quote(column.name)}"),
        makes=((table.name, column.name),),
        reads=f"{quote(table.name)} {column_words(column)}",
        proof=has_column(table, column.name),
        lock="ACCESS EXCLUSIVE" + (" for a rewrite" if rewrites else " (catalogue only)"),
        rewrites=rewrites,
        issues=(change.path,),
    )


def staged_column(context: Context, change: Change) -> Iterator[Draft]:
    """Add the column empty, let new rows have their value, fill the old rows in batches, and tighten it last."""
    table, column = live_table(context, change), change.new
    text, name = table_sql(table), quote(column.name)
    key = f"column {table.key} {column.name}"
    nextval = f"nextval({literal(SQL.table_sql(table.schema, own_name(table.name, column.name, 'counter')))}::regclass)"
    value = column.backfill or (nextval if column.identity else column.default) or "NULL"
    start = nextval if column.identity else column.default
    statements = [f"ALTER TABLE {text} ADD COLUMN IF NOT EXISTS {column_sql(column, bare=True)}"]
    statements += (
        [f"ALTER TABLE {text} ALTER COLUMN {name} SET DEFAULT {start}"] if start and not column.backfill else []
    )
    counter = SQL.table_sql(table.schema, own_name(table.name, column.name, "counter"))
    before = f"CREATE SEQUENCE IF NOT EXISTS {counter};\n" if column.identity else ""
    install, remove = "", ""
    if column.backfill:
        install, remove = sync_trigger(
            table,
            own_name(table.name, column.name, "fill"),
            f"""\
  IF NEW.{name} IS NULL THEN
    NEW.{name} := (SELECT {column.backfill} FROM (SELECT NEW.*) AS {quote(table.name)});
  END IF;""",
        )
    yield Draft(
        key,
        EXPAND,
        RANKS["column"],
        f"Add column {column.name} to table {table.key}, empty at first",
        SETTINGS + before + locked(*statements, *column_extras(table, column)) + install,
        SETTINGS
        + remove
        + locked(f"ALTER TABLE {text} DROP COLUMN IF EXISTS {name}")
        + (f"DROP SEQUENCE IF EXISTS {counter};\n" if column.identity else ""),
        makes=((table.name, column.name),),
        reads=f"{quote(table.name)} {column_words(column)}",
        proof=has_column(table, column.name),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )
    guard = f"{name} IS NULL" + (f" AND ({column.backfill}) IS NOT NULL" if column.backfill else "")
    yield Draft(
        key + " fill",
        MIGRATE,
        RANKS["column"],
        f"Fill column {column.name} of table {table.key} in batches",
        SETTINGS + backfill(text, f"{name} = {value}", guard, is_silent(context, table.key)),
        "",
        proof=f"SELECT NOT EXISTS (SELECT FROM {text} WHERE {guard});\n",
        transactional=False,
        lock="ROW EXCLUSIVE, in batches",
        issues=(change.path,),
        after=(key,),
        makes=((table.name, column.name),),
    )
    yield from tighten_column(context, change, key, remove, install, counter)


def tighten_column(
    context: Context, change: Change, key: str, remove: str, install: str, counter: str
) -> Iterator[Draft]:
    """Yield the last steps of a staged column: its default, NOT NULL, identity, and no trigger any more."""
    table, column = live_table(context, change), change.new
    text, name = table_sql(table), quote(column.name)
    alter = f"ALTER TABLE {text} ALTER COLUMN {name}"
    do, undo = "", ""
    if column.backfill and column.default is not None:
        do, undo = do + locked(f"{alter} SET DEFAULT {column.default}"), locked(f"{alter} DROP DEFAULT") + undo
    if not column.nullable:
        do, undo = (
            do + not_null_check(table, column.name) + set_not_null(table, column.name),
            locked(f"{alter} DROP NOT NULL") + undo,
        )
    if column.identity:
        place = "_last bigint; _called boolean;"
        do += locked(
            f"SELECT last_value, is_called INTO _last, _called FROM {counter}",
            f"{alter} DROP DEFAULT",
            f"{alter} ADD {identity_sql(column)}",
            f"PERFORM setval(pg_get_serial_sequence({literal(text)}, {literal(column.name)}), _last, _called)",
            f"DROP SEQUENCE {counter}",
            declare=place,
        )
        undo = (
            locked(
                f"CREATE SEQUENCE {counter}",
                f"PERFORM setval({literal(counter)}, (SELECT coalesce(max({name}), 0) + 1 FROM {text}))",
                f"{alter} DROP IDENTITY",
                f"{alter} SET DEFAULT nextval({literal(counter)}::regclass)",
            )
            + undo
        )
    if do or remove:
        yield Draft(
            key + " tighten",
            CONTRACT,
            RANKS["column"],
            f"Finish column {column.name} of table {table.key}",
            SETTINGS + do + remove,
            SETTINGS + install + undo,
            reads=f"{quote(table.name)} {column_words(column)}",
            proof=has_column(table, column.name, "true" if column.nullable else "a.attnotnull"),
            transactional=False,
            lock="ACCESS EXCLUSIVE (catalogue only)",
            issues=(change.path,),
            after=(key + " fill",),
        )


@scripts("column.removed")
def column_removed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    """Copy the values to the archive, then drop; the first removed column of a table does it for all of them."""
    gone = [c for c in context.changes if c.kind == "column.removed" and c.table == change.table]
    if gone[0] is not change:
        return
    table = live_table(context, change)
    old = context.old_table(table.key) or table
    columns = [c.old for c in gone]
    issues = tuple(c.path for c in gone)
    for column in columns:
        if not column.nullable and column.default is None and not column.identity and not column.generated:
            yield relax_draft(table, old, column, issues)
    yield from archive_columns_drafts(context, table, old, columns, issues)


def relax_draft(table: Table, old: Table, column: Column, issues: Tuple[Path, ...]) -> Draft:
    """Let programs that no longer know the column insert rows before it is gone."""
    value = neutral_value(old, column)
    alter = f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(column.name)}"
    if value is None:
        do, undo, said = (
            locked(f"{alter} DROP NOT NULL"),
            not_null_check(table, column.name) + set_not_null(table, column.name),
            "may be NULL",
        )
    else:
        do, undo, said = (
            locked(f"{alter} SET DEFAULT {value}"),
            locked(f"{alter} DROP DEFAULT"),
            f"gets the default {value}",
        )
    return Draft(
        f"relax column {table.key} {column.name}",
        EXPAND,
        RANKS["trait"],
        f"Column {column.name} of table {table.key} {said}, so that programs need not write it any more",
        SETTINGS + do,
        SETTINGS + undo,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=issues,
    )


def row_key(context: Context, table: Table, old: Table, gone: Sequence[str]) -> Tuple[str, ...]:
    """Return columns that identify a row before and after, or nothing."""
    converted = {c.old.name for c in context.changes if c.kind == "column.type" and c.table == table.key}
    after = context.after.tables.get(table.key)
    for constraint in sorted(old.constraints.values(), key=lambda c: (c.kind != "primary_key", c.name)):
        if constraint.kind not in ("primary_key", "unique") or set(constraint.columns) & (set(gone) | converted):
            continue
        if (
            constraint.columns
            and all(name in old.columns and not old.columns[name].nullable for name in constraint.columns)
            and (after is None or all(name in after.columns for name in constraint.columns))
        ):
            return constraint.columns
    return ()


def archive_columns_drafts(
    context: Context, table: Table, old: Table, columns: Sequence[Column], issues: Tuple[Path, ...]
) -> Iterator[Draft]:
    """Yield the copy to the archive and the drop, two scripts: a drop that is refused must leave nothing behind."""
    names = [column.name for column in columns]
    text = table_sql(table)
    key = row_key(context, table, old, names)
    stored = [column for column in columns if not column.generated]
    copy = f"{ARCHIVE}.{quote(own_name(table.name, 'columns', *names))}"
    others = [
        name
        for name, column in old.columns.items()
        if name not in names
        and not column.generated
        and name in (context.after.tables[table.key].columns if table.key in context.after.tables else old.columns)
    ]
    identity = key or tuple(others)
    do = locked(
        *sequences_away(context, old, columns),
        *(f"ALTER TABLE {text} DROP COLUMN IF EXISTS {quote(name)}" for name in names),
    )
    undo = locked(
        *sequences_back(context, old, columns),
        *(f"ALTER TABLE {text} ADD COLUMN IF NOT EXISTS {column_sql(c, bare=True)}" for c in columns),
    )
    if stored:
        undo += archive_restore(context, table, copy, identity, stored, bool(key))
        yield Draft(
            f"archive columns {table.key}",
            CONTRACT,
            RANKS["switch"] - 2,
            f"Copy {', '.join(c.name for c in stored)} of table {table.key} to the archive",
            SETTINGS + transaction(make_archive(), *archive_copy(text, copy, identity, stored, bool(key))),
            SETTINGS + f"DROP TABLE IF EXISTS {copy};\n" + drop_empty_archive(),
            proof=has_relation(copy),
            issues=issues,
        )
    undo += "".join(finish_restored(context, table, old, column) for column in columns)
    lossy = (
        None
        if key or not stored
        else (
            f"values of {', '.join(names)} in rows that change before the undo: table {table.key} has no key to find them by"
        )
    )
    yield Draft(
        f"drop columns {table.key}",
        CONTRACT,
        RANKS["drop_column"],
        f"Drop {', '.join(names)} of table {table.key}",
        SETTINGS + do,
        SETTINGS + undo,
        frees=tuple((old.name, name) for name in names),
        holds=" ".join(column_words(column) for column in columns),
        proof=lacks(has_column(table, names[0])),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        lossy=lossy,
        issues=issues,
        after=(f"archive columns {table.key}",),
    )


def archive_copy(text: str, copy: str, identity: Sequence[str], stored: Sequence[Column], keyed: bool) -> List[str]:
    """Return statements that copy values with what identifies their rows; without a key equal rows are numbered."""
    values = SQL.names_sql(column.name for column in stored)
    if keyed:
        return [
            f"CREATE TABLE {copy} AS SELECT {SQL.names_sql(identity)}, {values} FROM {text}",
            f"ALTER TABLE {copy} ADD PRIMARY KEY ({SQL.names_sql(identity)})",
        ]
    number = f"row_number() OVER (PARTITION BY {row_text(identity)}) AS _row, {row_text(identity)} AS _identity"
    return [
        f"CREATE TABLE {copy} AS SELECT {values}, {number} FROM {text}"
    ]  # compared as text: json and point have no equality


def row_text(identity: Sequence[str]) -> str:
    return f"ROW({SQL.names_sql(identity)})::text" if identity else "''"


def archive_restore(
    context: Context, table: Table, copy: str, identity: Sequence[str], stored: Sequence[Column], keyed: bool
) -> str:
    """Return SQL that puts archived values back into the rows that still exist."""
    text = table_sql(table)
    names = SQL.names_sql(column.name for column in stored)
    silent = is_silent(context, table.key)
    if keyed:
        match = " AND ".join(f"_a.{quote(name)} = {text}.{quote(name)}" for name in identity)
        value = f"(SELECT {names} FROM {copy} AS _a WHERE {match})"
        differs = " OR ".join(f"_a.{quote(c.name)}::text IS DISTINCT FROM {text}.{quote(c.name)}::text" for c in stored)
        where = f"EXISTS (SELECT FROM {copy} AS _a WHERE {match} AND ({differs}))"
        return backfill(text, f"({names}) = {value}" if len(stored) > 1 else f"{names} = {value}", where, silent)
    quiet = (
        ("SET session_replication_role = replica;\n", "SET session_replication_role = DEFAULT;\n")
        if silent
        else ("", "")
    )
    sets = ", ".join(f"{quote(c.name)} = _a.{quote(c.name)}" for c in stored)
    return (
        f"{quiet[0]}UPDATE {text} SET {sets} FROM {copy} AS _a, (SELECT ctid AS _ctid, {row_text(identity)} AS _identity, "
        f"row_number() OVER (PARTITION BY {row_text(identity)}) AS _row FROM {text}) AS _t\n"
        f"WHERE {text}.ctid = _t._ctid AND _a._identity = _t._identity AND _a._row = _t._row;\n{quiet[1]}"
    )


def owned_sequences(context: Context, old: Table, columns: Sequence[Column]) -> List[Tuple[Thing, Column]]:
    return [
        (thing, column)
        for thing in context.before.things.values()
        if thing.kind == "sequence"
        for column in columns
        if (thing.facts.get("owned_by") or {}) == {"table": old.key, "column": column.name}
    ]


def sequences_away(context: Context, old: Table, columns: Sequence[Column]) -> Iterator[str]:
    """Yield what keeps a sequence, with its position, from going with its column."""
    for thing, column in owned_sequences(context, old, columns):
        yield f"ALTER SEQUENCE {thing_sql(thing)} OWNED BY NONE"
        if (thing.kind, thing.key) not in context.after.things:
            yield f"ALTER SEQUENCE {thing_sql(thing)} SET SCHEMA {ARCHIVE}"


def sequences_back(context: Context, old: Table, columns: Sequence[Column]) -> Iterator[str]:
    for thing, column in owned_sequences(context, old, columns):
        if (thing.kind, thing.key) not in context.after.things:
            yield f"ALTER SEQUENCE {ARCHIVE}.{quote(thing.name)} SET SCHEMA {quote(thing.schema)}"


def finish_restored(context: Context, table: Table, old: Table, column: Column) -> str:
    """Return SQL that gives a restored column its default, NOT NULL, identity, owner and comment again."""
    text, name = table_sql(table), quote(column.name)
    alter = f"ALTER TABLE {text} ALTER COLUMN {name}"
    statements = [f"{alter} SET DEFAULT {column.default}"] if column.default is not None else []
    filler = (
        column.default if column.default is not None and not is_volatile(column.default) else neutral_value(old, column)
    )
    result = locked(*statements) if statements else ""
    if not column.nullable and not column.generated:
        fill = (
            backfill(text, f"{name} = {filler}", f"{name} IS NULL", is_silent(context, table.key))
            if filler is not None
            else ""
        )
        result += fill + not_null_check(table, column.name) + set_not_null(table, column.name)
    rest = [
        f"ALTER SEQUENCE {thing_sql(thing)} OWNED BY {text}.{name}"
        for thing, owner in owned_sequences(context, old, [column])
    ]
    if column.identity:
        rest += [
            f"{alter} ADD {identity_sql(column)}",
            f"PERFORM setval(pg_get_serial_sequence({literal(text)}, {literal(column.name)}), coalesce((SELECT max({name}) FROM {text}), 1))",
        ]
    rest += column_extras(table, column)
    return result + (locked(*rest) if rest else "")


class Bridge(NamedTuple):
    """Two names of one column while old and new programs run together."""

    table: Table
    old: Column
    new: Column
    silent: bool
    forward: str  # trigger function while the old name holds the original column
    backward: str  # trigger function while the new name holds it


@scripts("column.renamed")
def column_renamed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    """Carry both names while old and new programs run together, then keep the original column under the new name."""
    table, old, new = live_table(context, change), change.old, change.new
    key = f"rename column {table.key} {old.name}"
    in_key = any({old.name, new.name} & set(c.columns) for c in table.constraints.values() if c.kind == "primary_key")
    if in_key or new.generated:
        yield rename_at_once(change, table, key)
        return
    names = (own_name(table.name, old.name, word) for word in ("bridge", "bridge_back"))
    bridge = Bridge(table, old, new, is_silent(context, table.key), *names)
    yield from open_bridge(bridge, key, change.path)
    yield close_bridge(bridge, key, change.path, dependents_of(context.after, [(table.name, new.name)]))


def rename_at_once(change: Change, table: Table, key: str) -> Draft:
    text, was, becomes = table_sql(table), quote(change.old.name), quote(change.new.name)
    return Draft(
        key,
        CONTRACT,
        RANKS["switch"],
        f"Rename column {change.old.name} of table {table.key} to {change.new.name}",
        SETTINGS + locked(f"ALTER TABLE {text} RENAME COLUMN {was} TO {becomes}"),
        SETTINGS + locked(f"ALTER TABLE {text} RENAME COLUMN {becomes} TO {was}"),
        makes=((table.name, change.new.name),),
        proof=has_column(table, change.new.name),
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


def open_bridge(bridge: Bridge, key: str, path: Path) -> Iterator[Draft]:
    """Yield the steps that add the new name beside the old one and fill it."""
    table, old, new = bridge.table, bridge.old, bridge.new
    text, was, becomes = table_sql(table), quote(old.name), quote(new.name)
    install, remove = sync_trigger(table, bridge.forward, both_ways(old.name, new.name))
    yield Draft(
        key,
        EXPAND,
        RANKS["column"],
        f"Add column {new.name} beside {old.name} in table {table.key}, both kept equal",
        SETTINGS + locked(f"ALTER TABLE {text} ADD COLUMN IF NOT EXISTS {column_sql(new, bare=True)}") + install,
        SETTINGS + remove + locked(f"ALTER TABLE {text} DROP COLUMN IF EXISTS {becomes}"),
        makes=((table.name, new.name),),
        reads=f"{quote(table.name)} {column_words(new)}",
        proof=has_column(table, new.name),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(path,),
    )
    yield Draft(
        key + " fill",
        MIGRATE,
        RANKS["column"],
        f"Copy {old.name} to {new.name} in table {table.key} in batches",
        SETTINGS + backfill(text, f"{becomes} = {was}", differs(new, was, becomes), bridge.silent),
        "",
        transactional=False,
        lock="ROW EXCLUSIVE, in batches",
        issues=(path,),
        after=(key,),
        makes=((table.name, new.name),),
    )


def close_bridge(bridge: Bridge, key: str, path: Path, views: Dependents) -> Draft:
    """Return the step that drops the copy and renames the original; its undo builds the bridge from the other side."""
    table, old, new = bridge.table, bridge.old, bridge.new
    text, was, becomes = table_sql(table), quote(old.name), quote(new.name)
    rename = (
        f"ALTER TABLE {text} DROP COLUMN IF EXISTS {becomes}",
        f"ALTER TABLE {text} RENAME COLUMN {was} TO {becomes}",
    )
    exchange = (
        f"ALTER TABLE {text} RENAME COLUMN {becomes} TO _bridge",
        f"ALTER TABLE {text} RENAME COLUMN {was} TO {becomes}",
        f"ALTER TABLE {text} RENAME COLUMN _bridge TO {was}",
    )
    forward, backward = trigger_name(bridge.forward), trigger_name(bridge.backward)
    install_back, _ = sync_trigger(table, bridge.backward, both_ways(new.name, old.name))
    undo = (
        locked(f"ALTER TABLE {text} ADD COLUMN IF NOT EXISTS {column_sql(old, bare=True)}")
        + install_back
        + backfill(text, f"{was} = {becomes}", differs(new, becomes, was), bridge.silent)
        + bridge_function(table, bridge.forward, both_ways(old.name, new.name))
        + locked(
            f"DROP TRIGGER IF EXISTS {backward} ON {text}",
            *around(views, views, exchange),
            fire(table, bridge.forward),
        )
        + drop_function(table, bridge.backward)
    )
    return Draft(
        key + " switch",
        CONTRACT,
        RANKS["switch"],
        f"Drop the copy and rename {old.name} to {new.name} in table {table.key}",
        SETTINGS
        + locked(f"DROP TRIGGER IF EXISTS {forward} ON {text}", *around(views, views, rename))
        + drop_function(table, bridge.forward),
        SETTINGS + undo,
        proof=lacks(has_column(table, old.name)),
        transactional=False,
        frees=((table.name, old.name),),
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(path,),
        after=(key + " fill",),
    )


def fire(table: Table, function: str) -> str:
    """Return the statement that lets a trigger function see every row before it is written."""
    call = f"EXECUTE FUNCTION {SQL.table_sql(table.schema, function)}()"
    return f"CREATE TRIGGER {trigger_name(function)} BEFORE INSERT OR UPDATE ON {table_sql(table)} FOR EACH ROW {call}"


def differs(column: Column, one: str, other: str) -> str:
    cast = "::text" if parse_type(column.type).base in NO_EQUALITY else ""
    return f"{other}{cast} IS DISTINCT FROM {one}{cast}"


def bridge_function(table: Table, name: str, assignments: str) -> str:
    body = f"\nBEGIN\n{assignments}\n  RETURN NEW;\nEND "
    return f"CREATE OR REPLACE FUNCTION {SQL.table_sql(table.schema, name)}() RETURNS trigger LANGUAGE plpgsql AS {dollar(body, 'fn')};\n"


def both_ways(old: str, new: str) -> str:
    """Return assignments that keep two columns equal, whichever of them a program writes."""
    was, now_named = f"NEW.{quote(old)}", f"NEW.{quote(new)}"
    return f"""\
  IF TG_OP = 'INSERT' THEN
    {was} := coalesce({now_named}, {was});
    {now_named} := {was};
  ELSIF {now_named} IS DISTINCT FROM OLD.{quote(new)} THEN
    {was} := {now_named};
  ELSE
    {now_named} := {was};
  END IF;"""


@scripts("column.nullable")
def column_nullable_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, column = live_table(context, change), change.new
    key = f"nullable {table.key} {column.name}"
    drop = locked(f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(column.name)} DROP NOT NULL")
    check, tighten = not_null_check(table, column.name), set_not_null(table, column.name)
    if column.nullable:
        yield Draft(
            key,
            EXPAND,
            RANKS["trait"],
            f"Let column {column.name} of table {table.key} be NULL",
            SETTINGS + drop,
            SETTINGS + check + tighten,
            proof=has_column(table, column.name, "NOT a.attnotnull"),
            lock="ACCESS EXCLUSIVE (catalogue only)",
            issues=(change.path,),
            holds="",
            after=tuple(
                d for d in (f"drop key {table.key} {c}" for c in (context.old_table(table.key) or table).constraints)
            ),
        )
        return
    primary = [
        c
        for c in context.changes
        if c.kind == "primary_key.added" and c.table == change.table and column.name in c.new.columns
    ]
    if primary:
        return  # adding the primary key does it
    fill = ""
    if column.backfill:
        fill = backfill(
            table_sql(table),
            f"{quote(column.name)} = {column.backfill}",
            f"{quote(column.name)} IS NULL",
            is_silent(context, table.key),
        )
    name = own_name(table.name, column.name, "not_null")
    yield Draft(
        key,
        MIGRATE,
        RANKS["check"],
        f"Prove that column {column.name} of table {table.key} holds no NULL",
        SETTINGS + fill + check,
        SETTINGS + locked(drop_constraint(table, name)),
        proof="SELECT "
        + has_column(table, column.name, "a.attnotnull")[7:].rstrip(";\n")
        + " OR "
        + has_constraint(table, name, "c.convalidated")[7:],
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only), then SHARE UPDATE EXCLUSIVE",
        issues=(change.path,),
    )
    yield Draft(
        key + " tighten",
        CONTRACT,
        RANKS["trait"],
        f"Set column {column.name} of table {table.key} NOT NULL",
        SETTINGS + tighten,
        SETTINGS
        + locked(
            add_constraint(table, Constraint("check", name, (), f"CHECK ({quote(column.name)} IS NOT NULL) NOT VALID"))
        )
        + drop,
        proof=has_column(table, column.name, "a.attnotnull"),
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
        after=(key,),
    )


@scripts("column.default")
def column_default_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, old, new = live_table(context, change), change.old, change.new
    alter = f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(new.name)}"

    def default_statement(column: Column) -> str:
        return f"{alter} SET DEFAULT {column.default}" if column.default is not None else f"{alter} DROP DEFAULT"

    phase = EXPAND if old.default is None else CONTRACT
    yield Draft(
        f"default {table.key} {new.name}",
        phase,
        RANKS["trait"],
        f"Change the default of column {new.name} of table {table.key}",
        SETTINGS + locked(default_statement(new)),
        SETTINGS + locked(default_statement(old)),
        reads=f"{new.default or ''} ",
        holds=old.default or "",
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


@scripts("column.identity", "column.identity_options")
def column_identity_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, old, new = live_table(context, change), change.old, change.new
    yield Draft(
        f"identity {table.key} {new.name}",
        CONTRACT,
        RANKS["switch"],
        f"Change how column {new.name} of table {table.key} is numbered",
        SETTINGS + numbering(context, table, old, new),
        SETTINGS + numbering(context, table, new, old),
        reads=new.default or "",
        lock="ACCESS EXCLUSIVE (catalogue only)",
        transactional=False,
        issues=(change.path,),
    )


def numbering(context: Context, table: Table, old: Column, new: Column) -> str:
    """Return SQL that takes one way of numbering away and puts another in its place, at the same position."""
    text, name = table_sql(table), quote(new.name)
    alter = f"ALTER TABLE {text} ALTER COLUMN {name}"
    if old.identity and new.identity:
        return locked(f"{alter} {identity_settings(new)}")
    was = numbering_sequence(context, table, old)
    will = numbering_sequence(context, table, new)
    remember = (
        [f"SELECT last_value, is_called INTO _last, _called FROM {was[0]}"]
        if was
        else [f"SELECT coalesce(max({name}), 0) + 1, false INTO _last, _called FROM {text}"]
    )
    leave = (
        [f"{alter} DROP IDENTITY"] if old.identity else ([f"{alter} DROP DEFAULT"] if old.default is not None else [])
    )
    leave += [f"DROP SEQUENCE IF EXISTS {was[0]}"] if was and was[1] else []
    come: List[str] = []
    if new.identity:
        come = ([] if not old.nullable else [f"{alter} SET NOT NULL"]) + [f"{alter} ADD {identity_sql(new)}"]
        come += [f"PERFORM setval(pg_get_serial_sequence({literal(text)}, {literal(new.name)}), _last, _called)"]
        return locked(*remember, *leave, *come, declare="_last bigint; _called boolean;")
    if will and will[1]:
        come += [create_sequence(will[1]), f"PERFORM setval({literal(will[0])}, _last, _called)"]
    if new.default is not None:
        come.append(f"{alter} SET DEFAULT {new.default}")
    if will and will[1] and will[1].facts.get("owned_by"):
        come.append(f"ALTER SEQUENCE {will[0]} OWNED BY {text}.{name}")
    come += [f"{alter} DROP NOT NULL"] if new.nullable and not old.nullable else []
    return locked(*remember, *leave, *come, declare="_last bigint; _called boolean;")


def identity_settings(column: Column) -> str:
    """Return what ALTER COLUMN says to give an identity all its options."""
    facts = identity_facts(column)
    words = "ALWAYS" if column.identity == "always" else "BY DEFAULT"
    bounds = f"SET MINVALUE {facts['min']} SET MAXVALUE {facts['max']} SET START WITH {facts['start']}"
    cycle = "CYCLE" if facts["cycle"] else "NO CYCLE"
    return f"SET GENERATED {words} SET INCREMENT BY {facts['increment']} {bounds} SET CACHE {facts['cache']} SET {cycle}"


def numbering_sequence(context: Context, table: Table, column: Column) -> Optional[Tuple[str, Optional[Thing]]]:
    """Return the sequence that numbers a column, and its thing when it is a sequence of its own."""
    if column.identity:
        name = (column.identity_options or {}).get("sequence")
        return (
            SQL.reference_sql(name)
            if name
            else SQL.table_sql(table.schema, SQL.implied_name(table.name, (column.name,), "seq"))
        ), None
    for schema in (context.before, context.after):
        for thing in schema.things.values():
            if (
                thing.kind == "sequence"
                and (thing.facts.get("owned_by") or {}).get("column") == column.name
                and (thing.facts["owned_by"]["table"] == table.key)
                and thing.name in (column.default or "")
            ):
                return thing_sql(thing), thing
    return None


@scripts("column.generated")
def column_generated_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, old, new = live_table(context, change), change.old, change.new
    text, name = table_sql(table), quote(new.name)
    before, after = (dependents_of(schema, [(table.name, new.name)]) for schema in (context.before, context.after))
    if new.generated is None:
        do = [f"ALTER TABLE {text} ALTER COLUMN {name} DROP EXPRESSION"]
        do += [f"ALTER TABLE {text} ALTER COLUMN {name} SET DEFAULT {new.default}"] if new.default is not None else []
    else:
        do = around(
            before,
            after,
            [f"ALTER TABLE {text} DROP COLUMN {name}", f"ALTER TABLE {text} ADD COLUMN {column_sql(new)}"],
        )
    undo = around(
        after, before, [f"ALTER TABLE {text} DROP COLUMN {name}", f"ALTER TABLE {text} ADD COLUMN {column_sql(old)}"]
    )
    if old.generated is None:
        yield manual(
            change,
            f"Column {new.name} of table {table.key} becomes generated: its values are replaced by {new.generated}. "
            "Is that the value they have? Add a generated column with a new name and switch the programs.",
        )
        return
    yield Draft(
        f"generated {table.key} {new.name}",
        CONTRACT,
        RANKS["switch"],
        f"Change how column {new.name} of table {table.key} is generated",
        SETTINGS + locked(*do),
        SETTINGS + locked(*undo),
        lock="ACCESS EXCLUSIVE for a rewrite" if new.generated else "ACCESS EXCLUSIVE",
        rewrites=bool(new.generated),
        issues=(change.path,),
    )


@scripts("column.collation")
def column_collation_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, old, new = live_table(context, change), change.old, change.new
    before, after = (dependents_of(schema, [(table.name, new.name)]) for schema in (context.before, context.after))

    def alter(column: Column) -> str:
        collation = f" COLLATE {collation_sql(column.collation)}" if column.collation else ' COLLATE "default"'
        return f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(column.name)} TYPE {column.type}{collation}"

    yield Draft(
        f"collation {table.key} {new.name}",
        CONTRACT,
        RANKS["switch"],
        f"Change the collation of column {new.name} of table {table.key}",
        SETTINGS + locked(*around(before, after, [alter(new)])),
        SETTINGS + locked(*around(after, before, [alter(old)])),
        lock="ACCESS EXCLUSIVE for rebuilding its indexes",
        issues=(change.path,),
    )


@scripts("column.traits")
def column_traits_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, old, new = live_table(context, change), change.old, change.new

    def settings(column: Column, other: Column) -> List[str]:
        given = dict(column.traits)
        back = {"storage": "DEFAULT", "compression": "DEFAULT", "statistics": "-1"}
        return [
            f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(column.name)} SET {trait.upper()} {given.get(trait, back[trait])}"
            for trait in ("storage", "compression", "statistics")
            if given.get(trait) != dict(other.traits).get(trait)
        ]

    yield Draft(
        f"storage {table.key} {new.name}",
        EXPAND,
        RANKS["trait"],
        f"Change the storage of column {new.name} of table {table.key}",
        SETTINGS + locked(*settings(new, old)),
        SETTINGS + locked(*settings(old, new)),
        issues=(change.path,),
    )
# == 17. PostgreSQL recipes: type changes =============================================================
# A type that the catalogue alone can change is changed in place. Everything else would rewrite the table under its
# strongest lock, so a second column is filled beside the first, and the two change names in one short transaction.

NO_EQUALITY = frozenset("json xml point box polygon path circle line lseg".split())


class Side(NamedTuple):
    """One end of a conversion: the table with the constraints and indexes of that end, and the column there."""

    table: Table
    column: Column
    suffix: str  # of the names that this end has while it waits: new | old


class Turn(NamedTuple):
    """One direction of a conversion: from the side that has the name now to the side that shall have it."""

    table: Table  # as the live server names it
    leave: Side
    come: Side
    fill: str  # expression for the coming column; refuses what does not fit
    guard: str  # the same without refusing, to find rows that are not done
    sync: str  # name of the trigger function that keeps the coming column up to date
    back: str  # expression for the leaving column once the names are changed
    back_sync: str
    silent: bool
    keep: FrozenSet[str] = frozenset()  # names of items that other steps take care of


def waiting(side: Side) -> str:
    return own_name(side.column.name, side.suffix)


def touching(table: Table, column: str) -> List[Any]:
    """Return the constraints and indexes of a table that the column takes part in."""
    found: List[Any] = [c for c in table.constraints.values() if column in c.columns]
    return found + [i for i in table.indexes.values() if column in names_in(i.tail)]


def renamed_definition(item: Any, column: str, name: str) -> str:
    """Return the definition of a constraint or index for the waiting column; what a foreign key refers to stays."""
    if isinstance(item, Index):
        return replace_name(item.tail, column, quote(name))
    head, word, tail = item.definition.partition(" REFERENCES ")
    return replace_name(head, column, quote(name)) + word + tail


def shadow_sql(turn: Turn) -> str:
    """Return SQL that adds the coming column and keeps it up to date with what programs write."""
    table, come = turn.table, turn.come
    column = come.column._replace(name=waiting(come))
    install, _ = sync_trigger(table, turn.sync, sync_body(turn.leave.column.name, waiting(come), turn.fill))
    return (
        locked(
            f"ALTER TABLE {table_sql(table)} ADD COLUMN IF NOT EXISTS {column_sql(column, bare=True)}",
            *column_extras(table, column._replace(comment=None)),
        )
        + install
    )


def sync_body(source: str, target: str, expression: str) -> str:
    """Return the body of a sync trigger: a value that does not fit must stop the migration, never the application."""
    new = f"NEW.{quote(target)}"
    return f"""\
  IF TG_OP = 'INSERT' OR NEW.{quote(source)}::text IS DISTINCT FROM OLD.{quote(source)}::text THEN
    BEGIN
      {new} := (SELECT {expression} FROM (SELECT NEW.*) AS _row);
    EXCEPTION WHEN data_exception OR check_violation THEN
      {new} := NULL;
    END;
  END IF;"""


def unshadow_sql(turn: Turn) -> str:
    table, text = turn.table, table_sql(turn.table)
    return locked(
        f"DROP TRIGGER IF EXISTS {trigger_name(turn.sync)} ON {text}",
        f"ALTER TABLE {text} DROP COLUMN IF EXISTS {quote(waiting(turn.come))}",
    ) + drop_function(table, turn.sync)


def fill_sql(turn: Turn) -> str:
    name = quote(waiting(turn.come))
    cast = "::text" if parse_type(turn.come.column.type).base in NO_EQUALITY else ""
    where = f"{name}{cast} IS DISTINCT FROM ({turn.guard}){cast}"
    return backfill(table_sql(turn.table), f"{name} = {turn.fill}", where, turn.silent)


def items_sql(turn: Turn) -> str:
    """Return SQL that gives the coming column the constraints and indexes it will need, without blocking."""
    table, name = turn.table, turn.come.column.name
    result = ""
    for item in touching(turn.come.table, name):
        if item.name in turn.keep or getattr(item, "kind", "") == "primary_key":
            continue
        text = renamed_definition(item, name, waiting(turn.come))
        there = own_name(item.name, turn.come.suffix)
        if isinstance(item, Index):
            result += build_index(table, item, there, text)
        elif item.kind == "unique":
            result += (
                SETTINGS
                + locked(drop_constraint(table, there))
                + add_key(table, item._replace(name=there, definition=text, columns=(), comment=None))
            )
        else:
            result += SETTINGS + add_unvalidated(table, item, there, text)
    return result


def prepare_switch(turn: Turn) -> str:
    """Return SQL that proves what the short transaction must not have to prove: no NULL, and a unique index for the key."""
    table, come = turn.table, turn.come
    result = "" if come.column.nullable else not_null_check(table, waiting(come))
    for item in touching(come.table, come.column.name):
        known = key_index(item) if isinstance(item, Constraint) and item.kind == "primary_key" else None
        if known:
            tail = replace_name(known[0].tail, come.column.name, quote(waiting(come)))
            result += build_index(table, known[0], own_name(item.name, come.suffix), tail) + SETTINGS
    return result


def switch_statements(turn: Turn) -> List[str]:
    """Return the statements that change the two columns over; all of them only touch the catalogue."""
    table, text, leave, come = turn.table, table_sql(turn.table), turn.leave, turn.come
    name, arriving, leaving = quote(come.column.name), quote(waiting(come)), quote(waiting(leave))
    alter = f"ALTER TABLE {text} ALTER COLUMN"
    statements = [f"DROP TRIGGER IF EXISTS {trigger_name(turn.sync)} ON {text}", *put_aside(turn)]
    if not come.column.nullable:
        statements += [
            f"{alter} {arriving} SET NOT NULL",
            drop_constraint(table, own_name(table.name, waiting(come), "not_null")),
        ]
    numbered = bool(leave.column.identity and come.column.identity)
    if numbered:
        sequence = (leave.column.identity_options or {}).get("sequence")
        counter = (
            SQL.reference_sql(sequence)
            if sequence
            else SQL.table_sql(table.schema, SQL.implied_name(table.name, (leave.column.name,), "seq"))
        )
        statements += [
            f"SELECT last_value, is_called INTO _last, _called FROM {counter}",
            f"{alter} {name} DROP IDENTITY",
        ]
    statements += [
        f"ALTER TABLE {text} RENAME COLUMN {name} TO {leaving}",
        f"ALTER TABLE {text} RENAME COLUMN {arriving} TO {name}",
    ]
    statements += [f"{alter} {leaving} DROP DEFAULT"] if leave.column.default is not None else []
    statements += [f"{alter} {leaving} DROP NOT NULL"] if not leave.column.nullable else []
    statements += [f"{alter} {name} SET DEFAULT {come.column.default}"] if come.column.default is not None else []
    statements += put_in_place(turn)
    if numbered:
        statements += [
            f"{alter} {name} ADD {identity_sql(come.column)}",
            f"PERFORM setval(pg_get_serial_sequence({literal(text)}, {literal(come.column.name)}), _last, _called)",
        ]
    statements += [comment_sql(f"COLUMN {text}.{name}", come.column.comment)] if come.column.comment else []
    return [*statements, fire(table, turn.back_sync)]


def put_aside(turn: Turn) -> Iterator[str]:
    """Yield what frees the names of the constraints and indexes of the leaving column."""
    table = turn.table
    for item in touching(turn.leave.table, turn.leave.column.name):
        there = quote(own_name(item.name, turn.leave.suffix))
        if item.name in turn.keep:
            continue
        if isinstance(item, Index):
            yield f"ALTER INDEX {SQL.table_sql(table.schema, item.name)} RENAME TO {there}"
        elif item.kind == "primary_key":
            yield drop_constraint(table, item.name)
        else:
            yield f"ALTER TABLE {table_sql(table)} RENAME CONSTRAINT {quote(item.name)} TO {there}"


def put_in_place(turn: Turn) -> Iterator[str]:
    """Yield what gives the constraints and indexes of the coming column their names."""
    table, text = turn.table, table_sql(turn.table)
    for item in touching(turn.come.table, turn.come.column.name):
        there = own_name(item.name, turn.come.suffix)
        if item.name in turn.keep:
            continue
        if isinstance(item, Index):
            yield f"ALTER INDEX {SQL.table_sql(table.schema, there)} RENAME TO {quote(item.name)}"
            yield from index_extras(table, item)
            continue
        if item.kind == "primary_key":
            known = key_index(item)
            yield add_constraint(
                table, item, None, f"PRIMARY KEY USING INDEX {quote(there)} {known[1] if known else ''}".rstrip()
            )
        else:
            yield f"ALTER TABLE {text} RENAME CONSTRAINT {quote(there)} TO {quote(item.name)}"
        yield from constraint_comment(table, item)


def switch_sql(turns: Sequence[Turn], drop: Dependents, create: Dependents, first: Sequence[str] = ()) -> str:
    """Return SQL that changes over one or more columns at once, with what depends on them dropped and made again."""
    result = "".join(prepare_switch(turn) for turn in turns)
    for turn in turns:
        result += bridge_function(
            turn.table, turn.back_sync, sync_body(turn.come.column.name, waiting(turn.leave), turn.back)
        )
    tables = sorted({table_sql(turn.table) for turn in turns})
    statements = [statement for turn in turns for statement in switch_statements(turn)]
    return result + locked(
        *(f"LOCK TABLE {text} IN ACCESS EXCLUSIVE MODE" for text in tables),
        *around(drop, create, [*first, *statements, *owners_again(turns)]),
        declare="_last bigint; _called boolean;",
    )


def owners_again(turns: Sequence[Turn]) -> Iterator[str]:
    """Yield what ties a serial's sequence to the column that has the name now; else it would go with the other one."""
    for turn in turns:
        match = re.fullmatch(r"nextval\('(.+)'::(?:pg_catalog\.)?regclass\)", turn.come.column.default or "")
        if match:
            yield f"ALTER SEQUENCE {match.group(1)} OWNED BY {table_sql(turn.table)}.{quote(turn.come.column.name)}"


def finish_sql(turn: Turn) -> str:
    """Return SQL that drops the column that has left."""
    table, text = turn.table, table_sql(turn.table)
    return (
        locked(
            f"DROP TRIGGER IF EXISTS {trigger_name(turn.back_sync)} ON {text}",
            f"ALTER TABLE {text} DROP COLUMN IF EXISTS {quote(waiting(turn.leave))}",
        )
        + drop_function(table, turn.sync)
        + drop_function(table, turn.back_sync)
    )


def reversed_turn(turn: Turn, back_guard: str) -> Turn:
    return turn._replace(
        leave=turn.come,
        come=turn.leave,
        fill=turn.back,
        guard=back_guard,
        sync=turn.back_sync,
        back=turn.fill,
        back_sync=turn.sync,
    )


def conversion_expressions(old: Column, new: Column) -> Optional[Tuple[str, str]]:
    """Return what computes the new value, refusing and not refusing, with {c} for the old column; None if nothing does."""
    conversion = SQL.convert(old.type, new.type)
    if new.using:
        return new.using, new.using
    if conversion.loss == "impossible":
        return None
    guard = conversion.cast.replace("{t}", new.type) or "{c}"
    text_to_text = {parse_type(old.type).base, parse_type(new.type).base} <= {"character varying", "character", "text"}
    fill = "{c}" if text_to_text or parse_type(old.type).base == parse_type(new.type).base else guard
    return fill, guard


def expression(template: str, column: str) -> str:
    return template.replace("{c}", quote(column))


def is_silent_loss(old: Column, new: Column) -> bool:
    """Tell whether a conversion may change values without refusing them, so that going back needs the archive."""
    one, other = parse_type(old.type), parse_type(new.type)
    if new.using:
        return True
    if SQL.convert(old.type, new.type).loss == "none" or (one.base in INTEGERS and other.base in INTEGERS):
        return False
    return not (one.base in ("character varying", "text") and other.base in ("character varying", "text"))


class Conversions(NamedTuple):
    """A planned type change: the turn forward, the turn back, and what depends on the column on either side."""

    there: Turn
    home: Turn
    drop: Dependents
    create: Dependents


def conversion_of(context: Context, change: Change) -> Optional[Conversions]:
    """Return the two turns of a type change, or None when no expression leads there or back."""
    table, old, new = live_table(context, change), change.old, change.new
    up = conversion_expressions(old, new._replace(using=change.new.using))
    down = conversion_expressions(new, old._replace(using=None)) or (("{c}::text::" + old.type,) * 2)
    if up is None:
        return None
    before = context.old_table(table.key) or table
    after = context.after.tables[table.key]
    leave, come = Side(before, old._replace(name=new.name), "old"), Side(after, new, "new")
    names = own_name(table.name, new.name, "up"), own_name(table.name, new.name, "down")
    there = Turn(
        table,
        leave,
        come,
        expression(up[0], new.name),
        expression(up[1], new.name),
        names[0],
        expression(down[0], new.name),
        names[1],
        is_silent(context, table.key),
        frozenset(),
    )
    home = reversed_turn(there, expression(down[1], new.name))
    group = [(table.name, new.name)]
    return Conversions(there, home, dependents_of(context.before, group), dependents_of(context.after, group))


def is_simple(context: Context, change: Change) -> bool:
    """Tell whether a type change has to be made in place: small tables, and shapes that two columns cannot serve."""
    table, new = live_table(context, change), change.new
    old_table = context.old_table(table.key) or table
    sides = (old_table, context.after.tables[table.key])
    converted = {c.new.name for c in context.changes if c.kind == "column.type" and c.table == change.table} - {
        new.name
    }
    odd_traits = any(side.traits.get(trait) for side in sides for trait in ("partition_by", "partition_of", "inherits"))
    generated = any(
        c.generated and (c.name == new.name or new.name in names_in(c.generated))
        for side in sides
        for c in side.columns.values()
    )
    shared = any(
        set(getattr(item, "columns", ())) & converted
        or (isinstance(item, Index) and converted & names_in(item.tail))
        or (
            isinstance(item, Constraint)
            and (item.kind == "exclude" or (item.kind in ("primary_key", "unique") and key_index(item) is None))
        )
        or (isinstance(item, Index) and item.flags)
        for side in sides
        for item in touching(side, new.name)
    )
    referenced = any(
        c.kind == "foreign_key"
        and c.references
        and c.references[0] in (table.key, old_table.key)
        and new.name in c.references[1]
        for schema in (context.before, context.after)
        for other in schema.tables.values()
        for c in other.constraints.values()
    )
    identity = bool(change.old.identity) != bool(new.identity)
    return (
        odd_traits
        or generated
        or shared
        or referenced
        or identity
        or is_small(old_table)
        or is_empty(old_table)
        or bool(change.old.collation != new.collation or change.old.name != new.name)
    )


@scripts("column.type")
def column_type_recipe(context: Context, change: Change) -> Iterator[Draft]:
    table, old, new = live_table(context, change), change.old, change.new
    planned = conversion_of(context, change)
    if planned is None:
        yield manual(
            change,
            f"Column {new.name} of table {table.key} changes from {old.type} to {new.type}, for which no conversion is known: how do the "
            f'values follow? State an expression as "using" on {show_path(change.path)}.',
        )
        return
    conversion = SQL.convert(old.type, new.type)
    instant = (
        conversion.instant
        and not new.using
        and not any(c.kind in ("check", "exclude") for c in touching_constraints(planned))
    )
    dependent = bool(planned.drop.views or planned.drop.parts or planned.create.views or planned.create.parts)
    if instant and not dependent and not is_simple(context, change):
        yield widen_draft(context, change, planned)
    elif is_simple(context, change) or instant:
        yield in_place_draft(context, change, planned, instant)
    else:
        yield from staged_drafts(context, change, planned)


def touching_constraints(planned: Conversions) -> List[Constraint]:
    return [
        item
        for side in (planned.there.leave, planned.there.come)
        for item in touching(side.table, side.column.name)
        if isinstance(item, Constraint)
    ]


def type_words(turn: Turn) -> str:
    return f"{quote(turn.table.name)} {quote(turn.come.column.name)} {turn.come.column.type} {turn.come.column.default or ''} {turn.fill}"


def default_only(table: Table, old: Column, new: Column) -> List[str]:
    if canonical(old.default) == canonical(new.default):
        return []
    alter = f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(new.name)}"
    return [f"{alter} SET DEFAULT {new.default}" if new.default is not None else f"{alter} DROP DEFAULT"]


def widen_draft(context: Context, change: Change, planned: Conversions) -> Draft:
    """Change the type in the catalogue alone; the way back narrows, which takes a second column."""
    table, new = planned.there.table, change.new
    do = "SET timezone = 'UTC';\n" + locked(
        f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(new.name)} TYPE {new.type}",
        *default_only(table, change.old, new),
    )
    if SQL.convert(new.type, change.old.type).instant:
        undo = "SET timezone = 'UTC';\n" + locked(
            f"ALTER TABLE {table_sql(table)} ALTER COLUMN {quote(new.name)} TYPE {change.old.type}",
            *default_only(table, new, change.old),
        )
    else:
        undo = whole_turn(planned.home, planned.create, planned.drop)
    return Draft(
        f"type {table.key} {new.name}",
        EXPAND,
        RANKS["trait"],
        f"Change the type of column {new.name} of table {table.key} to {new.type}",
        SETTINGS + do,
        SETTINGS + undo,
        reads=type_words(planned.there),
        proof=has_type(table, new),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


def has_type(table: Table, column: Column) -> str:
    return has_column(
        table,
        column.name,
        f"a.atttypid = to_regtype({literal(show_type(parse_type(column.type)._replace(args=(), words='')))})"
        if not parse_type(column.type).args
        else f"format_type(a.atttypid, a.atttypmod) LIKE {literal('%' + column.type)}",
    )


def whole_turn(turn: Turn, drop: Dependents, create: Dependents) -> str:
    """Return a whole turn as one script: second column, fill, switch, drop."""
    return (
        shadow_sql(turn)
        + fill_sql(turn)
        + items_sql(turn)
        + SETTINGS
        + switch_sql([turn], drop, create)
        + finish_sql(turn)
    )


def in_place_draft(context: Context, change: Change, planned: Conversions, instant: bool) -> Draft:
    table, old, new = planned.there.table, change.old, change.new
    there, home = planned.there, planned.home
    archive: List[str] = []
    restore, lossy = "", None
    if is_silent_loss(old, new):
        key = row_key(context, table, there.leave.table, [new.name])
        copy = f"{ARCHIVE}.{quote(own_name(table.name, new.name, 'former'))}"
        if key:
            archive, restore = changed_values(context, planned, key, copy, quote(new.name))
            restore += f"DROP TABLE IF EXISTS {copy};\n" + drop_empty_archive()
        else:
            lossy = f"values of {new.name} that {new.type} cannot hold exactly: table {table.key} has no key to archive them by"
    do = in_place_sql(there, planned.drop, planned.create, archive)
    undo = in_place_sql(home, planned.create, planned.drop) + restore
    rewrites = not instant
    return Draft(
        f"type {table.key} {new.name}",
        CONTRACT,
        RANKS["switch"],
        f"Change the type of column {new.name} of table {table.key} to {new.type} in place",
        SETTINGS + "SET timezone = 'UTC';\n" + do,
        SETTINGS + "SET timezone = 'UTC';\n" + undo,
        reads=type_words(there),
        holds=f"{old.type} {old.default or ''}",
        proof=has_type(table, new),
        transactional=False,
        rewrites=rewrites,
        lock="ACCESS EXCLUSIVE" + (" for a rewrite" if rewrites else " (catalogue only)"),
        lossy=lossy,
        issues=(change.path,),
    )


def in_place_sql(turn: Turn, drop: Dependents, create: Dependents, archive: Sequence[str] = ()) -> str:
    """Return SQL that rewrites the column under its lock, with what is defined otherwise on either side exchanged."""
    table, column = turn.table, turn.come.column
    text, name = table_sql(table), quote(column.name)
    alter = f"ALTER TABLE {text} ALTER COLUMN {name}"
    old_items = {item.name: item for item in touching(turn.leave.table, column.name)}
    new_items = {item.name: item for item in touching(turn.come.table, column.name)}
    going = [
        item for n, item in old_items.items() if n not in new_items or content(item, {}) != content(new_items[n], {})
    ]
    coming = [
        item for n, item in new_items.items() if n not in old_items or content(item, {}) != content(old_items[n], {})
    ]
    statements = [
        f"DROP INDEX IF EXISTS {SQL.table_sql(table.schema, i.name)}"
        if isinstance(i, Index)
        else drop_constraint(table, i.name)
        for i in going
        if i.name not in turn.keep
    ]
    if column.generated and turn.leave.column.generated:
        change = [f"ALTER TABLE {text} DROP COLUMN {name}", f"ALTER TABLE {text} ADD COLUMN {column_sql(column)}"]
    else:
        collation = f" COLLATE {collation_sql(column.collation)}" if column.collation else ""
        using = "" if turn.fill == name else f" USING {turn.fill}"
        change = ([f"{alter} DROP DEFAULT"] if turn.leave.column.default is not None else []) + [
            f"{alter} TYPE {column.type}{collation}{using}"
        ]
        change += [f"{alter} SET DEFAULT {column.default}"] if column.default is not None else []
        change += (
            [f"{alter} {'DROP' if column.nullable else 'SET'} NOT NULL"]
            if column.nullable != turn.leave.column.nullable
            else []
        )
    statements = around(drop, create, statements + change)
    statements += [add_constraint(table, i) for i in coming if isinstance(i, Constraint) and i.name not in turn.keep]
    after = "".join(build_index(table, i, i.name) for i in coming if isinstance(i, Index) and i.name not in turn.keep)
    return locked(*archive, *statements) + after


def changed_values(
    context: Context, planned: Conversions, key: Tuple[str, ...], copy: str, stored: str
) -> Tuple[List[str], str]:
    """Return SQL that archives the values a round trip would change, and SQL that restores those not written since."""
    table, there, home = planned.there.table, planned.there, planned.home
    text = table_sql(table)
    name = quote(planned.there.come.column.name)
    back = home.guard.replace(name, f"({there.guard})") if name in home.guard else home.guard
    archive = [
        make_archive(),
        f"CREATE TABLE {copy} AS SELECT {SQL.names_sql(key)}, {name} AS _was FROM {text} "
        f"WHERE ({back})::text IS DISTINCT FROM {name}::text",
        f"ALTER TABLE {copy} ADD PRIMARY KEY ({SQL.names_sql(key)})",
    ]
    match = " AND ".join(f"_a.{quote(n)} = {text}.{quote(n)}" for n in key)
    now_is = there.guard.replace(name, "_a._was")
    redone = home.guard.replace(name, f"({now_is})")
    restore = backfill(
        text,
        f"{name} = (SELECT _was FROM {copy} AS _a WHERE {match})",
        f"EXISTS (SELECT FROM {copy} AS _a WHERE {match} AND _a._was::text IS DISTINCT FROM {text}.{name}::text "
        f"AND ({redone})::text IS NOT DISTINCT FROM {text}.{name}::text)",
        there.silent,
    )
    return archive, restore


def staged_drafts(context: Context, change: Change, planned: Conversions) -> Iterator[Draft]:
    """Yield the conversion by a second column: each step can be stopped, run again and undone by itself."""
    there, home = planned.there, planned.home
    table, new = there.table, change.new
    key, name = f"type {table.key} {new.name}", f"{new.name} of table {table.key}"
    done = has_type(table, new)[7:].rstrip(";\n")
    yield Draft(
        key,
        EXPAND,
        RANKS["column"],
        f"Add a second column for {name} as {new.type}, kept up to date by a trigger",
        SETTINGS + shadow_sql(there),
        SETTINGS + unshadow_sql(there),
        reads=type_words(there),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
        proof=f"SELECT {done} OR " + has_column(table, waiting(there.come))[7:],
    )
    yield Draft(
        key + " fill",
        MIGRATE,
        RANKS["column"],
        f"Convert the values of {name} in batches",
        SETTINGS + "SET timezone = 'UTC';\n" + fill_sql(there),
        "",
        transactional=False,
        lock="ROW EXCLUSIVE, in batches",
        issues=(change.path,),
        after=(key,),
    )
    items = items_sql(there)
    if items:
        removal = "".join(
            remove_waiting(there, item)
            for item in touching(there.come.table, new.name)
            if getattr(item, "kind", "") != "primary_key"
        )
        yield Draft(
            key + " items",
            MIGRATE,
            RANKS["index"],
            f"Build the indexes and constraints of {name} on the second column",
            SETTINGS + items,
            removal,
            transactional=False,
            lock="SHARE UPDATE EXCLUSIVE",
            issues=(change.path,),
            after=(key + " fill",),
            reads=" ".join(
                getattr(i, "definition", getattr(i, "tail", "")) for i in touching(there.come.table, new.name)
            ),
        )
    yield Draft(
        key + " switch",
        CONTRACT,
        RANKS["switch"],
        f"Exchange the two columns for {name} in one short transaction",
        SETTINGS + switch_sql([there], planned.drop, planned.create),
        SETTINGS + switch_sql([home], planned.create, planned.drop) + drop_function(table, home.sync),
        proof=has_type(table, new),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
        after=(key + " items", key + " fill"),
    )
    yield from finish_drafts(context, change, planned, key)


def remove_waiting(turn: Turn, item: Any) -> str:
    there = own_name(item.name, turn.come.suffix)
    if isinstance(item, Index):
        return remove_index(turn.table, there)
    return SETTINGS + locked(drop_constraint(turn.table, there))


def finish_drafts(context: Context, change: Change, planned: Conversions, key: str) -> Iterator[Draft]:
    there, home = planned.there, planned.home
    table, new = there.table, change.new
    restore, lossy = "", None
    if is_silent_loss(change.old, new):
        rows = row_key(context, table, there.leave.table, [new.name])
        copy = f"{ARCHIVE}.{quote(own_name(table.name, new.name, 'former'))}"
        if rows:
            archive, restore = former_values(planned, rows, copy)
            yield Draft(
                key + " archive",
                CONTRACT,
                RANKS["switch"] + 3,
                f"Archive the values of {new.name} of table {table.key} that {new.type} cannot hold",
                transaction(make_archive(), *archive),
                SETTINGS + f"DROP TABLE IF EXISTS {copy};\n" + drop_empty_archive(),
                proof=has_relation(copy),
                issues=(change.path,),
                after=(key + " switch",),
            )
        else:
            lossy = f"values of {new.name} that {new.type} cannot hold exactly: table {table.key} has no key to archive them by"
    undo = shadow_sql(home) + "SET timezone = 'UTC';\n" + fill_sql(home) + items_sql(home) + SETTINGS + restore
    yield Draft(
        key + " finish",
        CONTRACT,
        RANKS["drop_column"],
        f"Drop the former column of {new.name} of table {table.key}",
        SETTINGS + finish_sql(there),
        SETTINGS + undo,
        holds=f"{change.old.type} {change.old.default or ''}",
        proof=lacks(has_column(table, waiting(there.leave))),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        lossy=lossy,
        issues=(change.path,),
        after=(key + " switch", key + " archive"),
    )


def former_values(planned: Conversions, key: Tuple[str, ...], copy: str) -> Tuple[List[str], str]:
    """Return SQL that archives what the former column holds beyond the new one, and SQL that puts it back there."""
    there, home = planned.there, planned.home
    text = table_sql(there.table)
    name, former = quote(there.come.column.name), quote(waiting(there.leave))
    archive = [
        f"CREATE TABLE {copy} AS SELECT {SQL.names_sql(key)}, {former} AS _was, {name}::text AS _became FROM {text} "
        f"WHERE {former}::text IS DISTINCT FROM ({home.guard})::text",
        f"ALTER TABLE {copy} ADD PRIMARY KEY ({SQL.names_sql(key)})",
    ]
    match = (
        " AND ".join(f"_a.{quote(n)} = {text}.{quote(n)}" for n in key)
        + f" AND _a._became IS NOT DISTINCT FROM {text}.{name}::text"
    )
    restore = backfill(
        text,
        f"{former} = (SELECT _was FROM {copy} AS _a WHERE {match})",
        f"EXISTS (SELECT FROM {copy} AS _a WHERE {match} AND _a._was::text IS DISTINCT FROM {text}.{former}::text)",
        there.silent,
    )
    return archive, restore


# == 18. PostgreSQL recipes: enums ====================================================================


@scripts("enum.changed")
def enum_changed_recipe(context: Context, change: Change) -> Iterator[Draft]:
    old, new = change.old, change.new
    before, after = old.facts["values"], new.facts["values"]
    name = thing_sql(new)
    if [value for value in after if value in before] == before:
        adds = "".join(
            f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {text_literal(value)}{enum_place(after, index)};\n"
            for index, value in enumerate(after)
            if value not in before
        )
        proof = (
            f"SELECT count(*) = {len(after) - len(before)} FROM pg_enum WHERE enumtypid = to_regtype({literal(name)}) AND enumlabel IN ("
            + ", ".join(text_literal(value) for value in after if value not in before)
            + ");\n"
        )
        yield Draft(
            f"enum {new.key}",
            EXPAND,
            RANKS["enum"],
            f"Add values to enum {new.key}",
            SETTINGS + adds,
            SETTINGS + rebuild_enum(context, context.before, new, old),
            makes=((new.name,),),
            transactional=False,
            proof=proof,
            issues=(change.path,),
        )
        return
    yield Draft(
        f"enum {new.key}",
        CONTRACT,
        RANKS["switch"],
        f"Rebuild enum {new.key} with its new values",
        SETTINGS + rebuild_enum(context, context.after, old, new),
        SETTINGS + rebuild_enum(context, context.before, new, old),
        transactional=False,
        lock="ACCESS EXCLUSIVE (catalogue only)",
        issues=(change.path,),
    )


def enum_place(labels: Sequence[str], index: int) -> str:
    if index:
        return f" AFTER {text_literal(labels[index - 1])}"
    return f" BEFORE {text_literal(labels[1])}" if len(labels) > 1 else ""


def uses_type(column: Column, thing: Thing) -> bool:
    base = parse_type(column.type).base.replace('"', "")
    return base in (
        thing.name,
        f"{thing.schema}.{thing.name}",
        thing.name.lower() if thing.name == thing.name.lower() else thing.name,
    )


def rebuild_enum(context: Context, schema: Schema, old: Thing, new: Thing) -> str:
    """Return SQL that puts a type with other labels in the place of an enum: columns by a second column each, all exchanged at once."""
    following, former = own_name(new.name, "next"), own_name(new.name, "former")
    text = SQL.table_sql(new.schema, following)
    labels = ", ".join(text_literal(value) for value in new.facts["values"])
    turns = [
        enum_turn(context, schema.tables[key], column, new, following)
        for key in sorted(schema.tables)
        for column in schema.tables[key].columns.values()
        if uses_type(column, new) and not schema.tables[key].traits.get("partition_of")
    ]
    lost = ", ".join(text_literal(value) for value in old.facts["values"] if value not in new.facts["values"])
    create = "".join(
        refuse(
            f"EXISTS (SELECT FROM {table_sql(turn.table)} WHERE {enum_match(turn, lost)})",
            f"rows of {turn.table.key} hold values that enum {new.key} loses: nothing was changed",
        )
        for turn in turns
        if lost
    )
    create += f"CREATE TYPE {text} AS ENUM ({labels});\n"
    clean_up = "".join(unshadow_sql(turn) for turn in turns) + f"DROP TYPE IF EXISTS {text};\n"
    prepare = "".join(shadow_sql(turn) + fill_sql(turn) for turn in turns) + "".join(
        enum_items(turn, new, following) for turn in turns
    )
    groups = [(turn.table.name, turn.come.column.name) for turn in turns] + [(new.name,)]
    dependents = dependents_of(schema, groups)
    functions = [
        thing
        for thing in schema.things.values()
        if thing.kind == "function" and new.name in names_in(function_head(thing.facts["definition"]) + sql_body(thing))
    ]
    renames = [f"DROP {function_target(f).replace(' ', ' IF EXISTS ', 1)}" for f in functions]
    renames += [
        f"ALTER TYPE {thing_sql(new)} RENAME TO {quote(former)}",
        f"ALTER TYPE {text} RENAME TO {quote(new.name)}",
    ]
    renames += [statement for f in functions for statement in create_function(f)]
    comment = [comment_sql(f"TYPE {thing_sql(new)}", new.comment)] if new.comment else []
    switch = (
        switch_sql(turns, dependents, dependents, renames + comment)
        if turns
        else locked(*around(dependents, dependents, renames + comment))
    )
    finish = "".join(finish_sql(turn) for turn in turns)
    return (
        SETTINGS
        + clean_up
        + create
        + prepare
        + SETTINGS
        + switch
        + finish
        + f"DROP TYPE IF EXISTS {SQL.table_sql(new.schema, former)};\n"
    )


def enum_match(turn: Turn, labels: str) -> str:
    name = quote(turn.come.column.name)
    return (
        f"{name}::text[] && ARRAY[{labels}]"
        if parse_type(turn.come.column.type).dims
        else f"{name}::text IN ({labels})"
    )


def enum_turn(context: Context, table: Table, column: Column, thing: Thing, following: str) -> Turn:
    array = "[]" * parse_type(column.type).dims
    shadow = column._replace(type=f"{SQL.table_sql(thing.schema, following)}{array}")
    name = quote(column.name)
    up, down = (
        f"{name}::text{array}::{type_name}{array}"
        for type_name in (
            SQL.table_sql(thing.schema, following),
            SQL.table_sql(thing.schema, own_name(thing.name, "former")),
        )
    )
    return Turn(
        table,
        Side(table, column, "old"),
        Side(table, shadow, "new"),
        up,
        up,
        own_name(table.name, column.name, "up"),
        down,
        own_name(table.name, column.name, "down"),
        is_silent(context, table.key),
        frozenset(),
    )


def enum_items(turn: Turn, thing: Thing, following: str) -> str:
    """Return the waiting indexes and constraints of an enum column, with casts to the type as it is named by then."""
    cast = re.compile(
        r"::\s*(?:\"?" + re.escape(thing.schema) + r"\"?\.)?\"?" + re.escape(thing.name) + r"\"?(?![\w\"])"
    )
    there = "::" + SQL.table_sql(thing.schema, following)
    table = turn.come.table
    indexes = {name: index._replace(tail=cast.sub(there, index.tail)) for name, index in table.indexes.items()}
    constraints = {name: c._replace(definition=cast.sub(there, c.definition)) for name, c in table.constraints.items()}
    return items_sql(
        turn._replace(come=turn.come._replace(table=table._replace(indexes=indexes, constraints=constraints)))
    )


# == 19. Scripting: changes to steps ==================================================================
# In: both schemas and their changes. Out: steps in the order of execution.


def owned_by_conversions(before: Schema, after: Schema, changes: Sequence[Change]) -> Iterator[Change]:
    """Yield the changes that a type change carries out along with its column."""
    converted = {(change.table, change.new.name) for change in changes if change.kind == "column.type"}
    tables = {table for table, _ in converted}
    numbered = {(c.table, c.new.name) for c in changes if c.kind == "column.identity"}
    numbered_sequences = {
        thing.key
        for side in (before, after)
        for thing in side.things.values()
        if thing.kind == "sequence"
        and ((thing.facts.get("owned_by") or {}).get("table"), (thing.facts.get("owned_by") or {}).get("column"))
        in numbered
    }
    for change in changes:
        kind, verb = change.kind.split(".")
        if (
            kind == "column"
            and verb in ("default", "nullable", "collation")
            and (change.table, change.new.name) in converted
        ):
            yield change
        elif kind == "column" and verb == "default" and (change.table, change.new.name) in numbered:
            yield change
        elif kind == "sequence" and change.path[1] in numbered_sequences and verb in ("added", "removed"):
            yield change
        elif (
            change.table in tables
            and verb in ("added", "removed", "changed")
            and kind in ("index", "unique", "check", "foreign_key", "primary_key", "exclude")
        ):
            item = change.new or change.old
            used = names_in(item.tail) if isinstance(item, Index) else frozenset(item.columns)
            if any(table == change.table and name in used for table, name in converted):
                yield change
        elif kind in ("trigger", "policy", "rule", "view", "materialized_view") and converted_by(
            change, converted, after
        ):
            yield change


def converted_by(change: Change, converted: Set[Tuple[Optional[str], str]], after: Schema) -> bool:
    """Tell whether a view or part is made again in the transaction that changes the type of a column it uses."""
    sides = [side for side in (change.old, change.new) if side is not None]
    for table_key, column in converted:
        table = after.tables[table_key or ""]
        group = (table.name, column)
        for side in sides:
            if isinstance(side, Thing) and mentions(str(side.facts.get("definition", "")), group):
                return True
            if isinstance(side, Part) and part_uses(table, side, group) and change.table == table_key:
                return True
    return False


def is_inherited(context: Context, change: Change) -> bool:
    """Tell whether a change of a partition or child table comes with the same change of its parent."""
    table = context.after.tables.get(change.table or "") or context.before.tables.get(change.table or "")
    if table is None or not change.kind.startswith(("column.", "check.")) or change.kind == "column.traits":
        return False
    parents = [*(table.traits.get("inherits") or ()), (table.traits.get("partition_of") or {}).get("parent")]
    return any(
        other.kind == change.kind and other.table in parents and other.path[2:] == change.path[2:]
        for other in context.changes
    )


def plan_postgresql(before: Schema, after: Schema, changes: Sequence[Change]) -> List[Step]:
    owned = frozenset((change.kind, change.path) for change in owned_by_conversions(before, after, changes))
    context = Context(before, after, tuple(changes), frozenset())
    drafts: List[Draft] = []
    keys: Set[str] = set()
    for change in changes:
        if (change.kind, change.path) in owned or is_inherited(context, change):
            continue
        for draft in RECIPES[change.kind](context, change):
            if draft.key not in keys:
                keys.add(draft.key)
                drafts.append(draft)
    drafts += bridged_foreign_keys(context, keys)
    return number_drafts(order_drafts(drafts))


def bridged_foreign_keys(context: Context, keys: Set[str]) -> Iterator[Draft]:
    """Yield the steps that take a foreign key out of the way while the types of both its ends change."""
    converted = {(change.table, change.new.name): change for change in context.changes if change.kind == "column.type"}
    for table in context.after.tables.values():
        for constraint in table.constraints.values():
            target = constraint.references[0] if constraint.references else ""
            ends = [f"type {table.key} {name}" for name in constraint.columns if (table.key, name) in converted]
            there = [
                f"type {target} {name}"
                for name in (constraint.references or ("", ()))[1]
                if (target, name) in converted
            ]
            old = context.old_table(table.key)
            if not (ends and there and old and constraint.name in old.constraints):
                continue
            leave = drop_foreign_key_draft(table, old.constraints[constraint.name], ("tables", table.key))
            come = foreign_key_draft(context, table, constraint, ("tables", table.key))
            yield leave._replace(key=leave.key + " for conversion", rank=RANKS["switch"] - 1, holds="")
            yield come._replace(
                key=come.key + " after conversion", phase=CONTRACT, rank=RANKS["switch"] + 1, after=tuple(ends + there)
            )


# == 21. SQLite: statements taken apart ===============================================================
# In: a CREATE statement as sqlite_schema keeps it. Out: the members that the export writes of it, and the verbatim
# text of each part: SQLite keeps CHECK, COLLATE, AUTOINCREMENT, DEFERRABLE and more nowhere but in this text.

SQLITE_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<string>[xX]?'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
  | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<other>\|\||<>|<=|>=|==|!=|->>|->|.)""",
    re.X | re.S,
)
TABLE_CONSTRAINT = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
COLUMN_CONSTRAINT = TABLE_CONSTRAINT - {"FOREIGN"} | {
    "NOT",
    "NULL",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "GENERATED",
    "AS",
}


class Token(NamedTuple):
    """One token of SQLite's SQL: `word` is a keyword or sign in upper case, empty for what is quoted."""

    kind: str
    word: str
    name: str  # without its quotes
    start: int
    end: int
    depth: int  # parentheses around it


def sqlite_tokens(text: str) -> List[Token]:
    found, depth = [], 0
    for match in SQLITE_TOKEN.finditer(text):
        kind, token = match.lastgroup or "", match.group()
        if kind == "space":
            continue
        depth -= token == ")"
        name = token
        if kind in ("name", "string"):
            name = token[1:-1].replace(token[-1] * 2, token[-1]) if token[0] != "[" else token[1:-1]
        found.append(Token(kind, "" if kind in ("name", "string") else token.upper(), name, *match.span(), depth))
        depth += token == "("
    return found


def closing(found: Sequence[Token], start: int) -> int:
    """Return the index of the parenthesis that closes the one at `start`, or of the last token."""
    return next(
        (i for i in range(start + 1, len(found)) if found[i].word == ")" and found[i].depth == found[start].depth),
        len(found) - 1,
    )


class TableText(NamedTuple):
    """A CREATE TABLE statement taken apart: the members of the document, and texts to use as they stand."""

    members: Dict[str, Any]
    body: str  # from the first parenthesis to the end
    items: Dict[str, str]  # the definition of each column


TABLE_TEXTS: Dict[str, Optional[TableText]] = {}


def table_text(sql: str) -> Optional[TableText]:
    """Return a CREATE TABLE statement taken apart, or None for what is none."""
    if sql not in TABLE_TEXTS:
        TABLE_TEXTS[sql] = read_table_text(sql)
    return TABLE_TEXTS[sql]


def read_table_text(sql: str) -> Optional[TableText]:
    found = sqlite_tokens(sql)
    start = next((i for i, token in enumerate(found) if token.word == "("), None)
    words = [token.word for token in found[:start]]
    if start is None or words[:2] != ["CREATE", "TABLE"] or "AS" in words:
        return None
    end = closing(found, start)
    reader = TableReader(sql)
    for first, last in item_spans(found, start, end):
        reader.item(found[first:last])
    tail = [token.word for token in found[end + 1 :]]
    members: Dict[str, Any] = {"columns": reader.columns, "constraints": reader.constraints()}
    members.update({"strict": True} if "STRICT" in tail else {})
    members.update({"without_rowid": True} if "ROWID" in tail else {})
    for name in (reader.primary or {}).get("columns", ()) if set(tail) & {"ROWID", "STRICT"} else ():
        spec = next(spec for key, spec in reader.columns.items() if same(key, name))
        rowid = len(reader.primary["columns"]) == 1 and spec["type"].upper() == "INTEGER" and "ROWID" not in tail
        spec["nullable"] = spec["nullable"] and rowid  # the options make the columns of the key NOT NULL
    members.update({"autoincrement": True} if any("auto_increment" in c for c in reader.columns.values()) else {})
    last = next((token for token in reversed(found) if token.word != ";"), found[end])
    return TableText(members, sql[found[start].start : last.end], reader.items)


def item_spans(found: Sequence[Token], start: int, end: int) -> Iterator[Tuple[int, int]]:
    """Yield first and last index of each part between two parentheses; commas of its own level part them."""
    first = start + 1
    for index in range(start + 1, end):
        if found[index].word == "," and found[index].depth == found[start].depth + 1:
            yield first, index
            first = index + 1
    if first < end:
        yield first, end


class TableReader:
    """Reads the column definitions and constraints of one CREATE TABLE statement."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.columns: Dict[str, Dict[str, Any]] = {}
        self.items: Dict[str, str] = {}
        self.primary: Optional[Dict[str, Any]] = None
        self.lists: Dict[str, List[Dict[str, Any]]] = {"unique": [], "foreign_key": [], "check": []}

    def constraints(self) -> Dict[str, Any]:
        return {**({"primary_key": self.primary} if self.primary else {}), **self.lists}

    def text(self, found: Sequence[Token]) -> str:
        return self.sql[found[0].start : found[-1].end] if found else ""

    def item(self, found: Sequence[Token]) -> None:
        if not found:
            return
        if found[0].word in TABLE_CONSTRAINT:
            self.clauses(found, None)
            return
        name = found[0].name
        end = next((i for i in range(1, len(found)) if found[i].word in COLUMN_CONSTRAINT), len(found))
        self.columns[name] = {"type": self.text(found[1:end]), "nullable": True}
        self.items[name] = self.text(found)
        self.clauses(found[end:], name)

    def clauses(self, found: Sequence[Token], column: Optional[str]) -> None:
        """Read constraint after constraint; a name goes with the one that follows it."""
        readers: Dict[str, Callable[[Sequence[Token], Optional[str], Optional[str]], None]] = {
            "PRIMARY": self.primary_key,
            "UNIQUE": self.unique,
            "CHECK": self.check,
            "FOREIGN": self.foreign_key,
            "REFERENCES": self.foreign_key,
        }
        starts = self.clause_starts(found)
        for position, start in enumerate(starts):
            clause = found[start : starts[position + 1] if position + 1 < len(starts) else len(found)]
            name = None
            if clause[0].word == "CONSTRAINT":
                name, clause = (clause[1].name if len(clause) > 1 else None), clause[2:]
            if clause and clause[0].word in readers:
                readers[clause[0].word](clause, name, column)
            elif clause and column is not None:
                self.column_clause(clause, self.columns[column])

    def clause_starts(self, found: Sequence[Token]) -> List[int]:
        """Return where constraints begin: SQLite needs no comma between them."""
        starts, held = [], -1
        level = found[0].depth if found else 0
        for index, token in enumerate(found):
            before = found[index - 1].word if index else ""
            if token.depth != level or token.word not in COLUMN_CONSTRAINT | TABLE_CONSTRAINT or index <= held:
                continue
            if token.word == "CONSTRAINT":
                held = index + 2  # its name, and the word that it names
            elif before in ("NOT", "ALWAYS", "SET", "ON", "DEFAULT") or self.in_reference(found, starts, index):
                continue
            starts.append(index)
        return starts

    def in_reference(self, found: Sequence[Token], starts: Sequence[int], index: int) -> bool:
        """Tell whether a word belongs to the foreign key before it: FOREIGN KEY (a) REFERENCES p, NOT DEFERRABLE."""
        following = found[index + 1].word if index + 1 < len(found) else ""
        if found[index].word == "NOT":
            return following == "DEFERRABLE"
        words = [token.word for token in found[starts[-1] : starts[-1] + 3]] if starts else []
        return found[index].word == "REFERENCES" and "FOREIGN" in words and "REFERENCES" not in {
            token.word for token in found[starts[-1] : index]
        }

    def column_clause(self, clause: Sequence[Token], spec: Dict[str, Any]) -> None:
        word = clause[0].word
        if word == "NOT":
            spec["nullable"] = False
            spec.update(self.conflict(clause, "not_null"))
        elif word == "DEFAULT" and len(clause) > 1:
            wrapped = clause[1].word == "("
            inner = self.text(clause[2 : closing(clause, 1)] if wrapped else clause[1:])
            spec["default"] = {"expression": f"({inner})" if wrapped else inner}
        elif word == "COLLATE" and len(clause) > 1:
            spec["collation"] = clause[1].name
        elif word in ("GENERATED", "AS"):
            start = next((i for i, token in enumerate(clause) if token.word == "("), 0)
            end = closing(clause, start)
            stored = any(token.word == "STORED" for token in clause[end:])
            spec["generated"] = self.text(clause[start + 1 : end])
            spec["generated_kind"] = "stored" if stored else "virtual"

    def conflict(self, clause: Sequence[Token], kind: str = "") -> Dict[str, Any]:
        """Return the ON CONFLICT of a clause; for a column it is kept by the constraint that it answers."""
        for index in range(1, len(clause) - 1):
            if clause[index].word == "CONFLICT" and clause[index - 1].word == "ON":
                answer = clause[index + 1].name.lower()
                return {"on_conflict": {kind: answer} if kind else answer}
        return {}

    def key_terms(self, clause: Sequence[Token], column: Optional[str]) -> Tuple[List[str], str]:
        """Return the columns of a key, and its terms as they stand (COLLATE, DESC)."""
        start = next((i for i, token in enumerate(clause[:3]) if token.word == "("), None)
        if start is None or column is not None:
            return [column or ""], name_text(column or "")
        end = closing(clause, start)
        spans = list(item_spans(clause, start, end))
        return [clause[first].name for first, _ in spans], self.text(clause[start + 1 : end])

    def primary_key(self, clause: Sequence[Token], name: Optional[str], column: Optional[str]) -> None:
        columns, terms = self.key_terms(clause, column)
        words = {token.word for token in clause}
        answer = self.conflict(clause)
        if column is not None:
            self.columns[column].update({"auto_increment": True} if "AUTOINCREMENT" in words else {})
            self.columns[column].update({"primary_key_order": "desc"} if "DESC" in words else {})
        elif "AUTOINCREMENT" in words:
            next(spec for key, spec in self.columns.items() if same(key, columns[0]))["auto_increment"] = True
        self.primary = named_entry(name, columns, f"PRIMARY KEY ({terms})", answer)

    def unique(self, clause: Sequence[Token], name: Optional[str], column: Optional[str]) -> None:
        columns, terms = self.key_terms(clause, column)
        self.lists["unique"].append(named_entry(name, columns, f"UNIQUE ({terms})", self.conflict(clause)))

    def check(self, clause: Sequence[Token], name: Optional[str], column: Optional[str]) -> None:
        body = self.text(clause[2 : closing(clause, 1)])
        entry = {"name": name} if name else {}
        self.lists["check"].append({**entry, "expression": body, "definition": f"CHECK ({body})"})

    def foreign_key(self, clause: Sequence[Token], name: Optional[str], column: Optional[str]) -> None:
        start = next((i for i, token in enumerate(clause) if token.word == "REFERENCES"), None)
        if start is None or start + 1 >= len(clause):
            return
        columns = [column] if column is not None else [t.name for t in clause[3 : start - 1] if t.word != ","]
        words = [token.word for token in clause]
        there = clause[start + 3 : closing(clause, start + 2)] if words[start + 2 : start + 3] == ["("] else []
        entry: Dict[str, Any] = {"name": name} if name else {}
        entry["columns"] = columns
        entry["references"] = {"table": clause[start + 1].name, "columns": [t.name for t in there if t.word != ","]}
        for event in ("DELETE", "UPDATE"):
            action = action_of(words, event)
            entry.update({f"on_{event.lower()}": action} if action else {})
        if "DEFERRABLE" in words and words[words.index("DEFERRABLE") - 1] != "NOT":
            deferred = words[words.index("DEFERRABLE") + 1 :][:2] == ["INITIALLY", "DEFERRED"]
            entry["deferrable"] = "initially_deferred" if deferred else True
        listed_columns = ", ".join(name_text(key) for key in columns)
        entry["definition"] = f"FOREIGN KEY ({listed_columns}) {self.text(clause[start:])}"
        self.lists["foreign_key"].append(entry)


def same(one: str, other: str) -> bool:
    """Tell whether two names mean one thing: SQLite folds ASCII letters only, which lower() does for these too."""
    return one.lower() == other.lower()


def name_text(name: str) -> str:
    return DIALECTS["sqlite"].quote(name)


def named_entry(
    name: Optional[str], columns: List[str], definition: str, answer: Dict[str, Any]
) -> Dict[str, Any]:
    suffix = f" ON CONFLICT {answer['on_conflict'].upper()}" if answer else ""
    return {**({"name": name} if name else {}), "columns": columns, **answer, "definition": definition + suffix}


def action_of(words: Sequence[str], event: str) -> Optional[str]:
    """Return what ON DELETE or ON UPDATE does, unless it is the default."""
    for index in range(len(words) - 2):
        if words[index : index + 2] == ["ON", event]:
            action = " ".join(words[index + 2 : index + 4]) if words[index + 2] in ("SET", "NO") else words[index + 2]
            return None if action == "NO ACTION" else action
    return None


def index_text(sql: str) -> Tuple[str, bool, str]:
    """Return name, uniqueness and everything behind the table's name of a CREATE INDEX statement."""
    found = sqlite_tokens(sql)
    start = next((i for i, token in enumerate(found) if token.word == "ON" and token.depth == 0), 0)
    unique = any(token.word == "UNIQUE" for token in found[:2])
    last = next((token for token in reversed(found) if token.word != ";"), found[-1])
    return found[start - 1].name, unique, sql[found[start + 1].end : last.end].strip()


def index_terms(tail: str) -> Tuple[List[str], List[str], Optional[str]]:
    """Return columns or expressions, the columns in descending order, and WHERE of what follows an index's table."""
    found = sqlite_tokens(tail)
    end = closing(found, 0)
    terms, descending = [], []
    for first, last in item_spans(found, 0, end):
        words = [token.word for token in found[first:last]]
        rest = list(words)
        while rest and (rest[-1] in ("ASC", "DESC") or rest[-2:-1] == ["COLLATE"]):
            del rest[-1 if rest[-1] in ("ASC", "DESC") else -2 :]
        plain = len(rest) == 1 and found[first].kind in ("word", "name", "string")
        terms.append(found[first].name if plain else tail[found[first].start : found[last - 1].end])
        descending += [terms[-1]] if plain and "DESC" in words else []
    where = next((token for token in found[end:] if token.word == "WHERE"), None)
    return terms, descending, tail[where.end :].strip() if where else None


def view_text(sql: str) -> Tuple[List[str], str]:
    """Return the listed column names and the SELECT of a CREATE VIEW statement."""
    found = sqlite_tokens(sql)
    start = next(i for i, token in enumerate(found) if token.word == "AS" and token.depth == 0)
    columns = [token.name for token in found[:start] if token.depth == 1 and token.word not in (",", "(", ")")]
    return columns, sql[found[start].end :].strip()


# == 22. SQLite: reading a database file ==============================================================
# In: a database file. Out: the document that assets/export_schema_sqlite.sql would print of it.

SQLITE_HEADER = b"SQLite format 3\x00"  # https://www.sqlite.org/fileformat.html, section 1.3
SQLITE_OWN = re.compile(r"(?i)sqlite_|_migration_archive")


def is_sqlite_file(path: str) -> bool:
    """Tell whether a path is an SQLite database, by its first bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER
    except OSError:
        return False


def load_sqlite(path: str) -> Document:
    """Return the schema of a database file as a document; the file is opened read-only."""
    import hashlib
    import sqlite3
    from urllib.request import pathname2url

    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        connection = sqlite3.connect(f"file:{pathname2url(os.path.abspath(path))}?mode=ro", uri=True)
        try:
            value = sqlite_document(connection, os.path.basename(path))
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path}: cannot be read as an SQLite database: {error}")
    text = to_json(value)
    return Document(path, text, json.loads(text), digest.hexdigest())


def sqlite_document(connection: Any, name: str) -> Dict[str, Any]:
    """Return the schema document of an open database."""
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name, rowid"
    ).fetchall()
    rows = [row for row in rows if not SQLITE_OWN.match(row[1]) and not SQLITE_OWN.match(row[2])]
    hidden = shadow_tables(rows)
    tables: Dict[str, Any] = {}
    document = {
        "schema_version": "1.0",
        "database": name,
        "dialect": "sqlite",
        "server_version": connection.execute("SELECT sqlite_version()").fetchone()[0],
        "tables": tables,
        "virtual_tables": {},
        "views": {},
        "not_exported": [],
    }
    for kind, key, _, sql in rows:
        if kind == "view":
            columns, definition = view_text(sql)
            listed_columns = {"columns": columns} if columns else {}
            document["views"][key] = {"definition": definition, **listed_columns, "sql": sql}
        elif kind == "table" and sqlite_tokens(sql)[1].word == "VIRTUAL":
            document["virtual_tables"][key] = {"definition": sql}
        elif kind == "table" and key not in hidden:
            parsed = table_text(sql)
            members = {k: v for k, v in parsed.members.items()} if parsed else {"columns": {}, "constraints": {}}
            tables[key] = {**members, "indexes": [], "triggers": {}, "sql": sql}
            tables[key].update(small_count(connection, key))
    attach_parts(document, rows)
    complete_references(tables)
    return document


def small_count(connection: Any, table: str) -> Dict[str, int]:
    """Return the number of rows where counting them takes no time: SQLite would have to walk all of them."""
    query = f"SELECT count(*) FROM (SELECT 1 FROM {name_text(table)} LIMIT {SMALL_ROWS + 1})"
    rows = connection.execute(query).fetchone()[0]
    return {"row_count": rows} if rows <= SMALL_ROWS else {}


def shadow_tables(rows: Sequence[Tuple[str, str, str, str]]) -> Set[str]:
    """Return the tables in which a virtual table keeps its content: NAME_content, NAME_data, NAME_idx ..."""
    virtual = [row[1] for row in rows if row[0] == "table" and sqlite_tokens(row[3])[1].word == "VIRTUAL"]
    return {row[1] for row in rows for name in virtual if row[1].startswith(name + "_") and row[0] == "table"}


def attach_parts(document: Dict[str, Any], rows: Sequence[Tuple[str, str, str, str]]) -> None:
    """Put indexes and triggers into their tables and views, however their author spelled the table's name."""
    owners = {key.lower(): body for section in ("tables", "views") for key, body in document[section].items()}
    for kind, key, owner, sql in rows:
        body = owners.get(owner.lower())
        if body is not None and kind == "trigger":
            body.setdefault("triggers", {})[key] = {"definition": sql}
        elif body is not None and kind == "index":
            _, unique, tail = index_text(sql)
            terms, descending, where = index_terms(tail)
            spelled = {name.lower(): name for name in body["columns"]}
            terms, descending = ([spelled.get(name.lower(), name) for name in names] for names in (terms, descending))
            entry = {"name": key, "definition": sql, "unique": unique, "columns": terms}
            entry.update({"descending": descending} if descending else {})
            entry.update({"where": where} if where else {})
            body["indexes"].append(entry)


def complete_references(tables: Dict[str, Any]) -> None:
    """Spell referenced tables as they are created; a reference without columns means the other table's key."""
    spelled = {key.lower(): key for key in tables}
    for body in tables.values():
        for entry in body["constraints"].get("foreign_key", ()):
            target = dict(entry["references"])
            target["table"] = spelled.get(target["table"].lower(), target["table"])
            there = tables.get(target["table"], {"constraints": {}})["constraints"].get("primary_key") or {}
            target["columns"] = target["columns"] or list(there.get("columns", ()))
            entry["references"] = target


# == 23. SQLite statements ============================================================================
# Small pieces of SQL. Facts: https://www.sqlite.org/lang_altertable.html (3.40), each tried on 3.40.1.

LITE = SQLite()
lite = LITE.quote
LITE_ARCHIVE = "_migration_archive_"
LITE_NEW = "_migration_new_"
LITE_BEGIN = "PRAGMA busy_timeout = 5000;\nPRAGMA foreign_keys = OFF;\nPRAGMA legacy_alter_table = ON;\nBEGIN IMMEDIATE;\n"
LITE_LOCK = "the database's only write lock; readers go on where the journal mode is WAL"


def lite_script(*statements: str) -> str:
    """Return statements as one transaction that leaves nothing behind when one of them fails.

    foreign_keys is off because DROP TABLE would delete the rows of children, and cannot be switched inside a
    transaction; legacy_alter_table is on so that a rename neither rewrites nor checks views and triggers.
    """
    lines = "".join(strip_words(statement) + ";\n" for statement in statements if statement.strip())
    return f"{LITE_BEGIN}{lines}COMMIT;\nPRAGMA legacy_alter_table = OFF;\n"


def archive_name(*parts: str) -> str:
    return own_name(LITE_ARCHIVE + parts[0], *parts[1:])


def is_strict(table: Table) -> bool:
    return bool(table.traits.get("strict"))


def has_rowid(table: Table) -> bool:
    return not table.traits.get("without_rowid")


def stored_as(column: Column, table: Table) -> str:
    """Return what decides how a value is kept: the affinity, and in a STRICT table the type, ANY keeping all."""
    if is_strict(table):
        return {"INT": "INTEGER", "ANY": "BLOB"}.get(column.type, column.type)
    return affinity(column.type)


def key_of(table: Table) -> Optional[Constraint]:
    return next((c for c in table.constraints.values() if c.kind == "primary_key"), None)


def rowid_alias(table: Table) -> Optional[str]:
    """Return the column that is the rowid: INTEGER PRIMARY KEY, except DESC (lang_createtable.html#rowid)."""
    key = key_of(table)
    column = table.columns.get(key.columns[0]) if key and len(key.columns) == 1 and has_rowid(table) else None
    if column is None or column.type != "INTEGER" or "primary_key_order" in dict(column.traits):
        return None
    return column.name


def rowid_name(table: Table) -> Optional[str]:
    """Return a name of the rowid that no column hides."""
    taken = {name.lower() for name in table.columns}
    return next((n for n in ("rowid", "_rowid_", "oid") if n not in taken), None) if has_rowid(table) else None


def counts(table: Table) -> bool:
    return any(("autoincrement", True) in column.traits for column in table.columns.values())


def default_sql(text: str) -> str:
    plain = {"now()": "CURRENT_TIMESTAMP"}.get(text.lower(), text)
    constant = SQLITE_CONSTANT.fullmatch(plain) or (plain.startswith("(") and closes_at_end(plain))
    return plain if constant else f"({plain})"


def lite_column(column: Column) -> str:
    """Return a column definition without keys and constraints of the table."""
    traits = dict(column.traits)
    answer = (traits.get("on_conflict") or {}).get("not_null")
    words = [lite(column.name), column.type]
    words += ["NOT NULL" + (f" ON CONFLICT {answer.upper()}" if answer else "")] if not column.nullable else []
    default = column.default if column.default is not None else traits.get("default")
    words += [f"DEFAULT {default_sql(default)}"] if default is not None else []
    words += [f"COLLATE {lite(column.collation)}"] if column.collation else []
    if column.generated:
        words.append(f"GENERATED ALWAYS AS ({column.generated}) {str(traits.get('generated_kind', 'virtual')).upper()}")
    return " ".join(word for word in words if word)


def constraint_sql(constraint: Constraint) -> str:
    return (f"CONSTRAINT {lite(constraint.name)} " if constraint.named else "") + constraint.definition


def table_definition(table: Table) -> str:
    """Return what follows the name in CREATE TABLE: the table's own text, else one made from its members."""
    parsed = table_text(table.traits.get("sql", ""))
    if parsed:
        return parsed.body
    counted = next((c.name for c in table.columns.values() if ("autoincrement", True) in c.traits), None)
    lines = []
    for column in table.columns.values():
        lines.append(lite_column(column) + (" PRIMARY KEY AUTOINCREMENT" if column.name == counted else ""))
    for constraint in table.constraints.values():
        if constraint.kind != "primary_key" or counted is None:
            lines.append(constraint_sql(constraint))
    options = [word for trait, word in (("strict", "STRICT"), ("without_rowid", "WITHOUT ROWID")) if table.traits.get(trait)]
    return "(\n  " + ",\n  ".join(lines) + "\n)" + (f" {', '.join(options)}" if options else "")


def create_lite_table(table: Table, name: str = "") -> str:
    definition = table_definition(table)
    return f"CREATE TABLE {lite(name or table.name)}{' ' if definition.startswith('(') else ''}{definition}"


def create_lite_index(table: Table, index: Index) -> str:
    return f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {lite(index.name)} ON {lite(table.name)} {index.tail}"


def parts_sql(table: Table) -> List[str]:
    """Return statements for what DROP TABLE takes along: indexes first, then triggers."""
    triggers = [part.definition for _, part in sorted(table.parts.items()) if part.kind == "trigger"]
    return [create_lite_index(table, index) for _, index in sorted(table.indexes.items())] + triggers


def has_object(kind: str, name: str) -> str:
    return (
        f"SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = {literal(kind)} "
        f"AND name = {literal(name)} COLLATE NOCASE);\n"
    )


def has_text(kind: str, *objects: Tuple[str, str]) -> str:
    """Return a query that tells whether objects exist whose text, as SQLite keeps it, ends with the one given."""
    tests = [
        f"name = {literal(name)} COLLATE NOCASE AND substr(sql, -{len(text)}) = {literal(text)}" for name, text in objects
    ]
    return (
        f"SELECT count(*) = {len(tests)} FROM sqlite_master WHERE type IN ({literal(kind)}, 'trigger') "
        f"AND ({' OR '.join(tests)});\n"
    )


def trigger_text(definition: str) -> str:
    """Return a CREATE TRIGGER statement from the name on: SQLite drops TEMP and IF NOT EXISTS."""
    found = sqlite_tokens(definition)
    start = next((i for i, token in enumerate(found) if token.word == "TRIGGER"), 0) + 1
    start += 3 if [token.word for token in found[start : start + 3]] == ["IF", "NOT", "EXISTS"] else 0
    return definition[found[start].start : found[-1].end]


def has_lite_column(table: Table, name: str) -> str:
    return (
        f"SELECT EXISTS (SELECT 1 FROM pragma_table_xinfo({literal(table.name)}) "
        f"WHERE name = {literal(name)} COLLATE NOCASE);\n"
    )


def neutral_lite(table: Table, column: Column) -> str:
    """Return what a column gets back in rows that were written while it was gone."""
    if column.default is not None:
        return default_sql(column.default)
    bound = any(column.name in c.columns for c in table.constraints.values() if c.kind != "check")
    if column.nullable or bound:
        return "NULL"
    return {"TEXT": "''", "BLOB": "x''"}.get(stored_as(column, table), "0")


def has_target(reference: Constraint, tables: Dict[str, Table]) -> bool:
    """Tell whether a foreign key finds its parent and a unique key there; otherwise SQLite cannot check it."""
    key, columns = reference.references or ("", ())
    parent = next((table for name, table in tables.items() if same(name, key)), None)
    if parent is None:
        return False
    wanted = {name.lower() for name in columns}
    keys = [c.columns for c in parent.constraints.values() if c.kind in ("primary_key", "unique")]
    keys += [index.columns for index in parent.indexes.values() if index.unique and " where " not in index.tail.lower()]
    return any({name.lower() for name in key} == wanted for key in keys)


def checkable(table: Table, tables: Dict[str, Table]) -> bool:
    """Tell whether foreign_key_check can look at a table: it has references, and all of them resolve."""
    references = [c for c in table.constraints.values() if c.kind == "foreign_key"]
    return bool(references) and all(has_target(reference, tables) for reference in references)


def orphan_guard(old: Table, new: Table, before: Schema, after: Schema) -> Tuple[List[str], List[str]]:
    """Return statements for the start and the end of a rebuild that stop it when rows lose their parent.

    PRAGMA foreign_key_check only lists; a CHECK is what ends the script. Orphans that were there before are left.
    """
    if not checkable(new, after.tables):
        return [], []
    found = f"(SELECT count(*) FROM pragma_foreign_key_check({literal(new.name)}))"
    known = found if checkable(old, before.tables) else "0"
    why = lite(f"rows of {new.name} whose parent row is missing")
    start = [f"CREATE TEMP TABLE _migration_orphans (before_it, added CONSTRAINT {why} CHECK (added <= 0))"]
    start.append(f"INSERT INTO _migration_orphans (before_it) SELECT {known}")
    end = [f"UPDATE _migration_orphans SET added = {found} - before_it", "DROP TABLE _migration_orphans"]
    return start, end


# == 24. SQLite recipes ===============================================================================
# In: changes. Out: drafts. A table is altered in place where SQLite can, else built anew once for all its changes.


class Copy(NamedTuple):
    """How the rows of a table get into its new form, and what of them the undo cannot find there."""

    old: Table
    new: Table
    values: Dict[str, str]  # new column -> expression over the old row, which is called o
    keys: Tuple[Tuple[str, str], ...]  # a new row's key column, and its expression over the old row
    gone: Tuple[str, ...]  # old columns whose values have no place in the new form
    converted: Tuple[str, ...]  # columns whose values may differ in the new form
    archive: str

    @property
    def archived(self) -> bool:
        return bool(self.gone or self.converted)


def value_of(old: Table, new: Table, column: Column) -> Optional[str]:
    """Return the expression that a column is copied from, or None when its default is to apply."""
    live = old.columns.get(column.name)
    if live is None:
        return column.backfill
    value = f"o.{lite(live.name)}"
    if column.using and live.type != column.type:
        return f"({column.using})"
    if column.backfill and live.nullable and not column.nullable:
        return f"coalesce({value}, {column.backfill})"
    return value


def copy_of(old: Table, new: Table) -> Copy:
    plain = {name: column for name, column in new.columns.items() if not column.generated}
    values = {name: value for name, column in plain.items() if (value := value_of(old, new, column)) is not None}
    alias, there, here = rowid_alias(new), rowid_name(new), rowid_name(old)
    if here and alias and alias not in values:
        values[alias] = f"o.{here}"
    elif there and not alias:
        order = LITE.names_sql(key_of(old).columns if key_of(old) else ())
        values[there] = f"o.{here}" if here else f"row_number() OVER (ORDER BY {order})"
    gone = [
        name for name, column in old.columns.items() if not column.generated and (name not in plain)
    ]
    converted = [
        name
        for name, column in plain.items()
        if name in old.columns
        and (
            values[name] != f"o.{lite(name)}"
            or stored_as(column, new) not in ("BLOB", stored_as(old.columns[name], old))
        )
    ]
    name = archive_name(old.name, *gone, *converted)
    return Copy(old, new, values, row_keys(new, values), tuple(gone), tuple(converted), name)


def row_keys(new: Table, values: Dict[str, str]) -> Tuple[Tuple[str, str], ...]:
    """Return what finds a row again after the change: the rowid's column, the primary key, or the bare rowid."""
    alias, key = rowid_alias(new), key_of(new)
    if alias:
        return ((alias, values[alias]),) if alias in values else ()
    columns = key.columns if key else ()
    columns = tuple(next((name for name in new.columns if same(name, column)), column) for column in columns)
    pairs = tuple((name, values[name]) for name in columns if name in values)
    bare = rowid_name(new)
    if pairs and len(pairs) == len(columns):
        loose_key = any(new.columns[name].nullable for name in columns) and has_rowid(new)
        return pairs + ((bare, values[bare]),) if loose_key and bare in values else pairs
    return ((bare, values[bare]),) if bare and bare in values else ()


def key_match(copy: Copy) -> str:
    """Return the condition that joins a new row o with its archived row a."""
    tests = [f"a.key_{number} IS o.{lite(name)}" for number, (name, _) in enumerate(copy.keys, 1)]
    if len(tests) > 1 and copy.keys[-1][0] not in copy.new.columns:  # the rowid only tells keys with NULL apart
        filled = " AND ".join(f"a.key_{number} IS NOT NULL" for number in range(1, len(tests)))
        tests[-1] = f"({filled} OR {tests[-1]})"
    return " AND ".join(tests)


def archive_sql(copy: Copy, made: str) -> List[str]:
    """Return statements that keep the values that the change takes away, and what became of converted ones."""
    if not copy.archived:
        return []
    kinds = [copy.new.columns[n].type if n in copy.new.columns else "INTEGER" for n, _ in copy.keys]
    names = [f"key_{number}" for number in range(1, len(copy.keys) + 1)]
    columns = [f"{name} {kind if kind != 'ANY' else ''}".strip() for name, kind in zip(names, kinds)]
    olds = [lite(f"old_{name}") for name in (*copy.gone, *copy.converted)]
    news = [lite(f"new_{name}") for name in copy.converted]
    values = [expression for _, expression in copy.keys]
    values += [f"o.{lite(name)}" for name in (*copy.gone, *copy.converted)] + [f"n.{lite(n)}" for n in copy.converted]
    bare = rowid_name(copy.new)
    pairs = ((bare, copy.values[bare]),) if bare in copy.values and has_rowid(copy.old) else copy.keys
    match = " AND ".join(f"n.{lite(name)} IS {expression}" for name, expression in pairs)
    join = f" JOIN {lite(made)} AS n ON {match}" if copy.converted else ""
    return [
        f"CREATE TABLE {lite(copy.archive)} ({', '.join(columns + olds + news)}, PRIMARY KEY ({', '.join(names)}))",
        f"INSERT INTO {lite(copy.archive)} SELECT {', '.join(values)} FROM {lite(copy.old.name)} AS o{join}",
    ]


def restored(copy: Copy) -> Dict[str, str]:
    """Return for each old column the expression over the new row o and its archived row a."""
    values = {}
    for name, column in copy.old.columns.items():
        if column.generated:
            continue
        here, kept, made = f"o.{lite(name)}", f"a.{lite('old_' + name)}", f"a.{lite('new_' + name)}"
        if name in copy.gone:
            later = here if name in copy.new.columns else neutral_lite(copy.old, column)
            values[name] = f"CASE WHEN a.key_1 IS NULL THEN {later} ELSE {kept} END" if later != "NULL" else kept
        elif name in copy.converted:  # a value that was changed since stays as it is
            untouched = f"a.rowid IS NOT NULL AND {here} COLLATE BINARY IS {made} AND typeof({here}) = typeof({made})"
            values[name] = f"CASE WHEN {untouched} THEN {kept} ELSE {here} END"
        else:
            values[name] = here
        values[name] = values[name].replace("a.key_1 IS NULL", "a.rowid IS NULL")
    there, here = rowid_name(copy.old), rowid_name(copy.new)
    if there and here and rowid_alias(copy.old) is None:
        values[there] = f"o.{here}"
    return values


def counter_sql(old: Table, new: Table, made: str) -> List[str]:
    """Return statements that keep the counter of an AUTOINCREMENT table, which DROP TABLE would take along."""
    if not counts(old):
        return []
    if not counts(new):
        kept = lite(archive_name(old.name, "counter"))
        return [f"CREATE TABLE {kept} AS SELECT seq FROM sqlite_sequence WHERE name = {literal(old.name)}"]
    return [
        f"DELETE FROM sqlite_sequence WHERE name = {literal(made)}",
        f"INSERT INTO sqlite_sequence (name, seq) SELECT {literal(made)}, seq FROM sqlite_sequence "
        f"WHERE name = {literal(old.name)}",
    ]


def counter_back(old: Table, name: str) -> List[str]:
    """Return statements that give an AUTOINCREMENT table its counter back, or the higher one it has reached since."""
    kept, made = lite(archive_name(old.name, "counter")), literal(name)
    return [
        f"INSERT INTO sqlite_sequence (name, seq) SELECT {made}, max(seq, coalesce("
        f"(SELECT s.seq FROM sqlite_sequence AS s WHERE s.name = {made}), 0)) FROM {kept} WHERE true",
        f"DELETE FROM sqlite_sequence WHERE name = {made} AND rowid < "
        f"(SELECT max(s.rowid) FROM sqlite_sequence AS s WHERE s.name = {made})",
        f"DROP TABLE {kept}",
    ]


def move_rows(made: str, values: Dict[str, str], source: str) -> str:
    """Return the INSERT that fills a new form; OR ABORT keeps an ON CONFLICT clause from dropping rows unseen."""
    return (
        f"INSERT OR ABORT INTO {lite(made)} ({', '.join(lite(name) for name in values)})\n"
        f"SELECT {', '.join(values.values())}\nFROM {source}"
    )


def rebuild_forward(copy: Copy, before: Schema, after: Schema) -> str:
    made, old, new = LITE_NEW + copy.new.name, copy.old, copy.new
    start, end = orphan_guard(old, new, before, after)
    return lite_script(
        *start,
        create_lite_table(new, made),
        move_rows(made, copy.values, f"{lite(old.name)} AS o") if copy.values else "",
        *archive_sql(copy, made),
        *counter_sql(old, new, made),
        f"DROP TABLE {lite(old.name)}",
        f"ALTER TABLE {lite(made)} RENAME TO {lite(new.name)}",
        *parts_sql(new),
        *end,
    )


def rebuild_back(copy: Copy) -> str:
    """Return the undo: the table in its old form, with the rows of now and the archived values of then."""
    made, old, new = LITE_NEW + copy.old.name, copy.old, copy.new
    source = f"{lite(new.name)} AS o"
    if copy.archived:
        source += f" LEFT JOIN {lite(copy.archive)} AS a ON {key_match(copy)}\nORDER BY a.rowid IS NULL"
    return lite_script(
        create_lite_table(old, made),
        move_rows(made, restored(copy), source),
        *(counter_sql(new, old, made) if counts(old) and counts(new) else []),
        *(counter_back(old, made) if counts(old) and not counts(new) else []),
        f"DROP TABLE {lite(new.name)}",
        f"ALTER TABLE {lite(made)} RENAME TO {lite(old.name)}",
        *parts_sql(old),
        f"DROP TABLE {lite(copy.archive)}" if copy.archived else "",
    )


class Whole(NamedTuple):
    """Both schemas as the scripts of this plan find and leave them."""

    before: Schema
    after: Schema

    @property
    def views(self) -> bool:
        """Tell whether views exist: DROP COLUMN reads them all, and fails on one that is broken for any reason."""
        return any(kind == "view" for schema in (self.before, self.after) for kind, _ in schema.things)


def column_item(table: Table, column: Column) -> str:
    """Return a column definition as ADD COLUMN takes it, with the constraints that belong to the column alone."""
    parsed = table_text(table.traits.get("sql", ""))
    if parsed:
        return parsed.items[next(name for name in parsed.items if same(name, column.name))]
    own = [c for c in table.constraints.values() if c.columns == (column.name,) and c.kind in ("check", "foreign_key")]
    words = [lite_column(column)]
    for constraint in own:
        words.append(re.sub(r"^FOREIGN KEY \(.*?\) (?=REFERENCES)", "", constraint_sql(constraint)))
    return " ".join(words)


def is_addable(table: Table, column: Column, added: Sequence[Constraint]) -> bool:
    """Tell whether ADD COLUMN takes a column: https://www.sqlite.org/lang_altertable.html#altertabaddcol."""
    default, kind = column.default, dict(column.traits).get("generated_kind")
    plain = default is None or (SQLITE_CONSTANT.fullmatch(default) and not default.upper().startswith("CURRENT_"))
    own = [c for c in added if column.name in c.columns]
    item = table_text(f"CREATE TABLE t ({column_item(table, column)})")
    inside = item.members["constraints"] if item else {}
    within = sum(len(inside.get(kind) or ()) for kind in ("check", "foreign_key"))
    return bool(
        plain
        and kind != "stored"
        and not column.backfill
        and (column.nullable or column.default is not None or column.generated)
        and all(c.kind in ("check", "foreign_key") and c.columns == (column.name,) for c in own)
        and within == len(own)
        and not inside.get("unique")
        and not inside.get("primary_key")
        and not (default is not None and any(c.kind == "foreign_key" for c in own))
    )


def is_droppable(table: Table, column: Column, removed: Sequence[Constraint]) -> bool:
    """Tell whether DROP COLUMN takes a column: no other part of the table may name it."""
    item = table_text(f"CREATE TABLE t ({column_item(table, column)})")
    inside = item.members["constraints"] if item else {}
    within = sum(len(inside.get(kind) or ()) for kind in ("check", "foreign_key"))
    own = [c for c in table.constraints.values() if column.name in c.columns]
    others = " ".join(c.generated or "" for c in table.columns.values() if c.name != column.name)
    return bool(
        len(own) == within
        and all(c in removed and c.kind in ("check", "foreign_key") for c in own)
        and column.name.lower() not in {token.name.lower() for token in sqlite_tokens(others)}
        and not re.search(r"--|/\*|^$", table.traits.get("sql", ""))  # 3.40 cuts the text at a comma of a comment
    )


PART_KINDS = ("index", "trigger")


def altered_in_place(whole: Whole, changes: Sequence[Change]) -> Optional[Tuple[List[Column], List[Column]]]:
    """Return the columns to add and to drop where ALTER TABLE can do all of a table's changes, else None."""
    old, new = whole.before.tables[changes[0].table or ""], whole.after.tables[changes[0].table or ""]
    facts = [change for change in changes if change.kind.split(".")[0] not in PART_KINDS]
    come = [change.new for change in facts if change.kind == "column.added"]
    gone = [change.old for change in facts if change.kind == "column.removed"]
    added = [change.new for change in facts if change.kind in ("check.added", "foreign_key.added")]
    removed = [change.old for change in facts if change.kind in ("check.removed", "foreign_key.removed")]
    owned = all(any(c.name in item.columns for c in come) for item in added)
    owned = owned and all(any(c.name in item.columns for c in gone) for item in removed)
    if (
        len(facts) == len(come) + len(gone) + len(added) + len(removed)
        and owned
        and all(is_addable(new, column, added) for column in come)
        and all(is_droppable(old, column, removed) for column in gone)
        and not (gone and (whole.views or not copy_of(old, new).keys))
    ):
        return come, gone
    return None


def alter_forward(copy: Copy, come: Sequence[Column], gone: Sequence[Column]) -> str:
    """Return the ALTER TABLE statements, with the indexes and triggers that change along with the columns."""
    old, new = copy.old, copy.new
    leave = [f"DROP TRIGGER {lite(n)}" for (_, n), part in sorted(old.parts.items()) if new.parts.get((_, n)) != part]
    leave += [f"DROP INDEX {lite(n)}" for n, index in sorted(old.indexes.items()) if new.indexes.get(n) != index]
    enter = [create_lite_index(new, i) for n, i in sorted(new.indexes.items()) if old.indexes.get(n) != i]
    enter += [part.definition for key, part in sorted(new.parts.items()) if old.parts.get(key) != part]
    return lite_script(
        *leave,
        *archive_sql(copy, ""),
        *(f"ALTER TABLE {lite(old.name)} DROP COLUMN {lite(column.name)}" for column in gone),
        *(f"ALTER TABLE {lite(old.name)} ADD COLUMN {column_item(new, column)}" for column in come),
        *enter,
    )


CHANGE_WORDS = {"added": "add", "removed": "drop", "changed": "change", "renamed": "rename"}
RELAXING = frozenset(
    "column.added column.default check.removed foreign_key.removed unique.removed index.added index.removed "
    "index.renamed trigger.added constraint.renamed check.renamed".split()
)


def said(change: Change) -> str:
    """Return a change in a few words, for the description of the script that carries it out."""
    noun, verb = change.kind.split(".")
    item = change.new or change.old
    name = item.name if isinstance(item, (Column, Index, Part, Constraint)) else str(change.path[-1])
    if verb in CHANGE_WORDS:
        kind, text = noun.replace("_", " "), " ".join(name.replace("_", " " if name == noun else "_").split())
        return f"{CHANGE_WORDS[verb]} {text if text.startswith(kind) else f'{kind} {text}'}"
    return f"change {verb} of {name}" if noun == "column" else f"change {verb}"


def phase_of(changes: Sequence[Change]) -> str:
    """Return expand when programs of the running release can go on, else contract."""
    relaxed = all(change.kind in RELAXING or (change.kind == "column.nullable" and change.new.nullable) for change in changes)
    return EXPAND if relaxed else CONTRACT


def same_value(table: Table, changes: Sequence[Change]) -> Iterator[Draft]:
    """Yield a question for each unique key of new columns alone that would get the same default in every row."""
    come = {c.new.name: c for c in changes if c.kind == "column.added"}
    constant = {name for name, c in come.items() if c.new.default is not None and not c.new.backfill}
    constant = {name for name in constant if SQLITE_CONSTANT.fullmatch(come[name].new.default)}
    keys = [c.columns for c in table.constraints.values() if c.kind in ("primary_key", "unique")]
    keys += [i.columns for i in table.indexes.values() if i.unique and not index_terms(i.tail)[2]]
    for columns in keys:
        if columns and set(columns) <= constant:
            yield manual(
                come[columns[0]],
                f"Column {', '.join(columns)} of table {table.key} is to be unique, and its default is the same for all "
                f'rows that exist: what do they get? State "backfill" with an expression on '
                f"{show_path(come[columns[0]].path)}.",
            )


def missing_value(whole: Whole, changes: Sequence[Change]) -> Iterator[Draft]:
    """Yield a question for each column that is NOT NULL and has no value for the rows that exist."""
    old = whole.before.tables[changes[0].table or ""]
    if old.row_count is None or old.row_count > 1:
        yield from same_value(whole.after.tables[old.key], changes)
    for change in changes:
        column, table = change.new, change.table or ""
        if change.kind != "column.added" or column.nullable or column.generated or column.backfill:
            continue
        if column.default is None and column.name != rowid_alias(whole.after.tables[table]):
            if not is_empty(whole.before.tables[table]):
                yield manual(
                    change,
                    f"Column {column.name} of table {table} is NOT NULL without a default: what do the rows that "
                    f'exist get? State "default", or "backfill" with an expression, on {show_path(change.path)}.',
                )


def lite_table_drafts(whole: Whole, key: str, changes: Sequence[Change]) -> Iterator[Draft]:
    """Yield the scripts for one table: made, archived, altered, or built anew."""
    old, new = whole.before.tables.get(key), whole.after.tables.get(key)
    if old is None or new is None:
        yield table_made(new, changes) if new else table_archived(old or whole.before.tables[key], changes)
    elif all(change.kind.split(".")[0] in PART_KINDS for change in changes):
        for change in changes:
            yield from part_drafts(old, new, change)
    else:
        questions = list(missing_value(whole, changes))
        in_place = altered_in_place(whole, changes)
        if questions:
            yield from questions
        elif in_place and not in_place[1] and not whole.views:
            yield from column_drafts(old, new, in_place[0], changes)
            for change in changes:
                yield from part_drafts(old, new, change) if change.kind.split(".")[0] in PART_KINDS else ()
        else:
            yield altered(whole, old, new, changes, in_place)


def names_text(*texts: str) -> str:
    """Return SQL in which the ordering of steps can look for names: in small letters, as SQLite compares them."""
    return " ".join(texts).lower()


def column_drafts(old: Table, new: Table, come: Sequence[Column], changes: Sequence[Change]) -> Iterator[Draft]:
    for column in come:
        item = column_item(new, column)
        issues = [c.path for c in changes if c.kind != "column.added" and column.name in getattr(c.new, "columns", ())]
        yield Draft(
            f"column {new.key} {column.name}",
            EXPAND,
            RANKS["column"],
            f"Add column {column.name} to table {new.key}",
            lite_script(f"ALTER TABLE {lite(old.name)} ADD COLUMN {item}"),
            lite_script(f"ALTER TABLE {lite(old.name)} DROP COLUMN {lite(column.name)}"),
            makes=((new.name.lower(), column.name.lower()),),
            reads=names_text(item, lite(old.name)),
            proof=has_lite_column(new, column.name),
            lock=LITE_LOCK,
            issues=(("tables", new.key, "columns", column.name), *issues),
        )


def altered(
    whole: Whole,
    old: Table,
    new: Table,
    changes: Sequence[Change],
    in_place: Optional[Tuple[List[Column], List[Column]]],
) -> Draft:
    """Return the one script for all changes of a table; its undo builds the table anew in its old form."""
    copy = copy_of(old, new)
    if copy.archived and not copy.keys:
        return manual(
            changes[0],
            f"Table {new.key} loses values of {', '.join((*copy.gone, *copy.converted))}, and nothing identifies a row both "
            "before and after: which columns are to tell rows apart? Change the key in a step of its own.",
        )
    words = ", ".join(said(change) for change in changes)
    come = [c for c in new.columns if c not in old.columns]
    gone = [c for c in old.columns if c not in new.columns]
    targets = [c.references[0] for c in new.constraints.values() if c.references and c not in old.constraints.values()]
    body = table_definition(new)
    proof = has_text("table", (new.name, body))
    if in_place:
        proof = has_lite_column(new, in_place[0][0].name) if in_place[0] else lacks(has_lite_column(new, gone[0]))
    return Draft(
        f"table {new.key}",
        phase_of(changes),
        RANKS["column"],
        f"{'Alter' if in_place else 'Rebuild'} table {new.key}: {words}",
        alter_forward(copy, *in_place) if in_place else rebuild_forward(copy, whole.before, whole.after),
        rebuild_back(copy),
        makes=(*((new.name.lower(), c.lower()) for c in come), *((i.lower(),) for i in new.indexes if i not in old.indexes)),
        reads=names_text(body, *parts_sql(new)),
        frees=(*((old.name.lower(), c.lower()) for c in gone), *((i.lower(),) for i in old.indexes if i not in new.indexes)),
        holds=names_text(table_definition(old)),
        proof=proof,
        lock=LITE_LOCK,
        rewrites=not in_place or bool(gone),
        issues=tuple(change.path for change in changes),
        after=tuple(f"table {target}" for target in targets if target != new.key),
    )


def table_made(table: Table, changes: Sequence[Change]) -> Draft:
    statements = [create_lite_table(table), *parts_sql(table)]
    return Draft(
        f"table {table.key}",
        EXPAND,
        RANKS["table"],
        f"Create table {table.key}",
        lite_script(*statements),
        lite_script(f"DROP TABLE IF EXISTS {lite(table.name)}"),
        makes=((table.name.lower(),), *((name.lower(),) for name in table.indexes), *((n.lower(),) for _, n in table.parts)),
        reads=names_text(*statements),
        proof=has_object("table", table.name),
        lock=LITE_LOCK,
        issues=tuple(change.path for change in changes),
    )


def table_archived(table: Table, changes: Sequence[Change]) -> Draft:
    """Return the script that copies a table to the archive and drops it; a copy has no constraint that acts on rows."""
    kept, bare = archive_name(table.name), rowid_name(table) if rowid_alias(table) is None else None
    plain = [name for name, column in table.columns.items() if not column.generated]
    stored = [lite("old_" + name) for name in plain] + (["row"] if bare else [])
    values = {**{name: f"a.{lite('old_' + name)}" for name in plain}, **({bare: 'a."row"'} if bare else {})}
    taken = ", ".join([lite(name) for name in plain] + ([bare] if bare else []))
    counter = [f"CREATE TABLE {lite(archive_name(table.name, 'counter'))} AS SELECT seq FROM sqlite_sequence "
               f"WHERE name = {literal(table.name)}"] if counts(table) else []
    return Draft(
        f"drop table {table.key}",
        CONTRACT,
        RANKS["drop_table"],
        f"Move table {table.key} to the archive",
        lite_script(
            f"CREATE TABLE {lite(kept)} ({', '.join(name if name != 'row' else lite(name) for name in stored)})",
            f"INSERT INTO {lite(kept)} SELECT {taken} FROM {lite(table.name)}",
            *counter,
            f"DROP TABLE {lite(table.name)}",
        ),
        lite_script(
            create_lite_table(table),
            move_rows(table.name, values, f"{lite(kept)} AS a"),
            *(counter_back(table, table.name) if counter else []),
            *parts_sql(table),
            f"DROP TABLE {lite(kept)}",
        ),
        frees=((table.name.lower(),), *((name.lower(),) for name in table.indexes), *((n.lower(),) for _, n in table.parts)),
        holds=names_text(table_definition(table), *parts_sql(table)),
        proof=lacks(has_object("table", table.name)),
        lock=LITE_LOCK,
        issues=tuple(change.path for change in changes),
    )


def part_drafts(old: Table, new: Table, change: Change) -> Iterator[Draft]:
    """Yield the script for one index or trigger of a table that is not built anew."""
    kind = "index" if change.kind.startswith("index") else "trigger"

    def made(table: Table, item: Any) -> str:
        return create_lite_index(table, item) if kind == "index" else item.definition

    leave = [f"DROP {kind.upper()} IF EXISTS {lite(change.old.name)}"] if change.old else []
    back = [made(old, change.old)] if change.old else []
    enter = [made(new, change.new)] if change.new else []
    undo = [f"DROP {kind.upper()} IF EXISTS {lite(change.new.name)}"] if change.new else []
    item, verb = change.new or change.old, change.kind.split(".")[1]
    proof = lacks(has_object(kind, item.name))
    if change.new:
        proof = has_text(kind, (item.name, enter[0] if kind == "index" else trigger_text(enter[0])))
    yield Draft(
        f"{kind} {new.key} {item.name}",
        EXPAND if change.new else CONTRACT,
        RANKS[kind] if change.new else RANKS["drop_index" if kind == "index" else "drop_part"],
        f"{CHANGE_WORDS.get(verb, 'Change').capitalize()} {kind} {item.name} of table {new.key}",
        lite_script(*leave, *enter),
        lite_script(*undo, *back),
        makes=((change.new.name.lower(),),) if change.new else (),
        reads=names_text(*enter),
        frees=((change.old.name.lower(),),) if change.old and not same(change.old.name, item.name if change.new else "") else (),
        holds=names_text(*back),
        proof=proof,
        lock=LITE_LOCK,
        issues=(change.path,),
    )


def view_sql(thing: Thing) -> List[str]:
    """Return statements that make a view with its INSTEAD OF triggers."""
    columns = f" ({LITE.names_sql(thing.facts['column_list'])})" if thing.facts.get("column_list") else ""
    create = f"CREATE VIEW {lite(thing.key)}{columns} AS {strip_words(thing.facts['definition'])}"
    return [create, *(thing.facts.get("instead_of") or {}).values()]


def view_drafts(change: Change) -> Iterator[Draft]:
    old, new = change.old, change.new
    item, verb = new or old, change.kind.split(".")[1]
    drop = f"DROP VIEW IF EXISTS {lite(item.key)}"
    enter, back = view_sql(new) if new else [], view_sql(old) if old else []
    proof = lacks(has_object("view", item.key))
    if new:
        triggers = [(name, trigger_text(text)) for name, text in (new.facts.get("instead_of") or {}).items()]
        proof = has_text("view", (item.key, enter[0]), *triggers)
    yield Draft(
        f"view {item.key}",
        EXPAND if new else CONTRACT,
        RANKS["view"] if new else RANKS["drop_view"],
        f"{CHANGE_WORDS[verb].capitalize()} view {item.key}",
        lite_script(*([drop] if old else []), *enter),
        lite_script(*([drop] if new else []), *back),
        makes=((item.key.lower(),),) if not old else (),
        reads=names_text(*enter),
        frees=((item.key.lower(),),) if not new else (),
        holds=names_text(*back) if not new else "",
        proof=proof,
        lock=LITE_LOCK,
        issues=(change.path,),
    )


def virtual_drafts(change: Change) -> Iterator[Draft]:
    if change.old is not None:
        yield manual(
            change,
            f"Virtual table {change.old.key} is to be {change.kind.split('.')[1]}: its module alone knows its content, so "
            "where will the undo get that from? Drop it by hand when its source can fill it again.",
        )
        return
    key, create = change.new.key, strip_words(change.new.facts["definition"])
    yield Draft(
        f"virtual table {key}",
        EXPAND,
        RANKS["table"],
        f"Create virtual table {key}",
        lite_script(create),
        lite_script(f"DROP TABLE IF EXISTS {lite(key)}"),
        makes=((key.lower(),),),
        reads=names_text(create),
        proof=has_object("table", key),
        lock=LITE_LOCK,
        issues=(change.path,),
    )


TABLE_NAME_FOLLOWS = frozenset("REFERENCES FROM JOIN INTO UPDATE ON TABLE".split())


def renamed_text(text: Optional[str], old: str, new: str, column: bool) -> Optional[str]:
    """Return SQL with the name of a table or a column exchanged wherever it stands as such."""
    if text is None:
        return None
    result, position = "", 0
    found = sqlite_tokens(text)
    for index, token in enumerate(found):
        around = (found[index - 1].word if index else "", found[index + 1].word if index + 1 < len(found) else "")
        is_column = around[0] not in TABLE_NAME_FOLLOWS and around[1] != "."
        if token.kind in ("word", "name") and same(token.name, old) and is_column == column:
            result, position = result + text[position : token.start] + lite(new), token.end
    return result + text[position:]


def renamed_table(table: Table, old: str, new: str, column: bool) -> Table:
    """Return a table as SQLite leaves it after a rename of itself, of its parent, or of a column."""

    def swap(name: str) -> str:
        return new if column and same(name, old) else name

    columns = {}
    for name, spec in table.columns.items():
        columns[swap(name)] = spec._replace(name=swap(name), generated=renamed_text(spec.generated, old, new, column))
    constraints, indexes, parts = {}, {}, {}
    for constraint in table.constraints.values():
        target, there = constraint.references or ("", ())
        target = new if not column and same(target, old) else target
        constraint = constraint._replace(
            name=constraint.name if constraint.named else renamed_text(constraint.name, old, new, column),
            columns=tuple(swap(name) for name in constraint.columns),
            definition=renamed_text(constraint.definition, old, new, column) or "",
            references=(target, tuple(swap(name) for name in there)) if constraint.references else None,
        )
        constraints[constraint.name] = constraint
    for name, index in table.indexes.items():
        tail = renamed_text(index.tail, old, new, column) or ""
        indexes[name] = index._replace(tail=tail, columns=tuple(swap(term) for term in index.columns))
    for key, part in table.parts.items():
        parts[key] = part._replace(definition=renamed_text(part.definition, old, new, column) or "")
    traits = {k: renamed_text(v, old, new, column) if k == "sql" else v for k, v in table.traits.items()}
    return table._replace(columns=columns, constraints=constraints, indexes=indexes, parts=parts, traits=traits)


def renamed_schema(schema: Schema, table: str, old: str, new: str, column: bool) -> Schema:
    """Return the schema as it is after ALTER TABLE RENAME: SQLite rewrites whatever names the object."""
    tables: Dict[str, Table] = {}
    for key, body in schema.tables.items():
        points = any(c.references and same(c.references[0], table) for c in body.constraints.values())
        if same(key, table) or points or any(table.lower() in p.definition.lower() for p in body.parts.values()):
            body = renamed_table(body, old, new, column)
        if not column and same(key, old):
            body = body._replace(key=new, name=new)
        tables[body.key] = body
    things = {}
    for identity, thing in schema.things.items():
        text = thing.facts.get("definition")
        if isinstance(text, str) and table.lower() in text.lower():
            thing = thing._replace(facts={**thing.facts, "definition": renamed_text(text, old, new, column)})
        things[identity] = thing
    return schema._replace(tables=tables, things=things)


def rename_draft(change: Change, table: str, old: str, new: str, column: bool) -> Draft:
    """Return a rename, which SQLite makes in the catalogue, views and triggers included."""

    def alter(name: str, there: str, here: str) -> str:
        words = f"RENAME COLUMN {lite(here)} TO {lite(there)}" if column else f"RENAME TO {lite(there)}"
        text = f"ALTER TABLE {lite(name)} {words}"
        return lite_script(text).replace("legacy_alter_table = ON", "legacy_alter_table = OFF")

    what = f"column {old} of table {table}" if column else f"table {old}"
    return Draft(
        f"rename {what}",
        CONTRACT,
        RANKS["switch"],
        f"Rename {what} to {new}",
        alter(table, new, old),
        alter(table if column else new, old, new),
        makes=((table.lower(), new.lower()),) if column else ((new.lower(),),),
        frees=((table.lower(), old.lower()),) if column else ((old.lower(),),),
        proof=has_lite_column(Table(table, "main", table, {}, {}, {}, {}, {}), new) if column else has_object("table", new),
        lock=LITE_LOCK,
        issues=(change.path,),
    )


def plan_renames(before: Schema, changes: Sequence[Change]) -> Tuple[List[Draft], Schema]:
    """Return the renames that the author stated, and the schema that the other scripts find after them."""
    drafts: List[Draft] = []
    for change in sorted(changes, key=lambda change: change.kind != "table.renamed"):
        if change.kind == "table.renamed":
            table, old, new, column = change.old.key, change.old.key, change.new.key, False
        elif change.kind == "column.renamed":
            table, old, new, column = change.table or "", change.old.name, change.new.name, True
        else:
            continue
        draft = rename_draft(change, table, old, new, column)
        drafts.append(draft._replace(after=tuple(earlier.key for earlier in drafts)))
        before = renamed_schema(before, table, old, new, column)
    return drafts, before


def plan_sqlite(before: Schema, after: Schema, changes: Sequence[Change]) -> List[Step]:
    drafts, live = plan_renames(before, changes)
    names = tuple(draft.key for draft in drafts)
    whole = Whole(live, after)
    tables: Dict[str, List[Change]] = {}
    for change in diff_schemas(live, after) if drafts else changes:
        if change.table is not None:
            tables.setdefault(change.table, []).append(change)
        elif change.kind.startswith("view."):
            drafts += view_drafts(change)
        elif change.kind.startswith("virtual_table."):
            drafts += virtual_drafts(change)
        else:
            drafts.append(manual(change, f"SQLite has no {change.kind.split('.')[0].replace('_', ' ')}: what is to stand in for {show_path(change.path)}?"))
    for key, group in tables.items():
        drafts += lite_table_drafts(whole, key, group)
    renamed = [draft if draft.key in names else draft._replace(after=(*draft.after, *names)) for draft in drafts]
    return number_drafts(order_drafts(renamed))


# == 20. Database: the whole ==========================================================================


def pick_dialect(before: Document, after: Document, options: Options) -> Dialect:
    """Return the dialect that was asked for, else the one the documents name, else PostgreSQL."""
    named_there = [document.value.get("dialect") for document in (before, after) if isinstance(document.value, dict)]
    chosen = options.dialect or next((name for name in named_there if isinstance(name, str)), "postgresql")
    chosen = DIALECT_ALIASES.get(chosen, chosen)
    if chosen not in DIALECTS:
        guess = did_you_mean(chosen, DIALECTS)
        raise InputError(
            f"{before.name}: dialect: found {describe(chosen)}, expected one of {', '.join(sorted(DIALECTS))}"
            + (f" (did you mean {guess!r}?)" if guess else "")
        )
    return DIALECTS[chosen]


def count_queries(changes: Sequence[Change], dialect: Dialect) -> Iterator[Dict[str, Any]]:
    """Yield what data must be looked at or moved first, each with a query that counts the rows concerned."""
    for change in changes:
        for description, query in count_query(change, dialect):
            yield {
                "table": change.table,
                "field_path": show_path(change.path),
                "kind": change.kind,
                "description": description,
                "count_query": query,
            }


def count_query(change: Change, dialect: Dialect) -> Iterator[Tuple[str, str]]:
    text = dialect.reference_sql(change.table or "")
    if change.kind == "column.nullable" and not change.new.nullable:
        yield (
            f"Rows whose {change.new.name} is NULL: fill them first.",
            f"SELECT count(*) FROM {text} WHERE {dialect.quote(change.old.name)} IS NULL;",
        )
    elif change.kind in ("unique.added", "primary_key.added"):
        names = dialect.names_sql(change.new.columns)
        yield (
            f"Values of {names} that occur more than once: remove the duplicates first.",
            f"SELECT count(*) FROM (SELECT 1 FROM {text} GROUP BY {names} HAVING count(*) > 1) AS duplicates;",
        )
    elif change.kind == "foreign_key.added" and change.new.references:
        yield from orphan_query(change.new, text, dialect)
    elif change.kind == "check.added":
        check = re.sub(r"(?is)^CHECK\s*|\s+NOT VALID$|\s+NO INHERIT$", "", change.new.definition)
        yield (
            "Rows that violate the new CHECK: correct them first.",
            f"SELECT count(*) FROM {text} WHERE NOT ({check});",
        )
    elif change.kind == "column.type" and dialect.convert(change.old.type, change.new.type).loss != "none":
        yield from misfit_query(change, text, dialect)
    elif change.kind == "column.removed":
        yield (
            f"Rows that hold a value in {change.old.name}: it is archived.",
            f"SELECT count(*) FROM {text} WHERE {dialect.quote(change.old.name)} IS NOT NULL;",
        )
    elif change.kind == "table.removed":
        yield f"Rows of table {change.table}: they go to the archive.", f"SELECT count(*) FROM {text};"
    elif change.kind == "column.added" and change.new.backfill:
        yield f"Rows to fill with {change.new.backfill}.", f"SELECT count(*) FROM {text};"


def orphan_query(constraint: Constraint, text: str, dialect: Dialect) -> Iterator[Tuple[str, str]]:
    target, there = constraint.references or ("", ())
    parent = dialect.reference_sql(target)
    match = " AND ".join(f"p.{dialect.quote(b)} = c.{dialect.quote(a)}" for a, b in zip(constraint.columns, there))
    filled = " AND ".join(f"c.{dialect.quote(a)} IS NOT NULL" for a in constraint.columns)
    yield (
        f"Rows without a parent in {target}: correct them first.",
        f"SELECT count(*) FROM {text} AS c WHERE {filled} AND NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE {match});",
    )


def misfit_query(change: Change, text: str, dialect: Dialect) -> Iterator[Tuple[str, str]]:
    name, new = dialect.quote(change.old.name), parse_type(change.new.type)
    if dialect.strict_types and new.base in TEXTS and new.args:
        yield (
            f"Values of {change.old.name} longer than {new.args[0]} characters: shorten them first.",
            f"SELECT count(*) FROM {text} WHERE length({name}) > {new.args[0]};",
        )
    else:
        yield (
            f"Values of {change.old.name} to convert to {change.new.type}.",
            f"SELECT count(*) FROM {text} WHERE {name} IS NOT NULL;",
        )


def recommend(findings: Sequence[Finding], steps: Sequence[Step]) -> Iterator[str]:
    """Yield what to do with this report, as far as its content gives reason."""
    phases = {step.phase for step in steps if step.script_type == "sql"}
    if CONTRACT in phases and findings:
        names = sorted({show_path(path) for step in steps if step.phase == CONTRACT for path in step.issues})
        yield (
            f"Run the expand and migrate scripts, release the programs that fit both sides, then run the contract scripts: they touch "
            f"{', '.join(names[:5])}{' and more' if len(names) > 5 else ''}."
        )
    for step in steps:
        if step.script_type == "manual":
            yield f"Answer before anything runs: {step.description}"
    lossy = [step.description for step in steps if step.data_loss]
    if lossy:
        yield f"Take a backup that can be restored beside the server first: {'; '.join(lossy[:3])} cannot be undone without loss."
    if ARCHIVE in "".join(step.script_content for step in steps):
        yield f"Dropped and narrowed values stay in {ARCHIVE} until you purge it; the undo needs it."


def compare_databases(before: Document, after: Document, options: Options) -> Comparison:
    dialect = pick_dialect(before, after, options)
    old = read_schema(before, dialect)
    new = adopt(old, dialect.align(old, read_schema(after, dialect)))
    changes = diff_schemas(old, new)
    findings = tuple(judge_schemas(changes, dialect)) + tuple(suspect_renames(changes))
    steps = tuple(dialect.plan(old, new, changes))
    counts: Dict[str, int] = {}
    for schema in (old, new):
        for entry in schema.not_exported:
            if isinstance(entry.get("kind"), str) and isinstance(entry.get("count"), int):
                counts[entry["kind"]] = max(counts.get(entry["kind"], 0), entry["count"])
    return Comparison(
        findings,
        steps,
        dialect.name,
        tuple(count_queries(changes, dialect)),
        None,
        tuple(recommend(findings, steps)),
        tuple({"kind": kind, "count": count} for kind, count in sorted(counts.items())),
    )
# == 40. API: rules (in work) =========================================================================


def compare_apis(before: Document, after: Document, options: Options) -> Comparison:
    return Comparison()


# == 60. Data: rules (in work) ========================================================================


def compare_profiles(before: Document, after: Document, options: Options) -> Comparison:
    return Comparison()

# == 90. Reporting ====================================================================================
# In: a Comparison. Out: the report of the contract, as plain JSON values, and the exit code.


def fingerprint(finding: Finding) -> str:
    """Return 16 hex digits that stay the same for the same finding in any run."""
    import hashlib
    facts = [finding.rule.id, show_path(finding.path), finding.old, finding.new]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()[:16]


def rank(finding: Finding) -> Tuple[int, str, str, str]:
    return (SEVERITIES.index(finding.rule.severity), show_path(finding.path), finding.rule.id, finding.description)


def issue_json(finding: Finding) -> Dict[str, Any]:
    return {
        "type": finding.rule.id,
        "severity": finding.rule.severity,
        "description": finding.description,
        "field_path": show_path(finding.path),
        "old_value": finding.old,
        "new_value": finding.new,
        "impact": finding.impact or finding.rule.impact,
        "suggested_migration": finding.remedy or finding.rule.remedy,
        "affected_operations": list(finding.operations),
        "fingerprint": fingerprint(finding),
    }


def script_json(step: Step, fingerprints: Dict[Path, List[str]]) -> Dict[str, Any]:
    return {
        "id": step.id,
        "phase": step.phase,
        "script_type": step.script_type,
        "description": step.description,
        "script_content": step.script_content,
        "rollback_script": step.rollback_script,
        "dependencies": list(step.dependencies),
        "validation_query": step.validation_query,
        "transactional": step.transactional,
        "lock": step.lock,
        "rewrites_table": step.rewrites_table,
        "reversibility": step.reversibility,
        "data_loss": step.data_loss,
        "issues": sorted({mark for path in step.issues for mark in fingerprints.get(path, ())}),
    }


def compatibility(counts: Dict[str, int]) -> str:
    if counts[BREAKING]:
        return "breaking_changes"
    if counts[POTENTIALLY]:
        return "potentially_incompatible"
    return "backward_compatible" if counts[NON_BREAKING] + counts[ADDITIVE] else "fully_compatible"


def assemble(kind: str, comparison: Comparison, inputs: Sequence[Document]) -> Dict[str, Any]:
    """Return the report of contracts: verdict, counts, issues, scripts, advice."""
    findings = sorted(comparison.findings, key=rank)
    counts = {severity: sum(f.rule.severity == severity for f in findings) for severity in SEVERITIES}
    fingerprints: Dict[Path, List[str]] = {}
    for finding in findings:
        fingerprints.setdefault(finding.path, []).append(fingerprint(finding))
    return {
        "schema_version": "1.0",
        "schema_type": kind,
        "dialect": comparison.dialect,
        "analysis_date": now(),
        "overall_compatibility": compatibility(counts),
        "breaking_changes_count": counts[BREAKING],
        "potentially_breaking_count": counts[POTENTIALLY],
        "non_breaking_changes_count": counts[NON_BREAKING],
        "additive_changes_count": counts[ADDITIVE],
        "issues": [issue_json(finding) for finding in findings],
        "migration_scripts": [script_json(step, fingerprints) for step in comparison.steps],
        "data_migrations": list(comparison.data_migrations),
        "reconciliation": comparison.reconciliation,
        "risk_assessment": assess_risk(findings, comparison.steps),
        "recommendations": list(comparison.recommendations),
        "not_compared": list(comparison.not_compared),
        "suppressed": [],
        "provenance": provenance(TOOL, inputs),
    }


def assess_risk(findings: Sequence[Finding], steps: Sequence[Step]) -> Dict[str, Any]:
    """Return what could go wrong, counted: lossy steps, manual work, table rewrites, and the worst findings."""
    worst = next((finding.rule.severity for finding in findings), None)
    lossy = [step.id for step in steps if step.reversibility != "lossless"]
    manual = [step.id for step in steps if step.script_type == "manual"]
    rewrites = [step.id for step in steps if step.rewrites_table]
    level = "high" if worst == BREAKING or lossy else "medium" if worst == POTENTIALLY or manual or rewrites else "low"
    return {"level": level, "lossy_scripts": lossy, "manual_scripts": manual, "table_rewrites": rewrites,
            "reaches": sorted({operation for finding in findings for operation in finding.operations})}


def exit_code(report: Dict[str, Any]) -> int:
    if report["breaking_changes_count"]:
        return EXIT_BREAKING
    return EXIT_POTENTIALLY_BREAKING if report["potentially_breaking_count"] else EXIT_DONE


# == 91. Rendering ====================================================================================
# In: the report as JSON values. Out: one text for each format. Nothing here decides anything.

VERDICTS = {
    "breaking_changes": "BREAKING: programs written against the before side will fail",
    "potentially_incompatible": "POTENTIALLY BREAKING: some programs or some data may fail",
    "backward_compatible": "BACKWARD COMPATIBLE: programs written against the before side keep working",
    "fully_compatible": "FULLY COMPATIBLE: nothing changes for anybody",
}


def verdict_line(report: Dict[str, Any]) -> str:
    return (f"{report['breaking_changes_count']} breaking, {report['potentially_breaking_count']} potentially breaking, "
            f"{report['non_breaking_changes_count']} non-breaking, {report['additive_changes_count']} additive"
            f" -> exit {exit_code(report)}")


def wrapped(label: str, text: str) -> List[str]:
    import textwrap
    return textwrap.wrap(f"{label}: {text}", width=100, initial_indent="  ", subsequent_indent="    ") if text else []


def issue_lines(issue: Dict[str, Any]) -> List[str]:
    return [f"{issue['severity']}[{issue['type']}] {issue['field_path']}", f"  {issue['description']}",
            *wrapped("impact", issue["impact"]), *wrapped("do", issue["suggested_migration"]),
            *wrapped("reaches", ", ".join(issue["affected_operations"])), ""]


def script_lines(number: int, script: Dict[str, Any]) -> List[str]:
    notes = [script["script_type"], script["reversibility"]] + ([f"lock: {script['lock']}"] if script["lock"] else [])
    loss = [f"  loses: {script['data_loss']}"] if script["data_loss"] else []
    content = [f"  | {line}" for line in script["script_content"].rstrip().splitlines()]
    return [f"{number}. [{script['phase']}] {script['description']} ({', '.join(notes)})", *loss, *content, ""]


def render_text(report: Dict[str, Any]) -> str:
    """Return the report for a person: verdict first and last, worst findings first, then what to run."""
    title = f"Compatibility of two {report['schema_type']} documents"
    dialect = f" ({report['dialect']})" if report["dialect"] else ""
    lines = [title + dialect, VERDICTS[report["overall_compatibility"]], verdict_line(report), ""]
    for issue in report["issues"][:TEXT_ISSUES_SHOWN]:
        lines += issue_lines(issue)
    hidden = len(report["issues"]) - TEXT_ISSUES_SHOWN
    if hidden > 0:
        lines += [f"... and {hidden} more issues: the JSON report (-f json) has all of them", ""]
    if report["migration_scripts"]:
        lines += ["Scripts, in the order of execution (undo: each rollback_script, in reverse order)", ""]
        for number, script in enumerate(report["migration_scripts"], 1):
            lines += script_lines(number, script)
    for entry in report["not_compared"]:
        lines.append(f"not compared: {entry['count']} x {entry['kind']}")
    lines += [f"advice: {text}" for text in report["recommendations"]]
    lines.append(verdict_line(report))
    return clean("\n".join(lines) + "\n")


RENDERERS: Dict[str, Callable[[Dict[str, Any]], str]] = {"json": to_json, "text": render_text}


# == 92. Command line =================================================================================

EPILOG = """\
exit codes:
  0  no compatibility issues
  1  potentially breaking changes found
  2  breaking changes found
  3  input that cannot be used, output that cannot be written, wrong usage

examples:
  compatibility_checker.py --before old.json --after new.json --type database -o report.json
  psql -X -qAt -d DB -f assets/export_schema_postgresql.sql > live.json
  compatibility_checker.py --before live.json --after wanted.json -f json | jq .migration_scripts
"""

COMPARERS: Dict[str, Callable[[Document, Document, Options], Comparison]] = {
    "api": compare_apis,
    "data": compare_profiles,
    "database": compare_databases,
}


def build_parser() -> Parser:
    parser = Parser(prog=TOOL, description=__doc__.split("\n")[0], epilog=EPILOG, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="FILE", help="the document as it is now; - for standard input")
    parser.add_argument("--after", required=True, metavar="FILE", help="the document as it shall be; - for standard input")
    parser.add_argument("--type", choices=sorted(COMPARERS), default="database", help="what the documents describe")
    parser.add_argument("--dialect", choices=sorted(DIALECTS), help="instead of the documents' own dialect")
    parser.add_argument("-o", "--output", metavar="FILE", help="where the report goes (default: standard output)")
    parser.add_argument("-f", "--format", choices=sorted([*RENDERERS, "both"]), default="both",
                        help="both: JSON to the output, text beside it (default)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages on standard error")
    parser.add_argument("--version", action="version", version=f"{TOOL} (migration-architect) {VERSION}")
    return parser


def load_side(path: str, kind: str) -> Document:
    """Read one side of a comparison: a JSON document, or the schema of an SQLite database file."""
    return load_sqlite(path) if kind == "database" and path != "-" and is_sqlite_file(path) else load(path)


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = build_parser().parse_args(argv)
    if args.before == args.after == "-":
        raise InputError("--before and --after: standard input can be only one of them")
    refuse_inputs_as_outputs(output_paths(args.output, args.format), (args.before, args.after))
    before, after = load_side(args.before, args.type), load_side(args.after, args.type)
    comparison = COMPARERS[args.type](before, after, Options(dialect=args.dialect))
    report = assemble(args.type, comparison, (before, after))
    render = {name: lambda name=name: RENDERERS[name](report) for name in RENDERERS}
    emit(args.output, args.format, render, args.quiet)
    return exit_code(report)


def command_line() -> int:
    """Entry point of the installed command."""
    return run(TOOL, main)


if __name__ == "__main__":
    raise SystemExit(command_line())
