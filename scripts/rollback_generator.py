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
from typing import Any, Callable, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, NoReturn, Optional, Sequence
from typing import Tuple, Union

TOOL = "rollback_generator"

# == Skeleton (identical in the three scripts) ========================================================
# Standard behaviour of the suite at its edges: reading JSON, naming faults, writing whole files, exit codes.

VERSION = "1.0.0"
EXIT_DONE = 0
EXIT_UNUSABLE = 3  # input that cannot be read or parsed, output that cannot be written, wrong usage
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_TERMINATED = 143  # 128 + SIGTERM
CHUNK = 2 ** 20  # characters that are written at once
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
    """Return what json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) does, in a third of its time."""
    import io
    text = io.StringIO()  # in which a million pieces are one string, not a million
    put_json(value, "\n", text.write)
    text.write("\n")
    shown = text.getvalue()
    return CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", shown)  # a terminal must not obey a report


def put_json(value: Any, newline: str, put_text: Callable[[str], Any]) -> None:
    """Hand the pieces of a value's JSON text to `put_text`; `newline` carries the indentation."""
    if isinstance(value, str):
        put_text(json.encoder.encode_basestring(value))
    elif value is None or value is True or value is False:
        put_text("null" if value is None else "true" if value else "false")
    elif not isinstance(value, (dict, list, tuple)):
        put_text(int.__repr__(value) if isinstance(value, int) else json.dumps(value, allow_nan=False))
    elif not value:
        put_text("{}" if isinstance(value, dict) else "[]")
    elif isinstance(value, dict):
        before, inner = "{", newline + "  "
        for key, item in value.items():
            put_text(f"{before}{inner}{json.encoder.encode_basestring(key)}: ")
            put_json(item, inner, put_text)
            before = ","
        put_text(newline + "}")
    else:
        before, inner = "[", newline + "  "
        for item in value:
            put_text(before + inner)
            put_json(item, inner, put_text)
            before = ","
        put_text(newline + "]")


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
            for start in range(0, len(text), CHUNK):  # a second copy of a big report is half of the memory
                file.write(text[start:start + CHUNK].encode("utf-8"))
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
RESTORE_MINUTES = 120.0  # assumption for a restore of unknown volume
RESTORE_SETUP_MINUTES = 15  # assumption: an instance starts, the copy is compared
DEFAULT_SOAK_HOURS = 72  # three days see a weekend boundary and the daily jobs; the specification's policy replaces it
SOAK_MINUTES = 5  # health is watched for at least five minutes after the last step
UNSEEN_MINUTES = 30.0  # assumption: without an alert, the next person who looks
FLAG_MINUTES = 1  # assumption: a flag service spreads a change within a minute
OPERATORS = (">=", "<=", "==", "!=", ">", "<")
CLIENTS = {
    "postgresql": 'psql -X -q -v ON_ERROR_STOP=1 -d "$DB" -f -',
    "mysql": 'mariadb "$DB"',
    "sqlite": 'sqlite3 -bail "$DB"',
}
ASKING = {  # prints the bare value that a query returns
    "postgresql": 'psql -X -qAt -v ON_ERROR_STOP=1 -d "$DB" -f -',
    "mysql": 'mariadb -N -B "$DB"',
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
    triggers: Tuple[Any, ...]
    alarms: Tuple[Dict[str, Any], ...]
    scripts: Tuple[Dict[str, Any], ...]
    recovery: Any
    criteria: Tuple[str, ...] = ()


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
    client: str = ""  # what runs SQL, and what asks, where it is not the database of the plan's scripts
    asking: str = ""

    def is_script(self) -> bool:
        """Return whether rollback.sh runs it: the SQL of one of the plan's own scripts."""
        return bool(self.source_script_id) and self.script_type == "sql"


# == 3. Reading =======================================================================================
# In: a plan of the planner, or an old one that only names its phases. Out: a Plan; every fault is reported.

PHASE_LISTS = ("dependencies", "tasks", "gates", "rollback_triggers", "scripts", "validation_criteria")


def read_plan(document: Document) -> Plan:
    faults = Faults(document)
    root = faults.typed(document.value, (), dict, 'a migration plan (an object with "phases")') or {}
    bodies = faults.typed(root.get("phases"), ("phases",), list, "a list of phases") or []
    phases = [read_phase(body, ("phases", index), faults) for index, body in enumerate(bodies)]
    specification = root.get("specification") or {}
    faults.typed(specification, ("specification",), dict, "the specification as an object")
    if isinstance(root.get("phases"), list) and not bodies:
        faults.add(("phases",), "an empty list", "at least one phase")
    check_names(phases, faults)
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


def check_names(phases: Sequence[Optional[Phase]], faults: Faults) -> None:
    """Note the dependencies that name no phase, and the names and script ids that stand for two things."""
    known = {phase.name for phase in phases if phase}
    seen: Dict[Tuple[str, str], int] = {}
    for index, phase in enumerate(phases):
        for name in phase.dependencies if phase else ():
            if name not in known:
                guess = did_you_mean(name, known)
                hint = f"did you mean {guess!r}?" if guess else ""
                faults.add(("phases", index, "dependencies"), describe(name), "the name of a phase", hint)
        if phase and seen.setdefault(("phase", phase.name), index) != index:
            faults.add(("phases", index, "name"), describe(phase.name), "a name that no other phase has")
        for place, script in enumerate(phase.scripts if phase else ()):
            here = seen.setdefault(("script", text_of(script, "id")), place + 100_000 * index)
            if here != place + 100_000 * index:
                found = describe(script.get("id")) if script.get("id") else "no id"
                faults.add(("phases", index, "scripts", place, "id"), found, "an id that no other script has")


def text_of(mapping: Dict[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def read_phase(body: Any, path: Path, faults: Faults) -> Optional[Phase]:
    if faults.typed(body, path, dict, "a phase as an object") is None:
        return None
    name = faults.typed(body.get("name"), path + ("name",), str, "the name of the phase") or "unnamed"
    listed = {key: body.get(key) or [] for key in PHASE_LISTS}
    for key, value in listed.items():
        if faults.typed(value, path + (key,), list, "a list") is None:
            listed[key] = []
    for index, script in enumerate(listed["scripts"]):
        faults.typed(script, path + ("scripts", index), dict, "a migration script as an object")
    faults.typed(body.get("duration_hours") or 0, path + ("duration_hours",), (int, float), "a number of hours")
    return Phase(
        name,
        text_of(body, "description"),
        tuple(d for d in listed["dependencies"] if isinstance(d, str)),
        text_of(body, "risk_level") or "medium",
        body.get("point_of_no_return") is True,
        text_of(body, "point_of_no_return_reason"),
        tuple(t for t in listed["tasks"] if isinstance(t, str)),
        tuple(listed["rollback_triggers"]),
        tuple(objects(body.get("triggers"))),
        tuple(s for s in listed["scripts"] if isinstance(s, dict)),
        body.get("recovery"),
        tuple(c for c in listed["validation_criteria"] if isinstance(c, str)),
    )


def ordered(plan: Plan) -> List[Phase]:
    """Return the phases that must be undone first, first: the reverse of the order of execution."""
    import graphlib
    import heapq

    position = {phase.name: index for index, phase in enumerate(plan.phases)}
    sorter = graphlib.TopologicalSorter({phase.name: phase.dependencies for phase in plan.phases})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise InputError(
            f"{plan.document.name}: phases: found the cycle {' -> '.join(error.args[1])}, expected phases that end"
        )
    names: List[str] = []
    ready: List[int] = []  # places in the plan: what could run in either order ran as it is listed
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, position[name])
        names.append(plan.phases[heapq.heappop(ready)].name)
        sorter.done(names[-1])
    by_name = {phase.name: phase for phase in plan.phases}
    return [by_name[name] for name in reversed(names)]


# == 4. Inverting =====================================================================================
# In: phases. Out: steps that undo them, each derived from what the plan holds; nothing is invented.


DIALECT_MARKS = (  # what only the scripts of one dialect hold; the first that matches decides
    ("postgresql", r"\bto_reg\w+\(|\bpg_\w+|\$ma\$|lock_timeout = '"),
    ("sqlite", r"\bsqlite_(master|schema)\b|\bpragma(_\w+)?\b"),
    ("mysql", r"`|\bDELIMITER\b|\binnodb_lock_wait_timeout\b|\bDATABASE\(\)"),
)


def dialect_of(plan: Plan) -> str:
    """Return the database dialect: of the scripts, else the one that plan or specification name, else PostgreSQL."""
    for script in (script for phase in plan.phases for script in phase.scripts):
        text = text_of(script, "validation_query") + text_of(script, "rollback_script")
        for name, mark in DIALECT_MARKS:
            if re.search(mark, text, re.IGNORECASE):
                return name
    parsed = plan.root.get("parsed")
    source = parsed.get("source") if isinstance(parsed, dict) else {}
    engine = source.get("engine", "") if isinstance(source, dict) else ""
    words = f"{engine} {plan.source} {json.dumps(plan.specification.get('source', ''))}".lower()
    return "mysql" if re.search(r"mysql|mariadb", words) else "sqlite" if "sqlite" in words else "postgresql"


def has_sql(plan: Plan) -> bool:
    """Return whether the plan holds scripts that a database runs."""
    return any(script.get("script_type", "sql") == "sql" for phase in plan.phases for script in phase.scripts)


ROWS_PER_SECOND = 10_000  # assumption for an undo that writes rows; inventory undo_rows_per_second replaces it


def rows_of(plan: Plan, script: Dict[str, Any]) -> Optional[float]:
    """Return the rows of the plan's largest table that the undo of a script writes to, or copies."""
    undo = text_of(script, "rollback_script")
    counts = [
        number(t.get("row_count"))
        for t in objects(plan.specification.get("tables_to_migrate"))
        if re.search(rf"\b(?:UPDATE|FROM|INTO)\W+(?:\w+\W+)?{re.escape(text_of(t, 'name'))}\b", undo)
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
        return unscripted_step(script, name, undo, loss)
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


def unscripted_step(script: Dict[str, Any], name: str, undo: str, loss: Optional[str]) -> Step:
    """Return the undo of a script that no database runs: a patch of an API's description, or a person's own step."""
    is_api = script.get("script_type") == "api" and bool(undo.strip())
    told = text_of(script, "description") or name
    return Step(
        f"Take a published change back: {told}" if is_api else f"Undo by hand: {told}",
        "A JSON Patch (RFC 6902) of the published description; deploy what serves it."
        if is_api
        else "Its forward step was made by hand.",
        "api" if is_api else "manual",
        undo or f"Take back by hand: {told}",
        BACKFILL_MINUTES,
        "Developer" if is_api else "DBA",
        expected="the published description equals the one of before, the consumers' tests pass"
        if is_api
        else "the state before the script",
        idempotent=False,
        data_loss=loss,
        source_script_id=name,
        approval=("Business owner",) if loss else (),
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
    place: str = ""  # source or target: the database that SQL is run on; empty: the one of the plan's scripts


PROMETHEUS = "promtool query instant '{{prometheus_url}}' '%s'"
NEW_REQUESTS = PROMETHEUS % "sum(rate(http_requests_total@cohort@[1m]))"
TARGET_GROUPS = (
    '[{"Type":"forward","ForwardConfig":{"TargetGroups":[{"TargetGroupArn":"{{old_target_group_arn}}","Weight":100},'
    '{"TargetGroupArn":"{{new_target_group_arn}}","Weight":0}]}}]'
)
APPLICATION_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{{application_role}}';"
APPLICATION_THREADS = "SELECT count(*) FROM information_schema.processlist WHERE user = '{{application_role}}';"
SEQUENCES_AHEAD = """SELECT format('SELECT setval(%L, (SELECT coalesce(max(%I), 0) + 1000 FROM %I.%I));',
  s.oid::regclass, a.attname, n.nspname, t.relname)
FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid WHERE s.relkind = 'S'
\\gexec"""
LAG_SLOT = ("SELECT active FROM pg_replication_slots WHERE slot_name = '{{reverse_slot}}';", "t")

# A name with a dot is the form for one engine or platform; the plain name is what is said where that is not known.
ACTIONS = {
    "traffic_command": Action(
        "Route all traffic back to @source@", "bash", "{{traffic_back_command}}", "SRE", 2,
        verify=("{{traffic_check_command}}", "no request reaches the new side"),
        idempotent="the end state is set, not toggled",
    ),
    "traffic_alb": Action(
        "Route all traffic back to @source@", "bash",
        "aws elbv2 modify-listener --listener-arn '{{listener_arn}}' \\\n  --default-actions '" + TARGET_GROUPS + "'",
        "SRE", 2, "the listener as JSON, exit code 0",
        ("aws elbv2 describe-target-health --target-group-arn '{{old_target_group_arn}}' --query "
         "'TargetHealthDescriptions[].TargetHealth.State' --output text", "only `healthy`", "abort"),
        ("aws elbv2 describe-listeners --listener-arns '{{listener_arn}}' --query "
         "'Listeners[0].DefaultActions[0].ForwardConfig.TargetGroups'", "Weight 0 at the new target group"),
        "both weights are set, not changed",
    ),
    "traffic_service": Action(
        "Point service {{service}} back to the old pods", "bash",
        "kubectl -n '{{namespace}}' patch service '{{service}}' --type=merge \\\n"
        '  -p \'{"spec":{"selector":{{old_selector_json}}}}\'',
        "SRE", 2, "service patched, or no change",
        ("kubectl -n '{{namespace}}' get pods -l '{{old_selector}}' --field-selector=status.phase=Running -o name",
         "as many pods as before the switch", "abort"),
        ("kubectl -n '{{namespace}}' get service '{{service}}' -o jsonpath='{.spec.selector}'", "the old selector"),
        "the selector is set, not toggled",
    ),
    "traffic_dns": Action(
        "Write the DNS records of before the cutover", "bash",
        "CHANGE=$(aws route53 change-resource-record-sets --hosted-zone-id '{{zone_id}}' \\\n"
        "  --change-batch 'file://before/dns_@phase_file@.json' --query ChangeInfo.Id --output text)\n"
        'aws route53 wait resource-record-sets-changed --id "$CHANGE"',
        "SRE", 3, "exit code 0: every name server of the zone answers with the old records",
        ("ls -l 'before/dns_@phase_file@.json'", "the file that was saved before the migration", "abort"),
        ("dig +short '@{{authoritative_server}}' '@dns_name@'", "the old addresses; clients follow after the TTL"),
        "records are written, not toggled",
    ),
    "traffic_manual": Action(
        "Route all traffic back to @source@", "manual", "Send every request to @source@ at {{traffic_switch}}.",
        "SRE", 5, "no request reaches the new side within 1 m",
        ("@source@: @capacity@", "all up and healthy", "abort"), (NEW_REQUESTS, "0"),
        "the end state is set, not toggled",
    ),
    "mirror": Action(
        "Stop the mirror to the new side", "manual", "Set the mirrored share to 0 % at {{traffic_switch}}.",
        "SRE", 1, "the new side gets no mirrored request",
        verify=(PROMETHEUS % "sum(rate(migration_shadow_requests_total@whole@[1m]))", "0"),
        idempotent="0 % stays 0 %",
    ),
    "deployment": Action(
        "Take the new deployment out", "bash",
        "kubectl -n '{{namespace}}' scale 'deployment/{{new_deployment}}' --replicas=0",
        "SRE", 2, "deployment scaled",
        ("kubectl -n '{{namespace}}' get endpoints '{{service}}' -o jsonpath='{.subsets[*].addresses[*].ip}'",
         "no address of the new deployment", "abort"),
        ("kubectl -n '{{namespace}}' get 'deployment/{{new_deployment}}' -o jsonpath='{.status.replicas}'",
         "empty or 0"),
        "0 replicas stay 0",
    ),
    "image": Action(
        "Put the recorded image back", "bash",
        "kubectl -n '{{namespace}}' set image 'deployment/{{deployment}}' \\\n"
        "  '{{container}}={{previous_image_digest}}' &&\n"
        "  kubectl -n '{{namespace}}' rollout status 'deployment/{{deployment}}' --timeout=280s",
        "SRE", 6, "successfully rolled out",
        ("kubectl -n '{{namespace}}' get 'deployment/{{deployment}}' -o jsonpath='{.spec.paused}'",
         "empty or false", "abort: kubectl rollout resume first"),
        ("kubectl -n '{{namespace}}' get 'deployment/{{deployment}}' -o jsonpath="
         "'{.spec.template.spec.containers[*].image}'", "{{previous_image_digest}}"),
        "the image is named by its digest; rollout undo would toggle",
    ),
    "stop_job": Action(
        "Stop the running backfill", "manual",
        "Stop the job {{backfill_job}}; what it has filled is undone by the steps below, or stays unread.",
        "DBA", 2, "the job list no longer shows it", idempotent="a stopped job stays stopped",
    ),
    "stop_job.postgresql": Action(
        "Stop the running backfill", "sql",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity\n"
        "WHERE application_name = '{{backfill_application_name}}' AND pid <> pg_backend_pid();",
        "DBA", 1, "one row for each session that was at work",
        verify=("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{{backfill_application_name}}';",
                "0"),
        idempotent="sessions are found by name",
    ),
    "subscription": Action(
        "Stop the replication from @source@ to @target@", "manual",
        "Stop and remove the replication from @source@ to @target@, also what it keeps on @source@: "
        "a log that nobody reads fills the disk.",
        "DBA", 5, "neither side lists it", idempotent="what is removed stays removed",
    ),
    "subscription.postgresql": Action(
        "Drop the subscription on @target@ and its slot on @source@", "sql",
        'ALTER SUBSCRIPTION "{{subscription}}" DISABLE;\nDROP SUBSCRIPTION "{{subscription}}";',
        "DBA", 2, "DROP SUBSCRIPTION",
        ("SELECT count(*) FROM pg_subscription WHERE subname = '{{subscription}}';", "1", "skip: it is dropped"),
        ("SELECT count(*) FROM pg_subscription WHERE subname = '{{subscription}}';",
         "0; on @source@, pg_replication_slots no longer lists its slot"),
        "its check finds nothing the second time", place="target",
    ),
    "subscription.mysql": Action(
        "Stop the replication on @target@", "sql", "STOP SLAVE;\nRESET SLAVE ALL;", "DBA", 2, "exit code 0",
        verify=("SHOW SLAVE STATUS;", "nothing"), idempotent="a replica without a source stays one", place="target",
    ),
    "freeze": Action(
        "Stop the writers on @target@", "manual", "Stop every program that writes to @target@: @consumers@.",
        "Developer", 5, "no write reaches @target@", idempotent="what is stopped stays stopped",
    ),
    "freeze.postgresql": Action(
        "Stop the writers on @target@", "sql",
        'ALTER ROLE "{{application_role}}" NOLOGIN;\n'
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{application_role}}' "
        "AND pid <> pg_backend_pid();",
        "DBA", 1, "one row for each session that ended",
        verify=(APPLICATION_BACKENDS, "0"), idempotent="NOLOGIN stays NOLOGIN", place="target",
    ),
    "freeze.mysql": Action(
        "Stop the writers on @target@", "bash",
        "mariadb --defaults-file='{{target_option_file}}' -e \"ALTER USER '{{application_role}}'@'%' ACCOUNT LOCK\"\n"
        "mariadb --defaults-file='{{target_option_file}}' -N -B -e \"SELECT CONCAT('KILL ', id, ';') FROM "
        "information_schema.processlist WHERE user = '{{application_role}}'\" |\n"
        "  mariadb --defaults-file='{{target_option_file}}'",
        "DBA", 1, "exit code 0",
        verify=("mariadb --defaults-file='{{target_option_file}}' -N -B -e \"" + APPLICATION_THREADS + '"', "0"),
        idempotent="a locked account stays locked",
    ),
    "drain": Action(
        "Wait until @source@ has every write of @target@", "manual",
        "Wait until the replication from @target@ back to @source@ has nothing left, twice, 5 s apart.",
        "DBA", 5, "no write is missing on @source@", idempotent="it only reads",
    ),
    "drain.postgresql": Action(
        "Wait until the reverse replication has nothing left", "sql",
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS bytes_behind FROM pg_stat_replication\n"
        "WHERE application_name = '{{reverse_subscription}}';",
        "DBA", 5, "0, twice, 5 s apart", (*LAG_SLOT, "abort: rows would be lost"), idempotent="it only reads",
        place="target",
    ),
    "drain.mysql": Action(
        "Wait until the reverse replication has nothing left", "sql", "SHOW SLAVE STATUS\\G", "DBA", 5,
        "Seconds_Behind_Master: 0, and Exec_Master_Log_Pos equals Read_Master_Log_Pos, twice, 5 s apart",
        idempotent="it only reads", place="source",
    ),
    "reverse_lag": Action(
        "Make sure that the way back is open", "manual",
        "Look whether the replication from @target@ back to @source@ runs; phase cutover's undo, next, switches back.",
        "DBA", 1, "it runs, and less than 10 s behind", idempotent="it only reads",
    ),
    "reverse_lag.postgresql": Action(
        "Make sure that the way back is open", "sql",
        "SELECT extract(epoch FROM replay_lag) AS seconds_behind FROM pg_stat_replication\n"
        "WHERE application_name = '{{reverse_subscription}}';",
        "DBA", 1, "one row, below 10 or empty; the undo of phase cutover, next, switches back",
        (*LAG_SLOT, "abort: the way back is closed, fix forward"), idempotent="it only reads", place="target",
    ),
    "reverse_lag.mysql": Action(
        "Make sure that the way back is open", "sql", "SHOW SLAVE STATUS\\G", "DBA", 1,
        "Slave_SQL_Running: Yes, Seconds_Behind_Master below 10; the undo of phase cutover, next, switches back",
        idempotent="it only reads", place="source",
    ),
    "sequences": Action(
        "Move the number generators of @source@ past the largest key", "manual",
        "Set each sequence or identity of @source@ past the largest key of its table: replication does not move them.",
        "DBA", 5, "the next key of each table is free", idempotent="a generator that is far ahead does no harm",
    ),
    "sequences.postgresql": Action(
        "Move the sequences of @source@ past the largest key", "sql", SEQUENCES_AHEAD, "DBA", 1,
        "one number for each sequence", idempotent="each run leaves a gap of 1 000, nothing else", place="source",
    ),
    "connections": Action(
        "Point the applications back to @source@", "manual",
        "Set the connection string of @consumers@ back to the one of @source@, {{source_dsn_secret}}, and reload them.",
        "Developer", 5, "each consumer reports @source@", idempotent="the end state is set",
    ),
    "thaw": Action(
        "Let the writers in on @source@", "manual", "Start the programs that write to @source@: @consumers@.",
        "Developer", 5, "writes reach @source@", idempotent="what runs goes on",
    ),
    "thaw.postgresql": Action(
        "Let the writers in on @source@", "sql", 'ALTER ROLE "{{application_role}}" LOGIN;', "DBA", 1, "exit code 0",
        verify=(APPLICATION_BACKENDS, "more than 0"), idempotent="LOGIN stays LOGIN", place="source",
    ),
    "thaw.mysql": Action(
        "Let the writers in on @source@", "sql", "ALTER USER '{{application_role}}'@'%' ACCOUNT UNLOCK;", "DBA", 1,
        "exit code 0", verify=(APPLICATION_THREADS, "more than 0"), idempotent="an open account stays open",
        place="source",
    ),
    "grants": Action(
        "Give the rights on the old tables back", "manual",
        "Give the application the right to write to @tables@ on @source@ again.", "DBA", 5,
        "writes reach the old tables", idempotent="a right is granted or already there",
    ),
    "grants.postgresql": Action(
        "Give the rights on the old tables back", "sql", "@grants@", "DBA", 1, "exit code 0",
        idempotent="a right is granted or already there", place="source",
    ),
    "grants.mysql": Action(
        "Give the rights on the old tables back", "sql", "@mysql_grants@", "DBA", 1, "exit code 0",
        idempotent="a right is granted or already there", place="source",
    ),
    "lost_writes": Action(
        "Carry the rows back that only @target@ holds", "manual",
        "Profile @tables@ on both sides and compare the profiles (compatibility_checker.py --type data); insert on "
        "@source@ each row that only @target@ holds.",
        "DBA", 60, "0 rows on one side only",
        ("@both_counts@", "counts that somebody has read and kept", "abort"),
        approval=("Business owner",),
        data_loss="rows written on @target@ since the cutover that are not carried back",
    ),
    "drop_target": Action(
        "Remove what was provisioned for @target@", "manual",
        "Delete what phase @phase@ created for @target@: {{provisioned_resources}}. Leave @source@ alone: it serves.",
        "Platform engineer", 15, "nothing of it is left; @source@ serves as before",
        ("@target_use@", "0 or nothing", "abort: somebody uses it"), approval=("Tech lead",),
    ),
    "unpause": Action(
        "Let run again what the preparation paused", "manual",
        "Resume the jobs and releases that phase @phase@ paused. Backup and restore point stay for the next attempt.",
        "Tech lead", 5, "the next scheduled run starts", idempotent="what runs goes on",
    ),
    "agents": Action(
        "Remove the replication agents from the sources", "manual",
        "Uninstall the agent on @servers@; the replicated volumes are deleted last.",
        "Platform engineer", 15, "no agent process; replication console lists no source",
        idempotent="what is removed stays removed",
    ),
    "test_servers": Action(
        "Delete the test servers", "manual",
        "Terminate the test copies of @servers@ in the isolated subnet of @target@; the replication goes on.",
        "Platform engineer", 10, "no test server runs", idempotent="a terminated server stays terminated",
    ),
    "power_off": Action(
        "Stop the migrated servers", "manual", "Shut down on @target@, in this order: @servers_down@.",
        "Platform engineer", 5, "each is stopped: nothing writes any more",
        idempotent="a stopped server stays stopped",
    ),
    "copy_back": Action(
        "Copy the writes since the cutover back to @source@", "manual",
        "Copy what changed on the stopped servers since the cutover to their sources: reverse the replication, or copy "
        "the databases' own logs and the changed files.",
        "Platform engineer", 10, "the newest write of @target@ is on @source@",
        ("disks of the stopped servers", "attached and readable", "abort"), approval=("Business owner",),
        data_loss="writes since the cutover that are not copied back",
    ),
    "power_on": Action(
        "Power on the source servers", "manual", "Power on at @source@, in this order: @servers@.",
        "Platform engineer", 5, "each server answers its health check from outside",
        idempotent="a server that runs goes on",
    ),
    "network": Action(
        "Take the routes to the new side out", "manual",
        "Withdraw the routes and firewall rules that this migration added: {{added_routes}}.",
        "Platform engineer", 5, "traffic takes the old path in both directions",
        idempotent="a withdrawn route stays withdrawn",
    ),
    "paper": Action(
        "Confirm that nothing of phase @phase@ is live", "manual",
        "Nothing to take back: phase @phase@ changed no production system (@undo@).", "Tech lead", 1,
        "the new side serves nothing", verify=(NEW_REQUESTS, "0 or no series"), idempotent="it only reads",
    ),
    "capture": Action(
        "Stop the capture of events", "manual",
        "Stop the connector {{connector}}; the tables are the truth. Events stay: the stream is append-only.",
        "Developer", 2, "the newest event is the same twice, 30 s apart",
        idempotent="a stopped connector stays stopped",
    ),
    "genesis": Action(
        "Leave the snapshot events unread", "manual",
        "Stop the job that writes the snapshot events. Delete none: the next attempt writes to a stream of a new name.",
        "Developer", 2, "no reader uses the stream", idempotent="a stopped job stays stopped",
    ),
    "projection": Action(
        "Take the projection out", "manual",
        "Stop the projector {{projector}} and drop its read models; no reader uses them. The events stay.",
        "Developer", 10, "no read model is left", idempotent="what is dropped stays dropped",
    ),
    "projection.kafka": Action(
        "Set the projection back to before the phase", "bash",
        "kafka-consumer-groups --bootstrap-server '{{brokers}}' --group '{{projection_group}}' --topic '{{topic}}' \\\n"
        "  --reset-offsets --to-datetime '{{before_phase_utc}}' --execute",
        "Developer", 10, "a table of new offsets",
        ("kafka-consumer-groups --bootstrap-server '{{brokers}}' --describe --group '{{projection_group}}'",
         "no active member, and handlers with side effects switched off", "abort"),
        idempotent="offsets are set to one time",
    ),
    "commands": Action(
        "Let the tables take the commands again", "manual",
        "Switch the command handlers of @source@ back to the tables at {{command_switch}}; never delete events.",
        "Developer", 3, "writes reach the tables",
        (PROMETHEUS % "max(migration_back_projection_lag_seconds@whole@)", "below 10", "abort: roll forward instead"),
        idempotent="the end state is set",
    ),
    "redeploy": Action(
        "Start @source@ again", "manual",
        "Start @source@ from its archived image {{archived_image}} (@capacity@), warm it, and load it with its peak "
        "before any request returns; then undo the phases below.",
        "Platform engineer", 120, "every instance healthy under the peak load: @baseline@",
        ("archived image, configuration and data of @source@", "all three are there", "abort: fix forward"),
        approval=("Business owner", "Tech lead"),
        data_loss="what the new side wrote that @source@ cannot read (@what@)",
    ),
    "put_back": Action(
        "Put back what the way back needs of phase @phase@", "manual",
        "Phase @phase@ removed no data. Put back, from its change in the repository, the alerts and flags that it took "
        "out and the phases below still need.",
        "Developer", 5, "the alerts of this migration are loaded again", idempotent="what is there stays there",
    ),
    "restore": Action(
        "Bring back what phase @phase@ removed, beside production", "manual",
        "Restore into a new instance from {{backup_location}}, never over production (commands: section Data). "
        "Compare @tables@ with the counts taken before; copy back only what is missing.",
        "DBA", 120, "every missing row is back, no newer row is overwritten",
        ("newest backup of before phase @phase@", "it is there and its last test restore passed", "abort"),
        approval=("Business owner", "Tech lead"),
        data_loss="what was written since the newest backup or archive (@what@)",
    ),
}  # fmt: skip

# What each phase of the planner's patterns needs, in this order; flags and traffic are chosen from its facts.
PHASE_ACTIONS = {
    "preparation": "drop_target", "assessment": "paper", "discovery": "paper", "landing_zone": "drop_target",
    "cdc.preparation": "drop_target", "expand_contract.preparation": "unpause",
    "parallel_schema.preparation": "unpause", "dual_write.preparation": "drop_target",
    "expand_contract.migrate": "flags stop_job", "cleanup": "restore", "close": "restore",
    "parallel_schema.create_v2": "drop_target", "parallel_schema.sync": "stop_job", "shadow_reads": "flags",
    "route": "flags traffic", "freeze_v1": "grants", "drop_v1": "restore",
    "model": "paper", "store": "drop_target", "capture": "capture", "genesis": "genesis", "project": "projection",
    "dual_run": "paper", "cut_reads": "flags", "cut_writes": "commands", "retire": "restore",
    "dual_write.dual_write": "flags", "backfill": "stop_job", "switch_reads": "flags",
    "switch_writes": "flags sequences",
    "remove_old": "restore",
    "schema_load": "drop_target", "initial_copy": "subscription", "index_constraints": "paper",
    "catch_up": "subscription",
    "cdc.validate": "paper", "cdc.cutover": "freeze drain sequences connections thaw",
    "reverse_soak": "reverse_lag", "finalize": "restore",
    "setup": "drop_target", "bulk_copy": "thaw", "delta_sync": "subscription thaw", "validation": "thaw",
    "data_migration.cutover": "freeze lost_writes connections thaw",
    "strangler_fig.retire": "redeploy", "parallel_run.cleanup": "redeploy", "blue_green.release": "redeploy",
    "intercept": "traffic", "implement": "paper", "shadow": "mirror", "redirect": "flags traffic",
    "validate": "flags traffic",
    "deploy": "deployment", "compare": "paper", "parallel_run.cutover": "flags traffic",
    "build_green": "deployment", "sync_data": "subscription", "verify_green": "paper",
    "switch": "traffic", "hold": "traffic",
    "release": "restore", "steps": "traffic image", "finish": "image",
    "replicate": "agents", "test_launch": "test_servers", "wave": "power_off copy_back power_on traffic",
    "decommission": "restore",
    "placement": "paper", "connectivity": "network", "pilot": "traffic", "move_compute": "traffic",
    "operate": "traffic",
    "review": "paper", "mapping": "paper", "common_layer": "drop_target", "data_layer": "subscription",
    "distribute": "traffic", "gameday": "paper",
}  # fmt: skip
OWN_STORE = re.compile(r"kafka", re.IGNORECASE)
ENGINES = (("postgresql", r"postgres"), ("mysql", r"mysql|mariadb"), ("sqlite", r"sqlite"))
ANOTHER_PLACE = {  # how SQL is run, and asked, on a database that is not the one of the plan's scripts
    "postgresql": ("psql -X -q -v ON_ERROR_STOP=1 -d '{{%s_database}}' -f -", "psql -X -qAt -d '{{%s_database}}' -f -"),
    "mysql": ("mariadb --defaults-file='{{%s_option_file}}'", "mariadb --defaults-file='{{%s_option_file}}' -N -B"),
}


def engine_of(plan: Plan, side: str) -> str:
    """Return the database engine of a side (source or target): postgresql, mysql, sqlite; empty when nobody says."""
    spec, parsed = plan.specification.get(side), sub(plan.root, "parsed", side)
    named = text_of(parsed, "engine") or text_of(sub(spec), "engine")
    words = named or f"{plan.source if side == 'source' else plan.target} {spec if isinstance(spec, str) else ''}"
    return next((name for name, mark in ENGINES if re.search(mark, words, re.IGNORECASE)), "")


def action_of(plan: Plan, name: str) -> Tuple[Action, str]:
    """Return the action in the form for this plan's engine, and that engine; the general one where it has none."""
    places = {ACTIONS[key].place for key in ACTIONS if key.startswith(f"{name}.")}
    engine = engine_of(plan, "target" if "target" in places or name == "freeze" else "source")
    if name.startswith("projection"):
        told = f"{plan.source} {plan.target} {plan.specification.get('description', '')}"
        engine = "kafka" if OWN_STORE.search(told) else ""
    return ACTIONS.get(f"{name}.{engine}") or ACTIONS[name], engine


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
    servers = wave_servers(plan, phase)
    slug = re.sub(r"\W+", "_", phase.name)
    return {
        "source": plan.source or "the old side",
        "target": plan.target or "the new side",
        "phase": phase.name,
        "phase_file": slug,
        "dns_name": f"{{{{{slug}_dns_name}}}}" if plan.root.get("waves") else "{{service_name}}",
        "undo": undo or "nothing is live",
        "what": (loss if not loss.startswith("none") else "") or phase.reason or f"what {phase.name} removed",
        "cohort": "{" + watch.cohort + "}",
        "whole": "{" + watch.whole + "}",
        "consumers": ", ".join(dependencies(plan)) or "every consumer",
        **old_side(plan),
        "servers": ", ".join(servers) or "{{source_servers}}",
        "servers_down": ", ".join(reversed(servers)) or "{{source_servers}}",
        **table_words(plan),
        "target_use": target_use(plan) or NEW_REQUESTS.replace("@cohort@", "{" + watch.cohort + "}"),
    }


def table_words(plan: Plan) -> Dict[str, str]:
    """Return the words that stand for the plan's tables."""
    tables = plan_tables(plan)
    grant = "GRANT INSERT, UPDATE, DELETE ON {} TO {};"
    named = tables or ["{{old_tables}}"]
    return {
        "tables": ", ".join(tables) or "every migrated table",
        "grants": "\n".join(grant.format(name, '"{{application_role}}"') for name in named),
        "mysql_grants": "\n".join(grant.format(name, "'{{application_role}}'@'%'") for name in named),
        "both_counts": both_counts(plan, tables),
    }


def both_counts(plan: Plan, tables: Sequence[str]) -> str:
    """Return the command that counts the rows of each table on both sides, words where no client is known."""
    ask = {
        "postgresql": "psql -X -qAt -d \"$side\" -c \"SELECT '$table', count(*) FROM $table\"",
        "mysql": 'mariadb --defaults-file="$side" -N -B -e "SELECT \'$table\', count(*) FROM $table"',
    }
    sides = {
        "postgresql": "'{{source_database}}' '{{target_database}}'",
        "mysql": "'{{source_option_file}}' '{{target_option_file}}'",
    }
    engine = engine_of(plan, "target")
    if engine not in ask or engine != engine_of(plan, "source") or not tables:
        return f"rows of {', '.join(tables) or 'every migrated table'}, counted on both sides"
    loop = f"for table in {' '.join(tables)}; do for side in {sides[engine]}; do"
    return f"{loop} {ask[engine]}; done; done"


def target_use(plan: Plan) -> str:
    """Return the command that counts who uses the new database, nothing where the target is none."""
    if plan.kind not in ("database", "data"):
        return ""
    return {
        "postgresql": "psql -X -qAt -d '{{target_database}}' -c \"SELECT count(*) FROM pg_stat_activity "
        'WHERE datname = current_database() AND pid <> pg_backend_pid()"',
        "mysql": "mariadb --defaults-file='{{target_option_file}}' -N -B -e \"SELECT count(*) - 1 FROM "
        'information_schema.processlist WHERE db IS NOT NULL OR id = connection_id()"',
    }.get(engine_of(plan, "target"), "")


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


SHELL_WORD = re.compile(r"(psql|mariadb|promtool|kubectl|aws|dig|kafka-[\w-]+|for|ls|curl|sqlite3) ")


def action_step(action: Action, words: Dict[str, str], engine: str = "") -> Step:
    """Return an action as a step of this plan; what the plan says stays inside the quotes of a command."""

    def told(text: str) -> str:
        inside = action.script_type == "bash" and text is action.content or SHELL_WORD.match(text)
        quoted = {key: value.replace("'", QUOTES["bash"]) for key, value in words.items()} if inside else words
        raw = {"both_counts": words.get("both_counts", ""), "target_use": words.get("target_use", "")}
        return re.sub(r"@(\w+)@", lambda match: {**quoted, **raw}.get(match.group(1), match.group()), text)

    command, expect, otherwise = map(told, action.precheck)
    check, says = map(told, action.verify)
    run, ask = ANOTHER_PLACE.get(engine if action.place else "", ("", ""))
    return Step(
        told(action.name), f"Part of the undo of phase {words['phase']}.", action.script_type, told(action.content),
        action.minutes, action.owner,
        {"command": command, "expect": expect, "meaning_if_not": otherwise} if command else None,
        told(action.expected), ({"command": check, "expect": says},) if check else (),
        bool(action.idempotent), told(action.data_loss) or None, None, action.approval, action.idempotent,
        client=run % action.place if run else "", asking=ask % action.place if ask else "",
    )  # fmt: skip


def phase_actions(plan: Plan, phase: Phase) -> List[str]:
    """Return the names of the actions that undo a phase of the planner's patterns, none for another's phase."""
    if not phase.recovery:
        return []
    name = re.sub(r"_\d+$", "", phase.name)
    tracks = sub(plan.root, "pattern_selection").get("tracks")
    listed = tracks if isinstance(tracks, list) and tracks else (plan.pattern,)
    for pattern in (*listed, ""):
        row = PHASE_ACTIONS.get(f"{pattern}.{name}" if pattern else name)
        if row:
            return one_way_copy(row.split()) if keeps_no_way_back(plan) else row.split()
    return []


def keeps_no_way_back(plan: Plan) -> bool:
    return sub(plan.specification, "cutover").get("reverse_replication") is False


def one_way_copy(names: List[str]) -> List[str]:
    """Return the actions where nothing keeps the old side current: there is no lag to wait for, rows are carried."""
    return ["lost_writes" if name == "drain" else "paper" if name == "reverse_lag" else name for name in names]


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
        elif not (phase.scripts and name in ("restore", "drop_target", "paper")):
            harmless = name == "restore" and is_harmless(phase)
            yield table_step(plan, phase, facts, words, "put_back" if harmless else name)


def is_harmless(phase: Phase) -> bool:
    """Return whether the plan says that a phase, which elsewhere removes data, removes none here."""
    return not phase.point_of_no_return and text_of(sub(phase.recovery), "data_at_risk").startswith("none")


def table_step(plan: Plan, phase: Phase, facts: Dict[str, Any], words: Dict[str, str], name: str) -> Step:
    """Return the step of one action; how long a restore takes is computed, or the plan says it."""
    action, engine = action_of(plan, traffic_action(plan, facts) if name == "traffic" else name)
    if name == "stop_job" and not facts.get("backfill_application_name"):
        action = ACTIONS[name]
    step = action_step(action, words, engine)
    if name not in ("restore", "redeploy"):
        return step
    minutes, basis = restore_minutes(plan, phase, facts, name == "restore")
    return step._replace(minutes=minutes, basis=basis)


def restore_minutes(plan: Plan, phase: Phase, facts: Dict[str, Any], is_restore: bool) -> Tuple[float, str]:
    """Return the minutes of bringing back what is gone: the plan's likely time, or longer where the volume says so."""
    volume = number(sub(plan.specification, "constraints").get("data_volume_gb"))
    likely = number(sub(phase.recovery, "minutes").get("likely"))
    found = (likely, "assumed: the plan's likely time") if likely else (RESTORE_MINUTES, "assumed: no volume is given")
    if not volume or not is_restore:
        return found
    speed, origin = restore_speed(plan, facts)
    minutes = RESTORE_SETUP_MINUTES + round(volume * 1000 / speed / 60)
    basis = f"{volume:g} GB / {speed:.4g} MB/s ({origin}) + {RESTORE_SETUP_MINUTES} min to start and compare (assumed)"
    if likely and likely > minutes and origin == "assumed":
        return likely, f"assumed: the plan's likely time; the copy alone: {basis} = {minutes:g} min"
    return float(minutes), f"computed: {basis}"


def flag_steps(plan: Plan, phase: Phase, facts: Dict[str, Any]) -> Iterator[Step]:
    """Yield one step for each feature flag, the last one first: straight to where it stood before."""
    flags = objects(plan.specification.get("feature_flags"))
    if not flags:
        switch = f"the flag or setting that phase {phase.name} raises"
        yield Step(
            f"Set the switch of phase {phase.name} to 0 %",
            "The specification names no flag.",
            "manual",
            f"Set {switch} to 0 % in {{{{flag_service}}}}.",
            FLAG_MINUTES,
            "Developer",
            expected="0 %",
            verify=({"command": f"read the switch of phase {phase.name} in {{{{flag_service}}}}", "expect": "0 %"},),
            idempotent_how="0 % stays 0 %",
        )
    for flag in reversed(flags):
        yield flag_step(flag, facts)


def flag_step(flag: Dict[str, Any], facts: Dict[str, Any]) -> Step:
    """Return the step that sets one flag, by the inventory's command where it has one."""
    import shlex

    name, first = text_of(flag, "name"), plain(number(flag.get("initial_percentage")) or 0)
    stages = ", ".join(f"{plain(number(s.get('percentage')) or 0)} %" for s in objects(flag.get("rollout_schedule")))
    told = f"{text_of(flag, 'description') or name}; it may stand at {stages or 'any stage'}."
    command = facts.get("flag_off_command")
    content = f"Set the feature flag {name} to {first} % in {{{{flag_service}}}}."
    if isinstance(command, str):
        content = f"FLAG={shlex.quote(name)} PERCENTAGE={first}\nexport FLAG PERCENTAGE\n{command}"
    check = {"command": f"read the flag {name} in {{{{flag_service}}}}", "expect": f"{first} %"}
    if isinstance(facts.get("flag_check_command"), str):
        check = {"command": f"FLAG={shlex.quote(name)} {facts['flag_check_command']}", "expect": first}
    return Step(
        f"Set flag {name} to {first} %",
        told,
        "bash" if isinstance(command, str) else "manual",
        content,
        FLAG_MINUTES,
        "Developer",
        {**check, "expect": f"more than {check['expect']}", "meaning_if_not": f"skip: it stands at {first} % already"},
        f"{name} at {first} %",
        verify=(check,),
        idempotent_how="the percentage is set, not changed",
    )


def plan_steps(plan: Plan, phase: Phase) -> Iterator[Step]:
    """Yield what the plan itself says of undoing a phase: by its schema changes, in words, or task by task."""
    entries = objects(sub(plan.root, "rollback_plan").get("phases"))
    entry = next((entry for entry in entries if entry.get("phase") == phase.name), {})
    undo = text_of(sub(phase.recovery), "steps") or text_of(entry, "steps")
    changes = schema_changes(plan, phase) if phase.recovery else []
    if phase.recovery and phase.name == "contract" and plan.specification.get("schema_changes") and not changes:
        yield worded_step(phase, NOTHING_REMOVED, SCRIPT_MINUTES, "")._replace(idempotent=True)
    elif changes:
        yield change_step(plan, phase, changes)
    elif undo:
        source = phase.recovery if sub(phase.recovery) else entry
        yield worded_step(phase, undo, sub(source, "minutes").get("likely"), text_of(sub(source), "data_at_risk"))
    else:
        yield from map(task_step, phase.tasks[::-1] or old_actions(plan, phase))


def worded_step(phase: Phase, undo: str, minutes: Any, loss: str) -> Step:
    at_risk = loss if loss and not loss.startswith("none") else None
    return Step(
        f"Undo phase {phase.name}",
        f"The plan's own words for the undo of phase {phase.name}.",
        "manual",
        undo[:1].upper() + undo[1:],
        number(minutes) or SCRIPT_MINUTES,
        "Tech lead",
        expected=f"the state before phase {phase.name}",
        data_loss=at_risk,
        approval=("Business owner",) if at_risk else (),
        idempotent=False,
    )


UNKNOWN_LOSS = "unknown: the plan names its tasks, not what they changed"


def task_step(task: str) -> Step:
    content = f"Reverse by hand: {task}"
    return Step(
        f"Reverse: {task}",
        "The plan names the task, not its undo.",
        "manual",
        content,
        SCRIPT_MINUTES,
        "Tech lead",
        expected="the state before the task",
        idempotent=False,
        data_loss=UNKNOWN_LOSS,
        approval=("Tech lead",),
    )


def old_actions(plan: Plan, phase: Phase) -> List[str]:
    """Return what an old plan's own rollback plan lists for a phase."""
    entries = objects(sub(plan.root, "rollback_plan").get("rollback_phases"))
    named = (phase.name, f"rollback_{phase.name}")
    entry = next((entry for entry in entries if entry.get("phase") in named), {})
    listed = entry.get("rollback_actions")
    return [action for action in reversed(listed) if isinstance(action, str)] if isinstance(listed, list) else []


NOTHING_REMOVED = (
    "Nothing to put back: the schema changes of the specification remove and narrow nothing. What this phase enforced "
    "goes with its columns in the undo of phase expand."
)
REMOVING = ("drop", "remove", "modify", "rename")


def schema_changes(plan: Plan, phase: Phase) -> List[str]:
    """Return the schema changes of the specification that a phase makes and no script undoes, last first."""
    told = []
    for table in objects(plan.specification.get("schema_changes")):
        for change in objects(table.get("changes")):
            kind = text_of(change, "type")
            if (phase.name == "contract") == kind.startswith(REMOVING):
                keys = ("column", "constraint_name", "index_name")
                what = next((text_of(change, key) for key in keys if change.get(key)), "")
                types = [text_of(change, "old_type"), text_of(change, "new_type") or text_of(change, "new_name")]
                told.append(f"{kind} {text_of(table, 'table')}.{what} {' -> '.join(filter(None, types))}".strip(" ."))
    return told[::-1] if phase.name in ("expand", "contract") else []


def change_step(plan: Plan, phase: Phase, changes: Sequence[str]) -> Step:
    minutes = number(sub(phase.recovery, "minutes").get("likely")) or BACKFILL_MINUTES
    risk = "values that the old form cannot hold" if phase.name == "contract" else "values written to new columns"
    return Step(
        f"Take back {len(changes)} schema changes of phase {phase.name}",
        "The plan holds no scripts: give the planner the checker's report (--compatibility) and each undo is a script.",
        "manual",
        f"Take back, in this order: {'; '.join(changes)}. Count {risk} before each; archive them.",
        minutes,
        "DBA",
        {"command": risk, "expect": "counted and archived", "meaning_if_not": "abort: they would be lost"},
        f"an export of the schema equals the one before phase {phase.name}",
        idempotent=False,
        approval=("Tech lead",),
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
    return answered_for(phase, steps or [unknown_step(plan, phase, facts)])


def answered_for(phase: Phase, steps: List[Step]) -> List[Step]:
    """Return the steps of a phase; where the plan calls it final, somebody answers for what its undo loses."""
    if not is_final(phase) or any(step.data_loss for step in steps):
        return steps
    loss = phase.reason or f"phase {phase.name} is final, as the plan marks it"
    approval = tuple(dict.fromkeys((*steps[0].approval, "Business owner")))
    return [steps[0]._replace(data_loss=loss, approval=approval), *steps[1:]]


def unknown_step(plan: Plan, phase: Phase, facts: Dict[str, Any]) -> Step:
    """Return what is left where neither scripts nor the plan's words undo a phase."""
    if phase.scripts:
        told = "Its scripts have no undo of their own: what they filled goes with the objects of the phase before."
        name, content, minutes, basis = f"No undo of {phase.name} of its own", told, 1.0, "assumed"
    else:
        told = f"The plan names neither a task nor an undo of phase {phase.name}."
        done = f" (it did: {phase.description})" if phase.description else ""
        content = f"Restore what phase {phase.name} changed{done} beside production from {{{{backup_location}}}}."
        name = f"Restore what phase {phase.name} changed"
        minutes, basis = restore_minutes(plan, phase, facts, True)
    return Step(
        name, told, "manual", content, minutes, "Tech lead",
        expected="; ".join(phase.criteria) or f"the state before phase {phase.name}", idempotent=False, basis=basis,
    )  # fmt: skip


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
        if is_final(phase):
            extend = [] if phase.scripts else [extension(plan, phase)]
            return no_return(plan, phase, None, phase.reason or "the plan marks it", extend)
    if not any(phase.scripts or phase.recovery for phase in plan.phases):
        return unmarked_return(plan)
    reason = "every step of the plan has an undo that loses nothing"
    return {"phase": None, "step_id": None, "reason": reason, "after_it": "rollback", "extend_by": [], "gate": None}


REMOVES = re.compile(r"contract|clean|retire|decommission|drop|remove|finali[sz]e|delete|purge", re.IGNORECASE)


def unmarked_return(plan: Plan) -> Dict[str, Any]:
    """Return the point of no return of a plan that marks none: the first phase whose name says that it removes."""
    phase = next((phase for phase in reversed(ordered(plan)) if REMOVES.search(phase.name)), None)
    if phase:
        reason = "by its name it removes the old form; the plan names no archive and no undo"
        return no_return(plan, phase, None, reason, [extension(plan, phase)])
    reason = "unknown: the plan marks none and says of no phase what its undo loses"
    return {"phase": None, "step_id": None, "reason": reason, "after_it": "rollback", "extend_by": [], "gate": None}


def is_final(phase: Phase) -> bool:
    """Return whether the plan calls a phase final and no archive of its scripts says otherwise."""
    archived = bool(phase.scripts) and all(s.get("reversibility", "lossless") == "lossless" for s in phase.scripts)
    return phase.point_of_no_return and not archived


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


AUTOMATIC_LIMIT = (  # a program that flips back and forth hides the fault: one attempt, then a person
    "once for each stage of the rollout, and not within 10 min of the last time: then a person decides and resumes"
)


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
        if phase["past_point_of_no_return"]:
            return False, f"it is watched in {phase['forward_phase']} too, past the point of no return"
        for step in phase["steps"]:
            reason = hand_reason(step)
            if reason:
                return False, f"the rollback of {phase['forward_phase']} holds {step['step_id']}, which {reason}"
    names = ", ".join(phase["forward_phase"] for phase in watched)
    return True, f"every step of {names} only switches traffic and loses nothing; {AUTOMATIC_LIMIT}"


def hand_reason(step: Dict[str, Any]) -> str:
    """Return why a step needs a person, nothing when it does not."""
    if step["script_type"] in ("manual", "api"):
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
    minutes = trigger.minutes
    held = (f" for {minutes:g} min" if minutes >= 1 else f" for {minutes * 60:g} s") if minutes else ""
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


def restore_speed(plan: Plan, facts: Dict[str, Any]) -> Tuple[float, str]:
    """Return MB/s of a restore and where the number comes from: a drill, inventory, specification, or an assumption."""
    drill = sub(facts, "restore_drill")
    size, seconds = number(drill.get("bytes")), number(drill.get("seconds"))
    if size and seconds and size / seconds / 1e6 > 0:
        return size / seconds / 1e6, f"drill of {drill.get('date', 'unknown date')}"
    given = number(facts.get("restore_mb_per_second"))
    if given and given > 0:
        return given, "inventory"
    measured = number(sub(plan.specification, "measured").get("restore_gb_per_hour"))
    if measured and measured / 3.6 > 0:
        return measured / 3.6, "specification, measured"
    return RESTORE_MB_PER_SECOND, "assumed"


def allowed_minutes(plan: Plan) -> Optional[float]:
    return number(sub(plan.specification, "constraints").get("max_downtime_minutes"))


def restore_arithmetic(plan: Plan, facts: Dict[str, Any]) -> Tuple[Optional[str], Optional[bool]]:
    """Return the sentence that says whether a full restore fits into the allowed outage, and its verdict."""
    volume, allowed = number(sub(plan.specification, "constraints").get("data_volume_gb")), allowed_minutes(plan)
    if volume is None:
        return None, None
    speed, origin = restore_speed(plan, facts)
    minutes = volume * 1000 / speed / 60
    took = f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}"
    shown = f"{volume:g} GB at {speed:.4g} MB/s{f' ({origin})' if origin != 'inventory' else ''} = {took} min"
    if allowed is None:
        return f"{shown}: no allowed outage is stated", None
    if minutes <= allowed:
        return f"{shown} <= {allowed:g} min: viable", True
    needed = f"; {allowed:g} min would need {volume * 1000 / allowed / 60:,.0f} MB/s" if allowed else ""
    return f"{shown} > {allowed:g} min: not viable within the allowed outage{needed}", False


MOVING = {"wave", "move_compute", "distribute", "data_layer", "pilot"}  # phases after which servers take writes


def recovery_method(plan: Plan) -> Tuple[str, str]:
    """Return how data comes back and the fact that decides it."""
    undo = "".join(text_of(s, "rollback_script") for phase in plan.phases for s in phase.scripts)
    archives = set(re.findall(r"migration_archive\.\w+|_migration_archive_\w+", undo))
    if archives:
        return "archive join", f"the undo scripts put dropped values back from {len(archives)} archive tables"
    if sub(plan.specification, "cutover").get("reverse_replication"):
        return "reverse replication", "the specification keeps the old side current (cutover.reverse_replication)"
    if has_sql(plan):
        return "undo scripts", "every script carries its undo, none archives rows"
    return recovery_by_phases(plan)


def recovery_by_phases(plan: Plan) -> Tuple[str, str]:
    """Return how data comes back where no script says it: what the phases move and keep decides."""
    phases = {re.sub(r"_\d+$", "", phase.name): phase.name for phase in reversed(plan.phases)}
    kept = next((name for name in ("reverse_soak", "route", "cut_writes") if name in phases), None)
    if kept and not keeps_no_way_back(plan):
        return "reverse replication", f"phase {kept} of pattern {plan.pattern} keeps the old side current"
    moved = next((name for stem, name in reversed(list(phases.items())) if stem in MOVING), None)
    if moved:
        return "copy back", f"the new servers take writes of their own from phase {moved} on"
    if in_place(plan):
        return "none needed", "both forms live in one database: rows written since stay where they are"
    if "dual_write" in phases:
        return "none needed", "every write reaches both stores until the old one is removed; see the repair queue first"
    if engine_of(plan, "source") or plan.kind in ("database", "data"):
        return "restore beside", "the plan holds neither scripts nor a way back for rows written since"
    named = ", ".join(phase.name for phase in plan.phases[:8])
    return "none needed", f"assumed: both sides use one store, since no phase copies data ({named})"


RECOVERY_STEPS = {
    "archive join": "rollback.sh runs them; afterwards the queries below agree with the counts taken before.",
    "reverse replication": "freeze the writers, wait for lag 0 twice, move the sequences, switch back.",
    "undo scripts": "rollback.sh runs them.",
    "copy back": "stop the new servers, copy the writes since the cutover to their sources, start the sources.",
    "restore beside": "restore into a new instance, never over production; copy back only what is missing.",
    "none needed": "take the traffic back; where the new side has a store of its own, compare and carry its rows back.",
}
LOSS_RULE = {  # what bounds the data that is lost, by the way in which it comes back
    "archive join": "0: archived values come back, rows written since stay",
    "reverse replication": "the replication lag at the freeze; 0 once the writers are stopped and the lag reached 0",
    "undo scripts": "0 where every script is lossless: rows written since stay",
    "copy back": "the time since the cutover, less what is copied back; 0 when the copy is complete",
    "restore beside": "now less the time of the newest backup, of all tables",
    "none needed": "0 while every write reaches the old side too",
}
PITR = {  # each entry is one command; {{…}} that only the backup's owner knows
    "postgresql": (
        "psql -X -d \"$DB\" -c 'SELECT pg_switch_wal()'  # its own call: the last commit has to be in the archive",
        "cp -a '{{base_backup_directory}}' '{{side_directory}}'",
        "printf '%s\\n' \"restore_command = 'cp {{wal_archive_directory}}/%f %p'\" "
        "\"recovery_target_name = '@point@'\" \"recovery_target_action = 'promote'\" 'archive_mode = off' "
        "'port = 54329' >>'{{side_directory}}/postgresql.auto.conf'",
        "touch '{{side_directory}}/recovery.signal' && pg_ctl -D '{{side_directory}}' -w start",
        "timeout 600 bash -c 'until [ \"$(psql -X -qAt -p 54329 -d postgres -c \"SELECT pg_is_in_recovery()\")\" = f ]"
        "; do sleep 1; done'  # its log says: recovery stopping at restore point",
    ),
    "mysql": (
        "mariadb --defaults-file='{{side_option_file}}' <'{{dump_file}}'  # its head names the binlog position",
        "mariadb-binlog --start-position='{{binlog_position}}' --stop-datetime='{{before_damage_local_time}}' "
        "{{binlog_files}} | mariadb --defaults-file='{{side_option_file}}'  # all files in one call, local time",
    ),
    "sqlite": ("cp '{{backup_location}}' side.db  # beside the live file",),
    "managed": (
        "aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier '{{db_instance}}' "
        "--target-db-instance-identifier '{{db_instance}}-rb' --restore-time '{{before_damage_utc}}' "
        "--db-subnet-group-name '{{db_subnet_group}}' --vpc-security-group-ids '{{db_security_group}}' "
        "--db-parameter-group-name '{{db_parameter_group}}'  # always a new instance",
        "aws rds wait db-instance-available --db-instance-identifier '{{db_instance}}-rb'",
    ),
    "": (),
}
COPY_BACK = {  # per table: everything of the restored copy that production lacks
    "postgresql": "psql -X -q -p 54329 -d \"$DB\" -c '\\copy @table@ TO STDOUT' | psql -X -q -d \"$DB\" "
    "-c 'CREATE TEMP TABLE side (LIKE @table@)' -c '\\copy side FROM STDIN' "
    "-c 'INSERT INTO @table@ SELECT * FROM side ON CONFLICT DO NOTHING'",
    "mysql": "mariadb-dump --defaults-file='{{side_option_file}}' --no-create-info --insert-ignore \"$DB\" @table@ | "
    'mariadb "$DB"',
    "sqlite": 'sqlite3 -bail "$DB" "ATTACH \'side.db\' AS side; '
    'INSERT OR IGNORE INTO @table@ SELECT * FROM side.@table@"',
}


def restore_point(plan: Plan, phase: str) -> str:
    return f"rb_{file_slug(plan.migration_id)}_{file_slug(phase)}"[:63]


def restore_commands(plan: Plan) -> List[str]:
    """Return the commands that restore beside production and copy back what is missing, table by table."""
    engine = engine_of(plan, "source") or (dialect_of(plan) if has_sql(plan) else "")
    source = sub(plan.specification, "source")
    managed = source.get("managed") and "aws" in text_of(source, "location").lower()
    phase = next((p.name for p in plan.phases if p.scripts), plan.phases[0].name)
    given = PITR["managed" if managed else engine if engine in PITR else ""]
    commands = [text.replace("@point@", restore_point(plan, phase)) for text in given]
    copy = COPY_BACK.get(engine, "").replace("-p 54329", "-h '{{side_host}}'" if managed else "-p 54329")
    commands += [copy.replace("@table@", table) for table in plan_tables(plan) if copy]
    scripted = in_place(plan) or has_sql(plan)
    return commands if scripted else [command.replace(PLACE, SOURCE) for command in commands]


def recovery_plan(plan: Plan, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return how data comes back, with the arithmetic that says whether a restore fits the allowed outage."""
    sentence, fits = restore_arithmetic(plan, facts)
    method, because = recovery_method(plan)
    restores = method != "none needed" or any(is_final(phase) for phase in plan.phases)
    return {
        "method": method,
        "because": because,
        "how": RECOVERY_STEPS[method],
        "backup_location": facts.get("backup_location", "{{backup_location}}"),
        "restore_viability": sentence,
        "restore_is_viable": fits,
        "point_in_time_restore_beside": restore_commands(plan) if restores else [],
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
    "Run the checks at the end of the runbook; releases stay frozen until they pass.",
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
DEADLINES = (  # mark of the framework, what it asks for
    ("GDPR", "Deadline: {{awareness_utc}} + 72 h (GDPR Art. 33: only when a breach of personal data is confirmed)."),
    ("HIPAA", "HIPAA: without delay, at the latest {{awareness_utc}} + 60 days (45 CFR 164.404-408)."),
    ("PCI", "PCI DSS: acquirer and card brands at once, as the incident response plan says (requirement 12.10)."),
)
REGULATOR = """DRAFT, counsel decides whether it is sent. $deadlines
Authority: {{authority_name}}. It may be sent in parts; a late one gives its reasons.
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
        "minutes": f"{rto['minutes']:.0f}",
        "consumers": ", ".join(dependencies(plan)) or "{{consumers}}",
        "loss": "; ".join(losses) or "nothing is lost",
        "nature": f"data may have been lost or changed: {'; '.join(losses)}" if losses else "availability was reduced",
        "severity": severity(plan, losses),
        "impact": outage,
        "customer_impact": "You may have to enter recent changes again."
        if losses
        else "We expect no loss of what you entered.",
        "lost_endpoints": f"These calls end: {', '.join(gone)}." if gone else "",
        "personal": ", ".join(personal_columns(plan)) or "{{personal_data_categories}}",
        "deadlines": "\n".join(reported_to(plan)),
    }


def reported_to(plan: Plan) -> List[str]:
    """Return the deadlines of the frameworks under which a loss may have to be reported."""
    named = " ".join(frameworks(plan)).upper() + (" GDPR" if personal_columns(plan) else "")
    return [deadline for mark, deadline in DEADLINES if mark in named]


def messages(
    plan: Plan, phases: Sequence[Dict[str, Any]], rto: Dict[str, Any], losses: Sequence[str]
) -> List[Dict[str, Any]]:
    """Return the drafts of every audience at every stage; the regulator's only where a framework asks for them."""
    import string

    words = message_words(plan, phases, rto, losses)
    drafts = [
        (audience, stage, MESSAGES[audience, stage])
        for audience in AUDIENCES
        for stage in STAGES
        if (audience, stage) in MESSAGES and (audience != "dependents" or dependencies(plan))
    ]
    if reported_to(plan):
        drafts += [("regulator", stage, REGULATOR) for stage in ("complete", "failed_escalated")]
    return [
        {
            "audience": audience,
            "stage": stage,
            "when": CADENCE[stage] if audience != "regulator" else "when counsel says so, within the deadline",
            "send_ready": False,
            "text": " ".join(text.split(" ")).strip(),
        }
        for audience, stage, text in ((a, s, string.Template(t).substitute(words)) for a, s, t in drafts)
    ]


def contacts(plan: Plan, facts: Dict[str, Any], phases: Sequence[Dict[str, Any]]) -> List[Dict[str, str]]:
    """Return who to call: each role that a step needs, and everybody whom plan or inventory name."""
    given = sub(facts, "contacts")
    people = objects(plan.root.get("stakeholders"))
    roles = {text_of(p, "role"): (text_of(p, "name"), text_of(p, "contact")) for p in people if text_of(p, "role")}
    needed = {"Tech lead", "Business owner", *given}
    needed |= {role for phase in phases for step in phase["steps"] for role in (step["owner_role"], *step["approval"])}
    result = []
    for role in (*roles, *sorted(needed - set(roles))):
        name, contact = roles.get(role, ("", ""))
        if role in needed or (name and not PLACEHOLDER.search(name)):
            slug = re.sub(r"\W+", "_", role.lower()).strip("_")
            known = str(given.get(role) or contact)
            found = name if name and not PLACEHOLDER.search(name) else "whoever answers" if known else name
            result.append(
                {"role": role, "name": found or f"{{{{{slug}_name}}}}", "contact": known or f"{{{{{slug}_contact}}}}"}
            )
    return result


def escalation(people: Sequence[Dict[str, str]], phases: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Return who is called when: whoever does the step at once, who leads after 15 minutes, who decides after 30."""
    owners = dict.fromkeys(step["owner_role"] for phase in phases for step in phase["steps"])
    reach = {person["role"]: person["contact"] for person in people}
    levels = [(1, role, 0) for role in owners if role not in ("Tech lead", "Business owner")]
    levels += [(2, "Tech lead", DECIDE_MINUTES), (3, "Business owner", 2 * DECIDE_MINUTES)]
    return [
        {"level": level, "role": role, "after_minutes": minutes, "contact": reach.get(role, "")}
        for level, role, minutes in levels
    ]


# == 7. Reporting =====================================================================================


def shell_word(text: str) -> str:
    import shlex

    return shlex.quote(one_line(text))


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


def step_json(step: Step, slug: str, number_: int, clients: Tuple[str, str]) -> Dict[str, Any]:
    prefix = f"rb-{slug}-"
    lead = "Tech lead" if step.owner != "Tech lead" else "Business owner"
    run, ask = (step.client, step.asking) if step.client else clients
    is_sql = step.script_type == "sql"
    return {
        "step_id": f"{prefix}{number_:02d}",
        "name": step.name,
        "description": step.description,
        "script_type": step.script_type,
        "client": (run.replace("psql -X -q ", "psql -X -q -1 ") if step.single else run)
        if is_sql
        else {"bash": "bash"}.get(step.script_type),
        "check_client": ask if is_sql else None,
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
    """Return what holds once a phase is undone: its scripts' own checks, and the figures that made somebody undo it."""
    by_hand = [step for step in steps if not step.is_script()]
    scripted = len(steps) - len(by_hand)
    found = [f"{' '.join(one_phase(phase.name))} --dry-run: each of {scripted} scripts is not-there"]
    told = [f"{step.name}: {step.expected}" for step in by_hand]
    return (found if scripted else []) + told + [no_longer(trigger) for trigger in watched]


def one_phase(name: str) -> Tuple[str, ...]:
    """Return the command that undoes the scripts of one phase and of no other."""
    word = shell_word(name)
    return "./rollback.sh", "--from-phase", word, "--to-phase", word


def no_longer(trigger: Trigger) -> str:
    return f"{trigger.metric} no longer {trigger.operator} {trigger.value:g} {trigger.unit}".rstrip()


class Shared(NamedTuple):
    """What every phase needs and the whole plan decides; found once, since a plan may have thousands of phases."""

    home: Optional[str]
    clients: Tuple[str, str]
    triggers: Dict[str, List[Trigger]]
    final: FrozenSet[str]  # the point of no return and what the plan does after it
    slugs: Dict[str, str]  # the part of the step ids that stands for a phase


def shared_of(plan: Plan) -> Shared:
    watched: Dict[str, List[Trigger]] = {}
    for trigger in all_triggers(plan):
        for name in trigger.phases if trigger.action in CRITICAL_ACTIONS else ():
            watched.setdefault(name, []).append(trigger)
    dialect, names = dialect_of(plan), [phase.name for phase in ordered(plan)]
    point = point_of_no_return(plan)["phase"]
    final = frozenset(names[: names.index(point) + 1] if point else ())
    return Shared(flags_home(plan), (CLIENTS[dialect], ASKING[dialect]), watched, final, unique_slugs(plan))


def unique_slugs(plan: Plan) -> Dict[str, str]:
    """Return a slug for each phase; two names that differ only in signs or script get numbers."""
    found: Dict[str, str] = {}
    taken: Dict[str, int] = {}
    for phase in plan.phases:
        slug = step_slug(phase.name)
        taken[slug] = taken.get(slug, 0) + 1
        while taken[slug] > 1 and f"{slug}-{taken[slug]}" in taken:
            taken[slug] += 1
        found[phase.name] = slug if taken[slug] == 1 else f"{slug}-{taken[slug]}"
        taken.setdefault(found[phase.name], 1)
    return found


def phase_json(plan: Plan, phase: Phase, facts: Dict[str, Any], shared: Shared) -> Dict[str, Any]:
    steps = invert(plan, phase, facts, shared.home)
    losses = list(dict.fromkeys(step.data_loss for step in steps if step.data_loss))
    lossy = any(script.get("reversibility") == "lossy" for script in phase.scripts)
    told, slug = [f"Phase {phase.name} has started"], shared.slugs[phase.name]
    return {
        "phase_name": f"rollback_{phase.name}",
        "forward_phase": phase.name,
        "description": f"Undo phase {phase.name}: {phase.description}"
        if phase.description
        else f"Undo phase {phase.name}",
        "urgency_level": {"critical": "emergency", "high": "urgent"}.get(phase.risk_level, "normal"),
        "estimated_duration_minutes": round(sum(step.minutes for step in steps), 2),
        "reversible": IRREVERSIBLE if is_final(phase) or lossy else CONDITIONAL if losses else REVERSIBLE,
        "past_point_of_no_return": phase.name in shared.final,
        "requires_approval": list(dict.fromkeys(role for step in steps for role in step.approval)),
        "data_at_risk": losses,
        "prerequisites": told + [f"{', '.join(s.approval)} accepted: {s.data_loss}" for s in steps if s.data_loss],
        "steps": [step_json(step, slug, place, shared.clients) for place, step in enumerate(steps, 1)],
        "validation_checkpoints": checkpoints(phase, steps, shared.triggers.get(phase.name, ())),
        "communication_requirements": ["engineering:progress"]
        + (["executive:progress", "customers:progress"] if losses else []),
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


def fill(value: Any, facts: Dict[str, str], kind: str = "") -> Any:
    """Return a document with the placeholders that are known filled in; a value stays inside a command's quotes."""
    if isinstance(value, str):
        return fill_text(value, facts)
    if isinstance(value, dict):
        kind = str(value.get("script_type") or kind)
        filled = {key: fill(item, facts, kind) for key, item in value.items()}
        if "script_content" in value:
            filled["script_content"] = fill_command(value, facts)
            filled["validation_commands"] = [check["command"] for check in filled["verify"]]
        if isinstance(value.get("command"), str):
            form = "bash" if SHELL_WORD.match(value["command"]) else "sql" if kind == "sql" else ""
            filled["command"] = fill_command({"script_type": form, "script_content": value["command"]}, facts)
        return filled
    return [fill(item, facts, kind) for item in value] if isinstance(value, list) else value


HOW_TO_OBTAIN = {  # where a blank comes from: a command, a place, or who knows it
    "added_routes": "the change ticket of the network, or terraform show of its plan",
    "application_role": "the user in the application's connection string",
    "archived_image": "the registry: the tag or digest that the old service ran last",
    "authoritative_server": "dig +short NS of the zone, one of them",
    "authority_name": "the data protection authority of the company's seat",
    "awareness_utc": "the minute in which somebody knew of the breach",
    "backfill_job": "the session or job that runs the migrate scripts; inventory backfill_application_name names it",
    "backfill_application_name": "the application_name that the backfill sets",
    "backup_location": "the backup job's last run",
    "base_backup_directory": "where pg_basebackup of before the migration was verified (pg_verifybackup)",
    "before_damage_local_time": "the last good minute, in the time zone of the shell that runs it",
    "before_damage_utc": "the last good minute, UTC, as 2026-01-31T02:15:00Z",
    "before_phase_utc": "the start of the phase in the schedule, as 2026-01-31T02:15:00.000",
    "binlog_files": "SHOW BINARY LOGS, from the one that the dump names",
    "binlog_position": "the CHANGE MASTER comment at the head of the dump",
    "bridge_url": "the incident bridge of the team",
    "brokers": "bootstrap.servers of the application's configuration",
    "command_switch": "the setting that phase cut_writes changed",
    "connector": "the list of connectors, or the name of the outbox job",
    "consequences_confirmed": "what security has confirmed",
    "consumers": "who calls the old system: its access log",
    "container": "kubectl get deployment -o jsonpath='{.spec.template.spec.containers[*].name}'",
    "database": "what psql -d (or mariadb, sqlite3) takes: a name, a connection string, a file",
    "db_instance": "aws rds describe-db-instances",
    "db_parameter_group": "aws rds describe-db-instances, DBParameterGroups",
    "db_security_group": "aws rds describe-db-instances, VpcSecurityGroups",
    "db_subnet_group": "aws rds describe-db-instances, DBSubnetGroup",
    "deployment": "kubectl get deployments",
    "dpo_contact": "the company's data protection officer",
    "dpo_name": "the company's data protection officer",
    "dump_file": "the dump of before the migration, made with --single-transaction --master-data=2",
    "flag_service": "where the feature flags are set; inventory flag_off_command makes each a command",
    "listener_arn": "aws elbv2 describe-listeners --load-balancer-arn ARN",
    "namespace": "kubectl config view --minify",
    "new_deployment": "kubectl get deployments, the new one",
    "new_target_group_arn": "aws elbv2 describe-target-groups, the new side's",
    "old_baseline": "the monitoring of the week before the migration",
    "old_selector": "before/service.json, spec.selector, as key=value,key=value",
    "old_selector_json": "jq -c .spec.selector before/service.json; every key of the new one has to be in it",
    "old_tables": "the tables that phase freeze_v1 took the right to write from",
    "old_target_group_arn": "aws elbv2 describe-target-groups, the old side's",
    "on_plan_yes_no": "the incident commander",
    "pagerduty_routing_key": "PagerDuty, the service's Events API v2 integration; never in a file",
    "personal_data_categories": "the record of processing activities",
    "persons_approximate": "a count of the persons in the lost rows",
    "previous_image_digest": "jq -r '.spec.template.spec.containers[].image' before/deployment.json, as IMAGE@sha256:…",
    "projection_group": "group.id of the projector's configuration",
    "projector": "the job that builds the read models",
    "prometheus_url": "the address of Prometheus, as http://host:9090",
    "provisioned_resources": "the list of what the phase created: terraform state list, or the change ticket",
    "records_approximate": "a count of the lost rows",
    "reverse_slot": "SELECT slot_name FROM pg_replication_slots on the new side",
    "reverse_subscription": "SELECT subname FROM pg_subscription on the old side",
    "service": "kubectl get services",
    "service_name": "the DNS name that clients use",
    "side_directory": "an empty directory with room for the whole database, not on production's disk",
    "side_host": "aws rds describe-db-instances, Endpoint of the restored instance",
    "side_option_file": "a MariaDB option file (host, user, password) of an empty instance beside production",
    "source_database": "connection string of the old database, as psql -d takes it",
    "source_dsn_secret": "the secret that held the connection string before the cutover",
    "source_option_file": "a MariaDB option file (host, user, password) of the old database",
    "source_servers": "the list of the wave's servers at the source",
    "source_system": "the change ticket",
    "status_page_url": "the public status page",
    "subscription": "SELECT subname FROM pg_subscription on the new side",
    "sunset_date": "the date that the consumers were told (x-sunset)",
    "target_database": "connection string of the new database, as psql -d takes it",
    "target_option_file": "a MariaDB option file (host, user, password) of the new database",
    "target_system": "the change ticket",
    "topic": "kafka-topics --list",
    "traffic_check_command": "the command that counts requests on the new side; inventory",
    "traffic_switch": "what sends requests to a side: load balancer, gateway, DNS; inventory traffic_back_command",
    "wal_archive_directory": "archive_command of the server",
    "zone_id": "aws route53 list-hosted-zones",
}
LIVE = re.compile(
    r"utc$|^(current_step|error_text|rows_lost|detected_by|incident_commander|ticket|customer_)"
)  # known on the night itself


def how_to_obtain(name: str) -> str:
    """Return where the value of a blank comes from."""
    who = re.fullmatch(r"(?:name_of_)?(\w+?)(?:_name|_contact)?", name)
    if name in HOW_TO_OBTAIN:
        return HOW_TO_OBTAIN[name]
    if LIVE.search(name):
        return "known when it happens: --fill with --message"
    if name.endswith("_dns_name"):
        return f"the DNS name that clients of {name[: -len('_dns_name')]} use"
    if who and (name.startswith("name_of_") or name.endswith(("_name", "_contact"))):
        return f"who is on call as {who.group(1).replace('_', ' ')}: inventory contacts"
    return f"the author of the plan: --fill {name}=VALUE"


def list_placeholders(runbook: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Return each blank once: where it stands, what it stops, how to obtain it."""
    places: Dict[str, List[str]] = {}
    for name, where in find_placeholders(runbook):
        places.setdefault(name, []).append(where)
    return [
        {
            "name": name,
            "where": where,
            "required_for": "execution" if any(is_executed(place) for place in where) else "messages and reading",
            "how_to_obtain": how_to_obtain(name),
        }
        for name, where in sorted(places.items())
    ]


def readiness(runbook: Dict[str, Any], plan: Plan, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return whether the runbook can be executed as it stands, and what stops it."""
    blockers = []
    for entry in runbook["placeholders"]:
        inside = [where for where in entry["where"] if is_executed(where)]
        if inside:
            places = f"{len(inside)} place{'s' if len(inside) > 1 else ''}"
            blockers.append(f"{{{{{entry['name']}}}}} is open in {places} of the steps: {entry['how_to_obtain']}")
    for phase in plan.phases:
        blockers += [
            f"{text_of(s, 'id')} of {phase.name} loses data and has no undo"
            for s in phase.scripts
            if s.get("reversibility") == "lossy" and not text_of(s, "rollback_script").strip()
        ]
    blockers += loss_blockers(plan, runbook["rollback_phases"], facts)
    unsaid = [p["forward_phase"] for p in runbook["rollback_phases"] if UNKNOWN_LOSS in p["data_at_risk"]]
    if unsaid:
        told = "the plan names tasks, but not how to take them back: plan again from the specification, or write it"
        blockers.append(f"{', '.join(unsaid)}: {told}")
    by_hand = [
        phase["forward_phase"]
        for phase in runbook["rollback_phases"]
        if all(step["script_type"] in ("manual", "api") for step in phase["steps"])
    ]
    warnings = [f"every step is done by hand in: {', '.join(by_hand)}"] if by_hand else []
    viability = runbook["data_recovery_plan"]["restore_viability"]
    warnings += [viability] if viability and "not viable" in viability else []
    warnings += runbook["inconsistencies"] + loose_ends(plan, facts)
    return {"executable": not blockers, "blockers": blockers, "warnings": warnings}


def is_executed(where: str) -> bool:
    return ".steps[" in where or where.startswith("environment[")


def wants_no_loss(plan: Plan) -> bool:
    special = sub(plan.specification, "constraints").get("special_requirements")
    asked = isinstance(special, list) and "zero_data_loss" in special
    return asked or number(sub(plan.specification, "business_continuity").get("rpo_minutes")) == 0


def loss_blockers(plan: Plan, phases: Sequence[Dict[str, Any]], facts: Dict[str, Any]) -> List[str]:
    """Return the phases whose undo can lose data although none may be lost, until somebody answers for it."""
    lossy = [p["forward_phase"] for p in phases if p["data_at_risk"] and not p["past_point_of_no_return"]]
    if not lossy or not wants_no_loss(plan) or facts.get("loss_accepted_by"):
        return []
    return [
        f"no data may be lost, and the undo of {', '.join(lossy)} can lose some: who accepts it in writing is given by "
        "--fill loss_accepted_by=NAME"
    ]


def loose_ends(plan: Plan, facts: Dict[str, Any]) -> List[str]:
    """Return what nobody has proven or said yet, and what follows from it."""
    found = []
    if sub(plan.specification, "readiness").get("rollback_tested") is False:
        found.append("nobody has run this rollback yet: readiness.rollback_tested is false")
    tested = number(sub(plan.specification, "readiness").get("backup_restore_tested_days_ago"))
    if tested is not None and tested > 90:
        found.append(f"the last test restore is {tested:g} days old: measure it again (inventory restore_drill)")
    if all_triggers(plan) and not facts.get(SELECTOR_KEY):
        found.append(
            f"alerts and queries select {watch_of(plan, facts).cohort}: label the new side so, or give metric_selector "
            "in the inventory"
        )
    return found


def dns_minutes(plan: Plan) -> float:
    """Return the minutes until clients follow a DNS change: 60 s to propagate, then twice the TTL for the last ones."""
    cutover = sub(plan.specification, "cutover")
    ttl = number(cutover.get("dns_ttl_seconds"))
    return (60 + 2 * ttl) / 60 if cutover.get("switch") == "dns" and ttl is not None else 0.0


def time_objectives(plan: Plan, phases: Sequence[Dict[str, Any]], triggers: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """Return minutes from the fault to the end of the rollback, for each phase in which it may begin."""
    detect, basis = time_to_detect(triggers)
    verify = max([SOAK_MINUTES] + [2 * t["evaluation_window_minutes"] for t in triggers])
    automatic = any(t["auto_execute"] for t in triggers)
    parts = {"detect": round(detect, 1), "decide": 0 if automatic else DECIDE_MINUTES, "verify": round(verify, 1)}
    minutes, total, dns = sum(parts.values()), {}, 0.0
    for phase in reversed(phases):
        minutes += phase["estimated_duration_minutes"]
        if any("DNS records" in step["name"] for step in phase["steps"]):
            dns = dns_minutes(plan)
        total[phase["forward_phase"]] = round(minutes + dns, 1)
    parts["dns"] = round(dns, 1)
    parts["execute"] = round(minutes + dns - sum(parts.values()), 1)
    return {
        "minutes": round(minutes + dns, 1),
        "by_from_phase": total,
        "components": parts,
        "formula": "detect + decide + verify + DNS (60 s and twice the TTL) + execute (each step of the phases undone)",
        "allowed_minutes": number(sub(plan.specification, "business_continuity").get("rto_minutes")),
        "critical_path": [step["step_id"] for phase in phases for step in phase["steps"]],
        "assumptions": [basis, *assumptions(phases, automatic)],
    }


def time_to_detect(triggers: Sequence[Dict[str, Any]]) -> Tuple[float, str]:
    """Return minutes until an alert tells of a fault twice its threshold, and how they come about."""
    chosen = [t for t in triggers if t["severity"] == "critical"] or list(triggers)
    if not chosen:
        return UNSEEN_MINUTES, f"detect: {UNSEEN_MINUTES:g} min (assumed: no trigger watches, somebody has to notice)"
    first = min(chosen, key=lambda t: t["detection"]["seconds"])
    told = f"detect: {first['trigger_id']} {first['name']} is the earliest, at twice its threshold: "
    return first["detection"]["seconds"] / 60, told + first["detection"]["formula"]


def assumptions(phases: Sequence[Dict[str, Any]], automatic: bool) -> List[str]:
    steps = [step for phase in phases for step in phase["steps"]]
    counted = len([step for step in steps if step["estimate_basis"].startswith("assumed")])
    found = [] if automatic else [f"decide: {DECIDE_MINUTES} min (assumed: 5 until the page is taken, 10 to decide)"]
    return found + [
        f"execute: {counted} of {len(steps)} step times are assumed; a rehearsal replaces them (estimate_basis says "
        "which)"
    ]


def recovery_point(plan: Plan, phases: Sequence[Dict[str, Any]], losses: Sequence[str]) -> Dict[str, Any]:
    """Return the seconds of data that the rollback loses: 0, or unknown with the reason."""
    by_phase: Dict[str, Optional[int]] = {}
    lost = False
    for phase in reversed(phases):
        lost = lost or bool(phase["data_at_risk"])
        by_phase[phase["forward_phase"]] = None if lost else 0
    wanted = number(sub(plan.specification, "business_continuity").get("rpo_minutes"))
    return {
        "seconds": 0 if not losses else None,
        "by_from_phase": by_phase,
        "reason": "every undo is lossless" if not losses else "; ".join(losses),
        "formula": LOSS_RULE[recovery_method(plan)[0]],
        "allowed_seconds": None if wanted is None else wanted * 60,
    }


def decision_tree(
    plan: Plan, phases: Sequence[Dict[str, Any]], rto: Dict[str, Any], watch: Watch, started: Optional[str]
) -> List[Dict[str, Any]]:
    """Return the questions in their order, each with what answers it; the first yes decides."""
    able = f"{plan.source or 'the old side'} has {old_side(plan)['capacity']}, all healthy"
    if in_place(plan):
        able = "the release before can be deployed and uses the old form"
    rows = [damage_question(plan, watch), return_question(plan, phases, started), quiet_question(watch)]
    rows.append(
        (
            "Is only the new side ill, and the old side able to take over?",
            "",
            f"{able}; what is lost: {LOSS_RULE[recovery_method(plan)[0]]}",
            "rollback_traffic",
            "take traffic and flags back now; schema later or never",
        )
    )
    rows.append(
        (
            "Is a tested fix ready that is live sooner than the rollback?",
            "",
            f"it is live in less than {rto['minutes']:g} min, the time of the rollback"
            + (f" from {phases[0]['forward_phase']}" if phases else ""),
            "forward_fix",
            "release the fix",
        )
    )
    scripted = [phase["forward_phase"] for phase in phases if any(map(is_script, phase["steps"]))]
    if scripted:
        rows.append(
            (
                "Is only unused schema there?",
                f"./rollback.sh --from-phase {shell_word(scripted[0])} --dry-run",
                f"it would undo scripts of {scripted[-1]} only",
                "leave",
                "leave it; it harms nobody, take it back in working hours",
            )
        )
    first = phases[0]["phase_name"] if phases else "nothing"
    rows.append(
        ("Otherwise", "", f"no decision after {DECIDE_MINUTES} min", "rollback", f"roll back, beginning with {first}")
    )
    return [
        {
            "order": place,
            "question": question,
            "command": command or None,
            "answered_by": answer,
            "outcome": outcome,
            "if_yes": action,
        }
        for place, (question, command, answer, outcome, action) in enumerate(rows, 1)
    ]


Question = Tuple[str, str, str, str, str]  # what is asked, command, what answers yes, outcome, what to do then
DAMAGE = re.compile(r"mismatching_rows|corrupt|integrity|validation_failure|differing|rows_lost", re.IGNORECASE)


def damage_question(plan: Plan, watch: Watch) -> Question:
    """Return the question that comes first, answered by the plan's own trigger on wrong data, else by counting."""
    trigger = next((t for t in all_triggers(plan) if DAMAGE.search(t.metric) and t.action in CRITICAL_ACTIONS), None)
    table = next(iter(plan_tables(plan)), "")
    counted = ask_command(plan, f"SELECT count(*) FROM {table}") if table else ""
    if trigger:
        expr = condition(trigger, watch).replace("'", QUOTES["bash"])
        command, answer = PROMETHEUS % expr, f"it prints a value: trigger {trigger.trigger_id}"
    elif counted:
        command, answer = counted, f"fewer than in before/count_{table}.txt, or so in another table"
    else:
        command, answer = "", "the reconciliation of both sides finds rows that differ"
    stop = "stop the writers (flag off, read-only), page; restore nothing"
    return "Is data being damaged now?", command, answer, "stop_writers", stop


def return_question(plan: Plan, phases: Sequence[Dict[str, Any]], started: Optional[str]) -> Question:
    """Return whether the point of no return is passed: answered where --from-phase says how far the migration went."""
    point = point_of_no_return(plan)
    if point["phase"] is None:
        answer = f"no: {point['reason']}"
    elif started is None:
        answer = f"yes, if phase {point['phase']} has started: {point['reason']}"
    elif any(phase["forward_phase"] == point["phase"] for phase in phases):
        answer = f"yes: phase {point['phase']} has started ({point['reason']})"
    else:
        answer = f"no: {started} comes before {point['phase']}"
    who = "Business owner" if point["phase"] else "Tech lead"
    fix = f"fix forward, or repair from a restore beside; decides the {who}"
    return "Is the point of no return passed?", "", answer, "forward_fix", fix


def quiet_question(watch: Watch) -> Question:
    mine = re.search(r'migration_id="(?:[^"\\]|\\.)*"', watch.cohort + "," + watch.whole)
    own = mine.group() if mine else 'alertname=~"Migration.*"'
    expr = f'ALERTS{{{own},alertstate="firing"}}'.replace("'", QUOTES["bash"])
    hold = "hold this stage, raise nothing, look again in 15 min"
    quiet = "Is no alert of this migration firing, and no value rising?"
    return quiet, PROMETHEUS % expr, "it prints nothing", "pause", hold


def longest_way_back(plan: Plan, rto: Dict[str, Any]) -> float:
    """Return the minutes of a rollback from the last phase before the point of no return."""
    final = point_of_no_return(plan)["phase"]
    minutes = 0.0
    for phase in reversed(ordered(plan)):
        if phase.name == final:
            break
        minutes = rto["by_from_phase"].get(phase.name, minutes)
    return minutes


def inconsistencies(
    plan: Plan, phases: Sequence[Dict[str, Any]], rto: Dict[str, Any], facts: Dict[str, Any]
) -> List[str]:
    """Return what plan and specification say against each other, as far as it matters on the way back."""
    found = [*edited_by_hand(plan), *tight_limits(plan), *flag_hours(plan)]
    allowed, minutes = rto["allowed_minutes"], longest_way_back(plan, rto)
    if allowed is not None and minutes > allowed:
        found.append(
            f"a rollback before the point of no return takes {minutes:g} min, "
            f"business_continuity.rto_minutes allows {allowed:g}"
        )
    outage, without = allowed_minutes(plan), {p["forward_phase"]: outage_minutes(p) for p in phases}
    found += [
        f"the undo of {name} stops the writers for {length:g} min, max_downtime_minutes allows {outage:g}"
        for name, length in without.items()
        if outage is not None and length > outage
    ]
    sentence, fits = restore_arithmetic(plan, facts)
    if fits is False and wants_no_loss(plan):
        found.append("no data may be lost, and a restore is no way back: it does not fit the allowed outage")
    return found


def edited_by_hand(plan: Plan) -> Iterator[str]:
    """Yield that the planner's id, a hash of the specification, is not that of the specification in the plan."""
    import hashlib

    if sub(plan.root, "provenance").get("tool") != "migration_planner" or not plan.specification:
        return
    text = json.dumps(plan.specification, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if not digest.startswith(plan.migration_id):
        yield (
            f"migration_id {plan.migration_id} is not the one of the specification in the plan ({digest[:12]}): one of "
            "them was edited; plan again"
        )


LIMITS_OF_OLD = {  # metric: (key of the baseline, unit)
    "error_rate": ("error_rate", ""),
    "response_time_p95": ("p95_ms", " ms"),
    "cpu_utilization": ("cpu", ""),
}


def tight_limits(plan: Plan) -> Iterator[str]:
    """Yield the triggers that the old side itself would raise: they fire after the rollback too."""
    baseline = sub(plan.specification, "baseline")
    load = sub(plan.specification, "service_details", "legacy_service", "current_load")
    known = {"error_rate": load.get("error_rate"), "p95_ms": load.get("p95_response_time_ms"), **baseline}
    for trigger in all_triggers(plan):
        key, unit = LIMITS_OF_OLD.get(METRIC_ALIASES.get(trigger.metric, trigger.metric), ("", ""))
        old = number(known.get(key))
        if old is not None and trigger.operator in (">", ">=") and trigger.value < old:
            yield (
                f"{trigger.trigger_id} {trigger.metric} {trigger.operator} {trigger.value:g}{unit} is tighter than the "
                f"old side's own {old:g}{unit}: it fires after the rollback too"
            )


def flag_hours(plan: Plan) -> Iterator[str]:
    """Yield the flags whose schedule does not end within the phases that the specification gives for it."""
    steps = objects(plan.specification.get("migration_phases"))
    hours = sum(number(step.get("estimated_duration_hours")) or 0 for step in steps)
    for flag in objects(plan.specification.get("feature_flags")):
        asked = sum(number(s.get("duration_hours")) or 0 for s in objects(flag.get("rollout_schedule")))
        if hours and asked > hours:
            yield (
                f"flag {text_of(flag, 'name')} takes {asked:g} h to its last stage, migration_phases give {hours:g} h"
            )


STOPS, STARTS = ("Stop the writers", "Stop the migrated servers"), ("Let the writers", "Power on")


def outage_minutes(phase: Dict[str, Any]) -> float:
    """Return how long nothing can be written while a phase is undone: from the stop of the writers to their start."""
    minutes, stopped = 0.0, False
    for step in phase["steps"]:
        stopped = stopped or step["name"].startswith(STOPS)
        minutes += step["estimated_duration_minutes"] if stopped else 0
        stopped = stopped and not step["name"].startswith(STARTS)
    return minutes


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
    people = contacts(plan, facts, phases)
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
        "decision_tree": decision_tree(plan, phases, rto, watch, from_phase),
        "trigger_conditions": triggers,
        "data_recovery_plan": recovery_plan(plan, facts),
        "communication_templates": messages(plan, phases, rto, losses),
        "severity": severity(plan, losses),
        "escalation_matrix": escalation(people, phases),
        "validation_checklist": checklist(plan, phases),
        "post_rollback_procedures": post_procedures(plan, facts),
        "emergency_contacts": people,
        "rto": rto,
        "rpo": recovery_point(plan, phases, losses),
        "service_order": service_order(plan),
        "first_actions": first_actions(plan, phases, facts, from_phase),
        "environment": environment(plan, phases),
        "watched_by_people": watched_by_people(plan),
        "preconditions_captured_before_migration": preconditions(plan, facts),
        "inconsistencies": inconsistencies(plan, phases, rto, facts),
        "placeholders": [],
        "provenance": provenance(TOOL, inputs),
    }
    runbook = fill(runbook, {key: str(value) for key, value in facts.items() if isinstance(value, (str, int, float))})
    for message in runbook["communication_templates"]:
        message["send_ready"] = not any(find_placeholders(message["text"]))
    runbook["placeholders"] = list_placeholders(runbook)
    runbook["readiness"] = readiness(runbook, plan, facts)
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
    """Return what holds at the end: no script is there, the schema and the rows are as before, no trigger fires."""
    scripted = [phase["forward_phase"] for phase in phases if any(map(is_script, phase["steps"]))]
    checks = []
    if scripted:
        checks.append(f"./rollback.sh --from-phase {shell_word(scripted[0])} --dry-run: each script is not-there")
        export = EXPORTS[dialect_of(plan)]
        checks.append(
            f"{export} >after.json && compatibility_checker.py --before before/schema.json --after after.json -f text: "
            "fully compatible, when every phase is undone"
        )
    by_hand = (step for phase in phases for step in phase["steps"] if not step["source_script_id"])
    checks += dict.fromkeys(f"{c['command'].strip()} says {c['expect']}" for step in by_hand for c in step["verify"])
    for table in plan_tables(plan):
        counted = ask_command(plan, f"SELECT count(*) FROM {table}") or f"rows of {table}"
        checks.append(f"{counted}: as in before/count_{table}.txt, and what was written since")
    kept = [t for t in all_triggers(plan) if t.source.startswith("rollback_triggers")]
    return checks + [no_longer(trigger) for trigger in kept]


def post_procedures(plan: Plan, facts: Dict[str, Any]) -> List[str]:
    """Return what is done when the last check has passed."""
    scripts = [s for phase in plan.phases for s in phase.scripts]
    found = [f"Tell {name} that {plan.source or 'the old system'} serves again" for name in dependencies(plan)]
    resume = facts.get("gitops_resume_command")
    found.append(
        "Revert in the repository what deployed the new side, then start deployments again"
        + (f": {resume}" if isinstance(resume, str) else "")
    )
    evidence = [name for name in frameworks(plan) if name in EVIDENCE]
    if evidence:
        found.append(f"Keep rollback.journal and the approvals as change evidence ({', '.join(evidence)})")
    kept = "rollback.journal" if scripts else "the times that the scribe took"
    return found + [f"Put the minutes of each step ({kept}) into the inventory: the next estimate is measured"]


EVIDENCE = ("SOX", "PCI_DSS", "PCI DSS", "HIPAA", "ISO 27001")  # frameworks that ask for a record of every change
EXPORTS = {
    "postgresql": 'psql -X -qAt -d "$DB" -f assets/export_schema_postgresql.sql',
    "mysql": 'mariadb -N -B -r "$DB" <assets/export_schema_mysql.sql',
    "sqlite": 'sqlite3 "$DB" <assets/export_schema_sqlite.sql',
}
IN_PLACE = ("expand_contract", "parallel_schema")  # patterns in which both forms live in one database


def in_place(plan: Plan) -> bool:
    """Return whether old and new side are one database: the one that the scripts run on."""
    tracks = sub(plan.root, "pattern_selection").get("tracks")
    first = tracks[0] if isinstance(tracks, list) and tracks else plan.pattern
    return first in IN_PLACE or (not first and has_sql(plan))


def ask_command(plan: Plan, query: str, of_scripts: bool = False) -> str:
    """Return the shell command that asks the source (or the scripts' database) a query, nothing without a client."""
    engine = engine_of(plan, "source") or (dialect_of(plan) if has_sql(plan) else "")
    own = of_scripts or in_place(plan)
    return {
        "postgresql": f"psql -X -qAt -d {PLACE if own else SOURCE} -c {shell_word(query)}",
        "mysql": f"mariadb {'-N -B ' + PLACE if own else OPTIONS + ' -N -B'} -e {shell_word(query)}",
        "sqlite": f"sqlite3 -bail {PLACE} {shell_word(query)}",
    }.get(engine, "")


PLACE, SOURCE, OPTIONS = '"$DB"', "'{{source_database}}'", "--defaults-file='{{source_option_file}}'"


def environment(plan: Plan, phases: Sequence[Dict[str, Any]]) -> List[Dict[str, str]]:
    """Return the shell variables that the commands read."""
    scripted = [step for phase in phases for step in phase["steps"] if '"$DB"' in (step["client"] or "")]
    if not scripted and not (in_place(plan) and plan_tables(plan) and ask_command(plan, "")):
        return []
    form = {"sqlite": "the database file"}.get(dialect_of(plan), "database name or connection string")
    return [{"name": "DB", "value": "{{database}}", "meaning": f"{form} of {plan.source or 'the migrated database'}"}]


def first_actions(
    plan: Plan, phases: Sequence[Dict[str, Any]], facts: Dict[str, Any], started: Optional[str]
) -> List[Dict[str, Any]]:
    """Return what comes before the first step: who leads, what must not work against it, how far it got."""
    pause = facts.get("gitops_pause_command")
    changed = ", ".join(filter(None, (plan.target, *dependencies(plan)))) or "the migrated systems"
    lead = "Name who leads (leads, executes nothing) and who writes times down; send the message engineering:start"
    found: List[Tuple[str, Any]] = [
        (lead, None),
        (f"Stop what would put the change back: pipelines, GitOps sync and schedules that deploy {changed}", pause),
    ]
    names = [phase["forward_phase"] for phase in phases]
    if started is None and len(names) > 1:
        told = f"Begin with the last phase that has started ({', '.join(names)}); pass over those above it"
        found.append((told, None))
    scripted = [phase["forward_phase"] for phase in phases if any(map(is_script, phase["steps"]))]
    if scripted:
        command = f"./rollback.sh --from-phase {shell_word(scripted[0])} --dry-run"
        found.append(("Find out how far the migration went: it asks the database and changes nothing", command))
    switches = any({"traffic", "flags"} & set(phase_actions(plan, phase)) for phase in plan.phases)
    if switches and not in_place(plan):
        old = old_side(plan)
        found.append((f"Make sure that {plan.source or 'the old side'} can take the load: {old['capacity']}", None))
    return [{"what": what, "command": command if isinstance(command, str) else None} for what, command in found]


def watched_by_people(plan: Plan) -> List[Dict[str, Any]]:
    """Return the rollback triggers that are sentences: no query measures them, somebody has to look."""
    found: Dict[str, List[str]] = {}
    for phase in plan.phases:
        for line in phase.triggers:
            if isinstance(line, str) and line.strip() and not phase.alarms and parse_trigger(line) is None:
                found.setdefault(line.strip(), []).append(phase.name)
    listed = sub(plan.root, "rollback_plan").get("rollback_triggers")
    for line in listed if isinstance(listed, list) else ():
        if isinstance(line, str) and line.strip() and parse_trigger(line) is None:
            found.setdefault(line.strip(), [phase.name for phase in plan.phases])
    return [{"condition": line, "watched_in_phases": names} for line, names in found.items()]


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
    "traffic_service": ("selector", "kubectl -n '{{namespace}}' get service '{{service}}' -o json", "service.json"),
    "image": ("image digest", "kubectl -n '{{namespace}}' get 'deployment/{{deployment}}' -o json", "deployment.json"),
}
DNS_BATCH = (
    "aws route53 list-resource-record-sets --hosted-zone-id '{{zone_id}}' --query \"ResourceRecordSets[?Name == "
    "'@name@.']\" | jq '{Changes: [.[] | {Action: \"UPSERT\", ResourceRecordSet: .}]}'"
)


def preconditions(plan: Plan, facts: Dict[str, Any]) -> List[Dict[str, str]]:
    """Return what has to be recorded before the migration starts, without which the undo lacks its arguments."""
    found = [
        (f"rows of {table}", ask_command(plan, f"SELECT count(*) FROM {table}") or f"count the rows of {table}",
         f"count_{table}.txt")
        for table in plan_tables(plan)
    ]  # fmt: skip
    found += [flag_capture(text_of(flag, "name"), facts) for flag in objects(plan.specification.get("feature_flags"))]
    used = {name: phase for phase in plan.phases for name in phase_actions(plan, phase)}
    traffic = traffic_action(plan, facts) if "traffic" in used else ""
    found += [CAPTURE[name] for name in CAPTURE if name in (*used, traffic)]
    if traffic == "traffic_dns":
        found += dns_captures(plan, facts)
    if "sequences" in used and engine_of(plan, "source") == "postgresql":
        query = "SELECT schemaname, sequencename, last_value FROM pg_sequences"
        found.append(("sequence values", ask_command(plan, query), "sequences.txt"))
    found += script_captures(plan)
    return [
        {"id": f"P{n:02d}", "what": what, "command": command, "saves_to": f"before/{place}"}
        for n, (what, command, place) in enumerate(found, 1)
    ]


def flag_capture(name: str, facts: Dict[str, Any]) -> Tuple[str, str, str]:
    read = facts.get("flag_check_command")
    command = f"FLAG={shell_word(name)} {read}" if isinstance(read, str) else f"read {name} in {{{{flag_service}}}}"
    return f"position of flag {name}", command, f"flag_{file_slug(name)}.txt"


def dns_captures(plan: Plan, facts: Dict[str, Any]) -> List[Tuple[str, str, str]]:
    """Return the commands that save the records of each phase that switches DNS, in the form in which they go back."""
    found = {}
    for phase in plan.phases:
        if "traffic" in phase_actions(plan, phase):
            words = plan_words(plan, phase, facts)
            place = f"dns_{words['phase_file']}.json"
            found[place] = (f"DNS records of phase {phase.name}", DNS_BATCH.replace("@name@", words["dns_name"]), place)
    return list(found.values())


def script_captures(plan: Plan) -> List[Tuple[str, str, str]]:
    """Return what the scripts' undo and a restore beside need: the schema, and a point in time for each phase."""
    scripted = [phase.name for phase in plan.phases if phase.scripts] if has_sql(plan) else []
    managed = sub(plan.specification, "source").get("managed")
    if not scripted:
        point, first = f"SELECT pg_create_restore_point('{restore_point(plan, plan.phases[0].name)}')", plan.phases[0]
        known = engine_of(plan, "source") == "postgresql" and not managed
        return [("restore point", ask_command(plan, point), f"start_{file_slug(first.name)}.txt")] if known else []
    found = [("schema", EXPORTS[dialect_of(plan)], "schema.json")]
    for name in scripted:
        point = f"SELECT pg_create_restore_point('{restore_point(plan, name)}')"
        is_own = dialect_of(plan) == "postgresql" and not managed  # a managed server lets nobody create one
        command = ask_command(plan, point, True) if is_own else "date -u +%FT%TZ"
        what = "restore point" if is_own else "time"
        found.append((f"{what} at the start of phase {name}", command, f"start_{file_slug(name)}.txt"))
    return found


# == 8. Rendering =====================================================================================
# In: the runbook. Out: the same blocks as text for a terminal at night, as Markdown, as one HTML page that prints.

LONG_SCRIPT = 14  # lines; a longer one is run from its file, not pasted
MANY_SCRIPTS = 6  # more of them in one phase stand in a list of one line each, with the details behind the phases
TEXT_WIDTH = 100  # prose is wrapped for a terminal, a command never is


class Block(NamedTuple):
    """Lines of the document. kind: title | state | heading | step | text | list | checks | quote | code."""

    kind: str
    items: Tuple[str, ...]
    language: str = ""
    anchor: str = ""


def lines_block(kind: str, lines: Iterable[str]) -> Iterator[Block]:
    """Yield one block of lines, nothing when there are none."""
    items = tuple(one_line(line) for line in lines)
    if items:
        yield Block(kind, items)


def heredoc(client: str, content: str) -> Tuple[str, ...]:
    """Return the lines that hand SQL to its client, to be pasted as they stand."""
    mark = "SQL" if "\nSQL\n" not in f"\n{content}\n" else "END_OF_SQL"
    return (f"{client.replace(' -f -', '')} <<'{mark}'", *content.split("\n"), mark)


def from_file(client: str, path: str) -> str:
    return client.replace("-f -", f"-f {path}") if "-f -" in client else f"{client} <{path}"


def command_block(step: Dict[str, Any]) -> Iterator[Block]:
    """Yield what is to be run: the script itself, or how its file is run when nobody would paste it."""
    content = clean(step["script_content"]).rstrip()
    many = content.count("\n") + 1
    if step["script_type"] == "manual":
        yield Block("text", (one_line(content),))
    elif many > LONG_SCRIPT and is_script(step):
        yield Block("code", (from_file(step["client"], f"{script_stem(step)}.rollback.sql"),), "bash")
    elif step["client"] and step["script_type"] == "sql":
        yield Block("code", heredoc(step["client"], content), "bash")
    else:
        language = "json" if step["script_type"] == "api" else "bash"
        yield Block("code", tuple(content.split("\n")), language)


def script_stem(step: Dict[str, Any]) -> str:
    return f"sql/{file_slug(step['source_script_id'])}"


def check_blocks(step: Dict[str, Any], check: Dict[str, str], label: str, told: str) -> Iterator[Block]:
    """Yield a check: what it must say, and the command that asks, or the words where a person looks."""
    command = clean(check["command"]).strip()
    ask = step["check_client"]
    if step["source_script_id"] and ask:
        code: Tuple[str, ...] = (from_file(ask, f"{script_stem(step)}.check.sql"),)
    elif ask:
        code = heredoc(ask, command)
    else:
        code = tuple(command.split("\n")) if is_command(command) else ()
    if code:
        yield Block("text", (f"{label} ({told}):",))
        yield Block("code", code, "bash")
    else:
        yield Block("text", (f"{label}: {one_line(command)} ({told})",))


def is_command(text: str) -> bool:
    return bool(SHELL_WORD.match(text) or re.match(r"(FLAG=|\./|date |compatibility_checker)", text))


def step_blocks(step: Dict[str, Any]) -> Iterator[Block]:
    limit = f"{step['owner_role']}, {step['estimated_duration_minutes']:g} min, stop after {step['timeout_seconds']} s"
    yield Block("step", (f"{step['step_id']}  {one_line(step['name'])}  ({limit})",), anchor=step["step_id"])
    told = [f"LOSES: {step['data_loss']}"] if step["data_loss"] else []
    told += [f"needs approval: {', '.join(step['approval'])}"] if step["approval"] else []
    yield from lines_block("text", told)
    before = step["precheck"]
    if before:
        told = [f"must say {before['expect']}, else {before['meaning_if_not']}"]
        yield from check_blocks(step, before, "before", one_line(told[0]))
    yield from command_block(step)
    told = [f"expect: {step['expected_output']}"]
    told += [f"holds: {step['lock']}"] if step["lock"] else []
    yield from lines_block("text", told)
    for check in step["verify"]:
        yield from check_blocks(step, check, "verify", f"says {one_line(check['expect'])}")
    again = step["idempotent_how"] or "safe" if step["idempotent"] else "never, before a look at what the first run did"
    yield from lines_block("text", [f"again: {again}", f"fails: {step['failure_escalation']}"])


STOPS_WITH = (  # exit codes of rollback.sh, and what a person does
    "0: undone; what was undone before is left alone, so that it may run again",
    "64: usage; DB is not set, or a phase is misspelt",
    "65: nothing was changed: the message says what is missing, or which later phase has to be undone first",
    "66: nothing was changed by this step: put the name of who approved into APPROVED_BY, run the same command again",
    "69: the database does not answer",
    "70, 71: the step failed, or its check still sees the change; its details stand below, the reason in the message "
    "and in rollback.journal. Run nothing after it",
    "72: rows written since would not survive this step; nothing was changed by it. The Business owner decides",
    "75: a lock is held; nothing was changed by this step. Run the same command again",
)


def scripts_block(phase: Dict[str, Any]) -> Iterator[Block]:
    """Yield the one command that undoes the scripts of a phase, and what to do for each way in which it can stop."""
    count = sum(is_script(step) for step in phase["steps"])
    told = (
        f"Undoes {count} script{'s' if count > 1 else ''}, last first; what never ran is skipped. It may be stopped "
        "and run again. "
        "In the folder of --export:"
    )
    yield Block("text", (told,))
    command = " ".join(one_phase(phase["forward_phase"]))
    yield Block("code", (f"{command} --dry-run", command), "bash")
    yield Block("text", ("When it stops, its exit code says what to do: see `When rollback.sh stops`.",))


def is_script(step: Dict[str, Any]) -> bool:
    return bool(step["source_script_id"]) and step["script_type"] == "sql"


def phase_blocks(phase: Dict[str, Any]) -> Iterator[Block]:
    """Yield one phase on one screen: what is left by hand in its order, one command for the scripts, the checks."""
    minutes = f"{phase['estimated_duration_minutes']:g} min, {phase['urgency_level']}"
    yield Block("heading", (f"{phase['phase_name']} ({minutes})",), anchor=phase["phase_name"])
    yield from lines_block("text", [phase["description"], *phase["prerequisites"]])
    if phase["reversible"] == IRREVERSIBLE:
        lost = "; ".join(phase["data_at_risk"]) or "its undo is a repair, not a rollback"
        yield Block("text", (one_line(f"POINT OF NO RETURN: {lost}. Fix forward, unless the approvals are there."),))
    shown = not has_many(phase)
    asked = False
    for step in phase["steps"]:
        if is_script(step) and not asked:
            asked = True
            yield from scripts_block(phase)
        if shown or not is_script(step):
            yield from step_blocks(step)
    if not shown:
        scripts = filter(is_script, phase["steps"])
        yield from lines_block("list", [f"{s['step_id']}  {s['source_script_id']}" for s in scripts])
    told = tuple(f"{step['name']}: " for step in phase["steps"])  # what a step expects stands beside it
    yield from lines_block("checks", [line for line in phase["validation_checkpoints"] if not line.startswith(told)])


def has_many(phase: Dict[str, Any]) -> bool:
    return sum(is_script(step) for step in phase["steps"]) > MANY_SCRIPTS


def front_blocks(runbook: Dict[str, Any]) -> Iterator[Block]:
    """Yield what has to be known before the first step: is it ready, when to stop, what decides."""
    ready = runbook["readiness"]
    yield Block("title", (f"Rollback runbook {runbook['runbook_id']} for migration {runbook['migration_id']}",))
    state = (
        "READY: every step can be executed as it stands"
        if ready["executable"]
        else "NOT READY: fill in what is open first (--fill NAME=VALUE or --inventory FILE)"
    )
    yield Block("state", (state,))
    yield from lines_block("list", [f"blocker: {text}" for text in ready["blockers"]])
    yield from lines_block("list", [f"warning: {text}" for text in ready["warnings"]])
    yield Block("heading", ("Limits",))
    yield from lines_block("list", limits(runbook))
    yield Block("heading", ("Decide first: the first yes decides",))
    yield from decision_blocks(runbook["decision_tree"])
    yield Block("heading", ("Roll back when",))
    yield from lines_block(
        "list",
        [f"{t['trigger_id']} {t['condition']} -- {t['action']}" + auto_note(t) for t in runbook["trigger_conditions"]]
        + [f"somebody sees: {w['condition']}" for w in runbook["watched_by_people"]]
        + blind_notes(runbook["trigger_conditions"]),
    )
    yield from start_blocks(runbook)


def decision_blocks(tree: Sequence[Dict[str, Any]]) -> Iterator[Block]:
    for d in tree:
        answer = d["answered_by"] if d["question"] == "Otherwise" else f"yes when {d['answered_by']}"
        told = answer.replace("yes when yes", "yes").replace("yes when no", "no")
        yield from lines_block("text", [f"{d['order']}. {d['question']} ({told}) -> {d['if_yes']}"])
        if d["command"]:
            yield Block("code", (one_line(d["command"]),), "bash")


def start_blocks(runbook: Dict[str, Any]) -> Iterator[Block]:
    """Yield what is done before the first step, and what the exit codes of rollback.sh ask for."""
    yield Block("heading", ("Before the first step",))
    values = [f"export {e['name']}={quoted_value(e['value'])}  # {e['meaning']}" for e in runbook["environment"]]
    if values:
        yield Block("code", tuple(map(one_line, values)), "bash")
    for entry in runbook["first_actions"]:
        yield Block("checks", (one_line(entry["what"]),))
        if entry["command"]:
            yield Block("code", tuple(clean(entry["command"]).split("\n")), "bash")
    if any(is_script(step) for phase in runbook["rollback_phases"] for step in phase["steps"]):
        yield Block("heading", ("When rollback.sh stops",))
        yield from lines_block("list", STOPS_WITH)


def quoted_value(value: str) -> str:
    return f"'{value}'" if PLACEHOLDER.fullmatch(value) else shell_word(value)


def limits(runbook: Dict[str, Any]) -> List[str]:
    """Return how far back the way goes, how long it takes and what it loses, each with its figures."""
    point, rto, rpo = (runbook[key] for key in ("point_of_no_return", "rto", "rpo"))
    parts = " + ".join(f"{name} {value:g}" for name, value in rto["components"].items())
    lost = "nothing" if rpo["seconds"] == 0 else "some"
    order = runbook["service_order"]
    return [
        f"Point of no return: {point['phase'] or 'none'} ({point['reason']})",
        *([f"Its gate: {point['gate']}"] if point["gate"] else []),
        *(f"It moves back when you {text}" for text in point["extend_by"]),
        f"Time to recover: {rto['minutes']:g} min = {parts}; {rto['formula']}",
        "By last phase started: " + ", ".join(f"{name} {value:g} min" for name, value in rto["by_from_phase"].items()),
        *rto["assumptions"],
        f"Data lost: {lost} ({rpo['reason']}); rule: {rpo['formula']}",
        *([f"Services go back in this order: {', '.join(order)}"] if order else []),
    ]


def blind_notes(triggers: Sequence[Dict[str, Any]]) -> List[str]:
    """Return for each trigger with a rollout the stages at which an alert, ours or on all traffic, sees nothing."""
    found = []
    for trigger in triggers:
        for key, who in (("on_new_cohort", "this alert"), ("on_all_traffic", "an alert on all traffic")):
            stages = [f"{row['percentage']:g} %" for row in trigger["blindness"] if "blind" in row[key]]
            if stages:
                told = ", ".join(dict.fromkeys(stages))
                found.append(f"{trigger['trigger_id']}: {who} is blind at {told} of the traffic")
    return found


def auto_note(trigger: Dict[str, Any]) -> str:
    if trigger["auto_execute"]:
        return f", by a program: {trigger['auto_execute_reason']}"
    return f", by a person: {trigger['auto_execute_reason']}" if trigger["action"] == AUTOMATIC else ""


def back_blocks(runbook: Dict[str, Any]) -> Iterator[Block]:
    """Yield what follows the steps: data, checks, people, messages, blanks."""
    yield from data_blocks(runbook["data_recovery_plan"])
    yield Block("heading", ("Record before the migration starts",))
    recorded = runbook["preconditions_captured_before_migration"]
    commands = [f"{p['command']} >{p['saves_to']}{capture_time(p)}" for p in recorded if is_command(p["command"])]
    if commands:
        yield Block("code", ("mkdir -p before", *map(one_line, commands)), "bash")
    others = [f"{p['what']}: {p['command']}, into {p['saves_to']}" for p in recorded if not is_command(p["command"])]
    yield from lines_block("checks", others)
    yield Block("heading", ("Check at the end",))
    yield from lines_block("checks", [*runbook["validation_checklist"], *runbook["post_rollback_procedures"]])
    yield Block("heading", ("Queries of the triggers",))
    queries = [f"{t['trigger_id']}: {t['promql']}" for t in runbook["trigger_conditions"]]
    if queries:
        yield Block("code", tuple(map(one_line, queries)), "text")
    yield Block("heading", (f"Call ({runbook['severity']})",))
    reached = [f"after {e['after_minutes']} min: {e['role']}" for e in runbook["escalation_matrix"]]
    yield from lines_block("list", reached)
    yield from lines_block("list", [f"{p['role']}: {p['name']}, {p['contact']}" for p in runbook["emergency_contacts"]])
    yield Block("heading", ("Messages (--message AUDIENCE:STAGE prints one that is filled in)",))
    for message in runbook["communication_templates"]:
        yield Block("text", (f"{message['audience']}:{message['stage']} ({message['when']})",))
        yield Block("quote", tuple(clean(message["text"]).split("\n")))
    if runbook["placeholders"]:
        yield Block("heading", ("Open placeholders",))
        yield from lines_block("list", [f"{{{{{p['name']}}}}}: {p['how_to_obtain']}" for p in runbook["placeholders"]])


def capture_time(recorded: Dict[str, str]) -> str:
    when = re.search(r"at the start of phase .*", recorded["what"])
    return f"  # {when.group()}" if when else ""


def data_blocks(data: Dict[str, Any]) -> Iterator[Block]:
    """Yield how data comes back: the method and its reason, the arithmetic of a restore, its commands."""
    yield Block("heading", ("Data",))
    told = [f"{data['method']}: {data['because']}; {data['how']}", f"Never {data['never']}"]
    yield from lines_block("list", told + ([data["restore_viability"]] if data["restore_viability"] else []))
    commands = data["point_in_time_restore_beside"]
    if commands:
        yield Block("text", (f"Restore beside production, from {one_line(data['backup_location'])}:",))
        yield Block("code", tuple(map(one_line, commands)), "bash")


def blocks(runbook: Dict[str, Any]) -> Iterator[Block]:
    yield from front_blocks(runbook)
    for phase in runbook["rollback_phases"]:
        yield from phase_blocks(phase)
    for phase in runbook["rollback_phases"]:
        if has_many(phase):
            yield Block("heading", (f"Scripts of {phase['phase_name']}, one by one",))
            yield Block("text", (ONE_BY_ONE,))
            for step in filter(is_script, phase["steps"]):
                yield from step_blocks(step)
    yield from back_blocks(runbook)


ONE_BY_ONE = (
    "For when the command of the phase stopped. Run a step only where its script did run: a query that says t is not "
    "enough, since a later change can look like an earlier one."
)


def text_lines(block: Block) -> List[str]:
    """Return a block for a terminal: commands stand at the left margin, so that they can be copied as they are."""
    import textwrap

    head = block.items[0]
    if block.kind in ("title", "state"):
        return [head]
    if block.kind == "heading":
        return ["", f"== {head} " + "=" * max(3, 76 - len(head))]
    if block.kind == "step":
        return ["", f"[ ] {head}"]
    if block.kind == "code":
        return list(block.items)
    mark = {"list": "  - ", "checks": "  [ ] ", "quote": "      "}.get(block.kind, "    ")
    lines: List[str] = []
    for item in block.items:
        lines += textwrap.wrap(
            item, TEXT_WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark), break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return lines


def render_text(runbook: Dict[str, Any]) -> str:
    """Return the runbook for a tired person: can it be run, when to stop, then one step after the other."""
    return clean("\n".join(line for block in blocks(runbook) for line in text_lines(block)) + "\n")


MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>#|])")


def markdown_text(text: str) -> str:
    return MARKDOWN_SPECIAL.sub(r"\\\1", text)


MARKDOWN_MARKS = {
    "title": "# ", "state": "**", "heading": "## ", "step": "- [ ] **", "list": "- ", "checks": "- [ ] ", "quote": "> ",
}  # fmt: skip


def markdown_lines(block: Block) -> List[str]:
    if block.kind == "code":
        longest = max((len(run) for line in block.items for run in re.findall("`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        return ["", f"{fence}{block.language}", *block.items, fence]
    items = [markdown_text(item) for item in block.items]
    mark = MARKDOWN_MARKS.get(block.kind, "")
    if block.kind in ("step", "state"):
        return ["", f"{mark}{items[0]}**"]
    gap = [""]
    tail = "  " if block.kind in ("text", "quote") else ""
    return gap + [mark + item + tail for item in items]


def render_markdown(runbook: Dict[str, Any]) -> str:
    return clean("\n".join(line for block in blocks(runbook) for line in markdown_lines(block)).strip() + "\n")


PAGE_STYLE = """body{font:15px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}
h1{font-size:1.5em}h2{border-bottom:2px solid #555;margin-top:2em}h3{margin:1.4em 0 .3em}
pre{background:#f2f2f2;border:1px solid #bbb;padding:.6em;white-space:pre-wrap;overflow-wrap:anywhere}
ul{padding-left:1.3em}p{margin:.2em 0}.checks{list-style:none;padding-left:0}
blockquote{margin:.2em 0 .8em;padding-left:.8em;border-left:3px solid #bbb}
.state{font-weight:bold;border:2px solid #111;padding:.4em .6em}
@media print{body{max-width:none;margin:0;font-size:10pt}h2,h3{break-after:avoid}
h2[id]{break-before:page}pre,blockquote{break-inside:avoid}}"""


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
    if block.kind == "state":
        return f'<p class="state">{items[0]}</p>'
    if block.kind == "code":
        return "<pre><code>" + "\n".join(items) + "</code></pre>"
    if block.kind == "checks":
        rows = "".join(f'<li><label><input type="checkbox"> {item}</label></li>' for item in items)
        return f'<ul class="checks">{rows}</ul>'
    if block.kind == "list":
        return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
    if block.kind == "quote":
        return "<blockquote>" + "<br>".join(items) + "</blockquote>"
    return "".join(f"<p>{item}</p>" for item in items)


def render_html(runbook: Dict[str, Any]) -> str:
    """Return one page that needs nothing else: no script, no font, no picture from elsewhere."""
    import html

    title = html.escape(f"Rollback of {runbook['migration_id']}")
    body = "\n".join(html_block(block) for block in blocks(runbook))
    wide = '<meta name="viewport" content="width=device-width">'
    head = f'<meta charset="utf-8">{wide}<title>{title}</title><style>{PAGE_STYLE}</style>'
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
TO_PHASE=
DRY_RUN=
STOPPED_IN=
STEP=-
PHASES=(@PHASES@)
@TUNING@
usage() {
  cat <<USAGE
usage: DB=@DB_EXAMPLE@ rollback.sh [--from-phase NAME] [--to-phase NAME] [--stopped-in SCRIPT] [--dry-run]
  --from-phase NAME  the last phase that started (default: $FROM_PHASE), one of: ${PHASES[*]}
  --to-phase NAME    the last phase to undo (default: ${PHASES[0]:-}): the phases before it stay as they are
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

is_there() {  # QUERY_FILE: whether the change is there
  local answer
  if answer=$(ask "$HERE/$1" 2>"$ERRORS"); then
    case $answer in t | 1) return 0 ;; *) return 1 ;; esac
  fi
  if grep -Eq '@MISSING@' "$ERRORS"; then return 1; fi
  cat "$ERRORS" >&2
  if grep -Eq '@LOCKED@' "$ERRORS"; then die 75 "a lock is held by another session; run the same command again"; fi
  die 69 "the database does not answer"
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
    --to-phase) [ $# -ge 2 ] || die 64 "--to-phase needs a name"; TO_PHASE=$2; shift 2 ;;
    --to-phase=*) TO_PHASE=${1#*=}; shift ;;
    --stopped-in) [ $# -ge 2 ] || die 64 "--stopped-in needs a script"; STOPPED_IN=$2; shift 2 ;;
    --dry-run) DRY_RUN=1; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die 64 "unknown argument: $1" ;;
  esac
done
FROM_RANK=$(rank "$FROM_PHASE") || die 64 "unknown phase: $FROM_PHASE; one of: ${PHASES[*]}"
TO_RANK=0
if [ -n "$TO_PHASE" ]; then
  TO_RANK=$(rank "$TO_PHASE") || die 64 "unknown phase: $TO_PHASE; one of: ${PHASES[*]}"
  [ "$TO_RANK" -le "$FROM_RANK" ] || die 64 "--to-phase $TO_PHASE comes after --from-phase $FROM_PHASE"
fi
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
was_seen() {
  awk -F'\t' -v id="$1" '$2 == id && $3 ~ /^(start|seen)$/ { word = $3 } END { exit word != "seen" }' "$JOURNAL"
}
ORDER=() ANSWERS=() SCORE=0
for ((i = ${#IDS[@]} - 1; i >= 0; i--)); do
  [ "${KINDS[i]}" = sql ] || continue
  code=3
  if [ "${CHECKS[i]}" != none ]; then
    code=0
    is_there "${FILES[i]%.rollback.sql}.check.sql" || code=1
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
# and not yet undone, is still there: unless its query saw it right before its undo, which is all or nothing, and does
# no longer. That run was killed between the commit and the journal.
while IFS= read -r id; do
  for n in "${!ORDER[@]}"; do
    i=${ORDER[n]}
    [ "${IDS[i]}" = "$id" ] || continue
    STATE[i]=there
    if [ "${ANSWERS[n]}" = 1 ] && [ "${UNITS[i]}" != parts ] && was_seen "$id"; then STATE[i]=never; fi
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
  place=$(rank "${STEP_PHASES[i]}")
  if [ "$place" -gt "$FROM_RANK" ] || [ "$place" -lt "$TO_RANK" ]; then continue; fi
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
  check=
  case ${CHECKS[i]} in presence | absence) check=${FILES[i]%.rollback.sql}.check.sql ;; esac
  if [ -n "$check" ] && is_there "$check"; then log "$STEP" seen >/dev/null; fi
  undo "${LIMITS[i]}" "${FILES[i]}" "${UNITS[i]}" "${STATE[i]}"
  if [ -n "$check" ]; then
    if is_there "$check"; then
      log "$STEP" still-there
      die 71 "$STEP ran, but $check still sees the change; call @ESCALATION@"
    fi
  fi
  log "$STEP" undone
done
STEP=-
if [ -n "$DRY_RUN" ]; then exit 0; fi
FIRST_RANK=$FROM_RANK
for n in "${!ORDER[@]}"; do
  place=$(rank "${STEP_PHASES[ORDER[n]]}")
  if [ "$place" -lt "$FIRST_RANK" ]; then FIRST_RANK=$place; fi
done
if [ "$TO_RANK" -gt "$FIRST_RANK" ]; then log - paused "undone down to $TO_PHASE"; exit 0; fi
log - finished "from $FROM_PHASE"
"""
CATALOGUE = re.compile(r"\b(pg_\w+|to_reg\w+|information_schema|sqlite_\w+|pragma_\w+)", re.IGNORECASE)


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


GRAFANA_UNITS = {"quantile": "s", **dict.fromkeys(("ratio", "idle", "share", "unused"), "percentunit")}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def grafana_panel(number_: int, trigger: Trigger, watch: Watch) -> Dict[str, Any]:
    limit = f"{trigger.operator} {plain(trigger.value)} {trigger.unit}".rstrip()
    below, above = ("red", "green") if trigger.operator in ("<", "<=") else ("green", "red")
    steps = [{"color": below, "value": None}, {"color": above, "value": limit_of(trigger)}]
    metric = metric_of(trigger.metric)
    return {
        "id": number_,
        "type": "timeseries",
        "title": f"{trigger.metric}: {trigger.trigger_id} {limit}",
        "datasource": DATASOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * ((number_ - 1) % 2), "y": 8 * ((number_ - 1) // 2)},
        "fieldConfig": {
            "defaults": {
                "custom": {"thresholdsStyle": {"mode": "line"}},
                "thresholds": {"mode": "absolute", "steps": steps},
                "unit": GRAFANA_UNITS.get(metric.kind, "short"),
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
        "targets": [{"refId": "A", "expr": promql(metric, watch), "datasource": DATASOURCE}],
    }


def grafana_dashboard(plan: Plan, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return a dashboard to import: one panel for each metric that a trigger watches, with its first limit."""
    watch = watch_of(plan, facts)
    shown = {trigger.metric: trigger for trigger in reversed(all_triggers(plan))}
    ranked = sorted(shown.values(), key=lambda trigger: trigger.trigger_id)
    panels = [grafana_panel(place, trigger, watch) for place, trigger in enumerate(ranked, 1)]
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


def read_inventory(document: Document) -> Dict[str, Any]:
    """Return the facts of an inventory: texts, numbers where a number is meant, and two objects."""
    faults = Faults(document)
    facts = dict(faults.typed(document.value, (), dict, "an object of names and values") or {})
    for key, value in facts.items():
        if key in ("contacts", "restore_drill"):
            inner = faults.typed(value, (key,), dict, "an object") or {}
            for name in inner if key == "contacts" else ():
                faults.typed(inner[name], (key, name), str, "a text")
        elif faults.typed(value, (key,), (str, int, float), "a text or a number") is not None:
            facts[key] = value if key in NUMERIC_FACTS else str(value)
    faults.finish()
    return facts


def known_facts(args: argparse.Namespace) -> Tuple[Dict[str, Any], List[Document]]:
    """Return what inventory and --fill say, and the inventory's document."""
    facts: Dict[str, Any] = {}
    documents: List[Document] = []
    if args.inventory:
        documents.append(load(args.inventory))
        facts.update(read_inventory(documents[0]))
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
