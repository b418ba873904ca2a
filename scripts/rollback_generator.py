#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# ///
"""Turn a migration plan into a rollback runbook that a tired person can execute.

    plan JSON -> Plan -> phases, last first -> steps (the plan's own undo) -> runbook -> json | text | markdown | html
                                                                                     -> rollback.sh, alert files

Sections, in the order of the data flow:
  1 Vocabulary
  2 Records
  3 Reading
  4 Inverting
  5 Triggers
  6 Recovering and telling
  7 Reporting
  8 Rendering
  9 Exporting the undo
  10 Exporting the alerts
  11 Command line

Names used throughout: `plan` is what was read, `phase` one of its forward phases, `step` one action of the undo,
`facts` what inventory and --fill say. An inverse is derived from the plan, never invented: what nobody stated is a
{{placeholder}} that the runbook lists.

Exit codes: 0 written, 1 the plan is not valid (or --strict and not executable), 3 unusable input, output or usage.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

TOOL = "rollback_generator"

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
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text)  # a terminal must not obey a report


def say(message: str) -> None:
    """Print one message on standard error, if there is one."""
    if sys.stderr is not None:
        try:
            sys.stderr.buffer.write((clean(message) + "\n").encode("utf-8", "backslashreplace"))
            sys.stderr.flush()
        except (OSError, ValueError):
            silence(2)


def print_out(text: str) -> None:
    """Write a result to standard output; a reader that went away is no error, a full disk is."""
    if sys.stdout is None:
        raise InputError("standard output: cannot be written: it is closed")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        silence(1)
    except (OSError, ValueError) as error:
        silence(1)
        raise InputError(f"standard output: cannot be written: {getattr(error, 'strerror', None) or error}")


def silence(descriptor: int) -> None:
    """Point standard output (1) or error (2) at nothing, so that the interpreter's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


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
        silence(1)
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

EXIT_INVALID = 1
REVERSIBLE, CONDITIONAL, IRREVERSIBLE = "full", "with_conditions", "no"
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
DECIDE_MINUTES = 15  # assumption: 5 minutes until the page is taken, 10 to decide
SCRIPT_MINUTES = 2  # assumption for a script that only changes the catalogue
BACKFILL_MINUTES = 30  # assumption for a script that writes rows, until a drill has measured it
DEFAULT_SOAK_HOURS = 72  # three days see a weekend boundary and the daily jobs; the specification's policy replaces it
SOAK_MINUTES = 5  # health is watched for at least five minutes after the last step
FLAG_MINUTES = 1  # assumption: a flag service spreads a change within a minute
OPERATORS = (">=", "<=", "==", "!=", ">", "<")
CLIENTS = {
    "postgresql": 'psql -X -q -v ON_ERROR_STOP=1 -d "$DB" -f -',
    "mysql": 'mariadb "$DB"',
    "sqlite": 'sqlite3 -bail "$DB"',
}

# == 2. Records =======================================================================================


class OpenBlanks(Exception):
    """A message cannot be sent: each argument names one blank that nobody has filled in."""


class Phase(NamedTuple):
    """One phase of the plan, as far as its undo needs it; `scripts` are whole migration scripts."""

    name: str
    description: str
    dependencies: Tuple[str, ...]
    risk_level: str
    point_of_no_return: bool
    reason: str
    tasks: Tuple[str, ...]
    gates: Tuple[Dict[str, Any], ...]
    triggers: Tuple[Any, ...]
    alarms: Tuple[Dict[str, Any], ...]
    scripts: Tuple[Dict[str, Any], ...]
    recovery: Any
    hours: float


class Plan(NamedTuple):
    document: Document
    migration_id: str
    source: str
    target: str
    kind: str
    pattern: str
    phases: Tuple[Phase, ...]
    specification: Dict[str, Any]
    root: Dict[str, Any]


class Step(NamedTuple):
    """One action of the runbook: what to run, how to know it worked, when to stop."""

    name: str
    description: str
    script_type: str
    content: str
    minutes: float
    owner: str
    precheck: Optional[Dict[str, str]] = None
    expected: str = "exit code 0"
    verify: Tuple[Dict[str, str], ...] = ()
    idempotent: bool = True
    data_loss: Optional[str] = None
    source_script_id: Optional[str] = None
    approval: Tuple[str, ...] = ()
    idempotent_how: str = ""
    lock: Optional[str] = None
    basis: str = "assumed"
    single: bool = False  # psql has to wrap the file in one transaction


# == 3. Reading =======================================================================================
# In: a plan of the planner, or an old one that only names its phases. Out: a Plan; every fault is reported.

PHASE_KEYS = (
    "name",
    "description",
    "dependencies",
    "risk_level",
    "point_of_no_return",
    "tasks",
    "gates",
    "rollback_triggers",
    "scripts",
    "duration_hours",
    "validation_criteria",
)


def read_plan(document: Document) -> Plan:
    faults = Faults(document)
    root = faults.typed(document.value, (), dict, 'a migration plan (an object with "phases")') or {}
    bodies = faults.typed(root.get("phases"), ("phases",), list, "a list of phases") or []
    phases = [read_phase(body, ("phases", index), faults) for index, body in enumerate(bodies)]
    specification = root.get("specification") or {}
    faults.typed(specification, ("specification",), dict, "the specification as an object")
    known = {phase.name for phase in phases if phase}
    for index, phase in enumerate(phases):
        for name in phase.dependencies if phase else ():
            if name not in known:
                guess = did_you_mean(name, known)
                faults.add(
                    ("phases", index, "dependencies"),
                    describe(name),
                    "the name of a phase",
                    f"did you mean {guess!r}?" if guess else "",
                )
    faults.finish()
    return Plan(
        document,
        text_of(root, "migration_id") or document.sha256[:12],
        text_of(root, "source_system"),
        text_of(root, "target_system"),
        text_of(root, "migration_type") or "unknown",
        text_of(root, "pattern"),
        tuple(phase for phase in phases if phase),
        specification,
        root,
    )


def text_of(mapping: Dict[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def read_phase(body: Any, path: Path, faults: Faults) -> Optional[Phase]:
    if faults.typed(body, path, dict, "a phase as an object") is None:
        return None
    name = faults.typed(body.get("name"), path + ("name",), str, "the name of the phase") or "unnamed"
    listed = {key: body.get(key) or [] for key in ("dependencies", "tasks", "gates", "rollback_triggers", "scripts")}
    for key, value in listed.items():
        if faults.typed(value, path + (key,), list, "a list") is None:
            listed[key] = []
    for index, script in enumerate(listed["scripts"]):
        faults.typed(script, path + ("scripts", index), dict, "a migration script as an object")
    hours = body.get("duration_hours") or 0
    if faults.typed(hours, path + ("duration_hours",), (int, float), "a number of hours") is None:
        hours = 0
    return Phase(
        name,
        text_of(body, "description"),
        tuple(d for d in listed["dependencies"] if isinstance(d, str)),
        text_of(body, "risk_level") or "medium",
        body.get("point_of_no_return") is True,
        text_of(body, "point_of_no_return_reason"),
        tuple(t for t in listed["tasks"] if isinstance(t, str)),
        tuple(g for g in listed["gates"] if isinstance(g, dict)),
        tuple(listed["rollback_triggers"]),
        tuple(objects(body.get("triggers"))),
        tuple(s for s in listed["scripts"] if isinstance(s, dict)),
        body.get("recovery"),
        float(hours),
    )


def ordered(plan: Plan) -> List[Phase]:
    """Return the phases that must be undone first, first: the reverse of the order of execution."""
    import graphlib

    position = {phase.name: index for index, phase in enumerate(plan.phases)}
    sorter = graphlib.TopologicalSorter({phase.name: phase.dependencies for phase in plan.phases})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise InputError(
            f"{plan.document.name}: phases: found the cycle {' -> '.join(error.args[1])}, expected phases that end"
        )
    names: List[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda name: position[name])
        names += ready
        sorter.done(*ready)
    by_name = {phase.name: phase for phase in plan.phases}
    return [by_name[name] for name in reversed(names)]


# == 4. Inverting =====================================================================================
# In: phases. Out: steps that undo them, each derived from what the plan holds; nothing is invented.


DIALECT_MARKS = (  # what only the scripts of one dialect hold; the first that matches decides
    ("postgresql", r"\bto_reg\w+\(|\bpg_\w+|\$ma\$|lock_timeout = '"),
    ("sqlite", r"\bsqlite_(master|schema)\b|\bpragma\b"),
    ("mysql", r"`|\bDELIMITER\b|\binnodb_lock_wait_timeout\b"),
)


def dialect_of(plan: Plan) -> str:
    """Return the database dialect: of the scripts, else the one that plan or specification name, else PostgreSQL."""
    for script in (script for phase in plan.phases for script in phase.scripts):
        text = text_of(script, "validation_query") + text_of(script, "rollback_script")
        for name, mark in DIALECT_MARKS:
            if re.search(mark, text, re.IGNORECASE):
                return name
    parsed = (plan.root.get("parsed") or {}).get("source") if isinstance(plan.root.get("parsed"), dict) else {}
    words = (
        f"{(parsed or {}).get('engine', '')} {plan.source} {json.dumps(plan.specification.get('source', ''))}".lower()
    )
    return "mysql" if re.search(r"mysql|mariadb", words) else "sqlite" if "sqlite" in words else "postgresql"


ROWS_PER_SECOND = 10_000  # assumption for an undo that writes rows; inventory undo_rows_per_second replaces it


def rows_of(plan: Plan, script: Dict[str, Any]) -> Optional[float]:
    """Return the rows of the plan's largest table that the undo of a script writes to."""
    undo = text_of(script, "rollback_script")
    counts = [
        number(t.get("row_count"))
        for t in objects(plan.specification.get("tables_to_migrate"))
        if re.search(rf"\bUPDATE\W+(?:\w+\W+)?{re.escape(text_of(t, 'name'))}\b", undo)
    ]
    return max((count for count in counts if count), default=None)


def undo_minutes(plan: Plan, script: Dict[str, Any], facts: Dict[str, Any]) -> Tuple[float, str]:
    """Return the minutes of an undo, and whether they are computed from rows or assumed."""
    if not re.search(r"\b(UPDATE|INSERT)\b", text_of(script, "rollback_script")):
        return SCRIPT_MINUTES, "assumed: it changes the catalogue only"
    rows, given = rows_of(plan, script), number(facts.get("undo_rows_per_second"))
    if rows is None:
        return BACKFILL_MINUTES, "assumed: it writes rows, the plan does not say how many"
    speed = given or ROWS_PER_SECOND
    minutes = max(1.0, round(rows / speed / 60, 1))
    return minutes, f"computed: {rows:,.0f} rows / {speed:,.0f} rows/s ({'measured' if given else 'assumed'})"


def script_step(plan: Plan, script: Dict[str, Any], facts: Dict[str, Any]) -> Step:
    """Return the undo of one migration script; its own query says whether there is anything to undo."""
    name = text_of(script, "id") or "script"
    undo, query = text_of(script, "rollback_script"), text_of(script, "validation_query").strip()
    loss = text_of(script, "data_loss") or None
    if script.get("script_type", "sql") != "sql":
        content = undo or f"Take back by hand: {text_of(script, 'description')}"
        return Step(
            f"Undo by hand: {text_of(script, 'description')}",
            "Its forward step was made by hand.",
            "manual",
            content,
            BACKFILL_MINUTES,
            "DBA",
            idempotent=False,
            data_loss=loss,
            source_script_id=name,
            approval=("Business owner",) if loss else (),
        )
    minutes, basis = undo_minutes(plan, script, facts)
    precheck = (
        {"command": query, "expect": "t or 1", "meaning_if_not": "skip: the change is not there"} if query else None
    )
    strict = check_of(script) != "rows"
    verify = ({"command": query, "expect": "f or 0"},) if query and undo.strip() and strict else ()
    return Step(
        f"Undo {name}",
        f"Takes back: {text_of(script, 'description')}",
        "sql",
        undo,
        minutes,
        "DBA",
        precheck,
        "exit code 0, no ERROR line",
        verify,
        True,
        loss,
        name,
        ("Business owner",) if loss else (),
        "its check finds nothing to undo the second time",
        text_of(script, "lock") or None,
        basis,
        unit_of(script) == "single",
    )


class Action(NamedTuple):
    """One way to undo something, the same for every plan; @words@ are filled from the plan, {{words}} by a person."""

    name: str
    script_type: str
    content: str
    owner: str
    minutes: float
    expected: str = "exit code 0"
    precheck: Tuple[str, str, str] = ("", "", "")  # command, what it must say, what to do when it does not
    verify: Tuple[str, str] = ("", "")  # command, what it must say
    idempotent: str = ""  # why it may run twice; empty: it may not
    approval: Tuple[str, ...] = ()
    data_loss: str = ""


NEW_REQUESTS = "sum(rate(http_requests_total@cohort@[1m]))"
TARGET_GROUPS = (
    '[{"Type":"forward","ForwardConfig":{"TargetGroups":[{"TargetGroupArn":"{{old_target_group_arn}}","Weight":100},'
    '{"TargetGroupArn":"{{new_target_group_arn}}","Weight":0}]}}]'
)
APPLICATION_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{{application_role}}'"
SEQUENCES_AHEAD = """SELECT format('SELECT setval(%L, (SELECT coalesce(max(%I), 0) + 1000 FROM %I.%I));',
  s.oid::regclass, a.attname, n.nspname, t.relname)
FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid WHERE s.relkind = 'S'
\\gexec"""

ACTIONS = {
    "traffic_command": Action(
        "Route all traffic back to @source@",
        "bash",
        "{{traffic_back_command}}",
        "SRE",
        2,
        verify=("{{traffic_check_command}}", "no request reaches the new side"),
        idempotent="the end state is set, not toggled",
    ),
    "traffic_alb": Action(
        "Route all traffic back to @source@",
        "bash",
        "aws elbv2 modify-listener --listener-arn '{{listener_arn}}' \\\n  --default-actions '" + TARGET_GROUPS + "'",
        "SRE",
        2,
        "the listener as JSON, exit code 0",
        (
            "aws elbv2 describe-target-health --target-group-arn '{{old_target_group_arn}}' --query "
            "'TargetHealthDescriptions[].TargetHealth.State' --output text",
            "only `healthy`",
            "abort",
        ),
        (
            "aws elbv2 describe-listeners --listener-arns '{{listener_arn}}' --query "
            "'Listeners[0].DefaultActions[0].ForwardConfig.TargetGroups'",
            "Weight 0 at the new target group",
        ),
        "both weights are set, not changed",
    ),
    "traffic_service": Action(
        "Point service {{service}} back to the old pods",
        "bash",
        "kubectl -n '{{namespace}}' patch service '{{service}}' --type=merge \\\n"
        '  -p \'{"spec":{"selector":{{old_selector_json}}}}\'',
        "SRE",
        2,
        "service patched, or no change",
        (
            "kubectl -n '{{namespace}}' get pods -l '{{old_selector}}' --field-selector=status.phase=Running -o name",
            "as many pods as before the switch",
            "abort",
        ),
        ("kubectl -n '{{namespace}}' get service '{{service}}' -o jsonpath='{.spec.selector}'", "the old selector"),
        "the selector is set, not toggled",
    ),
    "traffic_dns": Action(
        "Write the DNS records of before the cutover",
        "bash",
        "aws route53 change-resource-record-sets --hosted-zone-id '{{zone_id}}' \\\n"
        "  --change-batch 'file://{{saved_dns_records}}'",
        "SRE",
        3,
        "ChangeInfo with Status PENDING",
        ("dig +short '{{service_name}}'", "the new addresses", "skip"),
        (
            "dig +short '@{{authoritative_server}}' '{{service_name}}'",
            "the old addresses; clients follow after the TTL",
        ),
        "records are written, not toggled",
    ),
    "traffic_manual": Action(
        "Route all traffic back to @source@",
        "manual",
        "Send every request to @source@ at {{traffic_switch}}.",
        "SRE",
        5,
        NEW_REQUESTS + " falls to 0 within 1 m",
        verify=(NEW_REQUESTS, "0"),
        precheck=("health of @source@ under its usual load", "all instances healthy", "abort"),
    ),
    "mirror": Action(
        "Stop the mirror to the new side",
        "manual",
        "Set the mirrored share to 0 % at {{traffic_switch}}.",
        "SRE",
        1,
        "the new side gets no mirrored request",
        verify=("sum(rate(migration_shadow_requests_total@whole@[1m]))", "0"),
        idempotent="0 % stays 0 %",
    ),
    "deployment": Action(
        "Take the new deployment out",
        "bash",
        "kubectl -n '{{namespace}}' scale 'deployment/{{new_deployment}}' --replicas=0",
        "SRE",
        2,
        "deployment scaled",
        (
            "kubectl -n '{{namespace}}' get endpoints '{{service}}' -o jsonpath='{.subsets[*].addresses[*].ip}'",
            "no address of the new deployment",
            "abort",
        ),
        (
            "kubectl -n '{{namespace}}' get 'deployment/{{new_deployment}}' -o jsonpath='{.status.replicas}'",
            "empty or 0",
        ),
        "0 replicas stay 0",
    ),
    "image": Action(
        "Put the recorded image back",
        "bash",
        "kubectl -n '{{namespace}}' set image 'deployment/{{deployment}}' \\\n"
        "  '{{container}}={{previous_image_digest}}' &&\n"
        "  kubectl -n '{{namespace}}' rollout status 'deployment/{{deployment}}' --timeout=280s",
        "SRE",
        6,
        "successfully rolled out",
        verify=(
            "kubectl -n '{{namespace}}' get 'deployment/{{deployment}}' -o jsonpath="
            "'{.spec.template.spec.containers[*].image}'",
            "{{previous_image_digest}}",
        ),
        idempotent="the image is named by its digest; rollout undo would toggle",
    ),
    "stop_job": Action(
        "Stop the running backfill",
        "sql",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity\n"
        "WHERE application_name = '{{backfill_application_name}}' AND pid <> pg_backend_pid();",
        "DBA",
        1,
        "one row for each session that was at work",
        verify=(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '{{backfill_application_name}}'",
            "t",
        ),
        idempotent="sessions are found by name",
    ),
    "subscription": Action(
        "Drop the subscription on @target@ and its slot on @source@",
        "bash",
        "psql -X -v ON_ERROR_STOP=1 -d '{{target_database}}' -c 'ALTER SUBSCRIPTION {{subscription}} DISABLE' "
        "-c 'DROP SUBSCRIPTION {{subscription}}'",
        "DBA",
        2,
        "DROP SUBSCRIPTION",
        (
            "psql -X -qAt -d '{{target_database}}' -c \"SELECT subname FROM pg_subscription\"",
            "{{subscription}}",
            "skip",
        ),
        (
            "psql -X -qAt -d '{{source_database}}' -c \"SELECT count(*) FROM pg_replication_slots\"",
            "as before the migration: a slot that nobody reads fills the disk",
        ),
    ),
    "freeze": Action(
        "Stop the writers on @target@",
        "sql",
        "ALTER ROLE {{application_role}} NOLOGIN;\n"
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{application_role}}';",
        "DBA",
        1,
        "ALTER ROLE",
        verify=(APPLICATION_BACKENDS + " -- on @target@", "0"),
        idempotent="NOLOGIN stays NOLOGIN",
    ),
    "drain": Action(
        "Wait until the reverse replication has nothing left",
        "sql",
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS bytes_behind FROM pg_stat_replication\n"
        "WHERE application_name = '{{reverse_subscription}}';",
        "DBA",
        5,
        "0, twice, 5 s apart",
        (
            "SELECT active FROM pg_replication_slots WHERE slot_name = '{{reverse_slot}}'",
            "t",
            "abort: rows would be lost",
        ),
        idempotent="it only reads",
    ),
    "sequences": Action(
        "Move the sequences of @source@ past the largest key",
        "sql",
        SEQUENCES_AHEAD,
        "DBA",
        1,
        "one number for each sequence",
        idempotent="each run leaves a gap of 1 000, nothing else",
    ),
    "connections": Action(
        "Point the applications back to @source@",
        "manual",
        "Set the connection string of @consumers@ to {{source_dsn_secret}} and reload them.",
        "Developer",
        5,
        "each consumer reports @source@",
        verify=(APPLICATION_BACKENDS + " -- on @source@", "as before the cutover"),
        idempotent="the end state is set",
    ),
    "thaw": Action(
        "Let the writers in on @source@",
        "sql",
        "ALTER ROLE {{application_role}} LOGIN;",
        "DBA",
        1,
        "ALTER ROLE",
        verify=(APPLICATION_BACKENDS, "more than 0"),
        idempotent="LOGIN stays LOGIN",
    ),
    "grants": Action(
        "Give the rights on the old tables back",
        "sql",
        "@grants@",
        "DBA",
        1,
        "GRANT for each table",
        idempotent="a right is granted or already there",
    ),
    "lost_writes": Action(
        "Carry the rows back that only @target@ holds",
        "manual",
        "Run the reconciliation of @tables@ in both directions; replay each row that only @target@ holds on @source@.",
        "DBA",
        60,
        "0 rows on one side only",
        precheck=("rows on one side only, per table of @tables@", "a list that somebody has read", "abort"),
        approval=("Business owner",),
        data_loss="rows written on @target@ since the cutover that are not carried back",
    ),
    "drop_target": Action(
        "Remove what was provisioned for @target@",
        "manual",
        "Delete @target@ only: {{provisioned_resources}}. @source@ was not touched.",
        "Platform engineer",
        15,
        "the list is empty; @source@ serves as before",
        precheck=("connections to @target@", "0", "abort: somebody uses it"),
        approval=("Tech lead",),
    ),
    "agents": Action(
        "Remove the replication agents from the sources",
        "manual",
        "Uninstall the agent on @servers@; the replicated volumes are deleted last.",
        "Platform engineer",
        15,
        "no agent process; replication console lists no source",
        idempotent="what is removed stays removed",
    ),
    "power_on": Action(
        "Power on the source servers",
        "manual",
        "Shut the migrated servers down, then power on in this order: @servers@.",
        "Platform engineer",
        20,
        "each server answers its health check from outside",
        precheck=("writes since the cutover", "copied back, or accepted as lost by the business owner", "abort"),
        approval=("Business owner",),
        data_loss="writes since the cutover that were not copied back",
    ),
    "network": Action(
        "Take the routes to the new side out",
        "manual",
        "Withdraw the routes and firewall rules that this migration added: {{added_routes}}.",
        "Platform engineer",
        5,
        "traffic takes the old path in both directions",
        idempotent="a withdrawn route stays withdrawn",
    ),
    "paper": Action(
        "Confirm that nothing of phase @phase@ is live",
        "manual",
        "Nothing to take back: phase @phase@ changed no production system (@undo@).",
        "Tech lead",
        1,
        "the new side serves nothing",
        verify=(NEW_REQUESTS, "0 or no series"),
        idempotent="it only reads",
    ),
    "capture": Action(
        "Stop the capture of events",
        "manual",
        "Stop the connector {{connector}}; the tables are the truth. Events stay: the stream is append-only.",
        "Developer",
        2,
        "no new event after the stop",
        verify=("offset of {{topic}}, twice, 30 s apart", "the same"),
        idempotent="a stopped connector stays stopped",
    ),
    "projection": Action(
        "Rebuild the projection from the stream",
        "bash",
        "kafka-consumer-groups --bootstrap-server '{{brokers}}' --group '{{projection_group}}' --topic '{{topic}}' \\\n"
        "  --reset-offsets --to-datetime '{{before_phase_utc}}' --execute",
        "Developer",
        10,
        "a table of new offsets",
        (
            "kafka-consumer-groups --bootstrap-server '{{brokers}}' --describe --group '{{projection_group}}'",
            "no active member, and handlers with side effects switched off",
            "abort",
        ),
        idempotent="offsets are set to one time",
    ),
    "commands": Action(
        "Let the tables take the commands again",
        "manual",
        "Switch the command handlers of @source@ back to the tables at {{command_switch}}; never delete events.",
        "Developer",
        3,
        "writes reach the tables",
        idempotent="the end state is set",
        precheck=("migration_back_projection_lag_seconds@whole@", "below 10", "abort: roll forward instead"),
    ),
    "redeploy": Action(
        "Start @source@ again",
        "manual",
        "Start @source@ from its archived image {{archived_image}} (@capacity@), warm it, and load it with its peak "
        "before any request returns; then undo the phases below.",
        "Platform engineer",
        120,
        "every instance healthy under the peak load",
        precheck=("archived image, configuration and data of @source@", "all three are there", "abort: fix forward"),
        verify=("error_rate and response_time_p95 of @source@ under load", "at or below the baseline: @baseline@"),
        approval=("Business owner", "Tech lead"),
        data_loss="what the new side wrote that @source@ cannot read: @what@",
    ),
    "restore": Action(
        "Bring back what phase @phase@ removed, beside production",
        "manual",
        "@undo@: restore into a new instance from {{backup_location}}, compare, copy back only what is missing. "
        "Never over production.",
        "DBA",
        120,
        "every missing row is back, no newer row is overwritten",
        precheck=("newest backup from before @what@", "it restores; see the data recovery plan for minutes", "abort"),
        approval=("Business owner", "Tech lead"),
        data_loss="what was written since the newest backup or archive: @what@",
    ),
}

# What each phase of the planner's patterns needs, in this order; flags and traffic are chosen from its facts.
PHASE_ACTIONS = {
    "preparation": "drop_target", "assessment": "paper", "discovery": "paper", "landing_zone": "drop_target",
    "expand_contract.migrate": "flags stop_job", "cleanup": "restore", "close": "restore",
    "parallel_schema.create_v2": "drop_target", "parallel_schema.sync": "stop_job", "shadow_reads": "flags",
    "route": "flags traffic", "freeze_v1": "grants", "drop_v1": "restore",
    "model": "paper", "store": "drop_target", "capture": "capture", "genesis": "capture", "project": "projection",
    "dual_run": "paper", "cut_reads": "flags", "cut_writes": "commands", "retire": "restore",
    "dual_write.dual_write": "flags", "backfill": "stop_job", "switch_reads": "flags",
    "switch_writes": "flags sequences",
    "remove_old": "restore",
    "schema_load": "drop_target", "initial_copy": "subscription", "index_constraints": "paper",
    "catch_up": "subscription",
    "cdc.validate": "paper", "cdc.cutover": "freeze drain sequences connections thaw",
    "reverse_soak": "freeze drain sequences connections thaw", "finalize": "restore",
    "setup": "drop_target", "bulk_copy": "thaw", "delta_sync": "subscription thaw", "validation": "thaw",
    "data_migration.cutover": "freeze lost_writes connections thaw",
    "strangler_fig.retire": "redeploy", "parallel_run.cleanup": "redeploy", "blue_green.release": "redeploy",
    "intercept": "traffic", "implement": "paper", "shadow": "mirror", "redirect": "flags traffic",
    "validate": "flags traffic",
    "deploy": "deployment", "compare": "paper", "parallel_run.cutover": "flags traffic",
    "build_green": "deployment", "sync_data": "subscription", "verify_green": "paper",
    "switch": "traffic", "hold": "traffic",
    "release": "restore", "steps": "traffic image", "finish": "image",
    "replicate": "agents", "test_launch": "drop_target", "wave": "power_on traffic", "decommission": "restore",
    "placement": "paper", "connectivity": "network", "pilot": "traffic", "move_compute": "traffic",
    "operate": "traffic",
    "review": "paper", "mapping": "paper", "common_layer": "drop_target", "data_layer": "subscription",
    "distribute": "traffic", "gameday": "paper",
}  # fmt: skip


def traffic_action(plan: Plan, facts: Dict[str, Any]) -> str:
    """Return how traffic is switched here: by the inventory's command, else by what the specification names."""
    if facts.get("traffic_back_command"):
        return "traffic_command"
    named = json.dumps(plan.specification.get("service_details") or {}) + json.dumps(sub(plan.specification, "cutover"))
    if re.search(r"\bALB\b|elbv2|application load balancer", named, re.IGNORECASE) or facts.get("listener_arn"):
        return "traffic_alb"
    if sub(plan.specification, "cutover").get("switch") == "dns" and re.search(
        "aws|route ?53", plan.target, re.IGNORECASE
    ):
        return "traffic_dns"
    if plan.pattern in ("blue_green", "canary") and re.search("kubernetes", named + plan.target, re.IGNORECASE):
        return "traffic_service"
    return "traffic_manual"


def plan_words(plan: Plan, phase: Phase, facts: Dict[str, Any]) -> Dict[str, str]:
    """Return what @words@ of an action stand for."""
    watch = watch_of(plan, facts)
    undo = text_of(sub(phase.recovery), "steps")
    loss = text_of(sub(phase.recovery), "data_at_risk")
    tables = plan_tables(plan)
    grants = [f"GRANT INSERT, UPDATE, DELETE ON {name} TO {{{{application_role}}}};" for name in tables]
    return {
        "source": plan.source or "the old side",
        "target": plan.target or "the new side",
        "phase": phase.name,
        "undo": undo or "nothing is live",
        "what": (loss if not loss.startswith("none") else "") or phase.reason or f"what {phase.name} removed",
        "cohort": "{" + watch.cohort + "}",
        "whole": "{" + watch.whole + "}",
        "tables": ", ".join(tables) or "every migrated table",
        "consumers": ", ".join(dependencies(plan)) or "every consumer",
        **old_side(plan),
        "servers": ", ".join(wave_servers(plan, phase)) or "{{source_servers}}",
        "grants": "\n".join(grants) or "GRANT INSERT, UPDATE, DELETE ON {{old_tables}} TO {{application_role}};",
    }


def old_side(plan: Plan) -> Dict[str, str]:
    """Return how large the old side was and how it behaved, as far as the specification says."""
    legacy = sub(plan.specification, "service_details", "legacy_service")
    load, machines = sub(legacy, "current_load"), sub(legacy, "infrastructure")
    given = (
        ("{:g} instances", number(machines.get("instances"))),
        ("peak {:g} requests/s", number(load.get("peak_requests_per_second"))),
    )
    measured = (
        ("error rate {:g}", number(load.get("error_rate"))),
        ("p95 {:g} ms", number(load.get("p95_response_time_ms"))),
    )
    said = [", ".join(text.format(value) for text, value in rows if value is not None) for rows in (given, measured)]
    return {"capacity": said[0] or "as many instances as before", "baseline": said[1] or "{{old_baseline}}"}


def wave_servers(plan: Plan, phase: Phase) -> List[str]:
    """Return the workloads of a wave, those first that others need; of all waves when the phase is none."""
    number_ = re.search(r"_(\d+)$", phase.name)
    waves = objects(plan.root.get("waves"))
    chosen = [wave for wave in waves if not number_ or str(wave.get("wave")) == number_.group(1)]
    return [name for wave in chosen for name in wave.get("workloads") or () if isinstance(name, str)]


def action_step(action: Action, words: Dict[str, str]) -> Step:
    """Return an action as a step of this plan."""

    def told(text: str) -> str:
        return re.sub(r"@(\w+)@", lambda match: words.get(match.group(1), match.group()), text)

    command, expect, otherwise = map(told, action.precheck)
    check, says = map(told, action.verify)
    return Step(
        told(action.name), f"Part of the undo of phase {words['phase']}.", action.script_type, told(action.content),
        action.minutes, action.owner,
        {"command": command, "expect": expect, "meaning_if_not": otherwise} if command else None,
        told(action.expected), ({"command": check, "expect": says},) if check else (),
        bool(action.idempotent), told(action.data_loss) or None, None, action.approval, action.idempotent,
    )  # fmt: skip


def phase_actions(plan: Plan, phase: Phase) -> List[str]:
    """Return the names of the actions that undo a phase of the planner's patterns, none for another's phase."""
    if not phase.recovery:
        return []
    name = re.sub(r"_\d+$", "", phase.name)
    for pattern in (*(sub(plan.root, "pattern_selection").get("tracks") or (plan.pattern,)), ""):
        row = PHASE_ACTIONS.get(f"{pattern}.{name}" if pattern else name)
        if row:
            return row.split()
    return []


def flags_home(plan: Plan) -> Optional[str]:
    """Return the phase that takes the flags back when no row of the table does: the latest before anything is final."""
    if any("flags" in phase_actions(plan, phase) for phase in plan.phases):
        return None
    usual = (p.name for p in ordered(plan) if not p.point_of_no_return and p.name not in ("preparation", "cleanup"))
    return next(usual, None) if objects(plan.specification.get("feature_flags")) else None


def table_steps(plan: Plan, phase: Phase, facts: Dict[str, Any]) -> Iterator[Step]:
    """Yield the steps that the tables name for a phase; what its own scripts undo is not undone by hand as well."""
    words, names = plan_words(plan, phase, facts), phase_actions(plan, phase)
    if objects(plan.specification.get("feature_flags")) and "flags" in names:
        names = [name for name in names if name != "traffic"]  # the flags are the switch
    for name in names:
        if name == "flags":
            yield from flag_steps(plan, phase, facts)
        elif name == "stop_job" and not facts.get("backfill_application_name"):
            yield backfill_step(phase)
        elif not (phase.scripts and name in ("restore", "drop_target", "paper")):
            yield action_step(ACTIONS[traffic_action(plan, facts) if name == "traffic" else name], words)


def backfill_step(phase: Phase) -> Step:
    content = "Stop the job {{backfill_job}}; what it has filled is undone by the steps below, or stays unread."
    return Step(
        "Stop the running backfill",
        f"Part of the undo of phase {phase.name}.",
        "manual",
        content,
        2,
        "DBA",
        expected="the job list no longer shows it",
        idempotent_how="a stopped job stays stopped",
    )


def flag_steps(plan: Plan, phase: Phase, facts: Dict[str, Any]) -> Iterator[Step]:
    """Yield one step for each feature flag, the last one first: straight to where it stood before."""
    flags = objects(plan.specification.get("feature_flags"))
    if not flags:
        content = f"Set the flag of phase {phase.name} to 0 % in {{{{flag_service}}}}."
        yield Step(
            f"Set the flag of phase {phase.name} to 0 %",
            "The specification names no flag.",
            "manual",
            content,
            FLAG_MINUTES,
            "Developer",
            expected="0 %",
            idempotent_how="0 % stays 0 %",
        )
    for flag in reversed(flags):
        yield flag_step(flag, facts)


def flag_step(flag: Dict[str, Any], facts: Dict[str, Any]) -> Step:
    name, first = text_of(flag, "name"), plain(number(flag.get("initial_percentage")) or 0)
    stages = ", ".join(f"{plain(number(s.get('percentage')) or 0)} %" for s in objects(flag.get("rollout_schedule")))
    told = f"{text_of(flag, 'description') or name}; it may stand at {stages or 'any stage'}."
    command = facts.get("flag_off_command")
    content = f"Set the feature flag {name} to {first} % in {{{{flag_service}}}}."
    if isinstance(command, str):
        import shlex

        content = f"FLAG={shlex.quote(name)} PERCENTAGE={first}\nexport FLAG PERCENTAGE\n{command}"
    check = {"command": f"read the flag {name} in {{{{flag_service}}}}", "expect": f"{first} %"}
    if isinstance(facts.get("flag_check_command"), str):
        check = {"command": f"FLAG={name} {facts['flag_check_command']}", "expect": first}
    kind = "bash" if isinstance(command, str) else "manual"
    return Step(
        f"Set flag {name} to {first} %",
        told,
        kind,
        content,
        FLAG_MINUTES,
        "Developer",
        expected=f"{name} at {first} %",
        verify=(check,),
        idempotent_how="the percentage is set, not changed",
    )


def plan_steps(plan: Plan, phase: Phase) -> Iterator[Step]:
    """Yield what the plan itself says of undoing a phase."""
    undo = (
        next(
            (
                entry
                for entry in (plan.root.get("rollback_plan") or {}).get("phases", ())
                if isinstance(entry, dict) and entry.get("phase") == phase.name
            ),
            None,
        )
        if isinstance(plan.root.get("rollback_plan"), dict)
        else None
    )
    if undo and text_of(undo, "steps"):
        minutes = (undo.get("minutes") or {}).get("likely") if isinstance(undo.get("minutes"), dict) else None
        loss = text_of(undo, "data_at_risk")
        yield Step(
            f"Undo phase {phase.name}",
            text_of(undo, "steps"),
            "manual",
            text_of(undo, "steps"),
            float(minutes or SCRIPT_MINUTES),
            "Tech lead",
            expected=f"the state before phase {phase.name}",
            data_loss=loss if loss and not loss.startswith("none") else None,
            approval=("Business owner",) if loss and not loss.startswith("none") else (),
            idempotent=False,
        )
    else:
        for task in reversed(phase.tasks):
            yield Step(
                f"Reverse: {task}",
                f"Reverse what phase {phase.name} did: {task}",
                "manual",
                f"Reverse by hand: {task}",
                SCRIPT_MINUTES,
                "Tech lead",
                expected="the state before the task",
                idempotent=False,
            )


def invert(plan: Plan, phase: Phase, facts: Dict[str, Any], home: Optional[str]) -> List[Step]:
    """Return the steps that undo a phase: switches first, then its scripts, last first."""
    steps = list(flag_steps(plan, phase, facts)) if phase.name == home else []
    steps += table_steps(plan, phase, facts)
    steps += [
        script_step(plan, script, facts)
        for script in reversed(phase.scripts)
        if text_of(script, "rollback_script").strip() or script.get("script_type", "sql") != "sql"
    ]
    if not phase.scripts and not phase_actions(plan, phase):
        steps += plan_steps(plan, phase)
    if not steps:
        told = "Its scripts have no undo of their own: what they filled goes with the objects of the phase before."
        content = told if phase.scripts else f"Restore what phase {phase.name} changed from {{{{backup_location}}}}."
        steps.append(
            Step(
                f"No undo of {phase.name} of its own",
                told if phase.scripts else "The plan says nothing of it.",
                "manual",
                content,
                1 if phase.scripts else BACKFILL_MINUTES,
                "Tech lead",
                expected="the state before the phase",
                idempotent=False,
            )
        )
    return steps


EXTEND_LOSSY = (
    "archive what the script loses before it runs: pass the checker's report to the planner (--compatibility)"
)


def point_of_no_return(plan: Plan) -> Dict[str, Any]:
    """Return the first step after which going back loses data, computed from the scripts and the plan's own marks."""
    for phase in reversed(ordered(plan)):
        lossy = [s for s in phase.scripts if s.get("reversibility") == "lossy"]
        if lossy:
            reason = text_of(lossy[0], "data_loss") or "the script is lossy"
            return no_return(plan, phase, text_of(lossy[0], "id"), reason, [EXTEND_LOSSY])
        archived = bool(phase.scripts) and all(s.get("reversibility", "lossless") == "lossless" for s in phase.scripts)
        if phase.point_of_no_return and not archived:
            extend = [] if phase.scripts else [extension(plan, phase)]
            return no_return(plan, phase, None, phase.reason or "the plan marks it", extend)
    reason = "every step of the plan has an undo that loses nothing"
    return {"phase": None, "step_id": None, "reason": reason, "after_it": "rollback", "extend_by": [], "gate": None}


def extension(plan: Plan, phase: Phase) -> str:
    """Return what keeps the way back open past a phase that the plan marks as final."""
    if re.search(r"purg|archive|drop", phase.reason):
        return f"rename instead of removing, and keep the archive for one release more before {phase.name}"
    if re.search(r"reverse replication|write", phase.reason):
        sides = f"{plan.target or 'new'} to {plan.source or 'old'}"
        return f"keep the replication from {sides} running, and its lag below 10 s"
    return f"keep {plan.source or 'the old side'} switched off but whole (image, data, addresses) past {phase.name}"


def no_return(plan: Plan, phase: Phase, step: Optional[str], reason: str, extend: List[str]) -> Dict[str, Any]:
    hours = number(sub(plan.specification, "policies").get("soak_hours")) or DEFAULT_SOAK_HOURS
    gate = f"{phase.name} starts only with a recorded approval and after {hours:g} h without a trigger"
    after = "forward_fix or restore beside"
    return {
        "phase": phase.name,
        "step_id": step,
        "reason": reason,
        "after_it": after,
        "extend_by": extend,
        "gate": gate,
    }


# == 5. Triggers ======================================================================================
# In: the triggers of plan and specification. Out: PromQL that selects the new cohort, and who may act on it.

SCRAPE_SECONDS = (
    15  # assumption: Prometheus' own examples scrape every 15 s; inventory scrape_interval_seconds replaces it
)
GROUP_WAIT_SECONDS = 5
KEEP_FIRING = "5m"  # longer than the rate window, else an alert resolves when its telemetry dies
FEWEST_REQUESTS = 50  # in one window; with fewer a ratio is noise
AUTOMATIC = "automatic_rollback"
CRITICAL_ACTIONS = (AUTOMATIC, "rollback", "stop", "flag_off")
SELECTOR_KEY = "metric_selector"


class Trigger(NamedTuple):
    """One condition that stops or undoes; `phases` are those in which the plan watches it."""

    trigger_id: str
    metric: str
    operator: str
    value: float
    minutes: float
    action: str
    unit: str
    phases: Tuple[str, ...]
    source: str


class Metric(NamedTuple):
    """How Prometheus says a metric. kind: ratio of counters | quantile | idle | share or unused of gauges | gauge."""

    kind: str
    series: str
    part: str = ""  # ratio: label matcher or series of the part; quantile: the quantile; share: series of the part
    per_cohort: bool = True
    scale: float = 1  # what a threshold is multiplied with: 0.001 for milliseconds


METRICS = {
    "error_rate": Metric("ratio", "http_requests_total", 'code=~"5.."'),
    "authentication_failure_share": Metric("ratio", "authentication_attempts_total", 'result="failure"'),
    "dual_write_failure_share": Metric("ratio", "migration_dual_writes_total", 'result="failure"'),
    "shadow_mismatch_share": Metric("ratio", "migration_shadow_requests_total", 'result="mismatch"'),
    "response_time_p50": Metric("quantile", "http_request_duration_seconds", "0.5", scale=0.001),
    "response_time_p95": Metric("quantile", "http_request_duration_seconds", "0.95", scale=0.001),
    "response_time_p99": Metric("quantile", "http_request_duration_seconds", "0.99", scale=0.001),
    "availability": Metric("gauge", "probe_success"),
    "cpu_utilization": Metric("idle", "node_cpu_seconds_total", per_cohort=False),
    "memory_utilization": Metric("unused", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes", False),
    "free_disk_share": Metric("share", "node_filesystem_size_bytes", "node_filesystem_avail_bytes", False),
}
METRIC_ALIASES = {
    "latency_p95": "response_time_p95",
    "p95_latency": "response_time_p95",
    "latency_p99": "response_time_p99",
    "cpu_usage": "cpu_utilization",
    "memory_usage": "memory_utilization",
}


def metric_of(name: str) -> Metric:
    """Return how a metric is asked; what no exporter publishes is a series of the migration's own."""
    plain = re.sub(r"\W+", "_", name.strip().lower()).strip("_")
    plain = METRIC_ALIASES.get(plain, plain)
    for known in (plain, plain[:-3] if plain.endswith("_ms") else plain):
        if known in METRICS:
            return METRICS[known]
    return Metric("gauge", plain if plain.startswith("migration_") else f"migration_{plain}", per_cohort=False)


def parse_trigger(text: str) -> Optional[Trigger]:
    """Return the trigger of a line such as `error_rate > 0.01 for 5 min: stop`, None for a sentence."""
    match = re.match(
        r"\s*([\w.]+)\s*(>=|<=|==|!=|>|<)\s*(-?[\d.]+)\s*(\S+?)?(?:\s+for\s+([\d.]+)\s*min)?\s*(?::\s*(\w+))?\s*$", text
    )
    if not match:
        return None
    metric, operator, value, unit, minutes, action = match.groups()
    return Trigger("", metric, operator, float(value), float(minutes or 0), action or "alert_team", unit or "", (), "")


def number(value: Any) -> Optional[float]:
    """Return a finite number, None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e300 else None


def trigger_of(entry: Dict[str, Any], phases: Tuple[str, ...] = (), source: str = "") -> Optional[Trigger]:
    """Return a trigger that plan or specification give as an object, None when it names no threshold."""
    value, metric = number(entry.get("threshold")), text_of(entry, "metric")
    if value is None or not metric:
        return None
    operator = entry.get("operator") if entry.get("operator") in OPERATORS else ">"
    minutes = number(entry.get("duration_minutes"))
    action, unit = text_of(entry, "action") or "alert_team", text_of(entry, "unit")
    source = source or text_of(entry, "source")
    return Trigger("", metric, operator, value, 5.0 if minutes is None else minutes, action, unit, phases, source)


def objects(value: Any) -> List[Dict[str, Any]]:
    """Return the objects of a list, nothing when it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def sub(mapping: Any, *keys: str) -> Dict[str, Any]:
    """Return the object at a path of keys, an empty one when there is none."""
    for key in keys:
        mapping = mapping.get(key) if isinstance(mapping, dict) else None
    return mapping if isinstance(mapping, dict) else {}


def found_triggers(plan: Plan) -> Iterator[Trigger]:
    """Yield the triggers of the specification, then those that the plan adds to each phase, then alert thresholds."""
    for index, entry in enumerate(objects(plan.specification.get("rollback_triggers"))):
        trigger = trigger_of(entry, (), f"rollback_triggers[{index}]")
        if trigger:
            yield trigger
    for phase in plan.phases:
        listed = [trigger_of(entry, (phase.name,)) for entry in phase.alarms]
        if not listed:
            parsed = (parse_trigger(line) for line in phase.triggers if isinstance(line, str))
            listed = [trigger and trigger._replace(phases=(phase.name,)) for trigger in parsed]
        yield from (trigger for trigger in listed if trigger)
    for metric, value in sub(plan.specification, "monitoring", "alert_thresholds").items():
        threshold = {"metric": metric, "threshold": value, "action": "alert_team"}
        trigger = trigger_of(threshold, (), f"monitoring.alert_thresholds.{metric}")
        if trigger:
            yield trigger


def all_triggers(plan: Plan) -> List[Trigger]:
    """Return every trigger once, the specification's own first, with all phases in which it is watched."""
    found: Dict[Tuple[Any, ...], Trigger] = {}
    for trigger in found_triggers(plan):
        key = (trigger.metric, trigger.operator, trigger.value)
        if key in found:
            phases = dict.fromkeys((*found[key].phases, *trigger.phases))
            found[key] = found[key]._replace(phases=tuple(phases), unit=found[key].unit or trigger.unit)
        else:
            found[key] = trigger
    return [trigger._replace(trigger_id=f"T{n:02d}") for n, trigger in enumerate(found.values(), 1)]


def plain(value: float) -> str:
    """Return a number as PromQL and people write it: 0.01, 160, never 0.010000000000000002."""
    return f"{round(value, 12):.12g}"


def duration(seconds: float) -> str:
    """Return a Prometheus duration: 90s, 5m, 1h30m."""
    whole = max(0, int(round(seconds)))
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


class Watch(NamedTuple):
    """How the metrics are reached: label matchers of the new cohort and of the whole, scrape interval, rate window."""

    cohort: str
    whole: str
    scrape: float
    window: float

    def selector(self, metric: Metric, *more: str) -> str:
        return "{" + ",".join(filter(None, (self.cohort if metric.per_cohort else self.whole, *more))) + "}"


def watch_of(plan: Plan, facts: Dict[str, Any]) -> Watch:
    """Return the selectors of the inventory, else the suite's convention: labels migration_id and cohort."""
    whole = f"migration_id={json.dumps(plan.migration_id, ensure_ascii=False)}"
    given = facts.get(SELECTOR_KEY)
    cohort = given.strip("{} ") if isinstance(given, str) else f'{whole},cohort="new"'
    host = facts.get("host_selector")
    scrape = number(facts.get("scrape_interval_seconds")) or SCRAPE_SECONDS
    return Watch(cohort, host.strip("{} ") if isinstance(host, str) else whole, scrape, 4 * scrape)


def promql(metric: Metric, watch: Watch) -> str:
    """Return the expression that measures a metric on its selector."""
    window = duration(watch.window)
    here, series = watch.selector(metric), metric.series
    if metric.kind == "ratio":
        total = f"sum by (job) (rate({series}{here}[{window}]))"
        part = f"sum by (job) (rate({series}{watch.selector(metric, metric.part)}[{window}]))"
        enough = f"sum by (job) (increase({series}{here}[{window}])) >= {FEWEST_REQUESTS}"
        return f"(({part} or 0 * {total}) / ({total} > 0) and ({enough}))"
    if metric.kind == "quantile":
        return f"histogram_quantile({metric.part}, sum by (job, le) (rate({series}_bucket{here}[{window}])))"
    if metric.kind == "idle":
        idle = watch.selector(metric, 'mode="idle"')
        return f"(1 - avg by (instance) (rate({series}{idle}[{window}])))"
    if metric.kind in ("share", "unused"):
        share = f"min by (instance) ({metric.part}{here} / {series}{here})"
        return share if metric.kind == "share" else f"(1 - {share})"
    return f"avg by (job) (avg_over_time({series}{here}[{window}]))"


def limit_of(trigger: Trigger) -> float:
    """Return the threshold in the unit of the series: milliseconds become seconds."""
    return trigger.value * metric_of(trigger.metric).scale


def condition(trigger: Trigger, watch: Watch) -> str:
    return f"{promql(metric_of(trigger.metric), watch)} {trigger.operator} {plain(limit_of(trigger))}"


def detection(trigger: Trigger, watch: Watch) -> Dict[str, Any]:
    """Return how long the alert takes at twice its threshold: the window has to fill, then `for` has to pass."""
    diluted = watch.window / 2 if metric_of(trigger.metric).kind == "ratio" else watch.window
    seconds = diluted + 2 * watch.scrape + trigger.minutes * 60 + GROUP_WAIT_SECONDS
    return {
        "seconds": seconds,
        "formula": f"window {watch.window:g} s x threshold / value (here {diluted / watch.window:g}) + scrape "
        f"{watch.scrape:g} s + evaluation {watch.scrape:g} s + for {trigger.minutes * 60:g} s + group wait "
        f"{GROUP_WAIT_SECONDS} s",
    }


def request_rate(plan: Plan) -> Optional[float]:
    """Return the requests per second that the specification gives for the old side."""
    load = sub(plan.specification, "service_details", "legacy_service", "current_load")
    given = number(load.get("requests_per_second"))
    return given or number(sub(plan.specification, "performance_requirements").get("transactions_per_second"))


def stage_sight(metric: Metric, limit: float, share: float, rate: Optional[float], window: float) -> Tuple[str, str]:
    """Return what an alert on all traffic and one on the new cohort see at one share of the traffic."""
    if metric.kind == "quantile":
        slow = 1 - float(metric.part)
        whole = f"blind: {share:.0%} of the requests cannot move this quantile" if share <= slow else "sees"
    else:
        needed = limit / share
        whole = (
            f"blind: needs {needed:.0%} in the new cohort" if needed > 1 else f"needs {needed:.1%} in the new cohort"
        )
    if rate is None:
        return whole, "load not given"
    requests = rate * share * window
    return whole, f"{requests:.0f} requests in {window:g} s: " + ("sees" if requests >= FEWEST_REQUESTS else "blind")


def blindness(plan: Plan, trigger: Trigger, watch: Watch) -> List[Dict[str, Any]]:
    """Return for each rollout stage of each flag whether an alert on all traffic, and ours, could fire at all."""
    metric = metric_of(trigger.metric)
    if metric.kind not in ("ratio", "quantile"):
        return []
    rows = []
    for flag in objects(plan.specification.get("feature_flags")):
        for stage in objects(flag.get("rollout_schedule")):
            percentage = number(stage.get("percentage"))
            if percentage and 0 < percentage <= 100:
                sight = stage_sight(metric, limit_of(trigger), percentage / 100, request_rate(plan), watch.window)
                name = text_of(flag, "name")
                rows.append(
                    {"flag": name, "percentage": percentage, "on_all_traffic": sight[0], "on_new_cohort": sight[1]}
                )
    return rows


SWITCHING = re.compile(r"flag|traffic|route|weight", re.IGNORECASE)


def automation(trigger: Trigger, phases: Sequence[Dict[str, Any]], facts: Dict[str, Any]) -> Tuple[bool, str]:
    """Return whether a program may act on a trigger without a person, and why."""
    if trigger.action != AUTOMATIC:
        return False, f"{trigger.source or 'the plan'} asks for {trigger.action}, not for an automatic rollback"
    if metric_of(trigger.metric).kind != "ratio":
        return False, f"{trigger.metric} is no share of requests: too noisy to act on without a person"
    if not facts.get("executor_url"):
        return False, "nobody would execute it: the inventory names no executor_url"
    watched = [phase for phase in phases if not trigger.phases or phase["forward_phase"] in trigger.phases]
    for phase in watched:
        for step in phase["steps"]:
            reason = hand_reason(step)
            if reason:
                return False, f"the rollback of {phase['forward_phase']} holds {step['step_id']}, which {reason}"
    return (
        True,
        f"every step of {', '.join(p['forward_phase'] for p in watched)} only switches traffic and loses nothing",
    )


def hand_reason(step: Dict[str, Any]) -> str:
    """Return why a step needs a person, nothing when it does not."""
    if step["script_type"] == "manual":
        return "is done by hand"
    if step["script_type"] == "sql":
        return "changes schema or data"
    if step["data_loss"] or step["approval"]:
        return "loses data or asks for approval"
    if not step["idempotent"] or not SWITCHING.search(step["name"]):
        return "is more than a switch that can be thrown twice"
    return ""


def trigger_json(
    plan: Plan, trigger: Trigger, phases: Sequence[Dict[str, Any]], facts: Dict[str, Any]
) -> Dict[str, Any]:
    watch = watch_of(plan, facts)
    automatic, reason = automation(trigger, phases, facts)
    held = f" for {trigger.minutes:g} min" if trigger.minutes else ""
    threshold = {"metric": trigger.metric, "operator": trigger.operator, "value": trigger.value}
    return {
        "trigger_id": trigger.trigger_id,
        "name": trigger.metric,
        "condition": f"{trigger.metric} {trigger.operator} {trigger.value:g} {trigger.unit}".rstrip() + held,
        "metric_threshold": {**threshold, "unit": trigger.unit or None, "duration_minutes": trigger.minutes},
        "promql": condition(trigger, watch),
        "evaluation_window_minutes": watch.window / 60,
        "detection": detection(trigger, watch),
        "action": trigger.action,
        "severity": "critical" if trigger.action in CRITICAL_ACTIONS else "warning",
        "watched_in_phases": list(trigger.phases) or [phase.name for phase in plan.phases],
        "blindness": blindness(plan, trigger, watch),
        "auto_execute": automatic,
        "auto_execute_reason": reason,
        "escalation_contacts": ["Tech lead", "DBA"]
        if not metric_of(trigger.metric).per_cohort
        else ["Tech lead", "Developer"],
        "source": trigger.source or None,
    }


class Burn(NamedTuple):
    """One alert on how fast the error budget is spent (Google SRE workbook, chapter 5, table 5-8)."""

    budget: float
    long_hours: float
    short_minutes: float
    severity: str


BURNS = (Burn(0.02, 1, 5, "critical"), Burn(0.05, 6, 30, "critical"), Burn(0.1, 72, 360, "warning"))


def objective(plan: Plan) -> Optional[Tuple[float, float]]:
    """Return (availability objective, hours of its window) when the specification gives one."""
    slo = sub(plan.specification, "slo")
    target, days = number(slo.get("availability", slo.get("slo_target"))), number(slo.get("window_days", 30))
    return (target, days * 24) if target and 0 < target < 1 and days else None


def burn_condition(plan: Plan, burn: Burn, watch: Watch) -> str:
    target, hours = objective(plan) or (0.0, 0.0)
    rate = burn.budget * hours / burn.long_hours
    error = METRICS["error_rate"]
    windows = (burn.long_hours * 3600, burn.short_minutes * 60)
    sides = (promql(error, watch._replace(window=window)) for window in windows)
    return " and ".join(f"{side} > {plain(rate * (1 - target))}" for side in sides)


# == 6. Recovering and telling ========================================================================


RESTORE_MB_PER_SECOND = 200  # assumption until a drill has measured it: a restore from object storage to SSD


def restore_speed(facts: Dict[str, Any]) -> Tuple[float, str]:
    """Return MB/s of a restore and where the number comes from: a drill, the inventory, or an assumption."""
    drill = sub(facts, "restore_drill")
    size, seconds = number(drill.get("bytes")), number(drill.get("seconds"))
    if size and seconds:
        return size / seconds / 1e6, f"drill of {drill.get('date', 'unknown date')}"
    given = number(facts.get("restore_mb_per_second"))
    return (given, "inventory") if given and given > 0 else (RESTORE_MB_PER_SECOND, "assumed")


def allowed_minutes(plan: Plan) -> Optional[float]:
    return number(sub(plan.specification, "constraints").get("max_downtime_minutes"))


def restore_arithmetic(plan: Plan, facts: Dict[str, Any]) -> Tuple[Optional[str], Optional[bool]]:
    """Return the sentence that says whether a full restore fits into the allowed outage, and its verdict."""
    volume, allowed = number(sub(plan.specification, "constraints").get("data_volume_gb")), allowed_minutes(plan)
    if volume is None:
        return None, None
    speed, origin = restore_speed(facts)
    minutes = volume * 1000 / speed / 60
    shown = f"{volume:g} GB at {speed:g} MB/s{f' ({origin})' if origin != 'inventory' else ''} = {minutes:.0f} min"
    if allowed is None:
        return f"{shown}: no allowed outage is stated", None
    if minutes <= allowed:
        return f"{shown} <= {allowed:g} min: viable", True
    needed = f"; {allowed:g} min would need {volume * 1000 / allowed / 60:,.0f} MB/s" if allowed else ""
    return f"{shown} > {allowed:g} min: not viable within the allowed outage{needed}", False


def recovery_method(plan: Plan) -> Tuple[str, str]:
    """Return how data comes back and the fact that decides it."""
    scripts = [s for phase in plan.phases for s in phase.scripts]
    undo = "".join(text_of(s, "rollback_script") for s in scripts)
    archives = sorted(set(re.findall(r"migration_archive\.\w+|_migration_archive_\w+", undo)))
    if archives:
        return "archive join", f"the undo scripts put dropped values back from {len(archives)} archive tables"
    if sub(plan.specification, "cutover").get("reverse_replication"):
        return "reverse replication", "the specification keeps the old side current (cutover.reverse_replication)"
    if scripts:
        return "undo scripts", "every script carries its undo, none archives rows"
    phases = {re.sub(r"_\d+$", "", phase.name) for phase in plan.phases}
    if phases & {"reverse_soak", "route", "cut_writes"}:
        return "reverse replication", f"pattern {plan.pattern} keeps the old side current until its last phase"
    if text_of(sub(plan.specification, "source"), "engine") or plan.kind in ("database", "data"):
        return "restore beside", "the plan holds neither scripts nor a way back for rows written since"
    return "none needed", "the plan moves traffic, not data: both sides use the same store until the point of no return"


RECOVERY_STEPS = {
    "archive join": "rollback.sh runs them; afterwards the queries below agree with the counts taken before.",
    "reverse replication": "freeze the writers, wait for lag 0 twice, move the sequences, switch back.",
    "undo scripts": "rollback.sh runs them.",
    "restore beside": "restore into a new instance, never over production; copy back only what is missing.",
    "none needed": "take the traffic back; compare the counts below.",
}
PITR = {
    "postgresql": (
        "SELECT pg_switch_wal();  -- its own call, so that the last commit is archived",
        "on the copy, postgresql.auto.conf: recovery_target_name = 'rb_@id@_@phase@', "
        "recovery_target_action = 'promote', "
        "archive_mode = off; touch recovery.signal; start",
        "SELECT pg_is_in_recovery();  -- f, and the log says `recovery stopping at restore point`",
    ),
    "mysql": (
        "mariadb-binlog --start-position={{binlog_position}} --stop-datetime='{{before_damage_local_time}}' "
        "{{binlog_files}} | mariadb {{side_instance}}",
        "SELECT count(*) per table on the side instance against the counts taken before",
    ),
    "sqlite": ("copy the backup file beside the live one; ATTACH it; copy back only what is missing",),
}


def recovery_plan(plan: Plan, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return how data comes back, with the arithmetic that says whether a restore fits the allowed outage."""
    sentence, fits = restore_arithmetic(plan, facts)
    method, because = recovery_method(plan)
    phase = next(
        (p.name for p in reversed(ordered(plan)) if p.scripts), plan.phases[0].name if plan.phases else "start"
    )
    words = {"@id@": plan.migration_id, "@phase@": phase}
    commands = [re.sub("@id@|@phase@", lambda m: words[m.group()], text) for text in PITR[dialect_of(plan)]]
    uses_data = method != "none needed"
    return {
        "method": method,
        "because": because,
        "how": RECOVERY_STEPS[method],
        "backup_location": facts.get("backup_location", "{{backup_location}}"),
        "restore_viability": sentence,
        "restore_is_viable": fits,
        "point_in_time_restore_beside": commands if uses_data else [],
        "never": "restore over production: every row written since the backup would be gone",
        "validation_queries": [{"table": t, "query": f"SELECT count(*) FROM {t};"} for t in plan_tables(plan)],
    }


def plan_tables(plan: Plan) -> List[str]:
    tables = plan.specification.get("tables_to_migrate")
    names = [t.get("name") for t in tables if isinstance(t, dict)] if isinstance(tables, list) else []
    return [name for name in names if isinstance(name, str) and re.fullmatch(r"\w+(\.\w+)?", name)]


AUDIENCES = ("engineering", "business", "executive", "customers", "support", "dependents", "regulator")
STAGES = ("start", "progress", "complete", "failed_escalated")
CADENCE = {  # PagerDuty's incident response guide: first word within 5 minutes, then every 20; executives every 30
    "start": "within 5 min of the decision",
    "progress": "every 20 min, executives every 30 min",
    "complete": "when the last check has passed",
    "failed_escalated": "at once",
}
# Text by (audience, stage); an audience without an own line gets none at that stage. $words come from the plan.
MESSAGES = {
    (
        "engineering",
        "start",
    ): "Rollback of $title starts at $first: $steps steps, $minutes min. Detected by {{detected_by}} at "
    "{{start_time_utc}}. IC {{incident_commander}}, bridge {{bridge_url}}. Freeze every release of $consumers.",
    (
        "engineering",
        "progress",
    ): "Rollback of $title: step {{current_step}} of $steps done. Next update {{next_update_utc}}.",
    ("engineering", "complete"): "Rollback of $title ended {{actual_end_utc}}. Data lost: {{rows_lost_measured}} rows. "
    "Run the $checks checks of the checklist; releases stay frozen until they pass.",
    (
        "engineering",
        "failed_escalated",
    ): "Rollback of $title stopped in {{current_step}}: {{error_text}}. Nothing after it ran. Join {{bridge_url}}.",
    (
        "business",
        "start",
    ): "$target is being taken back to $source. Expected end: {{start_time_utc}} + $minutes min. Data: $loss.",
    ("business", "progress"): "The return to $source goes on; expected end {{expected_end_utc}}. Data: $loss.",
    ("business", "complete"): "$source serves again since {{actual_end_utc}}. Data lost: {{rows_lost_measured}} rows. "
    "The next attempt needs your decision.",
    ("business", "failed_escalated"): "The return to $source has stopped. Options with their cost come from "
    "{{incident_commander}} by {{next_update_utc}}.",
    ("executive", "start"): "Migration $title is being taken back ($severity). $impact Expected end in $minutes min.",
    (
        "executive",
        "progress",
    ): "Migration $title: the way back is on plan: {{on_plan_yes_no}}. Expected end {{expected_end_utc}}.",
    (
        "executive",
        "complete",
    ): "Migration $title was taken back at {{actual_end_utc}}. Data lost: {{rows_lost_measured}} rows.",
    (
        "executive",
        "failed_escalated",
    ): "Taking migration $title back has failed; {{customer_impact_percent}} % of the customers are "
    "affected. Decision needed from you at {{bridge_url}}.",
    ("customers", "start"): "We see a problem and are restoring the service as it was. $customer_impact Next update: "
    "{{next_update_utc}} at {{status_page_url}}.",
    (
        "customers",
        "progress",
    ): "We are still restoring the service. Next update: {{next_update_utc}} at {{status_page_url}}.",
    (
        "customers",
        "complete",
    ): "The service is restored since {{actual_end_utc}}. Lost changes: {{customer_data_statement}}.",
    ("customers", "failed_escalated"): "Restoring takes longer than announced. Next update: {{next_update_utc}} at "
    "{{status_page_url}}.",
    ("support", "start"): "Rollback of $title has begun. Answer callers: we are restoring the service, next update "
    "{{next_update_utc}}. $lost_endpoints",
    ("support", "progress"): "Rollback of $title goes on. Ticket: {{ticket_id}}. Next update {{next_update_utc}}.",
    (
        "support",
        "complete",
    ): "Rollback of $title is over. Ask callers who still see errors for the time, and add it to {{ticket_id}}.",
    ("support", "failed_escalated"): "Rollback of $title is delayed. Collect affected accounts in {{ticket_id}}.",
    (
        "dependents",
        "start",
    ): "$consumers: $target goes back to $source within $minutes min. Hold your releases. $lost_endpoints",
    ("dependents", "progress"): "$consumers: the way back goes on, next update {{next_update_utc}}.",
    (
        "dependents",
        "complete",
    ): "$consumers: $source serves since {{actual_end_utc}}. Confirm that your side works in {{ticket_id}}.",
    (
        "dependents",
        "failed_escalated",
    ): "$consumers: the way back has stopped; pause writes where you can and join {{bridge_url}}.",
}
REGULATOR = """DRAFT, counsel decides whether it is sent (GDPR Art. 33: only when a personal data breach is confirmed).
Deadline: {{awareness_utc}} + 72 h. Authority: {{authority_name}}. It may be sent in parts;
a late one gives its reasons.
(a) Nature: during the rollback of $title, $nature. Categories and numbers of persons and records: $personal;
    {{persons_approximate}} persons, {{records_approximate}} records.
(b) Contact: {{dpo_name}}, {{dpo_contact}}.
(c) Likely consequences: {{consequences_confirmed}}.
(d) Measures: the migration was taken back by $steps steps ($minutes min planned);
    evidence: the journal of rollback.sh."""


def personal_columns(plan: Plan) -> List[str]:
    """Return the columns that specification or plan call personal."""
    given = sub(plan.specification, "data").get("personal_columns")
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def lost_endpoints(plan: Plan) -> List[str]:
    """Return the calls that only the new side answers: they break on the way back."""
    details = sub(plan.specification, "service_details")
    sides = [sub(details, side).get("endpoints") for side in ("legacy_service", "new_service")]
    old, new = ([e for e in side if isinstance(e, str)] if isinstance(side, list) else [] for side in sides)

    def shape(endpoint: str) -> str:
        return re.sub(r"/v\d+(?=/|$)", "/v", re.sub(r"\{\w+\}", "{}", endpoint))

    known = {shape(endpoint) for endpoint in old}
    return [endpoint for endpoint in new if shape(endpoint) not in known] if old else []


def severity(plan: Plan, losses: Sequence[str]) -> str:
    return "SEV-1" if losses else "SEV-2"


def frameworks(plan: Plan) -> List[str]:
    listed = sub(plan.specification, "constraints").get("compliance_requirements")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def message_words(
    plan: Plan, phases: Sequence[Dict[str, Any]], rto: Dict[str, Any], losses: Sequence[str]
) -> Dict[str, str]:
    allowed, gone = allowed_minutes(plan), lost_endpoints(plan)
    source, target = plan.source or "{{source_system}}", plan.target or "{{target_system}}"
    outage = f"Allowed outage: {allowed:g} min." if allowed is not None else "No allowed outage is stated."
    return {
        "title": f"{source} -> {target} ({plan.migration_id})",
        "source": source,
        "target": target,
        "first": phases[0]["steps"][0]["step_id"] if phases else "-",
        "steps": str(sum(len(phase["steps"]) for phase in phases)),
        "minutes": f"{rto['minutes']:g}",
        "checks": str(sum(len(step["verify"]) for phase in phases for step in phase["steps"])),
        "consumers": ", ".join(dependencies(plan)) or "{{consumers}}",
        "loss": "; ".join(losses) or "nothing is lost",
        "nature": f"data may have been lost or changed: {'; '.join(losses)}" if losses else "availability was reduced",
        "severity": severity(plan, losses),
        "impact": outage,
        "customer_impact": "You may have to enter recent changes again." if losses else "Your data is safe.",
        "lost_endpoints": f"These calls end: {', '.join(gone)}." if gone else "",
        "personal": ", ".join(personal_columns(plan)) or "{{personal_data_categories}}",
    }


def messages(
    plan: Plan, phases: Sequence[Dict[str, Any]], rto: Dict[str, Any], losses: Sequence[str]
) -> List[Dict[str, Any]]:
    """Return the drafts of every audience at every stage; the regulator's only where personal data is at stake."""
    import string

    words = message_words(plan, phases, rto, losses)
    drafts = [
        (audience, stage, MESSAGES[audience, stage])
        for audience in AUDIENCES
        for stage in STAGES
        if (audience, stage) in MESSAGES and (audience != "dependents" or dependencies(plan))
    ]
    if "GDPR" in frameworks(plan) or personal_columns(plan):
        drafts += [("regulator", stage, REGULATOR) for stage in ("complete", "failed_escalated")]
    return [
        {
            "audience": audience,
            "stage": stage,
            "when": CADENCE[stage] if audience != "regulator" else "within 72 h of awareness",
            "send_ready": False,
            "text": " ".join(text.split(" ")).strip(),
        }
        for audience, stage, text in ((a, s, string.Template(t).substitute(words)) for a, s, t in drafts)
    ]


def contacts(plan: Plan, facts: Dict[str, Any]) -> List[Dict[str, str]]:
    """Return who to call: what plan and inventory name, and a placeholder for each role without a name."""
    given = facts.get("contacts") if isinstance(facts.get("contacts"), dict) else {}
    people = (
        [p for p in plan.root.get("stakeholders") or () if isinstance(p, dict)]
        if isinstance(plan.root.get("stakeholders"), list)
        else []
    )
    roles = {text_of(p, "role"): (text_of(p, "name"), text_of(p, "contact")) for p in people if text_of(p, "role")}
    for role in ("Tech lead", "DBA", "Business owner"):
        roles.setdefault(role, ("", ""))
    result = []
    for role, (name, contact) in roles.items():
        slug = re.sub(r"\W+", "_", role.lower()).strip("_")
        result.append(
            {
                "role": role,
                "name": name or f"{{{{{slug}_name}}}}",
                "contact": str((given or {}).get(role) or contact or f"{{{{{slug}_contact}}}}"),
            }
        )
    return result


# == 7. Reporting =====================================================================================


def step_slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "phase"


def abort_conditions(step: Step) -> List[str]:
    """Return what ends a step before it is done."""
    found = [f"not done after {step_timeout(step)} s"]
    if step.lock:
        found.append("a lock is still held after 3 attempts (rollback.sh exits with 75)")
    if step.script_type == "sql" and step.source_script_id:
        found.append("an ERROR line, also one that says `nothing was changed`")
    if step.precheck and step.precheck["meaning_if_not"].startswith("abort"):
        found.append(f"before the step: {step.precheck['command']} does not say {step.precheck['expect']}")
    return found


def step_timeout(step: Step) -> int:
    return max(600 if step.source_script_id else 120, int(step.minutes * 60 * 3))  # scripts wait 120 s for each lock


def step_json(step: Step, phase: Phase, number_: int, client: str) -> Dict[str, Any]:
    prefix = f"rb-{step_slug(phase.name)}-"
    lead = "Tech lead" if step.owner != "Tech lead" else "Business owner"
    one = client.replace("psql -X -q ", "psql -X -q -1 ")
    return {
        "step_id": f"{prefix}{number_:02d}",
        "name": step.name,
        "description": step.description,
        "script_type": step.script_type,
        "client": {"sql": one if step.single else client, "bash": "bash"}.get(step.script_type),
        "script_content": step.content,
        "estimated_duration_minutes": step.minutes,
        "estimate_basis": step.basis,
        "dependencies": [f"{prefix}{number_ - 1:02d}"] if number_ > 1 else [],
        "validation_commands": [check["command"] for check in step.verify],
        "precheck": step.precheck,
        "expected_output": step.expected,
        "verify": list(step.verify),
        "timeout_seconds": step_timeout(step),
        "abort_if": abort_conditions(step),
        "success_criteria": "; ".join(f"{c['command'].strip()} says {c['expect']}" for c in step.verify)
        or step.expected,
        "failure_escalation": f"Stop; run nothing after it. Call the {step.owner}, then the {lead}.",
        "rollback_order": number_,
        "owner_role": step.owner,
        "approval": list(step.approval),
        "idempotent": step.idempotent,
        "idempotent_how": step.idempotent_how or None,
        "lock": step.lock,
        "data_loss": step.data_loss,
        "source_script_id": step.source_script_id,
    }


def checkpoints(phase: Phase, steps: Sequence[Step], watched: Sequence[Trigger]) -> List[str]:
    """Return what holds once a phase is undone: its scripts' own checks, and what the steps by hand expect."""
    scripted = [step for step in steps if step.source_script_id]
    found = (
        [f"rollback.sh --from-phase {phase.name} ends with `finished`: {len(scripted)} scripts undone"]
        if scripted
        else []
    )
    found += [f"{step.name}: {step.expected}" for step in steps if not step.source_script_id]
    return found + [f"{t.metric} no longer {t.operator} {t.value:g} {t.unit}".rstrip() for t in watched]


class Shared(NamedTuple):
    """What every phase needs and the whole plan decides; found once, since a plan may have thousands of phases."""

    home: Optional[str]
    client: str
    triggers: Dict[str, List[Trigger]]


def shared_of(plan: Plan) -> Shared:
    watched: Dict[str, List[Trigger]] = {}
    for trigger in all_triggers(plan):
        for name in trigger.phases if trigger.action in CRITICAL_ACTIONS else ():
            watched.setdefault(name, []).append(trigger)
    return Shared(flags_home(plan), CLIENTS[dialect_of(plan)], watched)


def phase_json(plan: Plan, phase: Phase, facts: Dict[str, Any], shared: Shared) -> Dict[str, Any]:
    steps = invert(plan, phase, facts, shared.home)
    minutes = sum(step.minutes for step in steps)
    losses = [step.data_loss for step in steps if step.data_loss]
    return {
        "phase_name": f"rollback_{phase.name}",
        "forward_phase": phase.name,
        "description": f"Undo phase {phase.name}: {phase.description}"
        if phase.description
        else f"Undo phase {phase.name}",
        "urgency_level": {"critical": "emergency", "high": "urgent"}.get(phase.risk_level, "normal"),
        "estimated_duration_minutes": minutes,
        "reversible": CONDITIONAL if losses else REVERSIBLE,
        "prerequisites": [f"Phase {phase.name} has started", *([f"Approved: {loss}" for loss in losses])],
        "steps": [step_json(step, phase, place, shared.client) for place, step in enumerate(steps, 1)],
        "validation_checkpoints": checkpoints(phase, steps, shared.triggers.get(phase.name, ())),
        "communication_requirements": ["operations"] + (["executives", "customers"] if losses else []),
        "risk_level": phase.risk_level,
    }


def find_placeholders(value: Any, path: Path = ()) -> Iterator[Tuple[str, str]]:
    """Yield (name, where) of each {{name}} in any text of a document."""
    if isinstance(value, str):
        for name in PLACEHOLDER.findall(value):
            yield name, show_path(path)
    elif isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from find_placeholders(item, path + (key,))


QUOTES = {"bash": "'\\''", "sql": "''"}  # how a quote is written inside quotes


def fill_text(text: str, facts: Dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: facts.get(match.group(1), match.group()), text)


def fill_command(step: Dict[str, Any], facts: Dict[str, str]) -> str:
    """Return the command of a step filled in: a value stays inside its quotes, unless it is the whole command."""
    content = str(step["script_content"])
    if step.get("source_script_id"):
        return content  # the plan's own SQL is run as it stands
    quote = QUOTES.get(step["script_type"], "'")
    if PLACEHOLDER.fullmatch(content.strip()):
        quote = "'"
    return fill_text(content, {name: value.replace("'", quote) for name, value in facts.items()})


def fill(value: Any, facts: Dict[str, str]) -> Any:
    """Return a document with the placeholders that are known filled in."""
    if isinstance(value, str):
        return fill_text(value, facts)
    if isinstance(value, dict):
        filled = {key: fill(item, facts) for key, item in value.items()}
        if "script_content" in value:
            filled["script_content"] = fill_command(value, facts)
        return filled
    return [fill(item, facts) for item in value] if isinstance(value, list) else value


HOW_TO_OBTAIN = {  # where a blank of a step comes from; what is not here is known when it happens, or in an inventory
    "backup_location": "from the backup job's last run",
    "flag_service": "where the feature flags are set",
    "listener_arn": "aws elbv2 describe-listeners --load-balancer-arn ARN",
    "old_target_group_arn": "aws elbv2 describe-target-groups, the old side's",
    "new_target_group_arn": "aws elbv2 describe-target-groups, the new side's",
    "zone_id": "aws route53 list-hosted-zones",
    "saved_dns_records": "the change batch with the old records, saved before the migration",
    "authoritative_server": "dig NS of the zone",
    "application_role": "the role in the application's connection string",
    "previous_image_digest": "recorded before the migration, see preconditions",
    "reverse_slot": "SELECT slot_name FROM pg_replication_slots on the new side",
    "reverse_subscription": "SELECT subname FROM pg_subscription on the old side",
    "subscription": "SELECT subname FROM pg_subscription on the new side",
    "backfill_job": "the session or job that runs the migrate scripts; inventory backfill_application_name names it",
    "provisioned_resources": "the list of what the phase created: terraform state list, or the change ticket",
    "awareness_utc": "the minute in which somebody knew of the breach",
}
LIVE = re.compile(
    r"utc$|^(current_step|error_text|rows_lost|detected_by|open_points|root_cause|approver|ticket|customer)"
)


def list_placeholders(runbook: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Return each blank once: where it stands, what it stops, how to obtain it."""
    places: Dict[str, List[str]] = {}
    for name, where in find_placeholders(runbook):
        places.setdefault(name, []).append(where)
    return [
        {
            "name": name,
            "where": where,
            "required_for": "execution" if any(".steps[" in place for place in where) else "messages and reading",
            "how_to_obtain": HOW_TO_OBTAIN.get(name)
            or ("known when it happens" if LIVE.search(name) else f"from your inventory: --fill {name}=VALUE"),
        }
        for name, where in sorted(places.items())
    ]


def readiness(runbook: Dict[str, Any], plan: Plan) -> Dict[str, Any]:
    """Return whether the runbook can be executed as it stands, and what stops it."""
    blockers = []
    for entry in runbook["placeholders"]:
        inside = [where for where in entry["where"] if ".steps[" in where]
        if inside:
            blockers.append(
                f"{{{{{entry['name']}}}}} is open in {len(inside)} places of steps: {entry['how_to_obtain']}"
            )
    for phase in plan.phases:
        blockers += [
            f"{text_of(s, 'id')} of {phase.name} loses data and has no undo"
            for s in phase.scripts
            if s.get("reversibility") == "lossy" and not text_of(s, "rollback_script").strip()
        ]
    warnings = [
        f"{phase['phase_name']}: no script, {len(phase['steps'])} steps by hand"
        for phase in runbook["rollback_phases"]
        if all(step["script_type"] == "manual" for step in phase["steps"])
    ]
    viability = runbook["data_recovery_plan"]["restore_viability"]
    warnings += [viability] if viability and "not viable" in viability else []
    warnings += runbook["inconsistencies"]
    drill = sub(plan.specification, "readiness").get("rollback_tested")
    warnings += ["nobody has run this rollback yet: readiness.rollback_tested is false"] if drill is False else []
    return {"executable": not blockers, "blockers": blockers, "warnings": warnings}


def dns_minutes(plan: Plan) -> float:
    """Return the minutes until clients follow a DNS change: 60 s to propagate, then twice the TTL for the last ones."""
    cutover = sub(plan.specification, "cutover")
    ttl = number(cutover.get("dns_ttl_seconds"))
    return (60 + 2 * ttl) / 60 if cutover.get("switch") == "dns" and ttl is not None else 0.0


def time_objectives(plan: Plan, phases: Sequence[Dict[str, Any]], triggers: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """Return minutes from the fault to the end of the rollback, for each phase in which it may begin."""
    critical = [t["detection"]["seconds"] / 60 for t in triggers if t["severity"] == "critical"]
    verify = max([SOAK_MINUTES] + [2 * t["evaluation_window_minutes"] for t in triggers])
    parts = {
        "detect": round(min(critical, default=0.0), 1),
        "decide": DECIDE_MINUTES,
        "verify": round(verify, 1),
        "dns": round(dns_minutes(plan), 1),
    }
    automatic = any(t["auto_execute"] for t in triggers)
    parts["decide"] = 0 if automatic else DECIDE_MINUTES
    minutes, total = sum(parts.values()), {}
    for phase in reversed(phases):
        minutes += phase["estimated_duration_minutes"]
        total[phase["forward_phase"]] = round(minutes, 1)
    first = phases[0]["forward_phase"] if phases else ""
    parts["execute"] = round(minutes - sum(parts.values()), 1)
    allowed = number(sub(plan.specification, "business_continuity").get("rto_minutes"))
    return {
        "minutes": total.get(first, round(minutes, 1)),
        "by_from_phase": total,
        "components": parts,
        "formula": "detect + decide + DNS + sum of the steps from that phase back + verify",
        "allowed_minutes": allowed,
        "critical_path": [step["step_id"] for phase in phases for step in phase["steps"]],
        "assumptions": assumptions(phases, automatic),
    }


def assumptions(phases: Sequence[Dict[str, Any]], automatic: bool) -> List[str]:
    steps = [step for phase in phases for step in phase["steps"]]
    counted = len([step for step in steps if step["estimate_basis"].startswith("assumed")])
    found = [] if automatic else [f"decide: {DECIDE_MINUTES} min (assumed: 5 until the page is taken, 10 to decide)"]
    found.append(
        f"detect: the earliest critical trigger at twice its threshold, scrape {SCRAPE_SECONDS} s unless given"
    )
    return found + [
        f"{counted} of {len(steps)} step times are assumed; a rehearsal replaces them (estimate_basis says which)"
    ]


def recovery_point(plan: Plan, phases: Sequence[Dict[str, Any]], losses: Sequence[str]) -> Dict[str, Any]:
    """Return the seconds of data that the rollback loses: 0, or unknown with the reason."""
    by_phase: Dict[str, Optional[int]] = {}
    lost = False
    for phase in reversed(phases):
        lost = lost or any(step["data_loss"] for step in phase["steps"])
        by_phase[phase["forward_phase"]] = None if lost else 0
    wanted = number(sub(plan.specification, "business_continuity").get("rpo_minutes"))
    return {
        "seconds": 0 if not losses else None,
        "by_from_phase": by_phase,
        "reason": "every undo is lossless" if not losses else "; ".join(losses),
        "allowed_seconds": None if wanted is None else wanted * 60,
    }


def decision_tree(
    plan: Plan, phases: Sequence[Dict[str, Any]], rto: Dict[str, Any], watch: Watch
) -> List[Dict[str, Any]]:
    """Return the questions in their order, each with what answers it; the first yes decides."""
    point = point_of_no_return(plan)
    passed = f"phase {point['phase']} has started" if point["phase"] else "no phase of the plan is final"
    tables = plan_tables(plan)
    damage = (
        f"SELECT count(*) FROM {tables[0]}; and its like against the counts taken before"
        if tables
        else ("the reconciliation of both sides finds rows that differ")
    )
    scripted = [phase["forward_phase"] for phase in phases if any(step["source_script_id"] for step in phase["steps"])]
    error = promql(METRICS["error_rate"], watch)
    rows = [
        (
            "Is data being damaged now?",
            damage,
            "stop_writers",
            "stop the writers (flag off, read-only), page; restore nothing",
        ),
        (
            "Is the point of no return passed?",
            f"{passed}: {point['reason']}",
            "forward_fix",
            "fix forward, or repair from a restore beside; decides the "
            + ("Business owner" if point["phase"] else "Tech lead"),
        ),
        (
            "Are all triggers quiet and their values flat?",
            error,
            "pause",
            "hold this stage, raise nothing, look again in 15 min",
        ),
        (
            "Is only the new side ill, and the old side able to take over?",
            f"health and capacity of {plan.source or 'the old side'}; lag of the way back is 0",
            "rollback_traffic",
            "take traffic and flags back now; schema later or never",
        ),
        (
            "Is a fix proven that is live sooner than the rollback?",
            f"the rollback takes {rto['minutes']:g} min",
            "forward_fix",
            "release the fix",
        ),
    ]
    if scripted:
        rows.append(
            (
                "Is only unused schema there?",
                f"scripts of {scripted[-1]} ran, nothing reads what they made",
                "leave",
                "leave it; it harms nobody, take it back in working hours",
            )
        )
    first = phases[0]["phase_name"] if phases else "nothing"
    rows.append(
        ("Otherwise", f"no decision after {DECIDE_MINUTES} min", "rollback", f"roll back, beginning with {first}")
    )
    return [
        {"order": place, "question": question, "answered_by": answer, "outcome": outcome, "if_yes": action}
        for place, (question, answer, outcome, action) in enumerate(rows, 1)
    ]


def longest_way_back(plan: Plan, rto: Dict[str, Any]) -> float:
    """Return the minutes of a rollback from the last phase before the point of no return."""
    final = point_of_no_return(plan)["phase"]
    minutes = 0.0
    for phase in reversed(ordered(plan)):
        if phase.name == final:
            break
        minutes = rto["by_from_phase"].get(phase.name, minutes)
    return minutes


def inconsistencies(plan: Plan, rto: Dict[str, Any], facts: Dict[str, Any]) -> List[str]:
    """Return what plan and specification say against each other, as far as it matters on the way back."""
    found = []
    baseline = sub(plan.specification, "baseline")
    limits = sub(plan.specification, "monitoring", "alert_thresholds")
    old = number(baseline.get("p95_ms"))
    limit = number(limits.get("response_time_p95"))
    if old and limit and limit < old:
        found.append(
            f"the p95 alert at {limit:g} ms is tighter than the old side's own {old:g} ms: "
            "it fires after the rollback too"
        )
    allowed, minutes = rto["allowed_minutes"], longest_way_back(plan, rto)
    if allowed is not None and minutes > allowed:
        found.append(
            f"a rollback before the point of no return takes {minutes:g} min, "
            f"business_continuity.rto_minutes allows {allowed:g}"
        )
    sentence, fits = restore_arithmetic(plan, facts)
    special = sub(plan.specification, "constraints").get("special_requirements")
    if fits is False and isinstance(special, list) and "zero_data_loss" in special:
        found.append(f"zero_data_loss is required, and a restore is no way back: {sentence}")
    return found


def assemble(
    plan: Plan, from_phase: Optional[str], facts: Dict[str, Any], inputs: Sequence[Document]
) -> Dict[str, Any]:
    """Return the runbook of the contract."""
    order = ordered(plan)
    names = [phase.name for phase in order]
    if from_phase is not None and from_phase not in names:
        guess = did_you_mean(from_phase, names)
        raise InputError(
            f"--from-phase: found {from_phase!r}, expected one of {', '.join(reversed(names))}"
            + (f" (did you mean {guess!r}?)" if guess else "")
        )
    started = order[names.index(from_phase) :] if from_phase else order
    shared = shared_of(plan)
    phases = [phase_json(plan, phase, facts, shared) for phase in started]
    people = contacts(plan, facts)
    losses = sorted({step["data_loss"] for phase in phases for step in phase["steps"] if step["data_loss"]})
    watch = watch_of(plan, facts)
    triggers = [trigger_json(plan, trigger, phases, facts) for trigger in all_triggers(plan)]
    rto = time_objectives(plan, phases, triggers)
    runbook: Dict[str, Any] = {
        "schema_version": "1.0",
        "runbook_id": runbook_id(plan, from_phase, facts),
        "migration_id": plan.migration_id,
        "created_at": now(),
        "readiness": None,
        "from_phase": from_phase,
        "rollback_phases": phases,
        "point_of_no_return": point_of_no_return(plan),
        "decision_tree": decision_tree(plan, phases, rto, watch),
        "trigger_conditions": triggers,
        "data_recovery_plan": recovery_plan(plan, facts),
        "communication_templates": messages(plan, phases, rto, losses),
        "severity": severity(plan, losses),
        "escalation_matrix": [
            {"level": n, "role": person["role"], "after_minutes": 15 * (n - 1)} for n, person in enumerate(people, 1)
        ],
        "validation_checklist": checklist(plan, phases),
        "post_rollback_procedures": post_procedures(plan),
        "emergency_contacts": people,
        "rto": rto,
        "rpo": recovery_point(plan, phases, losses),
        "service_order": service_order(plan),
        "preconditions_captured_before_migration": preconditions(plan, facts),
        "inconsistencies": inconsistencies(plan, rto, facts),
        "placeholders": [],
        "provenance": provenance(TOOL, inputs),
    }
    runbook = fill(runbook, {key: str(value) for key, value in facts.items() if isinstance(value, (str, int, float))})
    for message in runbook["communication_templates"]:
        message["send_ready"] = not any(find_placeholders(message["text"]))
    runbook["placeholders"] = list_placeholders(runbook)
    runbook["readiness"] = readiness(runbook, plan)
    return runbook


def runbook_id(plan: Plan, from_phase: Optional[str], facts: Dict[str, Any]) -> str:
    """Return a name that changes with the plan and with what was asked: a stale runbook is seen."""
    import hashlib

    content = {key: value for key, value in plan.root.items() if key not in ("created_at", "provenance")}
    asked = json.dumps([content, from_phase, facts], sort_keys=True, default=str)
    return "rb_" + hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:12]


def service_order(plan: Plan) -> List[str]:
    """Return workloads and services with known directions, consumers first: the order in which they go back."""
    import graphlib

    constraints = sub(plan.specification, "constraints")
    entries = [*objects(plan.specification.get("workloads")), *objects(constraints.get("dependencies"))]
    needs = {
        text_of(e, "name"): e.get("depends_on")
        for e in entries
        if text_of(e, "name") and isinstance(e.get("depends_on"), list)
    }
    graph = {name: sorted(str(other) for other in others) for name, others in needs.items()}
    try:
        return list(graphlib.TopologicalSorter(graph).static_order())[::-1]
    except graphlib.CycleError:
        return []


def checklist(plan: Plan, phases: Sequence[Dict[str, Any]]) -> List[str]:
    checks = [
        f"{check['command'].strip()} says {check['expect']}"
        for phase in phases
        for step in phase["steps"]
        for check in step["verify"]
    ]
    checks += [f"rows of {table} as counted before the migration" for table in plan_tables(plan)]
    kept = [t for t in all_triggers(plan) if t.source.startswith("rollback_triggers")]
    return checks + [f"{t.metric} no longer {t.operator} {t.value:g} {t.unit}".rstrip() for t in kept]


def post_procedures(plan: Plan) -> List[str]:
    scripts = [s for phase in plan.phases for s in phase.scripts]
    found = (
        [f"Compare an export with the document before the migration ({plan.document.name} names its digest)"]
        if scripts
        else []
    )
    found += [f"Tell {name} that {plan.source or 'the old system'} serves again" for name in dependencies(plan)]
    return found + ["Write down when each step ran (rollback.journal), for the next estimate"]


def dependencies(plan: Plan) -> List[str]:
    constraints = plan.specification.get("constraints")
    entries = constraints.get("dependencies") if isinstance(constraints, dict) else None
    names = (
        [e if isinstance(e, str) else text_of(e, "name") if isinstance(e, dict) else "" for e in entries or ()]
        if isinstance(entries, list)
        else []
    )
    return [name for name in names if name]


CAPTURE = {  # what an action needs that only the state before the migration knows: what, command, where it goes
    "traffic_alb": ("listener", "aws elbv2 describe-listeners --listener-arns '{{listener_arn}}'", "listener.json"),
    "traffic_dns": ("DNS records", "aws route53 list-resource-record-sets --hosted-zone-id '{{zone_id}}'", "dns.json"),
    "traffic_service": ("selector", "kubectl -n '{{namespace}}' get service '{{service}}' -o json", "service.json"),
    "image": ("image digest", "kubectl -n '{{namespace}}' get 'deployment/{{deployment}}' -o json", "deployment.json"),
}


def preconditions(plan: Plan, facts: Dict[str, Any]) -> List[Dict[str, str]]:
    """Return what has to be recorded before the migration starts, without which the undo lacks its arguments."""
    found = [
        (f"rows of {table}", f"SELECT count(*) FROM {table};", f"counts/{table}.txt") for table in plan_tables(plan)
    ]
    for flag in objects(plan.specification.get("feature_flags")):
        name = text_of(flag, "name")
        found.append((f"position of flag {name}", f"read {name} in {{{{flag_service}}}}", f"flags/{name}.txt"))
    used = {name for phase in plan.phases for name in phase_actions(plan, phase)}
    used |= {traffic_action(plan, facts)} if "traffic" in used else set()
    found += [CAPTURE[name] for name in CAPTURE if name in used]
    if any(phase.scripts for phase in plan.phases) and dialect_of(plan) == "postgresql":
        point = f"rb_{plan.migration_id}_{next(p.name for p in plan.phases if p.scripts)}"
        found.append(("restore point", f"SELECT pg_create_restore_point('{point}');", "restore_point.txt"))
        found.append(("schema", 'psql -X -qAt -d "$DB" -f assets/export_schema_postgresql.sql', "before.json"))
    return [
        {"id": f"P{n:02d}", "what": what, "command": command, "saves_to": place}
        for n, (what, command, place) in enumerate(found, 1)
    ]


# == 8. Rendering =====================================================================================
# In: the runbook. Out: the same blocks as text for a terminal at night, as Markdown, as one HTML page that prints.

LONG_SCRIPT = 14  # lines; a longer one is run from its file, not pasted


class Block(NamedTuple):
    """Lines of the document. kind: title | state | heading | step | text | list | checks | code."""

    kind: str
    items: Tuple[str, ...]
    language: str = ""
    anchor: str = ""


def lines_block(kind: str, lines: Iterable[str]) -> Iterator[Block]:
    """Yield one block of lines, nothing when there are none."""
    items = tuple(one_line(line) for line in lines)
    if items:
        yield Block(kind, items)


def command_block(step: Dict[str, Any]) -> Iterator[Block]:
    """Yield what is to be run: the script itself, or how its file is run when nobody would paste it."""
    content = clean(step["script_content"]).rstrip()
    many = content.count("\n") + 1
    if step["script_type"] == "manual":
        yield Block("text", (one_line(content),))
    elif many > LONG_SCRIPT and step["source_script_id"]:
        stem = file_slug(step["source_script_id"])
        command = step["client"].replace("-f -", f"-f sql/{stem}.rollback.sql")
        command += "" if "-f sql/" in command else f" <sql/{stem}.rollback.sql"
        yield Block("code", (f"# {many} lines, written by --export DIR", command), "bash")
    else:
        yield Block("code", tuple(content.split("\n")), "sql" if step["script_type"] == "sql" else "bash")


def step_blocks(step: Dict[str, Any]) -> Iterator[Block]:
    limit = f"{step['owner_role']}, {step['estimated_duration_minutes']:g} min, stop after {step['timeout_seconds']} s"
    yield Block("step", (f"{step['step_id']}  {one_line(step['name'])}  ({limit})",), anchor=step["step_id"])
    before = step["precheck"]
    if before:
        yield from lines_block(
            "text", [f"before: {before['command']}", f"must say: {before['expect']}, else {before['meaning_if_not']}"]
        )
    yield from command_block(step)
    told = [f"expect: {step['expected_output']}"]
    told += [f"verify: {check['command']}  says {check['expect']}" for check in step["verify"]]
    told += [f"LOSES: {step['data_loss']}"] if step["data_loss"] else []
    told += [f"needs approval: {', '.join(step['approval'])}"] if step["approval"] else []
    told += [f"holds: {step['lock']}"] if step["lock"] else []
    told += [
        f"again: {step['idempotent_how']}"
        if step["idempotent"] and step["idempotent_how"]
        else "again: never, without a look at what the first run did"
        if not step["idempotent"]
        else "again: safe"
    ]
    yield from lines_block("text", [*told, f"fails: {step['failure_escalation']}"])


WHOLE_PHASE = (
    "One command (of --export DIR) finds out how far the migration went and takes back every script, of this phase and "
    "of those before. By hand, run a step only where its script did run: a query that says t is not enough."
)


def shell_word(text: str) -> str:
    import shlex

    return shlex.quote(one_line(text))


def phase_blocks(phase: Dict[str, Any]) -> Iterator[Block]:
    minutes = f"{phase['estimated_duration_minutes']:g} min, {phase['urgency_level']}"
    yield Block("heading", (f"{phase['phase_name']} ({minutes})",), anchor=phase["phase_name"])
    yield from lines_block("text", [phase["description"], *phase["prerequisites"]])
    if any(step["source_script_id"] for step in phase["steps"]):
        yield Block("text", (WHOLE_PHASE,))
        yield Block("code", (f"./rollback.sh --from-phase {shell_word(phase['forward_phase'])}",), "bash")
    for step in phase["steps"]:
        yield from step_blocks(step)
    yield from lines_block("checks", phase["validation_checkpoints"])


def front_blocks(runbook: Dict[str, Any]) -> Iterator[Block]:
    """Yield what has to be known before the first step: is it ready, when to stop, what decides."""
    ready, point, rto, rpo = (runbook[key] for key in ("readiness", "point_of_no_return", "rto", "rpo"))
    yield Block("title", (f"Rollback runbook {runbook['runbook_id']} for migration {runbook['migration_id']}",))
    state = (
        "READY: every step can be executed as it stands"
        if ready["executable"]
        else "NOT READY: fill in what is open first"
    )
    yield Block("state", (state,))
    yield from lines_block("list", [f"blocker: {text}" for text in ready["blockers"]])
    yield from lines_block("list", [f"warning: {text}" for text in ready["warnings"]])
    yield Block("heading", ("Limits",))
    parts = ", ".join(f"{name} {value:g}" for name, value in rto["components"].items())
    lost = "0 s" if rpo["seconds"] == 0 else "not 0"
    told = [
        f"Point of no return: {point['phase'] or 'none'} ({point['reason']})",
        *(f"It moves back when you {text}" for text in point["extend_by"]),
        f"Time to recover: {rto['minutes']:g} min = {parts} ({rto['formula']})",
        "By last phase started: " + ", ".join(f"{name} {value:g} min" for name, value in rto["by_from_phase"].items()),
        f"Data lost: {lost} ({rpo['reason']})",
        *rto["assumptions"],
    ]
    yield from lines_block("list", told)
    yield Block("heading", ("Decide first",))
    yield from lines_block(
        "list",
        [f"{d['order']}. {d['question']} -> {d['if_yes']} [{d['answered_by']}]" for d in runbook["decision_tree"]],
    )
    yield Block("heading", ("Roll back when",))
    yield from lines_block(
        "list",
        [f"{t['trigger_id']} {t['condition']} -- {t['action']}" + auto_note(t) for t in runbook["trigger_conditions"]],
    )


def auto_note(trigger: Dict[str, Any]) -> str:
    if trigger["auto_execute"]:
        return f", by a program: {trigger['auto_execute_reason']}"
    return f", by a person: {trigger['auto_execute_reason']}" if trigger["action"] == AUTOMATIC else ""


def back_blocks(runbook: Dict[str, Any]) -> Iterator[Block]:
    """Yield what follows the steps: data, checks, people, blanks."""
    data = runbook["data_recovery_plan"]
    yield Block("heading", ("Data",))
    viability = data["restore_viability"]
    yield from lines_block(
        "list",
        [
            f"{data['method']}: {data['because']}; {data['how']}",
            f"Never {data['never']}",
            *([viability] if viability else []),
            *data["point_in_time_restore_beside"],
        ],
    )
    yield Block("heading", ("Record before the migration starts",))
    yield from lines_block(
        "checks",
        [f"{p['what']}: {p['command']} > {p['saves_to']}" for p in runbook["preconditions_captured_before_migration"]],
    )
    yield Block("heading", ("Check at the end",))
    yield from lines_block("checks", runbook["validation_checklist"])
    yield from lines_block("checks", runbook["post_rollback_procedures"])
    yield Block("heading", ("Call",))
    yield from lines_block("list", [f"{p['role']}: {p['name']}, {p['contact']}" for p in runbook["emergency_contacts"]])
    yield Block("heading", ("Messages",))
    for message in runbook["communication_templates"]:
        yield Block(
            "text",
            (f"{message['audience']}, {message['stage']} ({message['when']}):", *clean(message["text"]).split("\n")),
        )
    if runbook["placeholders"]:
        yield Block("heading", ("Open placeholders",))
        yield from lines_block("list", [f"{{{{{p['name']}}}}}: {p['how_to_obtain']}" for p in runbook["placeholders"]])


def blocks(runbook: Dict[str, Any]) -> Iterator[Block]:
    yield from front_blocks(runbook)
    for phase in runbook["rollback_phases"]:
        yield from phase_blocks(phase)
    yield from back_blocks(runbook)


def text_lines(block: Block) -> List[str]:
    """Return a block for a terminal: commands stand at the left margin, so that they can be copied as they are."""
    head = block.items[0]
    if block.kind in ("title", "state"):
        return [head]
    if block.kind == "heading":
        return ["", f"== {head} " + "=" * max(3, 76 - len(head))]
    if block.kind == "step":
        return ["", f"[ ] {head}"]
    if block.kind == "code":
        return list(block.items)
    mark = {"list": "  - ", "checks": "  [ ] "}.get(block.kind, "    ")
    return [mark + item for item in block.items]


def render_text(runbook: Dict[str, Any]) -> str:
    """Return the runbook for a tired person: can it be run, when to stop, then one step after the other."""
    return clean("\n".join(line for block in blocks(runbook) for line in text_lines(block)) + "\n")


MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>#|])")


def markdown_text(text: str) -> str:
    return MARKDOWN_SPECIAL.sub(r"\\\1", text)


def markdown_lines(block: Block) -> List[str]:
    if block.kind == "code":
        longest = max((len(run) for line in block.items for run in re.findall("`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        return ["", f"{fence}{block.language}", *block.items, fence]
    items = [markdown_text(item) for item in block.items]
    mark = {"title": "# ", "heading": "## ", "step": "- [ ] **", "list": "- ", "checks": "- [ ] "}.get(block.kind, "")
    if block.kind == "step":
        return ["", f"{mark}{items[0]}**"]
    gap = [""] if block.kind in ("title", "state", "heading", "list", "checks", "text") else []
    tail = "  " if block.kind == "text" else ""
    return gap + [mark + item + tail for item in items]


def render_markdown(runbook: Dict[str, Any]) -> str:
    return clean("\n".join(line for block in blocks(runbook) for line in markdown_lines(block)).strip() + "\n")


PAGE_STYLE = """body{font:15px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}
h1{font-size:1.5em}h2{border-bottom:2px solid #555;margin-top:2em}h3{margin:1.4em 0 .3em}
pre{background:#f2f2f2;border:1px solid #bbb;padding:.6em;white-space:pre-wrap;overflow-wrap:anywhere}
ul{padding-left:1.3em}p{margin:.2em 0}.checks{list-style:none;padding-left:0}
@media print{body{max-width:none;margin:0;font-size:10.5pt}h2{break-before:page}h3,pre{break-inside:avoid}}"""


def html_block(block: Block) -> str:
    import html

    items = [html.escape(item) for item in block.items]
    name = f' id="{html.escape(step_slug(block.anchor))}"' if block.anchor else ""
    if block.kind == "title":
        return f"<h1>{items[0]}</h1>"
    if block.kind == "heading":
        return f"<h2{name}>{items[0]}</h2>"
    if block.kind == "step":
        return f'<h3{name}><label><input type="checkbox"> {items[0]}</label></h3>'
    if block.kind == "code":
        return "<pre><code>" + "\n".join(items) + "</code></pre>"
    if block.kind == "checks":
        rows = "".join(f'<li><label><input type="checkbox"> {item}</label></li>' for item in items)
        return f'<ul class="checks">{rows}</ul>'
    if block.kind == "list":
        return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
    return "".join(f"<p>{item}</p>" for item in items)


def render_html(runbook: Dict[str, Any]) -> str:
    """Return one page that needs nothing else: no script, no font, no picture from elsewhere."""
    import html

    title = html.escape(f"Rollback of {runbook['migration_id']}")
    body = "\n".join(html_block(block) for block in blocks(runbook))
    head = f'<meta charset="utf-8"><title>{title}</title><style>{PAGE_STYLE}</style>'
    return clean(f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n')


RENDERERS: Dict[str, Callable[[Dict[str, Any]], str]] = {
    "json": to_json,
    "text": render_text,
    "markdown": render_markdown,
    "html": render_html,
}


def rendered_message(runbook: Dict[str, Any], wanted: str) -> str:
    """Return one message that can be sent; refused while a blank is open, since a blank is what gets sent at night."""
    chosen = [m for m in runbook["communication_templates"] if f"{m['audience']}:{m['stage']}" == wanted]
    if not chosen:
        names = [f"{m['audience']}:{m['stage']}" for m in runbook["communication_templates"]]
        guess = did_you_mean(wanted, names)
        raise InputError(
            f"--message: found {wanted!r}, expected one of {', '.join(names)}"
            + (f" (did you mean {guess!r}?)" if guess else "")
        )
    still = list(dict.fromkeys(name for name, _ in find_placeholders(chosen[0]["text"])))
    if still:
        raise OpenBlanks(*(f"{wanted}: {{{{{name}}}}} is open: --fill {name}=VALUE" for name in still))
    return clean(chosen[0]["text"]) + "\n"


# == 9. Exporting the undo ============================================================================
# In: the runbook. Out: the files of --export, name -> text. Each is loaded or run by a real tool: psql, bash, promtool.

SHELL_HEAD = r"""#!/usr/bin/env bash
# Undo of migration @MIGRATION@, generated from the plan whose SHA-256 is @DIGEST@.
# shellcheck disable=SC2016 # names of the plan are data, whatever they look like
# Each undo is one SQL file beside this script; the validation queries of the plan say how far the migration went.
set -Eeuo pipefail
export LC_ALL=C PGCONNECT_TIMEOUT=10 PGAPPNAME=@APPLICATION@
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
JOURNAL=${JOURNAL:-$HERE/rollback.journal}
DB=${DB:-${@DB_VARIABLE@:-}}
FROM_PHASE=@LAST_PHASE@
DRY_RUN=
STOPPED_IN=
STEP=-
PHASES=(@PHASES@)
@TUNING@
usage() {
  cat <<USAGE
usage: DB=@DB_EXAMPLE@ rollback.sh [--from-phase NAME] [--stopped-in SCRIPT] [--dry-run]
  --from-phase NAME  the last phase that started (default: $FROM_PHASE), one of: ${PHASES[*]}
  --stopped-in NAME  the script (001_expand_...) in which the migration failed, where the database cannot tell
  --dry-run          print what would run, change nothing
environment: DB, JOURNAL (default $JOURNAL), APPROVED_BY (name, where a step asks for approval)
exit codes: 0 undone, 64 usage, 65 blocked before anything changed, 66 approval missing, 69 no answer from the database,
  70 step failed, 71 step ran but its check still sees the change,
  72 rows written since would not survive the step, 75 a lock is held: try again
USAGE
}
die() {  # EXIT_CODE MESSAGE
  printf 'rollback.sh: %s\n' "$2" >&2
  [ "$STEP" = - ] || log "$STEP" "failed-$1" "$2" >/dev/null
  exit "$1"
}
log() {  # STEP STATUS DETAIL
  printf '%s\t%s\t%s\t%s\n' "$(date -u +%FT%TZ)" "$1" "$2" "${3:-}" |
    if [ -n "$DRY_RUN" ]; then cat; else tee -a "$JOURNAL"; fi
}
trap 'log "$STEP" aborted "line $LINENO; call @ESCALATION@"' ERR
rank() {  # prints the place of a phase in the order of execution
  local i
  for i in "${!PHASES[@]}"; do
    if [ "${PHASES[i]}" = "$1" ]; then echo "$i"; return 0; fi
  done
  return 1
}
"""

# What differs between databases: environment, how a file is run, how a query is asked, which failures mean what.
SHELL_DIALECT = {
    "postgresql": {
        "DB_VARIABLE": "PGDATABASE",
        "DB_EXAMPLE": "shop",
        "TUNING": 'PSQL=${PSQL:-psql}\nexport PGOPTIONS="-c lock_timeout=5s ${PGOPTIONS:-}"',
        "CLIENT": '"$PSQL" -X -q ${2:+"$2"} -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d "$DB" -f "$1"',
        "ASK": '"$PSQL" -X -qAt -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d "$DB" -f "$1"',
        "LEFTOVER": """leftover() {
  "$PSQL" -X -qAt -d "$DB" -c "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()"
}
for wait in ${HAS_SQL:+1 2 3 4 0}; do  # a statement of a killed run goes on in the server until it ends
  count=$(leftover) || die 69 "the database does not answer"
  if [ "$count" = 0 ]; then break; fi
  [ "$wait" != 0 ] || die 75 "$count session of an earlier run is still at work: SELECT * FROM pg_stat_activity"
  sleep "$wait"
done
""",
        "LOCKED": ": +(55P03|40P01):",  # lock_not_available, deadlock_detected
        "THERE": ": +(42701|42710|42P07):",  # duplicate column, object, table
        "MISSING": ": +(42P01|42703|42704|42883|3F000):",  # undefined table, column, object, function, schema
    },
    "mysql": {
        "DB_VARIABLE": "MYSQL_DATABASE",
        "DB_EXAMPLE": "shop",
        "TUNING": "MARIADB=${MARIADB:-mariadb}\n"
        "WAITS='SET SESSION lock_wait_timeout=5, innodb_lock_wait_timeout=5'  # seconds",
        "CLIENT": '"$MARIADB" --init-command="$WAITS" "$DB" <"$1"',
        "ASK": '"$MARIADB" -N -B --init-command="$WAITS" "$DB" <"$1"',
        "LEFTOVER": "",
        "LOCKED": r"ERROR (1205|1213) ",  # ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
        "THERE": r"ERROR (1050|1060|1061) ",  # table, column, key exists
        "MISSING": r"ERROR (1146|1054|1091|1305) ",  # no such table, column, key, routine
    },
    "sqlite": {
        "DB_VARIABLE": "SQLITE_DATABASE",
        "DB_EXAMPLE": "shop.db",
        "TUNING": "SQLITE3=${SQLITE3:-sqlite3}",
        "CLIENT": '"$SQLITE3" -bail -batch -cmd ".timeout 5000" "$DB" <"$1"',
        "ASK": '"$SQLITE3" -bail -batch -cmd ".timeout 5000" "$DB" <"$1"',
        "LEFTOVER": "",
        "LOCKED": "database (table )?is locked",
        "THERE": "already exists|duplicate column",
        "MISSING": "no such (table|column|index)",
    },
}

SHELL_BODY = r"""
client() { timeout --foreground -s INT -k 10 "$3" @CLIENT@; }  # FILE OPTION SECONDS
ask() { @ASK@; }
ERRORS=$(mktemp)
trap 'rm -f "$ERRORS"' EXIT

present() {  # QUERY_FILE: 0 the change is there, 1 it is not, 2 the database does not answer
  local answer
  if answer=$(ask "$HERE/$1" 2>"$ERRORS"); then
    case $answer in t | 1) return 0 ;; *) return 1 ;; esac
  fi
  if grep -Eq '@MISSING@' "$ERRORS"; then return 1; fi
  cat "$ERRORS" >&2
  if grep -Eq '@LOCKED@' "$ERRORS"; then die 75 "a lock is held by another session; nothing was changed"; fi
  return 2
}

limited() {  # SECONDS FILE UNIT: runs an undo and interrupts it after SECONDS, which also cancels its statement
  local code=0 one=
  if [ "$3" = single ]; then one=-1; fi  # psql: the whole file is one transaction
  client "$HERE/$2" "$one" "$1" 2>"$ERRORS" || code=$?
  if [ "$code" = 124 ]; then echo "no end after $1 s" >>"$ERRORS"; fi
  return "$code"
}

undo() {  # SECONDS FILE UNIT STATE: three attempts while a lock is held
  local attempt code began
  for attempt in 1 2 3; do
    began=$SECONDS
    code=0
    limited "$1" "$2" "$3" || code=$?
    if [ "$code" = 0 ]; then cat "$ERRORS" >&2; return 0; fi
    if [ "$4" = maybe ] && grep -Eq '@MISSING@|@THERE@' "$ERRORS"; then
      log "$STEP" not-there "its undo found nothing to undo"
      return 0
    fi
    cat "$ERRORS" >&2
    if grep -Eq 'nothing was changed' "$ERRORS"; then
      die 72 "$STEP: rows written since would not survive, see above; nothing after it ran; call @ESCALATION@"
    fi
    grep -Eq '@LOCKED@' "$ERRORS" || die 70 "$STEP failed (exit $code): $2; nothing after it ran; call @ESCALATION@"
    log "$STEP" locked "attempt $attempt"
    if [ "$attempt" = 3 ] || [ $((SECONDS - began)) -gt 60 ]; then break; fi  # a long attempt has retried by itself
    sleep $((attempt * attempt * ${BACKOFF_SECONDS:-5}))
  done
  die 75 "$STEP: a lock is held by another session; nothing after it ran; run the same command again"
}

# Undo steps in their order of execution: ID PHASE KIND SECONDS UNIT CHECK APPROVAL FILE DESCRIPTION
# CHECK says what the query looks for: presence or absence of an object, rows, or none: there is no query.
# UNIT: own and single are all or nothing (the file's own transaction, or one around it), parts may end half-way.
IDS=() STEP_PHASES=() KINDS=() LIMITS=() UNITS=() CHECKS=() APPROVALS=() FILES=() TEXTS=()
add() {
  IDS+=("$1") STEP_PHASES+=("$2") KINDS+=("$3") LIMITS+=("$4") UNITS+=("$5") CHECKS+=("$6") APPROVALS+=("$7")
  FILES+=("$8") TEXTS+=("$9")
}
@STEPS@

while [ $# -gt 0 ]; do
  case $1 in
    --from-phase) [ $# -ge 2 ] || die 64 "--from-phase needs a name"; FROM_PHASE=$2; shift 2 ;;
    --from-phase=*) FROM_PHASE=${1#*=}; shift ;;
    --stopped-in) [ $# -ge 2 ] || die 64 "--stopped-in needs a script"; STOPPED_IN=$2; shift 2 ;;
    --dry-run) DRY_RUN=1; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die 64 "unknown argument: $1" ;;
  esac
done
FROM_RANK=$(rank "$FROM_PHASE") || die 64 "unknown phase: $FROM_PHASE; one of: ${PHASES[*]}"
HAS_SQL=
for kind in "${KINDS[@]}"; do if [ "$kind" = sql ]; then HAS_SQL=1; fi; done
[ -z "$HAS_SQL" ] || [ -n "$DB" ] || die 64 "set DB to the database"
for file in "${FILES[@]}"; do
  [ -z "$file" ] || [ -r "$HERE/$file" ] || die 65 "$file is missing beside rollback.sh"
done
for i in "${!IDS[@]}"; do  # a blank in a command is a blocker, found before anything runs
  if [ -n "${FILES[i]}" ] && grep -Eq '[{][{][a-z][a-z0-9_]*[}][}]' "$HERE/${FILES[i]}"; then
    die 65 "${IDS[i]}: ${FILES[i]} holds an unfilled {{placeholder}}; generate again with --fill or --inventory"
  fi
done
if [ ! -e "$JOURNAL" ]; then : >"$JOURNAL" || die 64 "JOURNAL $JOURNAL cannot be written"; fi
exec 9>>"$JOURNAL" || die 64 "JOURNAL $JOURNAL cannot be written"
if command -v flock >/dev/null; then  # an orphaned client of a killed run holds this lock too
  flock -w 20 9 || die 75 "another rollback of this migration is running ($JOURNAL)"
fi
@LEFTOVER@
# How far did the migration go? Scripts ran in order, so one place in the list divides those that are there from those
# that are not: the place that agrees best with all answers. An answer counts less where it can mislead: an object that
# is gone may never have been there, one that is missing may have served its turn, rows may look migrated by themselves.
last_word() { awk -F'\t' -v id="$1" '$2 == id { word = $3 } END { print word }' "$JOURNAL"; }
ORDER=() ANSWERS=() SCORE=0
for ((i = ${#IDS[@]} - 1; i >= 0; i--)); do
  [ "${KINDS[i]}" = sql ] || continue
  code=3
  if [ "${CHECKS[i]}" != none ]; then
    code=0
    present "${FILES[i]%.rollback.sql}.check.sql" || code=$?
    [ "$code" != 2 ] || die 69 "the database does not answer"
  fi
  ORDER+=("$i") ANSWERS+=("$code")
done
weight() {  # CHECK ANSWER
  case $1$2 in presence0 | absence1) echo 3 ;; presence1) echo 2 ;; none*) echo 0 ;; *) echo 1 ;; esac
}
BEST=0 CUT=0
for n in "${!ORDER[@]}"; do  # from "nothing is there" on, each script that is taken as there
  w=$(weight "${CHECKS[ORDER[n]]}" "${ANSWERS[n]}")
  if [ "${ANSWERS[n]}" = 0 ]; then SCORE=$((SCORE + w)); else SCORE=$((SCORE - w)); fi
  if [ "$w" != 0 ] && [ "$SCORE" -ge "$BEST" ] && [ "${ANSWERS[n]}" = 0 ]; then BEST=$SCORE CUT=$((n + 1)); fi
done
# Behind the cut: scripts without a query may have run, and the first that is absent may be half there; behind the
# former nobody knows about the latter but who saw the migration stop.
STATE=()
for n in "${!ORDER[@]}"; do STATE[ORDER[n]]=never; done
for ((n = 0; n < CUT; n++)); do STATE[ORDER[n]]=there; done
unknown=0
for ((n = CUT; n < ${#ORDER[@]}; n++)); do
  i=${ORDER[n]}
  if [ "${CHECKS[i]}" = none ]; then STATE[i]=maybe unknown=$((unknown + 1)); continue; fi
  if [ "${UNITS[i]}" = parts ] && [ "$unknown" = 0 ]; then STATE[i]=maybe; fi
  break
done
if [ -n "$STOPPED_IN" ]; then
  for ((n = CUT; n < ${#ORDER[@]}; n++)); do
    i=${ORDER[n]}
    STATE[i]=maybe
    name=${FILES[i]##*/}
    if [ "${name%.rollback.sql}" = "$STOPPED_IN" ] || [ "${IDS[i]}" = "$STOPPED_IN" ]; then STOPPED_IN=; break; fi
  done
  [ -z "$STOPPED_IN" ] || [ "$CUT" = "${#ORDER[@]}" ] ||
    die 64 "--stopped-in: no script $STOPPED_IN behind those that are there"
elif [ "$unknown" != 0 ] && [ "$n" -lt "${#ORDER[@]}" ] && [ "${UNITS[ORDER[n]]}" = parts ]; then
  log "${IDS[ORDER[n]]}" assumed-absent "if the migration stopped inside ${TEXTS[ORDER[n]]#Undo }, pass --stopped-in"
fi
# An undo can leave an earlier change in a form that its query does not know. What a run that did not finish had found,
# and not yet undone, is still there.
while IFS= read -r id; do
  for n in "${!ORDER[@]}"; do
    i=${ORDER[n]}
    if [ "${IDS[i]}" = "$id" ] && [ "${STATE[i]}" != there ]; then STATE[i]=there; fi
  done
done < <(awk -F'\t' '$2 == "-" && $3 == "finished" { delete found } $3 == "found" { found[$2] = 1 }
  $3 == "undone" || $3 == "not-there" { delete found[$2] } END { for (id in found) print id }' "$JOURNAL")
if [ -z "$DRY_RUN" ]; then
  for n in "${!ORDER[@]}"; do
    i=${ORDER[n]}
    if [ "${STATE[i]}" = there ]; then log "${IDS[i]}" found "${TEXTS[i]}" >/dev/null; fi
  done
fi
if [ "$CUT" -gt 0 ]; then
  i=${ORDER[CUT - 1]}
  [ "$(rank "${STEP_PHASES[i]}")" -le "$FROM_RANK" ] ||
    die 65 "${IDS[i]} (${TEXTS[i]}) is present: start with --from-phase ${STEP_PHASES[i]}"
fi

for i in "${!IDS[@]}"; do
  STEP=${IDS[i]}
  if [ "$(rank "${STEP_PHASES[i]}")" -gt "$FROM_RANK" ]; then continue; fi
  if [ "${KINDS[i]}" = bash ]; then
    if [ -n "$DRY_RUN" ]; then printf '%s\twould run %s\n' "$STEP" "${FILES[i]}"; continue; fi
    log "$STEP" start "${TEXTS[i]}"
    timeout "${LIMITS[i]}" bash "$HERE/${FILES[i]}" ||
      die 70 "$STEP failed: ${FILES[i]}; nothing after it ran; call @ESCALATION@"
    log "$STEP" undone
    continue
  fi
  if [ "${KINDS[i]}" = manual ]; then log "$STEP" by-hand "${TEXTS[i]}"; continue; fi
  case ${STATE[i]} in
    never) log "$STEP" not-there "${TEXTS[i]}"; continue ;;
    maybe) if [ "$(last_word "$STEP")" = undone ]; then log "$STEP" not-there "${TEXTS[i]}"; continue; fi ;;
  esac
  if [ -n "$DRY_RUN" ]; then printf '%s\twould run %s\n' "$STEP" "${FILES[i]}"; continue; fi
  if [ -n "${APPROVALS[i]}" ] && [ -z "${APPROVED_BY:-}" ]; then
    die 66 "$STEP needs the approval of ${APPROVALS[i]}: set APPROVED_BY to who gave it"
  fi
  log "$STEP" start "${TEXTS[i]}${APPROVED_BY:+, approved by $APPROVED_BY}"
  undo "${LIMITS[i]}" "${FILES[i]}" "${UNITS[i]}" "${STATE[i]}"
  if [ "${CHECKS[i]}" = presence ] || [ "${CHECKS[i]}" = absence ]; then
    check=${FILES[i]%.rollback.sql}.check.sql
    code=0
    present "$check" || code=$?
    [ "$code" != 2 ] || die 69 "the database does not answer"
    if [ "$code" = 0 ]; then
      log "$STEP" still-there
      die 71 "$STEP ran, but $check still sees the change; call @ESCALATION@"
    fi
  fi
  log "$STEP" undone
done
STEP=-
[ -n "$DRY_RUN" ] || log - finished "from $FROM_PHASE"
"""
CATALOGUE = re.compile(r"\b(pg_\w+|to_reg\w+|information_schema|sqlite_\w+|pragma_\w+)", re.IGNORECASE)
SHELL_SAFE = re.compile(r"[\w.-]+")


EXPORT_README = """# Undo of migration @id@

| what | command, in this folder |
|---|---|
| see what would run | `DB=@db@ ./rollback.sh --from-phase @first@ --dry-run` |
| undo | `DB=@db@ ./rollback.sh --from-phase @first@`; `./rollback.sh --help` lists the exit codes |
| check the rules | `promtool check rules --lint=all --lint-fatal prometheus.rules.json` |
| run their unit tests | `promtool test rules prometheus.rules.test.json` |
| check the routes | `amtool check-config alertmanager.json` |
| publish the metrics | copy `migration.prom` into node_exporter's textfile folder: to another name, then `mv` |
| import the dashboard | Grafana, Dashboards, New, Import: `grafana-dashboard.json` |

Prometheus and Alertmanager read JSON as they read YAML: name the files in `rule_files` and `--config.file`.
The series need the labels `@selector@`, or give `metric_selector` in the inventory. Secrets are files that you write:
@secrets@.
`*.template.json` holds blanks: fill them with `--fill NAME=VALUE` and export again; only a file without `template`
in its name may be sent.
"""


def export_readme(plan: Plan, runbook: Dict[str, Any], facts: Dict[str, Any], first: Optional[str]) -> str:
    names = [phase["forward_phase"] for phase in runbook["rollback_phases"]]
    secrets = sorted(set(re.findall(r'_file": "([^"]+)"', json.dumps(alertmanager(plan, facts)))))
    words = {
        "id": plan.migration_id,
        "db": SHELL_DIALECT[dialect_of(plan)]["DB_EXAMPLE"],
        "first": file_slug(first or (names[0] if names else "")),
        "selector": watch_of(plan, facts).cohort,
        "secrets": ", ".join(f"`{path}`" for path in secrets),
    }
    return re.sub(r"@(\w+)@", lambda match: one_line(words[match.group(1)]).replace("`", ""), EXPORT_README)


def export_files(plan: Plan, runbook: Dict[str, Any], facts: Dict[str, Any], first: Optional[str]) -> Dict[str, str]:
    """Return every file of --export by its name; `first` is the last phase that started, when it is known."""
    scripts = rollback_files(plan, runbook, first)
    return {**scripts, **alert_files(plan, runbook, facts), "README.md": export_readme(plan, runbook, facts, first)}


def rollback_files(plan: Plan, runbook: Dict[str, Any], first: Optional[str]) -> Dict[str, str]:
    """Return rollback.sh with the SQL that it runs."""
    scripts = {text_of(s, "id"): s for p in plan.phases for s in p.scripts}
    files: Dict[str, str] = {}
    rows = []
    for phase in runbook["rollback_phases"]:
        for step in phase["steps"]:
            stem = f"sql/{file_slug(step['source_script_id'] or step['step_id'])}"
            script = scripts.get(step["source_script_id"] or "", {})
            query = text_of(script, "validation_query").strip()
            is_sql = step["script_type"] == "sql" and bool(script)  # other SQL has another database as its place
            path = f"{stem}.rollback.sql" if is_sql else ""
            if (
                step["script_type"] == "bash"
                and step["idempotent"]
                and not any(find_placeholders(step["script_content"]))
            ):
                path = f"steps/{file_slug(step['step_id'])}.sh"
                files[path] = f"#!/usr/bin/env bash\nset -euo pipefail\n{step['script_content'].rstrip()}\n"
            if is_sql:
                files[f"{stem}.rollback.sql"] = step["script_content"].rstrip() + "\n"
            if is_sql and query:
                files[f"{stem}.check.sql"] = query + "\n"
            rows.append(add_row(step, one_line(phase["forward_phase"]), path, script))
    return {"rollback.sh": shell_script(plan, runbook, rows, first), **files}


def file_slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip(".") or "step"


def unit_of(script: Dict[str, Any]) -> str:
    """Return whether a script and its undo are all or nothing: by their own transaction, by one around them, or not."""
    undo = text_of(script, "rollback_script")
    if script.get("transactional") is not True:
        return "parts"
    if re.search(r"^\s*BEGIN\b[^;\n]*;", undo, re.MULTILINE | re.IGNORECASE):
        return "own"
    return "parts" if re.search(r"\b(COMMIT|CONCURRENTLY|VACUUM)\b", undo, re.IGNORECASE) else "single"


def check_of(script: Dict[str, Any]) -> str:
    """Return what the validation query of a script looks for: none, presence or absence of an object, or rows."""
    query = text_of(script, "validation_query")
    if not query.strip():
        return "none"
    if not CATALOGUE.search(query):
        return "rows"
    return (
        "absence"
        if re.match(r"\s*SELECT\s+NOT\b", query, re.I) or re.search(r"IS\s+NULL\W*$", query, re.I)
        else "presence"
    )


def add_row(step: Dict[str, Any], phase: str, path: str, script: Dict[str, Any]) -> str:
    """Return the line of rollback.sh that declares one step."""
    import shlex

    kind = step["script_type"] if path else "manual"
    approval = ", ".join(step["approval"])
    limit, unit = str(step["timeout_seconds"]), unit_of(script)
    cells = (step["step_id"], phase, kind, limit, unit, check_of(script), approval, path, one_line(step["name"]))
    return "add " + " ".join(shlex.quote(cell) for cell in cells)


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def shell_script(plan: Plan, runbook: Dict[str, Any], rows: Sequence[str], first: Optional[str]) -> str:
    import shlex

    names = [one_line(phase["forward_phase"]) for phase in reversed(runbook["rollback_phases"])]
    facts = {
        "MIGRATION": one_line(plan.migration_id),
        "DIGEST": plan.document.sha256,
        "APPLICATION": shlex.quote(f"rollback_{file_slug(plan.migration_id)}"[:63]),
        "LAST_PHASE": shlex.quote(one_line(first) if first else names[-1] if names else ""),
        "PHASES": " ".join(shlex.quote(name) for name in names),
        "ESCALATION": "the DBA",
        **SHELL_DIALECT[dialect_of(plan)],
    }
    text = SHELL_HEAD + SHELL_BODY.replace("@STEPS@", "\n".join(rows))
    return re.sub(r"@([A-Z_]+)@", lambda match: facts.get(match.group(1), match.group()), text)


def write_export(folder: str, files: Dict[str, str]) -> None:
    """Write the files of an export; rollback.sh may be executed."""
    try:
        os.makedirs(os.path.join(folder, "sql"), exist_ok=True)
        for name in files:
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}")
    for name, text in files.items():
        write_file(os.path.join(folder, name), text, 0o777 if name.endswith(".sh") else 0o666)


# == 10. Exporting the alerts =========================================================================
# JSON is written where a tool reads YAML: every JSON document is one. ensure_ascii stays off, since a surrogate pair is
# no valid YAML escape; annotations are Go templates, so that braces of the plan are written as text.


def dump_json(value: Any) -> str:
    return clean(json.dumps(value, ensure_ascii=False, indent=2)) + "\n"


def go_text(text: str) -> str:
    """Return a text that a Go template prints as it is."""
    return re.sub(r"\{\{|\}\}", lambda match: '{{ "' + match.group() + '" }}', one_line(text))


def camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name) if word)


def alert_name(trigger: Trigger) -> str:
    return f"Migration{camel(trigger.metric)}{trigger.trigger_id}"


def alert_labels(plan: Plan, severity: str, action: str, **more: str) -> Dict[str, str]:
    return {"severity": severity, "migration_id": go_text(plan.migration_id), "action": action, **more}


def trigger_annotations(plan: Plan, trigger: Trigger, first_step: str, facts: Dict[str, Any]) -> Dict[str, str]:
    limit = f"{trigger.operator} {plain(trigger.value)} {trigger.unit}".rstrip()
    url = facts.get("runbook_url")
    link = {"runbook_url": f"{url}#{first_step}"} if isinstance(url, str) else {}
    return {
        "summary": go_text(f"{trigger.metric} {limit}: {trigger.action} of migration {plan.migration_id}"),
        "description": go_text(f"{plan.source or 'old'} -> {plan.target or 'new'}; begin with step {first_step}."),
        "value": '{{ printf "%.4g" $value }}',
        **link,
    }


def trigger_rule(plan: Plan, runbook: Dict[str, Any], trigger: Trigger, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return the alerting rule of one trigger."""
    automatic = next(t["auto_execute"] for t in runbook["trigger_conditions"] if t["trigger_id"] == trigger.trigger_id)
    severity = "critical" if trigger.action in CRITICAL_ACTIONS else "warning"
    action = AUTOMATIC if automatic else "page" if trigger.action == AUTOMATIC else trigger.action
    return {
        "alert": alert_name(trigger),
        "expr": condition(trigger, watch_of(plan, facts)),
        "for": duration(trigger.minutes * 60),
        "keep_firing_for": KEEP_FIRING,
        "labels": alert_labels(plan, severity, action, trigger_id=trigger.trigger_id),
        "annotations": trigger_annotations(plan, trigger, first_step_of(runbook, trigger), facts),
    }


def first_step_of(runbook: Dict[str, Any], trigger: Trigger) -> str:
    """Return the step that a person begins with when the trigger fires: of the last phase in which it is watched."""
    for phase in runbook["rollback_phases"]:
        if phase["steps"] and (not trigger.phases or phase["forward_phase"] in trigger.phases):
            return str(phase["steps"][0]["step_id"])
    return "1"


def base_series(metric: Metric) -> str:
    return metric.series + ("_count" if metric.kind == "quantile" else "")


def missing_rules(plan: Plan, triggers: Sequence[Trigger], watch: Watch) -> List[Dict[str, Any]]:
    """Return an alert for each series that a trigger needs: without telemetry all triggers are blind."""
    metrics = {base_series(metric_of(t.metric)): metric_of(t.metric) for t in triggers}
    return [
        {
            "alert": f"MigrationTelemetryMissing{camel(series)}",
            "expr": f"absent({series}{watch.selector(metric)})",
            "for": duration(max(60.0, watch.window) if watch.scrape >= SCRAPE_SECONDS else watch.window),
            "labels": alert_labels(plan, "critical", "pause", telemetry="missing"),
            "annotations": {
                "summary": f"{series} is missing: the rollback triggers are blind, hold the rollout",
                "description": go_text(f"No series {series}{watch.selector(metric)}"),
            },
        }
        for series, metric in metrics.items()
    ]


def burn_rules(plan: Plan, watch: Watch) -> List[Dict[str, Any]]:
    """Return the alerts on the error budget, none when the specification gives no objective."""
    return [
        {
            "alert": f"MigrationErrorBudgetBurn{burn.long_hours:g}h",
            "expr": burn_condition(plan, burn, watch),
            "keep_firing_for": KEEP_FIRING,
            "labels": alert_labels(plan, burn.severity, "alert_team"),
            "annotations": {"summary": f"{burn.budget:.0%} of the error budget is gone in {burn.long_hours:g} h"},
        }
        for burn in (BURNS if objective(plan) else ())
    ]


def prometheus_rules(plan: Plan, runbook: Dict[str, Any], facts: Dict[str, Any]) -> Dict[str, Any]:
    watch, triggers = watch_of(plan, facts), all_triggers(plan)
    groups = {
        "triggers": [trigger_rule(plan, runbook, trigger, facts) for trigger in triggers],
        "telemetry": missing_rules(plan, triggers, watch),
        "error_budget": burn_rules(plan, watch),
    }
    name = re.sub(r"\W+", "_", plan.migration_id)
    return {
        "groups": [
            {"name": f"migration_{name}_{kind}", "interval": duration(watch.scrape), "rules": rules}
            for kind, rules in groups.items()
            if rules
        ]
    }


# Unit tests: each trigger gets series at a chosen value and has to fire, or to keep still.

TEST_STEP = 15  # seconds between samples; rates of whole numbers stay exact
TEST_SAMPLES = "SAMPLES"  # as many as the test lasts
TEST_COUNT = 10_000  # requests per second


def matchers(selector: str) -> Dict[str, str]:
    """Return the labels that the equality matchers of a selector fix."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', selector)
    return {name: json.loads(value) for name, value in pairs}


def series_text(name: str, labels: Dict[str, str]) -> str:
    return (
        name + "{" + ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in labels.items()) + "}"
    )


def counter(name: str, labels: Dict[str, str], per_second: float) -> Dict[str, str]:
    return {"series": series_text(name, labels), "values": f"0+{plain(per_second * TEST_STEP)}x{TEST_SAMPLES}"}


def gauge(name: str, labels: Dict[str, str], value: float) -> Dict[str, str]:
    return {"series": series_text(name, labels), "values": f"{plain(value)}+0x{TEST_SAMPLES}"}


def simulate(metric: Metric, watch: Watch, value: float, per_second: float = TEST_COUNT) -> List[Dict[str, str]]:
    """Return input series at which a metric measures `value` (a quantile at least: it falls into the bucket above)."""
    labels = {"job": "new", "instance": "new:1", **matchers(watch.selector(metric))}
    if metric.kind == "ratio":
        name, sample = re.match(r"(\w+)=~?\"(.*)\"", metric.part).groups() if metric.part else ("", "")  # type: ignore
        bad = {**labels, name: sample.replace("..", "00")}
        good = {**labels, name: "other"}
        share = min(value, 1.0)
        return [counter(metric.series, bad, per_second * share), counter(metric.series, good, per_second * (1 - share))]
    if metric.kind == "quantile":
        edge = plain(value)
        below = {"le": edge}, {"le": plain(2 * value)}, {"le": "+Inf"}
        return [counter(metric.series + "_bucket", {**labels, **le}, per_second) for le in below]
    if metric.kind == "idle":
        return [counter(metric.series, {**labels, "cpu": "0", "mode": "idle"}, 1 - min(value, 1.0))]
    if metric.kind in ("share", "unused"):
        left = value if metric.kind == "share" else 1 - value
        return [gauge(metric.series, labels, 1000), gauge(metric.part, labels, 1000 * left)]
    return [gauge(metric.series, labels, value)]


def slow_series(metric: Metric, watch: Watch, limit: float, fast_share: float) -> List[Dict[str, str]]:
    """Return a histogram in which `fast_share` of the requests is within the limit, the rest within twice the limit."""
    labels = {"job": "new", "instance": "new:1", **matchers(watch.selector(metric))}
    edges = ((plain(limit), fast_share), (plain(2 * limit), 1.0), ("+Inf", 1.0))
    return [counter(metric.series + "_bucket", {**labels, "le": le}, TEST_COUNT * part) for le, part in edges]


def breach_and_rest(trigger: Trigger, watch: Watch) -> Tuple[Any, Any, Any]:
    """Return series that break the threshold, the value that the alert then shows, and series that are well."""
    metric, limit = metric_of(trigger.metric), limit_of(trigger)
    if metric.kind == "quantile":
        value = limit + limit * float(metric.part)
        return slow_series(metric, watch, limit, 0.0), value, slow_series(metric, watch, limit, 1.0)
    is_share = metric.kind != "gauge"
    low = limit / 2 if limit > 0 else limit - 1
    high = (limit + 1) / 2 if is_share and limit < 1 else limit * 2 if limit > 0 else limit + 1
    bad, good = (low, high) if trigger.operator in ("<", "<=") else (high, low)
    if trigger.operator in ("==", "!="):
        bad, good = (limit, high) if trigger.operator == "==" else (high, limit)
    return simulate(metric, watch, bad), bad, simulate(metric, watch, good)


def alert_labels_seen(rule: Dict[str, Any], trigger: Trigger) -> Dict[str, str]:
    by_instance = metric_of(trigger.metric).kind in ("idle", "share", "unused")
    labels = {key: plain_text(value) for key, value in rule["labels"].items()}
    return {**({"instance": "new:1"} if by_instance else {"job": "new"}), **labels}


def is_testable(trigger: Trigger, watch: Watch) -> bool:
    """Return whether series can be made that break the threshold: a share over 1 can never be."""
    metric, limit = metric_of(trigger.metric), limit_of(trigger)
    job = matchers(watch.selector(metric))
    return (
        (metric.kind == "gauge" or limit > 0)
        and (metric.kind in ("gauge", "quantile") or limit < 1)
        and not ({"job", "instance"} & set(job))
    )


def trigger_tests(trigger: Trigger, rule: Dict[str, Any], watch: Watch) -> Iterator[Dict[str, Any]]:
    """Yield unit tests: fires after its time and not before; health, the threshold, low traffic keep still."""
    broken, value, healthy = breach_and_rest(trigger, watch)
    metric, held = metric_of(trigger.metric), trigger.minutes * 60
    fires = {
        "exp_labels": alert_labels_seen(rule, trigger),
        "exp_annotations": {**rule["annotations"], "value": "%.4g" % value},
    }
    fires["exp_annotations"] = {key: plain_text(text) for key, text in fires["exp_annotations"].items()}
    lasts = held + 4 * watch.window + 60
    late = duration(lasts)

    def case(name: str, series: List[Dict[str, str]], expected: List[Any], *times: str) -> Dict[str, Any]:
        checks = [{"eval_time": at, "alertname": rule["alert"], "exp_alerts": expected} for at in times]
        values = [
            {**one, "values": one["values"].replace(TEST_SAMPLES, f"{lasts // TEST_STEP + 4:.0f}")} for one in series
        ]
        return {
            "name": f"{rule['alert']} {name}",
            "interval": f"{TEST_STEP}s",
            "input_series": values,
            "alert_rule_test": checks,
        }

    yield case("fires", broken, [fires], late)
    if held >= 60:
        yield case("waits", broken, [], duration(held - 15))
    yield case("rests", healthy, [], late)
    yield case("without series", [], [], late)
    if metric.kind == "ratio":
        few = FEWEST_REQUESTS / watch.window / 2
        yield case("ignores few requests", simulate(metric, watch, 1.0, few), [], late)
    edge = edge_series(trigger, watch)
    if edge:
        yield case("at its threshold", edge, [fires_at_edge(fires, trigger)] if "=" in trigger.operator else [], late)


def edge_series(trigger: Trigger, watch: Watch) -> List[Dict[str, str]]:
    """Return series exactly at the threshold, nothing where floating point cannot hit it."""
    metric, limit = metric_of(trigger.metric), limit_of(trigger)
    if metric.kind == "gauge" and trigger.operator in (">", "<", ">=", "<="):
        return simulate(metric, watch, limit)
    exact = (limit * TEST_COUNT).is_integer() or abs(limit * TEST_COUNT - round(limit * TEST_COUNT)) < 1e-9
    if metric.kind == "ratio" and trigger.operator == ">" and exact:
        return simulate(metric, watch, limit)
    return []


def fires_at_edge(fires: Dict[str, Any], trigger: Trigger) -> Dict[str, Any]:
    shown = "%.4g" % limit_of(trigger)
    return {**fires, "exp_annotations": {**fires["exp_annotations"], "value": shown}}


def plain_text(text: str) -> str:
    """Return what a Go template of go_text prints."""
    return re.sub(r'\{\{ "(\{\{|\}\})" \}\}', r"\1", text)


def missing_tests(rules: Sequence[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    """Yield the test that an alert fires for each series that is missing."""
    for rule in rules:
        seen = {**matchers(rule["expr"]), **{key: plain_text(value) for key, value in rule["labels"].items()}}
        annotations = {key: plain_text(text) for key, text in rule["annotations"].items()}
        expected = [{"exp_labels": seen, "exp_annotations": annotations}]
        check = {"eval_time": "10m", "alertname": rule["alert"], "exp_alerts": expected}
        yield {"name": f"{rule['alert']} fires", "interval": "15s", "input_series": [], "alert_rule_test": [check]}


def prometheus_tests(plan: Plan, rules: Dict[str, Any], facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return the unit tests of the rules, for `promtool test rules`."""
    watch, tests = watch_of(plan, facts), []
    by_name = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    for trigger in all_triggers(plan):
        if is_testable(trigger, watch):
            tests += trigger_tests(trigger, by_name[alert_name(trigger)], watch)
    tests += missing_tests([rule for rule in by_name.values() if rule["labels"].get("telemetry") == "missing"])
    return {"rule_files": ["prometheus.rules.json"], "evaluation_interval": "1m", "tests": tests}


def alertmanager(plan: Plan, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return the configuration of Alertmanager; every secret is a file that the operator puts there."""
    mine = f"migration_id={json.dumps(plan.migration_id, ensure_ascii=False)}"
    secrets = str(facts.get("secrets_directory") or "/etc/alertmanager/secrets")
    executor = facts.get("executor_url")
    routes = [
        {"matchers": [mine, 'severity="critical"'], "receiver": "migration-pagerduty", "continue": True},
        {"matchers": [mine], "receiver": "migration-slack"},
    ]
    receivers = [slack_receiver(plan, secrets, facts), pagerduty_receiver(secrets, facts)]
    if executor:
        matched = [mine, f'action="{AUTOMATIC}"']
        routes.insert(0, {"matchers": matched, "receiver": "rollback-executor", "group_wait": "0s", "continue": True})
        receivers.append(executor_receiver(str(executor), secrets))
    return {
        "route": {
            "receiver": "migration-slack",
            "group_by": ["migration_id", "alertname"],
            "group_wait": f"{GROUP_WAIT_SECONDS}s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": routes,
        },
        "inhibit_rules": [
            {
                "source_matchers": [mine, 'severity="critical"', 'telemetry!="missing"'],
                "target_matchers": [mine, 'severity="warning"'],
                "equal": ["migration_id", "job"],
            }
        ],
        "receivers": receivers,
    }


def slack_receiver(plan: Plan, secrets: str, facts: Dict[str, Any]) -> Dict[str, Any]:
    channel = facts.get("slack_channel") or f"#migration-{file_slug(plan.migration_id).lower()}"
    config = {
        "api_url_file": f"{secrets}/slack_url",
        "channel": channel,
        "send_resolved": True,
        "title": "{{ .CommonLabels.alertname }}",
        "text": "{{ range .Alerts }}{{ .Annotations.summary }} (now {{ .Annotations.value }})\n{{ end }}",
    }
    return {"name": "migration-slack", "slack_configs": [config]}


def pagerduty_receiver(secrets: str, facts: Dict[str, Any]) -> Dict[str, Any]:
    config: Dict[str, Any] = {
        "routing_key_file": f"{secrets}/pagerduty_key",
        "severity": "critical",
        "description": "{{ .CommonAnnotations.summary }}",
    }
    if isinstance(facts.get("runbook_url"), str):
        config["links"] = [{"href": "{{ .CommonAnnotations.runbook_url }}", "text": "runbook"}]
    if isinstance(facts.get("pagerduty_url"), str):
        config["url"] = facts["pagerduty_url"]
    return {"name": "migration-pagerduty", "pagerduty_configs": [config]}


def executor_receiver(url: str, secrets: str) -> Dict[str, Any]:
    login = {"authorization": {"type": "Bearer", "credentials_file": f"{secrets}/executor_token"}}
    return {
        "name": "rollback-executor",
        "webhook_configs": [{"url": url, "send_resolved": False, "max_alerts": 1, "http_config": login}],
    }


DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def grafana_panel(number_: int, title: str, expr: str, limit: Optional[float]) -> Dict[str, Any]:
    steps: List[Dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": "red", "value": limit}] if limit is not None else []
    return {
        "id": number_,
        "type": "timeseries",
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * ((number_ - 1) % 2), "y": 8 * ((number_ - 1) // 2)},
        "fieldConfig": {
            "defaults": {
                "custom": {"thresholdsStyle": {"mode": "line"}},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
        "targets": [{"refId": "A", "expr": expr, "datasource": DATASOURCE}],
    }


def grafana_dashboard(plan: Plan, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return a dashboard to import: one panel for each metric that a trigger watches, with its strictest limit."""
    watch = watch_of(plan, facts)
    panels: List[Dict[str, Any]] = []
    for trigger in {t.metric: t for t in reversed(all_triggers(plan))}.values():
        title = (
            f"{trigger.metric}: {trigger.trigger_id} {trigger.operator} {plain(trigger.value)} {trigger.unit}".rstrip()
        )
        expr = promql(metric_of(trigger.metric), watch)
        panels.append(grafana_panel(len(panels) + 1, title, expr, limit_of(trigger)))
    source = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}
    return {
        "uid": f"rb-{file_slug(plan.migration_id)}"[:40],
        "title": f"Rollback triggers of migration {plan.migration_id}",
        "tags": ["migration"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": panels,
    }


def prom_line(name: str, labels: Dict[str, str], value: float) -> str:
    shown = ",".join(f"{key}={json.dumps(one_line(text), ensure_ascii=False)}" for key, text in labels.items())
    return f"{name}{{{shown}}} {plain(value)}"


def textfile_metrics(plan: Plan, runbook: Dict[str, Any]) -> str:
    """Return what the textfile collector of node_exporter publishes about this runbook."""
    own = {"migration_id": plan.migration_id}
    families = (
        (
            "migration_rollback_duration_seconds",
            "Estimated seconds from the alert to the end of the rollback, by the last phase that started.",
            [({"from_phase": name}, 60 * minutes) for name, minutes in runbook["rto"]["by_from_phase"].items()],
        ),
        (
            "migration_rollback_steps",
            "Steps of the rollback runbook.",
            [({"phase": phase["forward_phase"]}, len(phase["steps"])) for phase in runbook["rollback_phases"]],
        ),
        (
            "migration_rollback_placeholders",
            "Blanks of the rollback runbook that nobody has filled in yet.",
            [({}, len(runbook["placeholders"]))],
        ),
        (
            "migration_rollback_ready",
            "Whether every step of the rollback runbook can be executed as it stands.",
            [({}, int(runbook["readiness"]["executable"]))],
        ),
    )
    lines = []
    for name, words, values in families:
        lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
        lines += [prom_line(name, {**own, **labels}, value) for labels, value in values]
    return "\n".join(lines) + "\n"


def slack_message(title: str, fields: Sequence[Tuple[str, str]], footer: str) -> Dict[str, Any]:
    """Return a Block Kit message within Slack's limits (header 150, field 2 000 characters)."""

    def escaped(text: str) -> str:
        return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    blocks: List[Dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": one_line(title)[:150]}},
        {
            "type": "section",
            "fields": [{"type": "mrkdwn", "text": f"*{name}*\n{escaped(text)}"[:2000]} for name, text in fields],
        },
        {"type": "context", "elements": [{"type": "mrkdwn", "text": escaped(footer)[:2000]}]},
    ]
    return {"text": escaped(title)[:3000], "blocks": blocks}


def pagerduty_event(plan: Plan, action: str, summary: str, details: Dict[str, Any]) -> Dict[str, Any]:
    """Return an Events API v2 event; the routing key stays a blank that the sender fills from its environment."""
    event: Dict[str, Any] = {
        "routing_key": "{{pagerduty_routing_key}}",
        "event_action": action,
        "dedup_key": f"{plan.migration_id}:rollback"[:255],
    }
    if action != "trigger":
        return event
    payload = {
        "summary": one_line(summary)[:1024],
        "source": one_line(plan.source)[:255] or plan.migration_id,
        "severity": "critical",
        "group": "migration",
        "class": "rollback",
        "custom_details": details,
    }
    return {**event, "client": "migration-architect", "payload": payload}


def message_files(plan: Plan, runbook: Dict[str, Any]) -> Dict[str, Any]:
    """Return the Slack and PagerDuty messages by file name, blanks still open."""
    first = runbook["rollback_phases"][0]["phase_name"] if runbook["rollback_phases"] else "-"
    minutes = f"{runbook['rto']['minutes']:g} min"
    name = f"{plan.source} -> {plan.target} ({plan.migration_id})"
    when = [("Phase", first), ("Expected duration", minutes), ("Incident commander", "{{incident_commander}}")]
    footer = "Next update {{next_update_utc}}"
    details = {"from_phase": first, "rto_minutes": runbook["rto"]["minutes"], "runbook_id": runbook["runbook_id"]}
    started = f"Rollback of {name} started at {first}"
    return {
        "slack/start": slack_message(f"Rollback started: {name}", when, footer),
        "slack/progress": slack_message(f"Rollback goes on: {name}", [*when[:1], ("Step", "{{current_step}}")], footer),
        "slack/complete": slack_message(
            f"Rollback complete: {name}", [("Ended", "{{actual_end_utc}}")], "Next: review"
        ),
        "slack/escalated": slack_message(f"Rollback failed: {name}", [("Step", "{{current_step}}")], footer),
        "pagerduty/trigger": pagerduty_event(plan, "trigger", started, details),
        "pagerduty/acknowledge": pagerduty_event(plan, "acknowledge", "", {}),
        "pagerduty/resolve": pagerduty_event(plan, "resolve", "", {}),
    }


def rendered_messages(plan: Plan, runbook: Dict[str, Any], facts: Dict[str, Any]) -> Dict[str, str]:
    """Return each message as a file: a template while a blank is open, so that nobody sends it by mistake."""
    known = {key: str(value) for key, value in facts.items() if isinstance(value, (str, int, float))}
    files = {}
    for name, message in message_files(plan, runbook).items():
        filled = fill(message, known)
        suffix = ".template.json" if any(find_placeholders(filled)) else ".json"
        files[name + suffix] = dump_json(filled)
    return files


def alert_files(plan: Plan, runbook: Dict[str, Any], facts: Dict[str, Any]) -> Dict[str, str]:
    rules = prometheus_rules(plan, runbook, facts)
    return {
        "prometheus.rules.json": dump_json(rules),
        "prometheus.rules.test.json": dump_json(prometheus_tests(plan, rules, facts)),
        "alertmanager.json": dump_json(alertmanager(plan, facts)),
        "grafana-dashboard.json": dump_json(grafana_dashboard(plan, facts)),
        "migration.prom": textfile_metrics(plan, runbook),
        **rendered_messages(plan, runbook, facts),
    }


# == 11. Command line =================================================================================

EPILOG = """\
exit codes:
  0  runbook written
  1  the plan was read but is not valid; with --strict: the runbook cannot be executed as it stands
  3  input that cannot be used, output that cannot be written, wrong usage

examples:
  rollback_generator.py -i plan.json -o runbook.json
  rollback_generator.py -i plan.json --from-phase migrate -f text
  rollback_generator.py -i plan.json --inventory inventory.json --export rollback/ -q -f html -o runbook.html
  rollback_generator.py -i plan.json --message customers:start --fill next_update_utc=03:20Z --fill status_page_url=URL
"""


def build_parser() -> Parser:
    parser = Parser(
        prog=TOOL,
        description=(__doc__ or "").split("\n")[0],
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-i", "--input", required=True, metavar="PLAN", help="the migration plan (JSON); - for standard input"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where the runbook goes (default: standard output)")
    parser.add_argument(
        "-f",
        "--format",
        choices=sorted([*RENDERERS, "both"]),
        default="both",
        help="both: JSON to the output, text beside it (default)",
    )
    parser.add_argument(
        "--from-phase", metavar="NAME", help="the last phase that started: the runbook begins with its undo"
    )
    parser.add_argument("--inventory", metavar="FILE", help="hosts, names, contacts, measured restore speed (JSON)")
    parser.add_argument(
        "--fill", action="append", default=[], metavar="KEY=VALUE", help="fill in a placeholder; repeatable"
    )
    parser.add_argument("--message", metavar="AUDIENCE:STAGE", help="print one message; exit 1 while a blank is open")
    parser.add_argument(
        "--export", metavar="DIR", help="also write rollback.sh with its SQL, alert rules with tests, messages"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 when the runbook cannot be executed as it stands")
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages on standard error")
    parser.add_argument("--version", action="version", version=f"{TOOL} (migration-architect) {VERSION}")
    return parser


NUMERIC_FACTS = ("restore_mb_per_second", "undo_rows_per_second", "scrape_interval_seconds")


def numeric_fact(key: str, value: Any) -> float:
    """Return a fact that arithmetic needs: a number over 0, also when it was given as text."""
    found = number(value)
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        found = float(value)
    if found is None or found <= 0:
        raise InputError(f"{key}: found {describe(value)}, expected a number over 0")
    return found


def known_facts(args: argparse.Namespace) -> Tuple[Dict[str, Any], List[Document]]:
    """Return what inventory and --fill say, and the inventory's document."""
    facts: Dict[str, Any] = {}
    documents: List[Document] = []
    if args.inventory:
        documents.append(load(args.inventory))
        faults = Faults(documents[0])
        facts.update(faults.typed(documents[0].value, (), dict, "an object of names and values") or {})
        faults.finish()
    for pair in args.fill:
        key, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"\w+", key):
            raise InputError(f"--fill: found {pair!r}, expected KEY=VALUE")
        facts[key] = value
    for key in NUMERIC_FACTS:
        facts.update({key: numeric_fact(key, facts[key])} if key in facts else {})
    return facts, documents


def print_message(runbook: Dict[str, Any], wanted: str) -> int:
    try:
        print_out(rendered_message(runbook, wanted))
    except OpenBlanks as error:
        for line in error.args:
            say(f"{TOOL}: {line}")
        return EXIT_INVALID
    return EXIT_DONE


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = build_parser().parse_args(argv)
    if args.input == args.inventory == "-":
        raise InputError("--input and --inventory: standard input can be only one of them")
    refuse_inputs_as_outputs(output_paths(args.output, args.format), filter(None, (args.input, args.inventory)))
    document = load(args.input)
    facts, inventory = known_facts(args)
    try:
        plan = read_plan(document)
    except InputError as error:
        for line in error.args:
            say(f"{TOOL}: {line}")
        return EXIT_INVALID
    runbook = assemble(plan, args.from_phase, facts, (document, *inventory))
    if args.message:
        return print_message(runbook, args.message)
    if args.export:
        whole = assemble(plan, None, facts, (document, *inventory)) if args.from_phase else runbook
        write_export(args.export, export_files(plan, whole, facts, args.from_phase))
        if not args.quiet:
            say(f"wrote {args.export}")
    emit(args.output, args.format, {name: lambda name=name: RENDERERS[name](runbook) for name in RENDERERS}, args.quiet)
    return EXIT_INVALID if args.strict and not runbook["readiness"]["executable"] else EXIT_DONE


def command_line() -> int:
    """Entry point of the installed command."""
    return run(TOOL, main)


if __name__ == "__main__":
    raise SystemExit(command_line())
