#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# ///
"""Turn a migration specification into a phased plan with gates, risks and a computed schedule.

    spec JSON -> findings -> tracks of phases -> tasks -> estimates -> schedule -> plan -> json | text | markdown | html

Sections, in the order of the data flow:
  1 Vocabulary
  2 Records
  3 Fields
  4 Rates
  5 Gates
  6 Triggers
  7 Patterns
  8 Reading
  9 Estimating
  10 Choosing
  11 Compliance
  12 Wording
  13 Changes
  14 Tasks
  15 Phasing
  16 Scheduling
  17 Checking
  18 Judging
  19 Risks
  20 Communicating
  21 Plan
  22 Rendering: text
  23 Rendering: Markdown
  24 Rendering: HTML
  25 Exporting
  26 Command line

Names used throughout: `spec` is what was read, `phase` a stage with gates, `task` work with three estimates in hours
(optimistic, likely, pessimistic), `gate` what must hold to go on, `trigger` what stops it.

Exit codes: 0 done, 1 the specification is not valid (with --strict: or has warnings), 3 unusable input, output or
usage.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import sys
from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import groupby
from operator import add
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

TOOL = "migration_planner"

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
# Words with one meaning in the whole file.

EXIT_INVALID = 1  # the specification was read, but is not valid: every problem is listed

KINDS = ("database", "service", "infrastructure", "data", "api")
ALIASES = {"schema_change": "expand_contract", "zero_downtime": "expand_contract", "bulk": "data_migration",
           "cloud_migration": "lift_and_shift", "rehost": "lift_and_shift", "change_data_capture": "cdc"}
ROLES = {"lead": "Tech lead", "dba": "DBA", "sre": "SRE", "dev": "Developer", "platform": "Platform engineer",
         "security": "Security", "compliance": "Compliance officer", "owner": "Business owner", "data": "Data steward",
         "support": "Support lead"}
CALENDARS = ("business", "machine", "offpeak", "window", "soak")
LEVELS = ("low", "medium", "high", "critical")
ERROR, WARNING, INFO = "error", "warning", "info"
FRAMEWORKS = {"gdpr": "GDPR", "dsgvo": "GDPR", "sox": "SOX", "hipaa": "HIPAA", "pci": "PCI DSS", "pcidss": "PCI DSS",
              "iso27001": "ISO 27001", "soc2": "SOC 2"}
REQUIREMENTS = ("zero_data_loss", "referential_integrity", "performance_baseline_maintained",
                "api_backward_compatibility", "session_continuity", "rate_limit_preservation", "data_residency",
                "no_schema_lock", "read_only_window_ok")
METRIC_ALIASES = {"p95": "response_time_p95", "latency_p95": "response_time_p95", "p95_ms": "response_time_p95",
                  "p99": "response_time_p99", "cpu": "cpu_utilization", "cpu_usage": "cpu_utilization",
                  "memory": "memory_utilization", "memory_usage": "memory_utilization",
                  "lag": "replication_lag_seconds",
                  "replication_lag": "replication_lag_seconds", "errors": "error_rate", "http_error_rate": "error_rate"}
RATIO_METRICS = ("error_rate", "cpu_utilization", "memory_utilization", "cache_hit_rate", "availability")
ACTIONS = ("automatic_rollback", "rollback", "alert_team", "page", "hold", "pause", "throttle", "scale_up", "stop",
           "flag_off", "manual_review")
HOURS_A_DAY = 24.0
SMALL_TIME = 1.0 / 3600  # an hour's smallest printed part: one second


# == 2. Records =======================================================================================
# What flows between the sections. Hours are elapsed hours unless a name says otherwise.

class Finding(NamedTuple):
    """An opinion about one fact of the specification."""

    code: str
    severity: str
    path: Path
    found: str
    expected: str
    hint: str = ""


class Range(NamedTuple):
    """A three-point estimate: hours (or the unit its user says) and where it comes from."""

    low: float
    likely: float
    high: float
    basis: str = "assumed"  # measured | given | sourced | assumed
    uses: Tuple[str, ...] = ()  # names of INPUTS the figure rests on
    formula: str = ""

    @property
    def mean(self) -> float:
        return (self.low + 4 * self.likely + self.high) / 6


class Quantity(NamedTuple):
    """One number of the specification, or the default that stands in for it."""

    value: float
    basis: str  # given | measured | derived | assumed
    path: str
    unit: str
    how: str  # how to measure it, when it had to be assumed
    why: str = ""


class System(NamedTuple):
    """Source or target, as the specification says it and as it was understood."""

    text: str
    engine: str
    version: str
    location: str
    region: str
    path: Path
    managed: bool = False

    @property
    def major(self) -> float:
        numbers = self.version.split(".")
        return float(".".join(numbers[:2]) if self.engine == "mysql" else numbers[0]) if self.version else 0.0


class Table(NamedTuple):
    name: str
    rows: float
    gb: float
    critical: bool
    columns: Tuple[Tuple[str, str], ...]
    has_key: Optional[bool]
    lob: bool
    path: Path


class Change(NamedTuple):
    """One change of one table, with the form that is safe for it."""

    table: str
    kind: str
    column: str
    detail: Dict[str, Any]
    path: Path


class Dependency(NamedTuple):
    name: str
    owner: str
    contact: str
    direction: str
    criticality: str
    can_pause: bool
    path: Path


class Endpoint(NamedTuple):
    method: str
    route: str
    path: Path

    @property
    def text(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD", "OPTIONS")


class Step(NamedTuple):
    percentage: float
    hours: float
    path: Path


class Flag(NamedTuple):
    name: str
    steps: Tuple[Step, ...]
    initial: float
    after: Tuple[str, ...]
    path: Path


class Alarm(NamedTuple):
    """A rollback trigger of the specification."""

    metric: str
    threshold: float
    minutes: float
    action: str
    path: Path


class Workload(NamedTuple):
    name: str
    vms: int
    gb: float
    after: Tuple[str, ...]
    critical: bool
    strategy: str
    path: Path


class Facts(NamedTuple):
    """The specification, read. Everything below works on this and never on raw JSON."""

    spec: Dict[str, Any]
    kind: str
    pattern: str  # canonical name or "auto"
    partners: Tuple[str, ...]
    source: System
    target: System
    downtime: float  # minutes; 0 is the pause that clients retry, and stands for a limit not given until one is set
    tables: Tuple[Table, ...]
    changes: Tuple[Change, ...]
    dependencies: Tuple[Dependency, ...]
    frameworks: Tuple[str, ...]
    requirements: Tuple[str, ...]
    legacy: Tuple[Endpoint, ...]
    new: Tuple[Endpoint, ...]
    flags: Tuple[Flag, ...]
    metrics: Tuple[str, ...]
    alerts: Dict[str, float]
    alarms: Tuple[Alarm, ...]
    workloads: Tuple[Workload, ...]
    inputs: Dict[str, Quantity]
    named: Dict[str, Table]  # the tables by their names in small letters; of two with one name the first

    def value(self, name: str) -> float:
        return self.inputs[name].value

    def given(self, name: str) -> bool:
        return self.inputs[name].basis not in ("assumed",)

    @property
    def limited(self) -> bool:
        """Whether the specification says how long the outage may be."""
        return self.at("constraints.max_downtime_minutes") is not None

    @property
    def allowed_minutes(self) -> float:
        """The outage that is allowed: for 0, the pause that clients retry without an error."""
        return self.downtime or self.value("zero_tolerance_seconds") / 60

    def at(self, path: str, default: Any = None) -> Any:
        """Return what stands at a dotted path of the specification."""
        here: Any = self.spec
        for key in path.split("."):
            if not isinstance(here, dict) or key not in here:
                return default
            here = here[key]
        return here


class Script(NamedTuple):
    """One migration script of a compatibility report, whole."""

    id: str
    phase: str
    body: Dict[str, Any]
    report: str


class Task(NamedTuple):
    """One piece of work: who, what to do or run, how to know that it worked."""

    id: str
    title: str
    action: str
    check: str
    role: str
    calendar: str
    hours: Range
    after: Tuple[str, ...] = ()
    path: str = ""
    lane: str = ""  # group/lane inside its phase: groups follow each other, lanes run side by side


class Gate(NamedTuple):
    id: str
    metric: str
    operator: str
    threshold: Any
    unit: str
    how: str
    path: str = ""


class Trigger(NamedTuple):
    id: str
    metric: str
    operator: str
    threshold: Any
    unit: str
    minutes: float
    action: str
    path: str = ""


class Phase(NamedTuple):
    """One phase of the plan, with everything that makes it checkable and undoable."""

    name: str
    row: "PhaseRow"
    track: str
    description: str
    entry: Tuple[str, ...]
    after: Tuple[str, ...]
    tasks: Tuple[Task, ...]
    gates: Tuple[Gate, ...]
    triggers: Tuple[Trigger, ...]
    scripts: Tuple[Script, ...]
    undo: str
    no_return: str


# == 3. Fields ========================================================================================
# The form of a specification: one row for each path. Reading walks it, the JSON Schema says the same.

class Field(NamedTuple):
    kinds: Tuple[str, ...]
    low: Optional[float] = None
    high: Optional[float] = None
    choices: Tuple[str, ...] = ()
    required: bool = False


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SWITCHES = ("pooler", "proxy", "dns", "config", "lb")
METHODS = ("logical_replication", "dump_restore", "parallel_copy", "physical", "dms", "mysqlsh", "gh_ost", "pt_osc",
           "block_replication")
WINDOW_FIELDS = {"start": Field(("time",), required=True), "end": Field(("time",), required=True),
                 "timezone": Field(("zone",))}
SYSTEM_FIELDS = {"engine": Field(("text",)), "version": Field(("text", "number"), 0, 1e6), "name": Field(("text",)),
                 "location": Field(("text",)), "region": Field(("text",)), "managed": Field(("bool",)),
                 "host_cores": Field(("number",), 0, 1e6), "disk_free_gb": Field(("number",), 0, 1e9)}
MONEY, COUNT, GB, HOURS, MINUTES = (Field(("number",), 0, 1e9), Field(("number",), 0, 1e13), Field(("number",), 0, 1e9),
                                    Field(("number",), 0, 1e5), Field(("number",), 0, 1e6))
TEXT, TRUTH, TEXTS = Field(("text",)), Field(("bool",)), Field(("text",))
LIST, OBJECT = Field(("list",)), Field(("object",))
SERVICE_FIELDS = {
    "name": TEXT, "endpoints": LIST, "endpoints[]": TEXT, "current_load": OBJECT, "target_performance": OBJECT,
    "infrastructure": OBJECT}
LOAD_FIELDS = {
    "requests_per_second": COUNT, "peak_requests_per_second": COUNT, "average_response_time_ms": COUNT,
    "p95_response_time_ms": COUNT, "p99_response_time_ms": COUNT, "error_rate": Field(("number",), 0, 1)}
HOST_FIELDS = {
    "instances": COUNT, "cpu_cores_per_instance": COUNT, "memory_gb_per_instance": COUNT, "load_balancer": TEXT,
    "container_platform": TEXT, "container_orchestration": TEXT, "initial_replicas": COUNT, "max_replicas": COUNT,
    "cpu_request_millicores": COUNT, "cpu_limit_millicores": COUNT, "memory_request_mb": COUNT,
    "memory_limit_mb": COUNT}


def under(prefix: str, fields: Dict[str, Field]) -> Dict[str, Field]:
    return {f"{prefix}.{name}": field for name, field in fields.items()}


FIELDS: Dict[str, Field] = {
    "type": Field(("text",), choices=KINDS, required=True),
    "pattern": Field(("text", "list", "object")),
    "pattern.primary": Field(("text",), required=True), "pattern.with": LIST, "pattern.with[]": TEXT, "pattern[]": TEXT,
    "source": Field(("text", "object"), required=True), **under("source", SYSTEM_FIELDS),
    "target": Field(("text", "object"), required=True), **under("target", SYSTEM_FIELDS),
    "description": TEXT, "name": TEXT, "owner": TEXT,
    "constraints": OBJECT, "constraints.max_downtime_minutes": Field(("number",), 0, 525600),
    "constraints.data_volume_gb": GB,
    "constraints.dependencies": LIST, "constraints.dependencies[]": Field(("text", "object")),
    **under("constraints.dependencies[]", {
        "name": Field(("text",), required=True), "owner": TEXT, "contact": TEXT,
        "direction": Field(("text",), choices=("read", "write", "both")), "depends_on": Field(("list",)),
        "criticality": Field(("text",), choices=LEVELS), "can_pause": TRUTH}),
    "constraints.dependencies[].depends_on[]": TEXT,
    "constraints.compliance_requirements": LIST, "constraints.compliance_requirements[]": TEXT,
    "constraints.special_requirements": LIST, "constraints.special_requirements[]": TEXT,
    "constraints.deadline": Field(("date",)), "constraints.budget_limit": MONEY,
    "tables_to_migrate": LIST, "tables_to_migrate[]": OBJECT,
    **under("tables_to_migrate[]", {
        "name": Field(("text",), required=True), "row_count": COUNT, "size_mb": Field(("number",), 0, 1e12),
        "critical": TRUTH, "columns": LIST, "columns[]": OBJECT, "columns[].name": Field(("text",), required=True),
        "columns[].type": TEXT, "indexes": COUNT, "primary_key": Field(("bool", "list", "text")),
        "write_rows_per_second": COUNT, "lob": TRUTH}),
    "schema_changes": LIST, "schema_changes[]": OBJECT, "schema_changes[].table": Field(("text",), required=True),
    "schema_changes[].changes": Field(("list",), required=True), "schema_changes[].changes[]": OBJECT,
    **under("schema_changes[].changes[]", {
        "type": Field(("text",), required=True), "column": TEXT, "new_name": TEXT, "data_type": TEXT, "nullable": TRUTH,
        "old_type": TEXT, "new_type": TEXT, "constraint_type": TEXT, "constraint_name": TEXT, "definition": TEXT,
        "default": Field(("any",)), "columns": LIST, "columns[]": Field(("text", "object")), "index_name": TEXT,
        "references": TEXT, "backfill": TEXT, "unique": TRUTH}),
    "performance_requirements": OBJECT,
    **under("performance_requirements", {"max_query_response_time_ms": COUNT, "concurrent_connections": COUNT,
                                         "transactions_per_second": COUNT}),
    "business_continuity": OBJECT, "business_continuity.critical_business_hours": OBJECT,
    **under("business_continuity.critical_business_hours", WINDOW_FIELDS),
    "business_continuity.preferred_migration_window": OBJECT,
    **under("business_continuity.preferred_migration_window", WINDOW_FIELDS),
    "business_continuity.preferred_migration_window.days": LIST,
    "business_continuity.preferred_migration_window.days[]": Field(("text",), choices=DAYS),
    "business_continuity.blackout_dates": LIST, "business_continuity.blackout_dates[]": OBJECT,
    "business_continuity.blackout_dates[].start": Field(("date",), required=True),
    "business_continuity.blackout_dates[].end": Field(("date",)), "business_continuity.blackout_dates[].reason": TEXT,
    "business_continuity.holidays": LIST, "business_continuity.holidays[]": Field(("date",)),
    "business_continuity.rto_minutes": MINUTES, "business_continuity.rpo_minutes": MINUTES,
    "rto_minutes": MINUTES, "rpo_minutes": MINUTES,
    "service_details": OBJECT,
    "service_details.legacy_service": OBJECT, **under("service_details.legacy_service", SERVICE_FIELDS),
    "service_details.new_service": OBJECT, **under("service_details.new_service", SERVICE_FIELDS),
    **under("service_details.legacy_service.current_load", LOAD_FIELDS),
    **under("service_details.legacy_service.infrastructure", HOST_FIELDS),
    **under("service_details.new_service.target_performance", LOAD_FIELDS),
    **under("service_details.new_service.infrastructure", HOST_FIELDS),
    "migration_phases": LIST, "migration_phases[]": OBJECT, "migration_phases[].phase": Field(("text",), required=True),
    "migration_phases[].description": TEXT, "migration_phases[].estimated_duration_hours": HOURS,
    "feature_flags": LIST, "feature_flags[]": OBJECT, "feature_flags[].name": Field(("text",), required=True),
    "feature_flags[].description": TEXT, "feature_flags[].initial_percentage": Field(("number",), 0, 100),
    "feature_flags[].rollout_schedule": LIST, "feature_flags[].rollout_schedule[]": OBJECT,
    "feature_flags[].rollout_schedule[].percentage": Field(("number",), 0, 100, required=True),
    "feature_flags[].rollout_schedule[].duration_hours": HOURS,
    "feature_flags[].depends_on": LIST, "feature_flags[].depends_on[]": TEXT, "feature_flags[].parallel": TRUTH,
    "monitoring": OBJECT, "monitoring.critical_metrics": LIST, "monitoring.critical_metrics[]": TEXT,
    "monitoring.alert_thresholds": OBJECT, "monitoring.alert_thresholds.*": Field(("number",), 0, 1e12),
    "rollback_triggers": LIST, "rollback_triggers[]": OBJECT,
    "rollback_triggers[].metric": Field(("text",), required=True),
    "rollback_triggers[].threshold": Field(("number",), 0, 1e12, required=True),
    "rollback_triggers[].duration_minutes": MINUTES, "rollback_triggers[].action": TEXT,
    "workloads": LIST, "workloads[]": OBJECT,
    **under("workloads[]", {
        "name": Field(("text",), required=True), "vms": Field(("number",), 1, 1e6), "size_gb": GB, "os": TEXT,
        "depends_on": LIST, "depends_on[]": TEXT, "criticality": Field(("text",), choices=LEVELS), "r_strategy": TEXT,
        "residency": TEXT, "stays": TRUTH}),
    "workload": OBJECT, "network": OBJECT, "measured": OBJECT, "cutover": OBJECT, "slo": OBJECT, "baseline": OBJECT,
    "team": OBJECT, "policies": OBJECT, "readiness": OBJECT, "data": OBJECT, "estimates": OBJECT,
    "method": Field(("text",), choices=METHODS),
    "workload.peak_factor": Field(("number",), 1, 50), "workload.calls_per_request": COUNT,
    "workload.one_writer_team": TRUTH, "workload.audit_history_needed": TRUTH, "workload.reads_only": TRUTH,
    "cutover.switch": Field(("text",), choices=SWITCHES), "cutover.reverse_replication": TRUTH,
    "cutover.smoke_minutes": MINUTES,
    "team.timezone": Field(("zone",)), "team.roles": OBJECT, "team.roles.*": TEXT,
    "team.workdays": LIST, "team.workdays[]": Field(("text",), choices=DAYS), "team.day_starts": Field(("time",)),
    "readiness.rehearsal": Field(("text",), choices=("none", "planned", "partial", "full")),
    "readiness.rollback_tested": TRUTH, "readiness.automated_gates": TRUTH,
    "readiness.backup_restore_tested_days_ago": COUNT,
    "data.personal_columns": LIST, "data.personal_columns[]": TEXT, "data.not_personal_columns": LIST,
    "data.not_personal_columns[]": TEXT, "data.residency_source": TEXT, "data.residency_target": TEXT,
    "data.cross_border": TRUTH,
    "estimates.*": OBJECT, **under("estimates.*", {"o": HOURS, "m": HOURS, "p": HOURS}),
}


class InputRow(NamedTuple):
    """A number the estimates rest on: where it stands, what stands in for it, how to measure it."""

    name: str
    path: str
    default: Optional[float]  # None: computed from other facts in `derive`
    low: float
    high: float
    unit: str
    how: str


INPUTS = tuple(InputRow(*row) for row in (
    ("volume_gb", "constraints.data_volume_gb", None, 0, 1e9, "GB",
     "SELECT sum(pg_total_relation_size(oid))/1e9 FROM pg_class WHERE relkind IN ('r','m') -- or df on the source"),
    ("write_rows_per_second", "workload.write_rows_per_second", None, 0, 1e7, "rows/s",
     "sum(tup_inserted+tup_updated+tup_deleted) of pg_stat_database, twice, one hour apart, divided by 3600"),
    ("write_mb_per_second", "workload.write_mb_per_second", None, 0, 1e5, "MB/s", "iostat -m 60 on the data volumes"),
    ("growth_percent_per_month", "workload.growth_percent_per_month", 2, 0, 100, "%/month",
     "compare the size of the source with last month's backup"),
    ("largest_table_gb", "workload.largest_table_gb", None, 0, 1e9, "GB",
     "SELECT max(pg_total_relation_size(oid))/1e9 FROM pg_class WHERE relkind = 'r'"),
    ("indexes_per_table", "workload.indexes_per_table", 3, 0, 50, "indexes",
     "SELECT avg(c) FROM (SELECT count(*) c FROM pg_index GROUP BY indrelid) t"),
    ("avg_row_bytes", "workload.avg_row_bytes", 400, 1, 1e7, "bytes", "table size divided by its row count"),
    ("churn_percent_per_day", "workload.churn_percent_per_day", 3, 0, 100, "%/day",
     "size of the daily incremental backup divided by the full size"),
    ("cores", "source.host_cores", 8, 1, 1e6, "cores", "nproc on the source host"),
    ("target_disk_free_gb", "target.disk_free_gb", -1, 0, 1e9, "GB", "df -BG on the target's data volume"),
    ("source_disk_free_gb", "source.disk_free_gb", -1, 0, 1e9, "GB", "df -BG on the source's data volume"),
    ("bandwidth_gbps", "network.bandwidth_gbps", 1, 0.001, 800, "Gbit/s",
     "iperf3 -c {{target_host}} -P 8 -t 60 from the source network"),
    ("utilization", "network.utilization", 0.7, 0.05, 0.95, "share",
     "share of the link that iperf3 reaches beside production traffic"),
    ("rtt_ms", "network.rtt_ms", 20, 0, 2000, "ms", "ping -c 100 {{target_host}}"),
    ("cost_per_gb", "network.cost_per_gb", 0, 0, 100, "money/GB", "the provider's price list for egress"),
    ("parallelism", "parallelism", 4, 1, 128, "streams", "raise until the source's CPU passes 70 %"),
    ("batch_size", "batch_size", 5000, 100, 100000, "rows", "the largest batch whose commit stays under 200 ms"),
    ("batch_pause_ms", "batch_pause_ms", 200, 0, 60000, "ms", "the shortest pause that keeps replica lag flat"),
    ("contention", "contention", 0.7, 0.05, 1, "share", "copy rate at night divided by the rate on an idle replica"),
    ("copy_gb_per_hour", "measured.copy_gb_per_hour", 0, 0, 1e7, "GB/h", "time the copy of one 10 GB table"),
    ("backfill_rows_per_second", "measured.backfill_rows_per_second", 0, 0, 1e9, "rows/s",
     "time 200 batches on a full-size copy"),
    ("apply_rows_per_second", "measured.apply_rows_per_second", 0, 0, 1e9, "rows/s",
     "confirmed_flush_lsn progress of a test subscription under replayed load"),
    ("index_rows_per_second", "measured.index_rows_per_second", 0, 0, 1e9, "rows/s",
     "time CREATE INDEX on the largest table of a full-size copy"),
    ("validate_gb_per_hour", "measured.validate_gb_per_hour", 0, 0, 1e7, "GB/h",
     "time the row-hash query on the largest table"),
    ("restore_gb_per_hour", "measured.restore_gb_per_hour", 0, 0, 1e7, "GB/h", "time a restore into a scratch server"),
    ("dns_ttl_seconds", "cutover.dns_ttl_seconds", 60, 0, 86400, "s", "dig +noall +answer {{service_host}}"),
    ("zero_tolerance_seconds", "cutover.zero_tolerance_seconds", 5, 0, 60, "s",
     "the longest pause that clients retry without an error"),
    ("availability", "slo.availability", 0.999, 0.5, 0.99999, "share", "the service's agreed SLO"),
    ("slo_window_days", "slo.window_days", 30, 1, 366, "days", "the service's agreed SLO"),
    ("baseline_error_rate", "baseline.error_rate", 0.001, 0, 1, "share",
     "sum(rate(http_requests_total{code=~\"5..\"}[7d])) / sum(rate(http_requests_total[7d]))"),
    ("baseline_p95_ms", "baseline.p95_ms", -1, 0, 1e7, "ms",
     "histogram_quantile(0.95, sum by (le)(rate(http_request_duration_seconds_bucket[7d]))) * 1000"),
    ("slo_p95_ms", "slo.latency_p95_ms", -1, 0, 1e7, "ms", "the service's agreed SLO"),
    ("baseline_cpu", "baseline.cpu", -1, 0, 1, "share", "avg_over_time of the hosts' CPU over 7 days"),
    ("team_size", "team.size", 3, 1, 200, "people", "who is named in the plan"),
    ("hours_per_day", "team.hours_per_day", 8, 1, 24, "h", "the team's working day"),
    ("focus", "team.focus", 0.8, 0.1, 1, "share", "share of the last month that went into planned work"),
    ("experience", "team.experience_similar_migrations", -1, 0, 100, "migrations", "ask the team"),
    ("soak_hours", "policies.soak_hours", None, 0, 10000, "h",
     "the longest business cycle (month-end job) to wait for"),
    ("contract_soak_hours", "policies.contract_soak_hours", None, 0, 10000, "h",
     "how long after the last old release a client may still run it"),
    ("test_days", "policies.test_before_cutover_days", 14, 0, 365, "days",
     "docs.aws.amazon.com MGN: test at least two weeks before cutover"),
    ("max_wave_size", "policies.max_wave_size", 10, 1, 1000, "VMs", "how many servers one night's staff can watch"),
    ("transactions_per_second", "performance_requirements.transactions_per_second", -1, 0, 1e7, "tx/s",
     "xact_commit+xact_rollback of pg_stat_database, twice, one hour apart, divided by 3600"),
))
FIELDS.update({row.path: Field(("number",), row.low, row.high) for row in INPUTS})


# == 4. Rates =========================================================================================
# How fast things go when nobody measured them. `kind`: measured (by us, on PostgreSQL 15.18 and MariaDB 10.11, 2 vCPU),
# sourced (published figures), assumed (judgement: printed in the plan's assumptions).

class Rate(NamedTuple):
    low: float  # optimistic
    likely: float
    high: float  # pessimistic: the slowest
    unit: str
    kind: str
    source: str


RATES = {name: Rate(*row) for name, row in {
    "dump_restore": (90, 60, 40, "GB/h", "sourced", "clickhouse.com practical-postgres-migrations: 1 TB in 17 h 05"),
    "logical_replication": (120, 113, 60, "GB/h", "sourced", "AWS DMS step-by-step, 70 GB in 37 min; measured 113"),
    "parallel_copy": (550, 180, 120, "GB/h", "sourced", "clickhouse.com PeerDB 1 TB in 1 h 49; citusdata.com 1.4 TB"),
    "physical": (600, 400, 200, "GB/h", "sourced", "3.5 TB upgrade report, 10 GB/min"),
    "dms": (200, 80, 20, "GB/h", "sourced", "docs.aws.amazon.com DMS best practices; low confidence"),
    "mysqlsh": (720, 250, 100, "GB/h", "sourced", "dev.mysql.com mysql-shell-dump-load part 2"),
    "block_replication": (1e6, 1e6, 1e6, "GB/h", "assumed", "bound by the network, see `utilization`"),
    "hash": (640, 300, 100, "GB/h", "measured", "178 MB/s for md5(row::text), PostgreSQL 15"),
    "scan": (2500, 720, 180, "GB/h", "assumed", "one pass over a table to validate a constraint"),
    "rewrite": (170, 80, 12, "GB/h", "measured", "PostgreSQL 170, MariaDB 128; 12 seen on RDS (govindbuilds.com)"),
    "restore": (600, 200, 100, "GB/h", "assumed", "physical restore from object storage"),
    "backfill": (15000, 5000, 1000, "rows/s", "measured", "5 000-row batches with 200 ms pause reached 15.8 k/s"),
    "gh_ost": (45000, 10000, 2000, "rows/s", "sourced", "github/gh-ost issues 495, 482, 1022"),
    "index": (1.3e6, 5e5, 1.5e5, "rows/s", "sourced", "depesz.com 2018/02/12: 100 M integers in 25 s; measured 2.2 M"),
    "apply": (18000, 5000, 1000, "rows/s", "measured", "18 k single-row transactions/s, PostgreSQL 15 subscriber"),
    "genesis": (50000, 20000, 2000, "rows/s", "assumed", "one snapshot event for each aggregate"),
    "projection": (50000, 10000, 1000, "rows/s", "assumed", "replaying events into a read model"),
}.items()}
CONTENTION = (1.0, None, 0.5)  # optimistic: replica or idle night; likely: `contention`; pessimistic: business hours
NET_UTILIZATION = (0.8, None, 0.5)  # likely: `utilization`
BLOCK_EFFICIENCY = (1.0, 0.75, 0.7)  # assumed: encryption, compression, throttling in business hours
NET_GB_PER_HOUR = 450.0  # 1 Gbit/s = 125 MB/s = 450 GB/h
STREAM_LOSS = 0.08  # assumed: what each further copy stream costs the others
LOB_SLOWDOWN = 0.3  # assumed: large objects are copied one by one
ROW_MARGIN = 1.25  # measured: CREATE INDEX CONCURRENTLY against CREATE INDEX
ASSUMED_GB = 100.0  # assumed: printed as an assumption wherever no volume is given
TUPLE_HEADER = 24  # PostgreSQL docs, storage-page-layout: 23 bytes and a line pointer
Z_ALPHA, Z_POWER = 1.645, 1.282  # one-sided 5 %, power 90 %

# Minutes of outage, summed in each simulated run. Anchors: 3 s with a pooler (gadget.dev), under 1 min for RDS
# blue/green (AWS docs), 15 min for a 4 TB upgrade (retool.com).
OUTAGE = {
    "lock": (0.004, 0.02, 0.083), "flip": (0, 0.02, 0.083), "pause": (0.02, 0.05, 0.083),
    "flag": (0.05, 0.1, 0.5), "handover": (0.05, 0.15, 0.5), "drain": (0.2, 0.5, 2),
    "lag": (0.1, 0.25, 2), "sequences": (0.1, 0.2, 0.5), "switch_pooler": (0.05, 0.1, 0.5),
    "switch_proxy": (0.05, 0.1, 0.5), "switch_lb": (0, 0.02, 0.1), "switch_config": (2, 5, 15),
    "smoke": (1, 3, 10), "decision": (0, 2, 5), "final_sync": (5, 10, 20), "convert_boot": (10, 20, 45)}
INCIDENT_MINUTES = (5, 20, 90)  # assumed: one thing goes wrong while the outage lasts
OUTAGES = {  # pattern: parts of its outage, probability of an incident in it (assumed)
    "expand_contract": (("lock",), 0.02), "parallel_schema": (("lock",), 0.04),
    "event_sourcing": (("flag", "handover"), 0.08), "strangler_fig": ((), 0.02), "parallel_run": ((), 0.02),
    "canary": ((), 0.02), "blue_green": (("switch",), 0.04), "dual_write": (("flip",), 0.04),
    "cdc": (("drain", "lag", "sequences", "switch", "smoke", "decision"), 0.08),
    "data_migration": (("drain", "bulk", "sequences", "switch", "smoke", "decision"), 0.10),
    "lift_and_shift": (("drain", "final_sync", "convert_boot", "switch", "smoke", "decision"), 0.10),
    "hybrid_cloud": (("switch",), 0.04), "multi_cloud": (("handover",), 0.04)}

HUMAN = {  # elapsed hours of people, optimistic / likely / pessimistic; all assumed, replace by `estimates`
    "assess": (4, 8, 16), "assess_table": (0.25, 0.25, 0.5), "assess_dependency": (0.5, 0.5, 1),
    "backup": (1, 2, 4), "provision": (16, 32, 80), "network": (16, 40, 120), "monitor": (0.25, 0.5, 1),
    "rehearse": (8, 16, 40), "rehearse_small": (2, 4, 8), "change": (0.1, 0.25, 1), "writer": (4, 8, 24),
    "verify": (1, 2, 4), "go_no_go": (1, 2, 4), "close": (4, 8, 24), "close_small": (2, 4, 8),
    "endpoint": (6, 12, 30), "framework": (4, 12, 40), "requirement": (2, 4, 12), "vm_test": (0.5, 1, 2),
    "notice": (0.25, 0.25, 0.5), "flip": (0.1, 0.2, 0.5)}


# == 5. Gates =========================================================================================
# What must be true before the next phase starts. {words} are filled from the specification; `@name` in a threshold is
# one of the computed limits of `gate_limits`.

class GateRow(NamedTuple):
    metric: str
    operator: str
    threshold: Any
    unit: str
    how: str  # {source_...} and {target_...} are commands of that side's engine, see COMMANDS


GATES = {name: GateRow(*row) for name, row in {
    "G01": ("consumers without a named owner", "==", 0, "consumers",
            "{source_sessions} -- hourly for 7 days; {consumer_rule}"),
    "G02": ("days of baseline recorded (p50/p95/p99, error rate, throughput)", ">=", 7, "days",
            "count_over_time(up{job=\"{service}\"}[7d:1d]); the limits below are computed from it"),
    "G03": ("age of the last restore test", "<=", 7, "days",
            "restore the newest backup of {source_name} into a scratch server; note the minutes, compare row counts"),
    "G04": ("rehearsal time / planned time", "<=", 1.25, "ratio",
            "timed log of the rehearsal on a full-size copy; outage at most {downtime_limit_70}; undo run once"),
    "G05": ("free disk on the target", ">=", "@target_disk_gb", "GB",
            "df -BG {{target_data_volume}} on {target_name}{wal_kept}"),
    "G06": ("tables without a key that replication can use", "==", 0, "tables",
            "{source_keyless}"),
    "G07": ("schema differences, invalid indexes, unvalidated constraints", "==", 0, "objects", "{target_same_schema}"),
    "G08": ("oldest open transaction before DDL", "<=", 60, "s", "{target_transactions}, at most 3 tries"),
    "G09": ("writes that reached only one side, in 24 h", "==", 0, "writes",
            "increase(dual_write_failures_total{job=\"{service}\"}[24h]); added p95 at most 10 %"),
    "G10": ("rows not backfilled", "==", 0, "rows", "{unfilled_sql}"),
    "G11": ("replication lag for 30 min", "<", 10, "s",
            "{lag_query}"),
    "G12": ("tables not in state ready", "==", 0, "tables", "{copied_query}"),
    "G13": ("difference of row counts with writers stopped", "==", 0, "rows", "{count_sql} -- on both sides"),
    "G14": ("key ranges whose hash differs", "==", 0, "ranges", "{hash_sql} -- on both sides{hash_form}; critical "
            "tables in full, others at least 46 050 rows (99 % to see 0.01 %)"),
    "G42": ("rows whose old and new form differ", "==", 0, "rows", "{differing_sql}"),
    "G15": ("orphaned foreign keys", "==", 0, "rows", "{orphan_sql}"),
    "G16": ("business totals that differ", "==", 0, "totals", "{total_sql} -- on both sides, per period and status"),
    "G17": ("target sequences below the source's maximum", "==", 0, "sequences",
            "{target_sequences} -- target must be above the source by 1000"),
    "G18": ("mismatching shadow answers", "<=", 0.1, "%",
            "diff log by {compared_by}: at least 4 603 comparisons for each, 24 h, falling to 0 unexplained"),
    "G19": ("error rate of the new side above the old", "<=", "@error_delta", "share",
            "sum(rate(http_requests_total{service=\"{service}\",version=\"new\",code=~\"5..\"}[5m])) / "
            "sum(rate(http_requests_total{service=\"{service}\",version=\"new\"}[5m])) minus the same for "
            "version=\"old\", over at least {sample_size} requests a side"),
    "G20": ("p95 latency", "<=", "@p95_limit", "@p95_unit",
            "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{service=\"{service}\"}"
            "[5m]))) * 1000"),
    "G21": ("CPU of the new side", "<=", "@cpu_limit", "share",
            "avg(rate(container_cpu_usage_seconds_total{pod=~\"{service}.*\"}[5m])) / CPU limit; memory at most "
            "{memory_limit}"),
    "G22": ("requests lost between old and new side", "<=", 1, "%",
            "sum(rate(http_requests_total{service=\"{service}\"}[5m])) by version against the gateway's total; "
            "business figure within -2 % of the same hour last week"),
    "G23": ("401 answers above the baseline", "<=", 0.1, "% points",
            "sum(rate(http_requests_total{service=\"{service}\",code=\"401\"}[5m])) / sum(rate(http_requests_total"
            "{service=\"{service}\"}[5m]))"),
    "G24": ("p95 in a 30 min load test at {load_test_rps}", "<=", "@p95_limit", "@p95_unit",
            "k6 run --vus {{virtual_users}} --duration 30m {{load_script}} against {target_name}; keep the report id"),
    "G25": ("requests to the old side in 7 days", "==", 0, "requests",
            "increase(http_requests_total{service=\"{service}\",version=\"old\"}[7d]) and one full business cycle"),
    "G26": ("reads of the old columns or tables in 7 days", "==", 0, "reads",
            "{target_statements} naming {old_objects}; then rename them for 24 h and watch for errors"),
    "G27": ("measured outage", "<=", "@outage_minutes", "min",
            "probe {{health_url}} every second; first failure to first stable success"),
    "G28": ("resolvers that answer with the target", "==", 100, "%",
            "dig @{{resolver}} {{service_host}} from at least 5 resolvers; TTL lowered to {ttl} s one old TTL earlier"),
    "G29": ("security differences (grants, TLS, exposure)", "==", 0, "findings",
            "{source_grants} of {source_name}, {target_grants} of {target_name}, compared; {encryption_how}; port scan "
            "from outside"),
    "G30": ("evidence files missing from the bundle", "==", 0, "files",
            "sha256sum -c manifest.sha256 in {{evidence_store}}: {evidence_count} files, plan and "
            "specification among them"),
    "G31": ("new side without tested backup, replica or alert", "==", 0, "items",
            "restore the first backup of {target_name}; fire one test alert; check the replica's lag"),
    "G32": ("servers that fail boot, service or smoke test", "==", 0, "servers",
            "test launch of each server in an isolated subnet; licence and clock checked"),
    "G33": ("servers with replication lag or backlog", "==", 0, "servers",
            "replication console: lag 0, backlog 0, snapshot younger than 60 min"),
    "G34": ("aggregates whose replayed state differs", "==", 0, "aggregates",
            "replay twice, compare the state hash; projection against {event_tables}"),
    "G35": ("p99 consumer lag", "<", 5, "s", "broker's consumer lag by group; dead-letter queue empty; one duplicate "
            "sent"),
    "G36": ("run-rate against the cost model", "<=", 120, "%",
            "billing export of the last 7 days; no orphaned volumes"),
    "G37": ("throughput of the link to the target", ">=", "@link_gbps", "Gbit/s",
            "iperf3 -c {{target_host}} -P 8 -t 60; loss below 0.1 %; round trip {rtt} ms; pull the first path, repeat"),
    "G38": ("roles and identities that differ", "==", 0, "roles", "diff of the role exports of both sides"),
    "G39": ("erasure or consent changes not replayed", "==", 0, "requests",
            "join the request log since the snapshot with {target_name}"),
    "G40": ("sign-offs missing", "==", 0, "roles", "go/no-go record: {accountable}"),
    "G41": ("mapped fields or endpoints without counterpart", "==", 0, "items", "review of the mapping: {unmatched}"),
}.items()}


# == 6. Triggers ======================================================================================
# What stops or undoes a phase while it runs. A trigger of the specification on the same metric replaces the row.

class TriggerRow(NamedTuple):
    metric: str
    operator: str
    threshold: Any
    unit: str
    minutes: float
    action: str


TRIGGERS = {name: TriggerRow(*row) for name, row in {
    "T1": ("error_rate", ">", "@error_rate_trigger", "share", 5, "automatic_rollback"),  # SRE workbook: 14.4 x budget
    "T2": ("response_time_p95", ">", "@p95_trigger", "@p95_unit", 10, "rollback"),
    "T3": ("cpu_utilization", ">", 0.95, "share", 5, "scale_up"),
    "T4": ("mismatching_rows_in_critical_tables", ">=", 1, "rows", 0, "stop"),
    "T5": ("replication_lag_seconds", ">", 300, "s", 15, "throttle"),
    "T6": ("source_p95_ratio_to_baseline", ">", 1.2, "ratio", 5, "throttle"),
    "T7": ("free_disk_share", "<", 0.2, "share", 1, "pause"),
    "T8": ("blocked_sessions", ">", 10, "sessions", 0.1, "stop"),
    "T9": ("elapsed_cutover_minutes", ">", "@abort_minutes", "min", 0, "rollback"),
    "T10": ("dual_write_failure_share", ">", 0.0001, "share", 5, "flag_off"),
    "T11": ("shadow_mismatch_share", ">", 0.01, "share", 15, "stop"),
    "T12": ("authentication_failure_share_above_baseline", ">", 0.01, "share", 5, "rollback"),
    "T13": ("business_figure_drop_share", ">", 0.1, "share", 15, "rollback"),
    "T14": ("security_or_privacy_events", ">=", 1, "events", 0, "stop"),
    "T15": ("projection_lag_seconds", ">", 60, "s", 10, "rollback"),
    "T16": ("boot_or_smoke_failures_per_server", ">=", 2, "failures", 0, "rollback"),
    "T17": ("cost_ratio_to_model", ">", 1.5, "ratio", 1440, "hold"),
}.items()}


# == 7. Patterns ======================================================================================
# Each pattern is a list of phases; each phase names its task generators (section 12), gates, triggers and undo.
# kind of undo: rollback (lossless) | roll_forward | restore | none; `no_return` says what makes it final.

class PhaseRow(NamedTuple):
    """One phase of a pattern."""

    name: str
    purpose: str
    make: str  # names of task generators, in order
    gates: str
    triggers: str
    undo: str  # kind: what to do
    undo_minutes: Tuple[float, float, float]
    roles: str  # accountable first, then responsible
    no_return: str = ""
    carries: str = ""  # which scripts of a compatibility report: expand | migrate | contract
    each: str = ""  # "wave": the phase repeats for each wave
    beside: bool = False  # needs nothing of the phase before it and runs at the same time


class Pattern(NamedTuple):
    name: str
    title: str
    kinds: Tuple[str, ...]
    fits: str
    phases: Tuple[PhaseRow, ...]
    exposure: str  # progressive | switch | bang: what the success prior asks


PREPARATION = PhaseRow(
    "preparation", "Know every consumer and the baseline of {source_name}; make {target_name}, backup, alerts and undo "
    "ready; rehearse on a copy.", "assess prepare rehearse", "G01 G02 G03 G04 G05", "",
    "rollback: delete what was provisioned; production was not touched", (5, 15, 60), "lead dba sre platform security")
CLOSE = PhaseRow(
    "close", "Remove what is no longer needed, keep the evidence, write the history record.", "close", "G26 G30 G36",
    "", "restore: from the archived copy of {source_name}", (30, 120, 480), "owner lead",
    "what is removed here comes back only from a backup")


DATABASE_PATTERNS = (  # their subject is data
    Pattern("expand_contract", "Expand and contract", ("database", "data", "api"),
            "schema changes on a server that stays", (
        PREPARATION,
        PhaseRow("expand", "Add {change_text} beside the old form, so that old and new releases both "
                 "work.", "expand scripts_expand", "G08 G07", "T8", "rollback: drop the new objects; nothing uses "
                 "them yet", (1, 2, 5), "lead dba", carries="expand"),
        PhaseRow("migrate", "{migrate_text}",
                 "dual_writers scripts_migrate backfill verify switch_readers", "G09 G10 G42 G15 G20",
                 "T10 T1 T2 T4 T6 T7",
                 "rollback: {migrate_undo}", (1, 5, 15), "lead dev dba", carries="migrate"),
        PhaseRow("contract", "{contract_text}.",
                 "soak_contract contract scripts_contract", "G26 G07", "T1 T8",
                 "restore: from the archive taken before the drop", (2, 10, 60), "lead dba",
                 "dropping or narrowing {old_objects}; before it the undo loses nothing", "contract"),
        PhaseRow("cleanup", "{cleanup_text}emove flags and alerts of the migration, write the history record.",
                 "close purge", "G30", "", "restore: from the last backup only", (30, 120, 480), "owner lead",
                 "purging the archive")), "progressive"),
    Pattern("parallel_schema", "Parallel schema", ("database", "data"),
            "two full schema versions must serve at once, many consumers", (
        PREPARATION,
        PhaseRow("create_v2", "Build schema v2 with a mapping in both directions for {mapped_tables}.",
                 "create_v2 scripts_expand", "G07 G41", "T8", "rollback: drop v2", (1, 3, 10), "lead dba",
                 carries="expand"),
        PhaseRow("sync", "Fill v2 and keep both versions equal in both directions.", "fill_v2 scripts_migrate verify",
                 "G10 G13", "T6 T5", "rollback: disable the triggers", (1, 2, 5), "dba dba", carries="migrate"),
        PhaseRow("shadow_reads", "Send a share of the reads to v2 as well and compare.", "shadow_reads", "G18",
                 "T11", "rollback: flag off", (1, 1, 2), "lead dev"),
        PhaseRow("route", "Move the consumers one by one, readers first: {dependency_names}.", "route_consumers",
                 "G20 G22", "T1 T2 T13", "rollback: route back; v1 is kept current", (1, 2, 5), "lead dev"),
        PhaseRow("freeze_v1", "Revoke writes on v1 and prove that nobody misses it.", "freeze_v1", "G25", "T1",
                 "rollback: grant the rights back", (1, 1, 2), "lead dba"),
        PhaseRow("drop_v1", "Archive and drop v1.", "drop_v1 scripts_contract close", "G07 G26", "T8",
                 "restore: from the archive of v1", (10, 30, 120), "owner dba", "dropping v1", "contract")),
        "progressive"),
    Pattern("event_sourcing", "Event sourcing migration", ("database", "data", "service"),
            "an audit or temporal need is explicit and the team has done it", (
        PREPARATION,
        PhaseRow("model", "Name aggregates and events for {event_tables}; decide how personal data is erased.",
                 "model_events", "G41", "", "rollback: paper only", (0, 0, 1), "lead dev"),
        PhaseRow("store", "Stand up the append-only store for {tps}.", "event_store", "G24 G31", "T3",
                 "rollback: delete the store", (5, 10, 30), "sre platform", beside=True),
        PhaseRow("capture", "Every state change commits its event: outbox beside {event_tables}.",
                 "capture_events scripts_expand", "G35 G09", "T10 T15", "rollback: stop capture; the tables are "
                 "still the truth", (1, 2, 5), "lead dev", carries="expand"),
        PhaseRow("genesis", "One snapshot event for each of {row_total} aggregates.", "genesis scripts_migrate",
                 "G14", "T6 T7", "rollback: truncate the stream", (5, 10, 30), "dba data", carries="migrate"),
        PhaseRow("project", "Build the read models and measure a full rebuild.", "projection", "G34", "T15",
                 "rollback: drop the projection", (5, 10, 30), "dev dev"),
        PhaseRow("dual_run", "Both models live through one month end; reconcile daily.", "dual_run", "G16 G34",
                 "T15 T4", "rollback: ignore the events", (1, 2, 5), "lead data"),
        PhaseRow("cut_reads", "Serve reads from the projections, step by step.", "cut_reads", "G18 G20", "T2 T15",
                 "rollback: flag off", (1, 1, 2), "lead dev"),
        PhaseRow("cut_writes", "Commands write events; a back-projection keeps {event_tables} current.",
                 "cut_writes", "G40 G09 G22", "T1 T13", "rollback: commands back to the tables while the "
                 "back-projection lag is below 10 s", (2, 5, 15), "owner dev",
                 "switching the back-projection off: afterwards only roll forward"),
        PhaseRow("retire", "Soak, then remove the legacy writers.", "soak close scripts_contract", "G25 G30", "",
                 "restore: from the archived tables", (60, 240, 480), "lead dba", "dropping the legacy tables",
                 "contract")), "progressive"),
    Pattern("dual_write", "Dual write", ("database", "data", "service"),
            "a structural change (split, merge, re-key) and one team owns the writers", (
        PREPARATION,
        PhaseRow("dual_write", "One shared write path writes both stores, with outbox and repair queue.",
                 "dual_writers scripts_expand", "G09", "T10", "rollback: flag off", (1, 1, 2), "lead dev",
                 carries="expand"),
        PhaseRow("backfill", "Copy {row_total} rows from a snapshot; the newer row wins.", "backfill scripts_migrate",
                 "G10 G14", "T6 T7", "rollback: truncate the target", (5, 10, 30), "dba data", carries="migrate"),
        PhaseRow("switch_reads", "Compare every read, then serve it from the new store.", "shadow_reads", "G18",
                 "T11 T2", "rollback: flag off", (1, 1, 2), "lead dev"),
        PhaseRow("switch_writes", "The new store is primary, the old one is mirrored.", "switch_writes", "G40 G09 G22",
                 "T10 T13", "rollback: flag off while the mirror lag is below 10 s", (2, 5, 15), "owner dev"),
        PhaseRow("remove_old", "Stop the mirror and drop the old store.", "soak scripts_contract close", "G26 G30", "",
                 "restore: from the archive", (30, 120, 480), "lead dba", "dropping the old store", "contract")),
        "progressive"),
    Pattern("cdc", "Change data capture (relocation or upgrade)", ("database", "data", "infrastructure"),
            "data moves to another server and the outage budget is shorter than a copy", (
        PREPARATION._replace(gates="G01 G02 G03 G04 G05 G06 G29 G37"),
        PhaseRow("schema_load", "Create the schema on {target_name} without secondary indexes and foreign keys.",
                 "schema_load", "G07", "", "rollback: drop the target database", (1, 5, 15), "dba dba"),
        PhaseRow("initial_copy", "Copy {volume} with {streams} streams while {source_name} serves.", "initial_copy",
                 "G12", "T5 T6 T7", "rollback: {drop_copy}; the source was only read", (2, 5, 15),
                 "dba dba"),
        PhaseRow("index_constraints", "Build indexes, validate foreign keys, ANALYZE.", "index_target", "G07", "T5",
                 "rollback: drop the indexes", (1, 5, 15), "dba dba"),
        PhaseRow("catch_up", "Apply the backlog of {backlog} until the lag stays below 10 s.", "catch_up", "G11",
                 "T5", "rollback: {drop_copy}", (2, 5, 15), "dba dba"),
        PhaseRow("validate", "Prove both sides equal: counts, hashes, totals, shadow reads.", "compare_sides",
                 "G13 G14 G15 G16 G18 G24", "T4", "rollback: copy the differing table again", (10, 60, 240),
                 "owner data"),
        PhaseRow("cutover", "Stop the writers, drain, switch to {target_name}, open again within {downtime_limit}.",
                 "cutover", "G40 G17 G27 G20", "T1 T2 T4 T9", "rollback: switch back; lossless while the reverse "
                 "replication lag is below 10 s", (3, 6, 20), "owner sre dba"),
        PhaseRow("reverse_soak", "Run on {target_name}; {source_name} is kept current by reverse replication.",
                 "reverse_soak", "G11 G22 G31", "T1 T13", "rollback: switch back, the same minutes as the cutover",
                 (3, 6, 20), "sre sre"),
        PhaseRow("finalize", "Stop the reverse replication; archive and delete {source_name}.", "finalize", "G30 G36",
                 "", "restore: from the archive of {source_name}", (60, 240, 960), "owner dba",
                 "stopping the reverse replication: from then on {source_name} is out of date")), "switch"),
    Pattern("data_migration", "Bulk data migration (offline)", ("database", "data", "infrastructure"),
            "data moves to another server and a full copy fits into 70 % of the outage budget", (
        PREPARATION._replace(name="assessment", make="assess", gates="G01 G02"),
        PREPARATION._replace(name="setup", purpose="Provision {target_name}; rehearse the whole copy.",
                             make="prepare rehearse", gates="G03 G04 G05 G29 G37"),
        PhaseRow("bulk_copy", "Stop the writers and copy {volume} with a checksum for each chunk.", "bulk_copy", "G12",
                 "T6 T7 T9", "rollback: restart the writers on {source_name}, it was only read", (2, 5, 15), "dba dba"),
        PhaseRow("delta_sync", "Repeat the chunks that changed since their copy (none when the writers stand).",
                 "delta_sync", "G13", "T9", "rollback: restart the writers on {source_name}", (2, 5, 15), "dba dba"),
        PhaseRow("validation", "Counts, hashes and totals of both sides.", "compare_sides", "G13 G14 G15 G16", "T4",
                 "rollback: restart the writers on {source_name}", (2, 5, 15), "owner data"),
        PhaseRow("cutover", "Point {dependency_names} to {target_name} and open.", "cutover", "G40 G17 G27 G20",
                 "T1 T2 T9", "roll_forward: rows written on the target must be carried back by hand", (10, 60, 240),
                 "owner sre dba", "the first write on {target_name}"),
        CLOSE), "bang"),
)


SERVICE_PATTERNS = (  # their subject is a running service
    Pattern("strangler_fig", "Strangler fig", ("service", "api"), "HTTP traffic can be routed endpoint by endpoint", (
        PREPARATION._replace(gates="G01 G02 G03 G05"),
        PhaseRow("intercept", "Put a facade before {source_name}, passing everything through.", "facade", "G22 G19",
                 "T1 T2", "rollback: point the load balancer back at {source_name}", (1, 2, 5), "lead platform"),
        PhaseRow("implement", "Build {build_text} on {target_name}, each with its contract test.",
                 "implement scripts_expand", "G41 G24", "", "rollback: nothing is live yet", (0, 1, 5), "lead dev",
                 carries="expand", beside=True),
        PhaseRow("shadow", "Mirror reads to {target_name}, compare, discard the answers.", "mirror scripts_migrate",
                 "G18", "T11 T3", "rollback: stop the mirror", (1, 1, 2), "lead dev", carries="migrate"),
        PhaseRow("redirect", "Raise {flag_names} step by step to 100 %.", "rollout", "G19 G20 G21 G22 G23",
                 "T1 T2 T3 T12 T13", "rollback: flag back to the previous step", (0.5, 1, 2), "lead sre",
                 "the first write that {source_name} cannot read"),
        PhaseRow("validate", "Hold 100 % for one business cycle, {source_name} warm and idle.", "soak_service",
                 "G22 G25", "T1 T13", "rollback: flag to 0 %", (0.5, 1, 2), "lead sre"),
        PhaseRow("retire", "Remove routes, revoke credentials, archive {source_name}.",
                 "retire_service scripts_contract", "G25 G36", "", "restore: redeploy the archived image, restore "
                 "its data", (30, 120, 480), "owner platform", "deleting {source_name}", "contract")), "progressive"),
    Pattern("parallel_run", "Parallel run", ("service", "api"), "correctness is critical and outputs can be compared", (
        PREPARATION._replace(gates="G01 G02 G03 G05"),
        PhaseRow("setup", "Decide what equal means for {every_endpoint}; isolate the side effects of "
                 "{writing_endpoints}.", "comparison_setup", "G41", "", "rollback: nothing is live",
                 (0, 0, 1),
                 "lead dev"),
        PhaseRow("deploy", "Deploy {target_name} dark, with capacity for the mirrored peak.",
                 "deploy_dark scripts_expand", "G24 G21", "T3", "rollback: remove the deployment", (1, 3, 10),
                 "sre sre", carries="expand"),
        PhaseRow("shadow", "Both sides execute, {source_name} answers.", "mirror scripts_migrate", "G18 G20",
                 "T6 T11", "rollback: stop mirroring", (1, 1, 2), "lead sre", carries="migrate"),
        PhaseRow("compare", "Classify every difference through one business cycle.", "compare_answers", "G18",
                 "T11 T4", "rollback: nothing to undo", (0, 1, 2), "owner dev"),
        PhaseRow("cutover", "{target_name} answers, {source_name} shadows.", "rollout", "G40 G19 G20 G21",
                 "T1 T2 T13", "rollback: swap back while the reverse shadow writes", (0.5, 1, 2), "lead sre"),
        PhaseRow("cleanup", "Stop {source_name} after the soak.", "soak_service retire_service scripts_contract",
                 "G25 G36", "", "restore: redeploy the archived image", (30, 120, 480), "lead dev",
                 "stopping {source_name}", "contract")), "progressive"),
    Pattern("blue_green", "Blue-green", ("service", "api", "infrastructure"),
            "stateless or schema-compatible service and double capacity", (
        PREPARATION._replace(gates="G01 G02 G03 G05"),
        PhaseRow("build_green", "Build {target_name} from the same code as blue; only intended differences.",
                 "build_green scripts_expand", "G29 G07", "", "rollback: destroy green", (2, 5, 15), "sre platform",
                 carries="expand"),
        PhaseRow("sync_data", "Give green the data of blue.", "sync_green scripts_migrate", "G11 G07", "T5",
                 "rollback: drop the replica", (1, 3, 10), "dba dba", carries="migrate"),
        PhaseRow("verify_green", "Warm caches and pools, smoke and load test green.", "verify_green", "G24 G29", "T3",
                 "rollback: nothing is live", (0, 1, 2), "lead sre"),
        PhaseRow("switch", "Drain and swap blue for green.", "switch_green", "G40 G19 G20 G27", "T1 T2 T9",
                 "rollback: swap back", (1, 2, 5), "owner sre", "the first write on green, unless the database is "
                 "shared or replicated back"),
        PhaseRow("hold", "Keep blue idle and patched.", "soak_service", "G22 G31", "T1 T13", "rollback: swap back",
                 (1, 2, 5), "sre sre"),
        PhaseRow("release", "Destroy blue.", "retire_service scripts_contract", "G36", "", "restore: rebuild blue "
                 "from its image", (30, 120, 480), "lead platform", "destroying blue", "contract")), "switch"),
    Pattern("canary", "Canary release", ("service", "api"), "good metrics and enough traffic for each step", (
        PREPARATION._replace(gates="G01 G02 G03 G05"),
        PhaseRow("deploy", "Deploy {target_name} beside a control of the same age.", "deploy_dark scripts_expand",
                 "G24 G21", "T3", "rollback: remove the deployment", (1, 3, 10), "sre sre", carries="expand"),
        PhaseRow("steps", "Raise the weight step by step, comparing with the control.", "rollout scripts_migrate",
                 "G19 G20 G21 G22", "T1 T2 T3", "rollback: weight 0", (0.5, 1, 2), "lead sre", carries="migrate"),
        PhaseRow("finish", "Remove the control and the flag.", "soak_service retire_service scripts_contract", "G22",
                 "T1", "restore: redeploy the old version", (10, 30, 120), "lead dev", "removing the old version",
                 "contract")), "progressive"),
)


INFRASTRUCTURE_PATTERNS = (  # their subject is where things run
    Pattern("lift_and_shift", "Lift and shift", ("infrastructure",), "a deadline or no code change allowed", (
        PREPARATION._replace(name="discovery", purpose="Inventory {servers} of {source_name}: owner, ports, "
                             "licence, flows of 14 days.", make="assess inventory", gates="G01 G02"),
        PREPARATION._replace(name="landing_zone", purpose="Network, accounts, backup and monitoring on {target_name}.",
                             make="prepare", gates="G29 G31 G37"),
        PhaseRow("replicate", "Block replication of {volume}, throttled in business hours.", "replicate", "G33",
                 "T6 T7", "rollback: remove the agents", (5, 15, 60), "platform platform"),
        PhaseRow("test_launch", "Start each server in an isolated subnet, {test_days} days before its cutover.",
                 "test_launch", "G32", "T16", "rollback: delete the test servers", (5, 10, 30), "lead dev"),
        PhaseRow("wave", "Move {wave_text}.", "move_wave", "G40 G32 G28 G27 G22", "T9 T16 T1",
                 "rollback: power on the source (kept 14 days); writes since the cutover are copied back first",
                 (10, 20, 45), "owner platform", each="wave"),
        PhaseRow("decommission", "Right-size, patch, wipe the sources.", "soak decommission", "G36 G30", "",
                 "restore: from backup only", (240, 480, 1440), "owner platform", "wiping the sources")), "bang"),
    Pattern("hybrid_cloud", "Hybrid cloud", ("infrastructure",), "residency, latency or licence keeps a part at home", (
        PREPARATION._replace(gates="G01 G02 G03 G05 G29"),
        PhaseRow("placement", "Decide stay or move for {workload_names}, with a written reason.", "placement", "G41",
                 "",
                 "rollback: paper only", (0, 0, 1), "lead security"),
        PhaseRow("connectivity", "Two independent paths, name resolution and identity across both sites.",
                 "connectivity", "G37 G38", "", "rollback: remove the routes", (5, 15, 60), "platform platform"),
        PhaseRow("pilot", "Move one stateless, non-critical workload first.", "pilot_workload", "G20 G29", "T2",
                 "rollback: route back", (1, 2, 5), "lead sre"),
        PhaseRow("move_compute", "Move the workloads; their data stays or is replicated.", "move_workloads",
                 "G19 G20 G21 G22 G11", "T1 T2 T5", "rollback: route back; the data never moved", (1, 2, 5),
                 "lead platform"),
        PhaseRow("operate", "One monitoring, one patch cycle, a test with the path cut.", "operate", "G36 G31", "T1",
                 "rollback: route back", (1, 2, 5), "sre sre"),
        PhaseRow("review", "Sign exit criteria and the date of the next review; nothing is decommissioned.", "review",
                 "G40", "", "rollback: nothing to undo", (0, 0, 1), "owner lead")), "progressive"),
    Pattern("multi_cloud", "Multi-cloud", ("infrastructure",), "law or resilience asks for two providers", (
        PREPARATION._replace(gates="G01 G02 G03 G05 G29"),
        PhaseRow("mapping", "Equivalent services, one writer region for each dataset, egress cost.", "mapping", "G41",
                 "", "rollback: paper only", (0, 0, 1), "lead platform"),
        PhaseRow("common_layer", "Infrastructure code, secrets, identity and images in both clouds.", "common_layer",
                 "G29 G38", "", "rollback: destroy the second stack", (5, 30, 120), "platform platform"),
        PhaseRow("data_layer", "Replicate {volume} and test the conflict policy.", "data_layer", "G11 G13", "T5",
                 "rollback: drop the replica", (2, 5, 15), "dba dba"),
        PhaseRow("pilot", "Send 1 % to the second cloud.", "pilot_weight", "G19 G20 G36", "T1 T2 T17",
                 "rollback: weight 0", (1, 1, 2), "lead sre"),
        PhaseRow("distribute", "Active/passive, then active/active, service by service.", "distribute", "G22 G31",
                 "T1 T5 T13", "rollback: weight 0; reverse replication once the writer moved", (1, 2, 5), "lead sre",
                 "moving a writer without reverse replication"),
        PhaseRow("gameday", "Cut one provider and come back, twice.", "gameday", "G31 G36", "T1",
                 "rollback: nothing to undo", (0, 0, 1), "sre sre")), "progressive"),
)


PATTERNS = {pattern.name: pattern for pattern in (*DATABASE_PATTERNS, *SERVICE_PATTERNS, *INFRASTRUCTURE_PATTERNS)}


# == 8. Reading =======================================================================================
# JSON -> Facts. First the form (FIELDS), then the meaning. All problems are collected, none stops the others.

ZONE_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")  # +02:00
CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")  # 23:59
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")  # 2026-03-31
REQUEST = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)")  # POST /api/v1/users
ENGINES = (("postgresql", r"postgre(?:s(?:ql)?)?|\bpg\b|aurora postgres\w*"), ("mysql", r"mysql|aurora mysql"),
           ("mariadb", r"maria ?db"), ("sqlite", r"sqlite"), ("oracle", r"oracle"), ("sqlserver", r"sql ?server|mssql"),
           ("mongodb", r"mongo\w*"))
LOCATIONS = (("aws", r"\baws\b|amazon|\brds\b|\bec2\b|aurora"), ("azure", r"azure"),
             ("gcp", r"\bgcp\b|google|cloud sql"),
             ("on_prem", r"on-?prem\w*|data ?cent(?:er|re)|self-?hosted|vmware|vsphere|bare metal"),
             ("other", r"cloud"))


class Form(NamedTuple):
    """FIELDS as a tree: what may stand under one place."""

    field: Optional[Field]
    keys: Dict[str, Any]


def form_tree() -> Form:
    """Return FIELDS as a tree; "[]" is the item of a list and "*" any key."""
    root = Form(OBJECT, {})
    for path in sorted(FIELDS):
        here = root
        for name in path.replace("[]", ".[]").split("."):
            here = here.keys.setdefault(name, Form(None, {}))
        parent = root
        names = path.replace("[]", ".[]").split(".")
        for name in names[:-1]:
            parent = parent.keys[name]
        parent.keys[names[-1]] = here._replace(field=FIELDS[path])
    return root


def is_kind(value: Any, kind: str) -> bool:
    """Return whether a JSON value is of a kind of FIELDS."""
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    types = {"object": dict, "list": list, "bool": bool, "any": object}
    return isinstance(value, types.get(kind, str))


EXPECTED = {"text": "text", "number": "a number", "bool": "true or false", "list": "a list", "object": "an object",
            "time": "a time HH:MM", "zone": "an IANA time zone or an offset as +02:00", "date": "a date YYYY-MM-DD",
            "any": "a value"}


def read_form(value: Any, form: Form, path: Path, faults: Faults, notes: List[Finding]) -> Any:
    """Return the value without what is not valid; each problem goes to `faults`, each unknown key to `notes`."""
    field = form.field or OBJECT
    if not any(is_kind(value, kind) for kind in field.kinds):
        faults.add(path, describe(value), " or ".join(EXPECTED[kind] for kind in field.kinds),
                   f"V002: {type_hint(value, field, path) or 'wrong type'}")
        return None
    wrong = wrong_value(value, field)
    if wrong:
        faults.add(path, describe(value), wrong[0], wrong[1])
        return None
    if isinstance(value, dict) and "any" not in field.kinds:
        return read_object(value, form, path, faults, notes)
    if isinstance(value, list) and "[]" in form.keys:
        items = (read_form(item, form.keys["[]"], path + (index,), faults, notes) for index, item in enumerate(value))
        return list(items)
    return value


UNITS = {"gb": {"": 1, "tb": 1e3, "gb": 1, "mb": 1e-3, "pb": 1e6, "tib": 1099.5, "gib": 1.0737},
         "minutes": {"": 1, "min": 1, "mins": 1, "minute": 1, "minutes": 1, "h": 60, "hour": 60, "hours": 60,
                     "s": 1 / 60, "seconds": 1 / 60, "d": 1440, "day": 1440, "days": 1440},
         "gbps": {"": 1, "gbps": 1, "gbit/s": 1, "mbps": 1e-3, "mbit/s": 1e-3}}
AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z/]*)\s*", re.IGNORECASE)  # 2.5 TB


def type_hint(value: Any, field: Field, path: Path) -> str:
    """Return how to write a value that stands in the wrong form, as far as it can be told."""
    if "list" in field.kinds and isinstance(value, str):
        names = ", ".join('"' + clean(name.strip()) + '"' for name in value.split(",") if name.strip())
        return f"write [{names}]"
    found = AMOUNT.fullmatch(value) if isinstance(value, str) and "number" in field.kinds else None
    if not found:
        return ""
    unit = str(path[-1]).rpartition("_")[2]
    factor = UNITS.get(unit, {"": 1}).get(found.group(2).lower())
    return f"write {float(found.group(1)) * factor:.12g}" if factor else ""


def read_object(value: Dict[str, Any], form: Form, path: Path, faults: Faults, notes: List[Finding]) -> Dict[str, Any]:
    """Return the valid members of an object."""
    known = [key for key in form.keys if key not in ("[]", "*")]
    other = form.keys.get("*")
    good = {}
    for key, item in value.items():
        inner = form.keys.get(key) if key not in ("[]", "*") else None
        if inner is None and other is None:
            read_unknown(key, known, value, path, faults, notes)
        elif item is not None:
            read = read_form(item, inner or other, path + (key,), faults, notes)
            if read is not None:
                good[key] = read
    for key in known:
        if form.keys[key].field and form.keys[key].field.required and value.get(key) is None:
            faults.add(path, f"no {key!r}", f"{key!r}: {' or '.join(EXPECTED[k] for k in form.keys[key].field.kinds)}",
                       "V001: required")
    return good


def read_unknown(key: str, known: Sequence[str], value: Dict[str, Any], path: Path, faults: Faults,
                 notes: List[Finding]) -> None:
    """Note a key that no field has: a slip of the pen is a fault, a word of the user's own is not."""
    guess = did_you_mean(key, known)
    if guess and guess not in value:
        faults.add(path + (key,), f"unknown key {describe(key)}", "a known key", f"V090: did you mean {guess!r}?")
    elif known:
        notes.append(Finding("V090", INFO, path + (key,), f"unknown key {describe(key)}", "a known key",
                             "it is kept in the plan's specification and not used"))


def wrong_value(value: Any, field: Field) -> Optional[Tuple[str, str]]:
    """Return what was expected and a hint when a value of the right type is out of its range."""
    if isinstance(value, str):
        if not value.strip():
            return "a text that is not empty", "V003"
        if field.choices and value not in field.choices:
            guess = did_you_mean(value.lower(), field.choices)
            return "one of " + ", ".join(field.choices), "V004" + (f": did you mean {guess!r}?" if guess else "")
        return wrong_text(value, field.kinds[0])
    if is_kind(value, "number") and field.low is not None:
        if not field.low <= value <= (field.high or 0):
            return f"a number from {figure(field.low)} to {figure(field.high or 0)}", "V010: out of range"
    return None


def wrong_text(value: str, kind: str) -> Optional[Tuple[str, str]]:
    """Return what is wrong with a text of a special form."""
    if kind == "time" and not CLOCK.fullmatch(value):
        return "a time HH:MM from 00:00 to 23:59", "V030"
    if kind == "zone" and not ZONE_OFFSET.fullmatch(value) and zone_of(value) is None:
        return EXPECTED["zone"], zone_hint(value)
    if kind == "date" and not is_date(value):
        return EXPECTED["date"], "V030"
    return None


def is_date(value: str) -> bool:
    import datetime
    try:
        datetime.date.fromisoformat(value[:10])
    except ValueError:
        return False
    return bool(DATE.match(value))


def zone_of(name: str) -> Any:
    """Return the tzinfo of an IANA name or an offset, None when this machine does not know it."""
    import datetime
    if name in ("UTC", "Z", "Etc/UTC", "GMT"):
        return datetime.timezone.utc
    if ZONE_OFFSET.fullmatch(name):
        sign = -1 if name[0] == "-" else 1
        return datetime.timezone(sign * datetime.timedelta(hours=int(name[1:3]), minutes=int(name[4:6])))
    import zoneinfo
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_hint(name: str) -> str:
    """Return the nearest known zone, or why none is known."""
    import zoneinfo
    zones = zoneinfo.available_timezones()
    if not zones:
        return "V030: this machine has no time zone data; install tzdata or give an offset such as +02:00"
    guess = did_you_mean(name, sorted(zones))
    return "V030: unknown time zone" + (f", did you mean {guess!r}?" if guess else "")


def read_spec(document: Document, faults: Faults) -> Tuple[Optional[Facts], List[Finding]]:
    """Return the facts of a specification and what was noticed; None when it is not an object."""
    notes: List[Finding] = []
    spec = read_form(document.value, form_tree(), (), faults, notes)
    if not isinstance(spec, dict):
        return None, notes
    pattern, partners = read_pattern(spec, faults)
    source, target = (read_system(spec.get(side, "unknown"), (side,)) for side in ("source", "target"))
    tables = tuple(read_table(row, index) for index, row in enumerate(spec.get("tables_to_migrate", []))
                   if row and "name" in row)
    facts = Facts(
        spec, spec.get("type", "database"), pattern, partners, source, target,
        float(dig(spec, "constraints.max_downtime_minutes", 0)), tables, tuple(read_changes(spec)),
        tuple(read_dependencies(spec)), tuple(framework_names(spec)),
        tuple(name.strip().lower().replace(" ", "_").replace("-", "_")
              for name in dig(spec, "constraints.special_requirements", []) if name),
        tuple(read_endpoints(spec, "legacy_service")), tuple(read_endpoints(spec, "new_service")),
        tuple(read_flags(spec)),
        tuple(metric_name(name) for name in dig(spec, "monitoring.critical_metrics", []) if name),
        {metric_name(name): float(limit) for name, limit in dig(spec, "monitoring.alert_thresholds", {}).items()},
        tuple(read_alarms(spec)), tuple(read_workloads(spec)), {},
        {table.name.lower(): table for table in reversed(tables)})
    return facts._replace(inputs=read_inputs(facts)), notes


def dig(value: Any, path: str, default: Any) -> Any:
    """Return what stands at a dotted path of nested objects."""
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def metric_name(name: str) -> str:
    """Return the one name this tool uses for a metric that has several."""
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    return METRIC_ALIASES.get(plain, METRIC_ALIASES.get(plain[:-3], plain) if plain.endswith("_ms") else plain)


def read_pattern(spec: Dict[str, Any], faults: Faults) -> Tuple[str, Tuple[str, ...]]:
    """Return the primary pattern ("auto" when none is named) and its partners."""
    given = spec.get("pattern", "auto")
    if isinstance(given, dict):
        names = [(given.get("primary", "auto"), ("pattern", "primary"))]
        names += [(name, ("pattern", "with", index)) for index, name in enumerate(given.get("with", []))]
    else:
        names = [(name, ("pattern",)) for name in (given if isinstance(given, list) else [given])] or [("auto", ())]
    known = []
    for name, path in names:
        plain = ALIASES.get(str(name).strip().lower().replace("-", "_").replace(" ", "_"), str(name).lower())
        if plain not in PATTERNS and plain != "auto":
            guess = did_you_mean(plain, sorted((*PATTERNS, *ALIASES)))
            faults.add(path, describe(name), "a pattern of --list-patterns",
                       "V005" + (f": did you mean {guess!r}?" if guess else ""))
            plain = "auto"
        known.append(plain)
    kind = spec.get("type")
    if known[0] != "auto" and kind and kind not in PATTERNS[known[0]].kinds:
        faults.add(names[0][1], describe(names[0][0]), f"a pattern for type {kind!r}: " + ", ".join(
            name for name, pattern in PATTERNS.items() if kind in pattern.kinds), "V006: pattern and type do not fit")
        known[0] = "auto"
    return known[0], tuple(name for name in known[1:] if name not in ("auto", known[0]))


def read_system(value: Any, path: Path) -> System:
    """Return source or target as it was understood from a text or an object."""
    given = value if isinstance(value, dict) else {}
    text = value if isinstance(value, str) else str(
        given.get("name") or " ".join(str(given[key]) for key in ("engine", "version", "location") if key in given)
        or "unnamed system")
    search = " ".join((text, *(str(given.get(key, "")) for key in ("engine", "location")))).lower()
    engine = next((name for name, words in ENGINES if re.search(words, search)), "")
    version = str(given.get("version", "")) or version_in(text, engine)
    location = next((name for name, words in LOCATIONS if re.search(words, search)), "")
    managed = bool(given.get("managed", re.search(r"\b(rds|aurora|cloud sql|managed)\b", search)))
    return System(text, engine, version if re.match(r"\d+(\.\d+)*$", version) else "", location,
                  str(given.get("region", "")), path, managed)


def version_in(text: str, engine: str) -> str:
    """Return the number that follows the engine's name in a text."""
    words = dict(ENGINES).get(engine)
    match = re.search(rf"(?:{words})\D{{0,12}}?v?(\d+(?:\.\d+)*)", text, re.IGNORECASE) if words else None
    return match.group(1) if match else ""


def read_table(row: Dict[str, Any], index: int) -> Table:
    key = row.get("primary_key")
    columns = tuple((column["name"], column.get("type", "")) for column in row.get("columns", [])
                    if column and "name" in column)
    return Table(row["name"], float(row.get("row_count", 0)), float(row.get("size_mb", 0)) / 1000,
                 bool(row.get("critical", False)), columns, None if key is None else bool(key),
                 bool(row.get("lob", False)), ("tables_to_migrate", index))


def read_changes(spec: Dict[str, Any]) -> Iterable[Change]:
    for outer, entry in enumerate(spec.get("schema_changes", [])):
        if not entry or "table" not in entry:
            continue
        for inner, change in enumerate(entry.get("changes", [])):
            if change and "type" in change:
                kind, change = usual_change(change["type"].strip().lower().replace(" ", "_"), change)
                yield Change(entry["table"], kind, change.get("column", ""), change,
                             ("schema_changes", outer, "changes", inner))


KIND_ALIASES = {"create_column": "add_column", "delete_column": "drop_column", "change_column": "modify_column",
                "alter_column_type": "modify_column", "modify_type": "modify_column", "add_table": "create_table",
                "delete_table": "drop_table", "drop_foreign_key": "drop_constraint", "remove_index": "drop_index",
                "remove_constraint": "drop_constraint", "remove_table": "drop_table"}


def usual_change(kind: str, change: Dict[str, Any]) -> Tuple[str, Dict[str, Any]]:
    """Return a change under its usual name; a foreign key is a constraint whose definition can be written."""
    if kind != "add_foreign_key":
        return KIND_ALIASES.get(kind, kind), change
    columns = [name for name in change.get("columns", []) if isinstance(name, str)] or [change.get("column", "")]
    found = re.fullmatch(r"(\w+)\s*\(\s*(\w+(?:\s*,\s*\w+)*)\s*\)", str(change.get("references", "")))
    body = f"FOREIGN KEY ({', '.join(columns)}) REFERENCES {found.group(1)} ({found.group(2)})" if found else ""
    return "add_constraint", {"constraint_type": "FOREIGN KEY", "constraint_name": f"{'_'.join(columns)}_fkey",
                              **change, **({"definition": body} if body and "definition" not in change else {})}


def read_dependencies(spec: Dict[str, Any]) -> Iterable[Dependency]:
    for index, item in enumerate(dig(spec, "constraints.dependencies", [])):
        path = ("constraints", "dependencies", index)
        row = {"name": item} if isinstance(item, str) else item or {}
        if "name" in row:
            yield Dependency(row["name"], row.get("owner", ""), row.get("contact", ""), row.get("direction", ""),
                             row.get("criticality", ""), bool(row.get("can_pause", False)), path)


def framework_names(spec: Dict[str, Any]) -> Iterable[str]:
    """Yield each compliance framework once, under its usual name."""
    seen = set()
    for name in dig(spec, "constraints.compliance_requirements", []):
        usual = FRAMEWORKS.get(re.sub(r"[^a-z0-9]", "", (name or "").lower().replace("dss", "dss")), name)
        if usual and usual not in seen:
            seen.add(usual)
            yield usual


def read_endpoints(spec: Dict[str, Any], side: str) -> Iterable[Endpoint]:
    for index, text in enumerate(dig(spec, f"service_details.{side}.endpoints", [])):
        match = REQUEST.fullmatch((text or "").strip())
        if match:
            yield Endpoint(match.group(1), match.group(2), ("service_details", side, "endpoints", index))


def needed_by(row: Dict[str, Any]) -> Tuple[str, ...]:
    """Return the names that an entry depends on; what is no name was noted when the specification was read."""
    return tuple(name for name in row.get("depends_on", []) if name)


def read_flags(spec: Dict[str, Any]) -> Iterable[Flag]:
    for index, row in enumerate(spec.get("feature_flags", [])):
        if not row or "name" not in row:
            continue
        path = ("feature_flags", index)
        steps = tuple(Step(float(step["percentage"]), float(step.get("duration_hours", 0)),
                           path + ("rollout_schedule", number))
                      for number, step in enumerate(row.get("rollout_schedule", [])) if step and "percentage" in step)
        yield Flag(row["name"], steps, float(row.get("initial_percentage", 0)), needed_by(row), path)


def read_alarms(spec: Dict[str, Any]) -> Iterable[Alarm]:
    for index, row in enumerate(spec.get("rollback_triggers", [])):
        if row and "metric" in row and "threshold" in row:
            yield Alarm(metric_name(row["metric"]), float(row["threshold"]), float(row.get("duration_minutes", 5)),
                        row.get("action", "alert_team"), ("rollback_triggers", index))


def read_workloads(spec: Dict[str, Any]) -> Iterable[Workload]:
    for index, row in enumerate(spec.get("workloads", [])):
        if row and "name" in row:
            yield Workload(row["name"], int(row.get("vms", 1)), float(row.get("size_gb", 0)),
                           needed_by(row),
                           row.get("criticality") in ("high", "critical"), row.get("r_strategy", "rehost"),
                           ("workloads", index))


def read_inputs(facts: Facts) -> Dict[str, Quantity]:
    """Return every number the estimates rest on: given, or derived from other facts, or the default."""
    derived = derive(facts)
    inputs = {}
    for row in INPUTS:
        given = facts.at(row.path)
        if is_kind(given, "number"):
            basis = "measured" if row.path.startswith("measured.") else "given"
            inputs[row.name] = Quantity(float(given), basis, row.path, row.unit, row.how)
        elif row.name in derived:
            value, why = derived[row.name]
            basis = "derived" if why.startswith("from ") else "assumed"
            inputs[row.name] = Quantity(value, basis, row.path, row.unit, row.how, why)
        else:
            inputs[row.name] = Quantity(float(row.default or 0), "assumed", row.path, row.unit, row.how, "default")
    return inputs


def derive(facts: Facts) -> Dict[str, Tuple[float, str]]:
    """Return the numbers that follow from other facts, each with why."""
    found: Dict[str, Tuple[float, str]] = {}
    summed = sum(table.gb for table in facts.tables) or sum(load.gb for load in facts.workloads)
    found.update(derived_volume(facts, summed))
    volume = found.get("volume_gb", (float(facts.at("constraints.data_volume_gb", 0) or 0), ""))[0]
    rows = sum(table.rows for table in facts.tables)
    if rows and summed and not facts.workloads:
        found["avg_row_bytes"] = (min(max(summed * 1e9 / rows, 1), 1e7), "from size_mb and row_count of the tables")
    if facts.tables and summed >= 0.8 * volume:
        found["largest_table_gb"] = (max(table.gb for table in facts.tables), "from tables_to_migrate")
    else:
        found["largest_table_gb"] = (0.4 * volume, "40 % of the volume: no table list that covers it")
    writes = derived_writes(facts)
    found["write_rows_per_second"] = writes
    found["write_mb_per_second"] = (writes[0] * found.get("avg_row_bytes", (400.0,))[0] / 1e6,
                                    "write rate times row size")
    load = facts.at("service_details.legacy_service.current_load", {})
    found.update({name: (float(load[key]), "from service_details.legacy_service.current_load") for name, key in (
        ("baseline_p95_ms", "p95_response_time_ms"), ("baseline_error_rate", "error_rate")) if key in load})
    found.update(derived_soak(facts))
    target = facts.at("performance_requirements.max_query_response_time_ms")
    if target:
        found["slo_p95_ms"] = (float(target), "from performance_requirements.max_query_response_time_ms")
    return found


def derived_volume(facts: Facts, summed: float) -> Dict[str, Tuple[float, str]]:
    """Return the volume where the specification does not say it: the sum of its parts, else an assumption."""
    given = facts.at("constraints.data_volume_gb")
    if not given and summed:
        return {"volume_gb": (summed, "from the sizes of tables_to_migrate and workloads")}
    if given is None and copies_rows(facts):
        return {"volume_gb": (ASSUMED_GB, "neither a volume nor the size of a table is given")}
    return {"volume_gb": (0.0, "not given: the hours of backup and restore are missing")} if given is None else {}


def copies_rows(facts: Facts) -> bool:
    """Return whether the plan has hours that depend on how much data there is."""
    copying = {"cdc", "data_migration", "dual_write", "event_sourcing", "parallel_schema", "lift_and_shift",
               "multi_cloud"}
    return (relocates(facts) or bool({facts.pattern, *facts.partners} & copying) or facts.kind == "infrastructure"
            or any(fills_rows(change) for change in facts.changes))


def derived_writes(facts: Facts) -> Tuple[float, str]:
    """Return the rows written a second: of the tables, else from the transactions, else a guess."""
    writes = sum(float(row.get("write_rows_per_second", 0)) for row in facts.at("tables_to_migrate", []) if row)
    rate = facts.at("performance_requirements.transactions_per_second")
    if writes:
        return writes, "from write_rows_per_second of the tables"
    if rate:
        return rate * 0.3, "20 % of the transactions write 1.5 rows each"
    return 100.0, "no transaction rate given"


def derived_soak(facts: Facts) -> Dict[str, Tuple[float, str]]:
    """Return the hours to watch after a switch and to keep the old form: by policy, longer where less can be undone."""
    events = facts.pattern == "event_sourcing" or (facts.pattern == "auto"
                                                   and facts.at("workload.audit_history_needed"))
    if is_small(facts) and not events:
        return {name: (72.0, "a small change in place") for name in ("soak_hours", "contract_soak_hours")}
    why = "events need a month end" if events else "one week holds every weekly job"
    return {"soak_hours": (336.0 if events else 168.0, why),
            "contract_soak_hours": (168.0, "one week holds every weekly job")}


# == 9. Estimating ====================================================================================
# Facts -> hours and minutes. Every figure names its formula and the inputs it rests on.

class Copy(NamedTuple):
    """How long moving the data takes, and what limits it."""

    hours: Range
    method: str
    terms: Dict[str, Tuple[float, ...]]  # optimistic, likely, pessimistic hours if this alone were the limit
    bound_by: str
    network: Tuple[float, float, float]  # GB/h


class Work(NamedTuple):
    """Everything that phases and tasks are made from."""

    facts: Facts
    tracks: Tuple[str, ...]
    scripts: Tuple[Script, ...]
    words: Dict[str, str]
    limits: Dict[str, Any]
    machine: Dict[str, Range]
    copy: Copy
    waves: Tuple[Tuple[Workload, ...], ...]
    collected: Tuple[str, ...] = ()  # evidence that an earlier phase collects
    reported: bool = False  # the scripts come from a report; `scripts` are those of one phase


def is_small(facts: Facts) -> bool:
    """Return whether this is a small change in place: its soak may be short."""
    volume = max(float(facts.at("constraints.data_volume_gb", 0) or 0), sum(table.gb for table in facts.tables))
    return facts.kind == "database" and not relocates(facts) and volume < 100 and len(facts.changes) <= 6


def relocates(facts: Facts) -> bool:
    """Return whether data must move to another server."""
    source, target = facts.source, facts.target
    differs = ((source.location and target.location and source.location != target.location)
               or (source.engine and target.engine and source.engine != target.engine)
               or (source.version and target.version and source.major != target.major)
               or (source.region and target.region and source.region != target.region))
    return bool(differs) and facts.kind in ("database", "data", "infrastructure")


def other_engine(facts: Facts) -> bool:
    """Return whether source and target are known to be of different engines."""
    source, target = facts.source.engine, facts.target.engine
    return bool(source and target and source != target)


def other_major(facts: Facts) -> bool:
    """Return whether source and target are known to be of different major versions."""
    return bool(facts.source.version and facts.target.version and facts.source.major != facts.target.major)


def other_place(facts: Facts) -> bool:
    source, target = facts.source.location, facts.target.location
    return bool(source and target and source != target)


def volume_of(facts: Facts) -> float:
    """Return the GB to move: what was declared or what the tables sum to, whichever is more."""
    return max(facts.value("volume_gb"), sum(table.gb for table in facts.tables),
               sum(load.gb for load in facts.workloads))


def rows_of(facts: Facts) -> float:
    """Return the rows to move: the tables' own counts where they cover the volume, else volume by row size."""
    counted = sum(table.rows for table in facts.tables)
    return max(counted, volume_of(facts) * 1e9 / facts.value("avg_row_bytes"))


def speeds(facts: Facts, rate: str, measured: str = "") -> Tuple[float, float, float, str]:
    """Return optimistic, likely, pessimistic speed and its basis; a measurement beats every table."""
    if measured and facts.value(measured) > 0:
        value = facts.value(measured)
        return value * 1.2, value, value * 0.8, "measured"
    row = RATES[rate]
    return row.low, row.likely, row.high, row.kind


def at_speed(facts: Facts, amount: float, rate: str, measured: str = "", uses: Tuple[str, ...] = (),
             per_second: bool = False) -> Range:
    """Return the hours for an amount at a speed of RATES or at its measured replacement."""
    fast, likely, slow, basis = speeds(facts, rate, measured)
    scale = 3600.0 if per_second else 1.0
    unit = RATES[rate].unit
    formula = f"{figure(amount)} {unit.split('/')[0]} / {figure(likely)} {unit} ({rate}, {basis})"
    return Range(amount / fast / scale, amount / likely / scale, amount / slow / scale, basis,
                 uses + ((measured,) if measured else ()), formula)


def human(name: str, times: float = 1.0, basis: str = "assumed", formula: str = "") -> Range:
    """Return the hours of people for a row of HUMAN."""
    low, likely, high = HUMAN[name]
    return Range(low * times, likely * times, high * times, basis, (), formula or f"{name} hours x {figure(times)}")


def pooled(facts: Facts, name: str, pool: int) -> Range:
    """Return the elapsed hours of one of `pool` equal tasks that the team shares out."""
    hands = max(min(facts.value("team_size"), pool), 1) * facts.value("focus")
    low, likely, high = HUMAN[name]
    formula = f"{figure(likely)} h / (min(team {figure(facts.value('team_size'))}, {pool}) x focus " \
              f"{figure(facts.value('focus'))})"
    return Range(low / hands, likely / hands, high / hands, "assumed", ("team_size", "focus"), formula)


def fixed(hours: float, uses: Tuple[str, ...] = (), formula: str = "") -> Range:
    return Range(hours, hours, hours, "given", uses, formula or f"policy: {figure(hours)} h")


def network_speed(facts: Facts) -> Tuple[float, float, float]:
    """Return GB/h that the link carries, optimistic to pessimistic."""
    full = NET_GB_PER_HOUR * facts.value("bandwidth_gbps")
    likely = facts.value("utilization")
    low, _, high = NET_UTILIZATION
    return full * max(low, likely), full * likely, full * min(high, likely)


def copy_method(facts: Facts) -> str:
    """Return how the data is copied: as given, else what fits the engines."""
    if facts.at("method") in RATES:
        return facts.at("method")
    if facts.kind == "infrastructure" or facts.workloads:
        return "block_replication"
    if facts.source.engine and facts.target.engine and facts.source.engine != facts.target.engine:
        return "dms"
    return "mysqlsh" if facts.source.engine in ("mysql", "mariadb") else "logical_replication"


def copy_estimate(facts: Facts) -> Copy:
    """Return the copy time: the slowest of one table on one stream, all tables on all streams, and the network."""
    return copy_by(facts, copy_method(facts))


def copy_by(facts: Facts, method: str) -> Copy:
    """Return the copy time by one method; every limit is worked out for the good, the likely and the bad case."""
    network = network_speed(facts)
    fast, likely, slow, basis = speeds(facts, method, "copy_gb_per_hour")
    streams = facts.value("parallelism")
    gain = streams / (1 + STREAM_LOSS * (streams - 1))
    volume, largest = volume_of(facts), min(facts.value("largest_table_gb"), volume_of(facts))
    shares = (1.0, 1.0, 1.0) if basis == "measured" else (CONTENTION[0], facts.value("contention"),
                                                          min(CONTENTION[2], facts.value("contention")))
    together = []
    terms: Dict[str, Tuple[float, ...]] = {}
    for index, speed in enumerate((fast, likely, slow)):
        rate = speed * shares[index]
        one = {"largest table on one stream": largest / rate, f"{figure(streams)} streams": volume / (rate * gain),
               "network": volume / network[index]}
        if method == "block_replication":
            one = {"network": volume / (network[index] * BLOCK_EFFICIENCY[index])}
        if method in ("physical", "parallel_copy"):
            one.pop("largest table on one stream")
        together.append(max(one.values()))
        terms = {name: terms.get(name, ()) + (hours,) for name, hours in one.items()}
    bound = max(sorted(terms), key=lambda name: terms[name][1])
    uses: Tuple[str, ...] = ("volume_gb", "bandwidth_gbps", "utilization")
    if method != "block_replication":
        uses += ("largest_table_gb", "parallelism", "contention", "copy_gb_per_hour")
    formula = " · ".join(f"{name} {span(hours[1])}" for name, hours in terms.items())
    return Copy(Range(together[0], together[1], together[2], basis, uses, f"slowest of: {formula}"), method, terms,
                bound, network)


def machine_times(facts: Facts, copy: Copy) -> Dict[str, Range]:
    """Return the hours of each kind of machine work for this specification."""
    rows, volume, streams = rows_of(facts), volume_of(facts), facts.value("parallelism")
    indexes = rows * facts.value("indexes_per_table") / max(streams, 1)
    times = {
        "index": at_speed(facts, indexes, "index", "index_rows_per_second",
                          ("volume_gb", "avg_row_bytes", "indexes_per_table", "parallelism"), True),
        "hash": at_speed(facts, volume, "hash", "validate_gb_per_hour", ("volume_gb",)),
        "restore": at_speed(facts, volume, "restore", "restore_gb_per_hour", ("volume_gb",)),
        "genesis": at_speed(facts, row_total(facts), "genesis", "", (), True),
        "projection": at_speed(facts, row_total(facts), "projection", "", (), True),
        "dump": copy_by(facts, "dump_restore").hours,
    }
    times["catch_up"] = catch_up_estimate(facts, copy)
    return times


def row_total(facts: Facts) -> float:
    """Return the rows of the tables that the specification names, or of the whole volume when it names none."""
    return sum(table.rows for table in facts.tables) or rows_of(facts)


def catch_up_estimate(facts: Facts, copy: Copy) -> Range:
    """Return the hours to apply what was written during the copy: backlog / (apply rate - write rate)."""
    writes = facts.value("write_rows_per_second")
    fast, likely, slow, basis = speeds(facts, "apply", "apply_rows_per_second")
    if facts.source.engine and facts.target.engine and facts.source.engine != facts.target.engine:
        fast, likely, slow = fast / 2, likely / 2, slow / 2  # assumed: another engine applies half as fast
    hours = [writes * copied / max(speed - writes, writes * 0.5)  # slower: more apply workers, else V072
             for copied, speed in zip(copy.hours[:3], (fast, likely, slow))]
    formula = f"{figure(writes)} rows/s x {span(copy.hours.likely)} / ({figure(likely)} - {figure(writes)} rows/s)"
    return Range(hours[0], hours[1], hours[2], basis, ("write_rows_per_second", "apply_rows_per_second"), formula)


def backfill_estimate(facts: Facts, rows: float) -> Range:
    """Return the hours of a backfill in batches, never less than its pauses."""
    rate = "gh_ost" if facts.at("method") in ("gh_ost", "pt_osc") else "backfill"
    raw = at_speed(facts, rows, rate, "backfill_rows_per_second", ("batch_size", "batch_pause_ms"), True)
    floor = rows / facts.value("batch_size") * facts.value("batch_pause_ms") / 3.6e6
    return raw._replace(low=max(raw.low, floor), likely=max(raw.likely, floor), high=max(raw.high, floor))


def wal_gb(facts: Facts, copy: Copy) -> Tuple[float, float]:
    """Return the GB of WAL that a slot holds back during the copy: 1 to 5 kB for each row written."""
    rows = facts.value("write_rows_per_second") * copy.hours.likely * 3600
    return rows * 1e3 / 1e9, rows * 5e3 / 1e9


def sample_size(base: float, worse: float) -> int:
    """Return the requests a side needs to tell two error rates apart (one-sided 5 %, power 90 %)."""
    import math
    middle = (base + worse) / 2
    root = Z_ALPHA * math.sqrt(2 * middle * (1 - middle)) + Z_POWER * math.sqrt(base * (1 - base) + worse * (1 - worse))
    return math.ceil(root * root / (worse - base) ** 2)


def canary_sample(facts: Facts) -> int:
    """Return the requests a side that show a doubled error rate."""
    base = min(max(facts.value("baseline_error_rate"), 1e-5), 0.4)
    return sample_size(base, 2 * base)


def requests_per_second(facts: Facts) -> float:
    return float(facts.at("service_details.legacy_service.current_load.requests_per_second", 0))


def step_minutes(facts: Facts, percentage: float) -> Optional[float]:
    """Return the minutes until a step has seen enough requests, None when the traffic is unknown."""
    rate = requests_per_second(facts) * percentage / 100
    return canary_sample(facts) / (60 * rate) if rate > 0 else None


class Capacity(NamedTuple):
    """What the new service's cores can carry, step by step, when it needs as many as the old one."""

    rps_per_core: float
    peak: float
    cores_start: float
    cores_max: float
    core_limit: float
    fails_from: float  # percentage of the traffic from which the initial replicas are short
    needed_per_core: float  # rps a core must carry at full traffic on the most replicas


def capacity_of(facts: Facts) -> Optional[Capacity]:
    """Return the capacity figures, None where the specification does not hold them."""
    old = facts.at("service_details.legacy_service.infrastructure", {})
    new = facts.at("service_details.new_service.infrastructure", {})
    load = facts.at("service_details.legacy_service.current_load", {})
    peak = float(load.get("peak_requests_per_second", load.get("requests_per_second", 0)))
    cores_old = float(old.get("instances", 0)) * float(old.get("cpu_cores_per_instance", 0))
    limit = float(new.get("cpu_limit_millicores", 0)) / 1000
    start = float(new.get("initial_replicas", 0)) * limit
    if not (peak and cores_old and start):
        return None
    most = max(float(new.get("max_replicas", 0)) * limit, start)
    per_core = peak / cores_old
    return Capacity(per_core, peak, start, most, limit, 100 * start * per_core / peak, peak / most)


def is_paused(facts: Facts) -> bool:
    """Return whether a cutover holds the clients' connections in a pooler: where the limit leaves no time for more."""
    if not facts.limited or facts.at("cutover.smoke_minutes") or facts.at("cutover.switch", "pooler") not in (
            "pooler", "proxy"):
        return False
    parts = [switch_minutes(facts) if name == "switch" else OUTAGE[name] for name in OUTAGES["cdc"][0]]
    return 1.25 * sum((low + 4 * likely + high) / 6 for low, likely, high in parts) > facts.downtime  # about its P80


def outage_names(facts: Facts, track: str) -> Tuple[Tuple[str, ...], float]:
    """Return the parts of a track's outage and the probability of an incident in it."""
    names, incident = OUTAGES[track]
    return (("pause",) if track == "cdc" and is_paused(facts) else names), incident


def outage_parts(work_facts: Facts, tracks: Sequence[str],
                 bulk: Range) -> Tuple[List[Tuple[float, float, float]], float]:
    """Return the parts of the outage in minutes, and the probability of an incident while it lasts."""
    facts = work_facts
    names, incident = outage_names(facts, tracks[0])
    for track in tracks[1:]:
        more, chance = outage_names(facts, track)
        incident = max(incident, chance)
        names = names if len(names) >= len(more) else more
    parts = []
    for name in names:
        if name == "switch":
            parts.append(switch_minutes(facts))
        elif name == "bulk":
            parts.append((bulk.low * 60, bulk.likely * 60, bulk.high * 60))
        elif name == "smoke" and facts.at("cutover.smoke_minutes"):
            minutes = facts.at("cutover.smoke_minutes")
            parts.append((minutes * 0.8, minutes, minutes * 1.5))
        else:
            parts.append(OUTAGE[name])
    return parts, incident


def own_limit(facts: Facts, tracks: Sequence[str], bulk: Range) -> float:
    """Return the minutes of outage that a plan allows itself where the specification sets no limit."""
    import math
    worst = sum(part[2] for part in outage_parts(facts, tracks, bulk)[0])
    if worst * 60 <= facts.value("zero_tolerance_seconds"):
        return 0.0
    return float(math.ceil(worst) if worst < 10 else 5 * math.ceil(worst / 5))


def switch_minutes(facts: Facts) -> Tuple[float, float, float]:
    """Return the minutes until every client talks to the new side."""
    way = facts.at("cutover.switch", "lb" if facts.kind == "service" else "dns")
    if way == "dns":
        ttl = facts.value("dns_ttl_seconds") / 60
        return 0.5 * ttl, ttl, 3 * ttl  # assumed: some resolvers keep a name for three times its TTL
    return OUTAGE[f"switch_{way}"]


def bulk_hours(machine: Dict[str, Range], copy: Copy) -> Range:
    """Return the hours of an offline copy: nobody writes while it, the indexes and the check run."""
    images = copy.method == "block_replication"  # whole disks: no index to build, the boot is the check
    parts = (copy.hours,) if images else (copy.hours, machine["index"], machine["hash"])
    return Range(*(sum(part[index] for part in parts) for index in range(3)), "assumed", copy.hours.uses,
                 "image copy" if images else "copy + index + hash")


# == 10. Choosing =====================================================================================
# Which pattern fits, with the facts that decide; the relocation or schema track that a chosen pattern lacks is added.

class Choice(NamedTuple):
    tracks: Tuple[str, ...]
    requested: str
    reasons: Tuple[str, ...]
    rejected: Tuple[Tuple[str, str], ...]
    composite: str


def choose(facts: Facts, copy: Copy, machine: Dict[str, Range], scripts: Sequence[Script]) -> Choice:
    """Return the tracks of the plan: the named pattern or the one the rules choose, completed where it must be."""
    ranked, rejected = rank(facts, bulk_hours(machine, copy))
    named = facts.pattern if facts.pattern != "auto" else ""
    first = named or ranked[0][0]
    reasons = [f"the specification asks for {first}"] if named else []
    reasons += [why for name, why in ranked if name == first]
    if named and ranked and ranked[0][0] != named:
        rejected = [(ranked[0][0], f"not asked for, but the rules would choose it: {ranked[0][1]}")] + rejected
    tracks, composite = complete(facts, (first, *facts.partners), ranked, scripts)
    return Choice(tracks, facts.pattern, tuple(reasons), tuple(row for row in rejected if row[0] not in tracks),
                  composite)


def complete(facts: Facts, tracks: Tuple[str, ...], ranked: List[Tuple[str, str]],
             scripts: Sequence[Script]) -> Tuple[Tuple[str, ...], str]:
    """Add the relocation track to a schema pattern, and the schema track to a relocation."""
    moving = ("cdc", "data_migration")
    schema = ("expand_contract", "parallel_schema")
    if relocates(facts) and tracks[0] in schema and not set(tracks) & set(moving):
        track = next((name for name, _ in ranked if name in moving), "cdc")
        return (track, *tracks), (f"{tracks[0]} moves no data between servers, but {facts.source.text} and "
                                  f"{facts.target.text} are different ones: {track} is added before it")
    if tracks[0] in moving and facts.changes and not set(tracks) & set(schema):
        return (*tracks, "expand_contract"), (f"{tracks[0]} moves the data as it is; the {len(facts.changes)} schema "
                                              "changes follow as expand_contract, at least one release later")
    carried = {row.carries for track in tracks for row in PATTERNS[track].phases}
    if scripts and not {script.phase for script in scripts} <= carried:
        return (*tracks, "expand_contract"), (f"{tracks[0]} has no phases for the {len(scripts)} scripts of the "
                                              f"compatibility report: expand_contract is added for them")
    return tracks, ""


def rank(facts: Facts, offline: Range) -> Tuple[List[Tuple[str, str]], List[Tuple[str, str]]]:
    """Return the fitting patterns, best first, and the rejected ones, each with its reason."""
    rules = {"service": rank_service, "api": rank_service, "infrastructure": rank_infrastructure}
    return rules.get(facts.kind, rank_database)(facts, offline)


def rank_database(facts: Facts, offline: Range) -> Tuple[List[Tuple[str, str]], List[Tuple[str, str]]]:
    fits: List[Tuple[str, str]] = []
    rejected: List[Tuple[str, str]] = []
    pessimistic = (offline.likely + offline.high) / 2 * 60  # P80 of a PERT lies about half-way to its end
    if facts.at("workload.audit_history_needed") and facts.value("experience") >= 1:
        fits.append(("event_sourcing", "an audit history is needed and the team has done it "
                     + plural(facts.value("experience"), "time")))
    else:
        rejected.append(("event_sourcing", "workload.audit_history_needed and experience with it are not given"))
    if relocates(facts):
        budget, text = offline_budget(facts, pessimistic)
        order = ("data_migration", "cdc") if pessimistic <= budget else ("cdc", "data_migration")
        fits.append((order[0], text))
        rejected.append((order[1], "not needed: " + text if order[0] == "data_migration" else text))
    structural = [change for change in facts.changes if change.kind in ("split_table", "merge_tables", "rekey")]
    if structural and facts.at("workload.one_writer_team"):
        fits.append(("dual_write", f"{plural(len(structural), 'structural change')} and one team owns the writers"))
    consumers = len(facts.dependencies)
    if consumers > 3 and len(facts.changes) > 8:
        fits.append(("parallel_schema", f"{consumers} consumers deploy on their own and {len(facts.changes)} changes "
                     f"meet them: both versions must serve"))
    else:
        rejected.append(("parallel_schema", "a second full schema is for more than 3 consumers and 8 changes; here are "
                         f"{consumers} and {len(facts.changes)}"))
    if facts.changes or not fits:
        fits.append(("expand_contract", f"{plural(len(facts.changes), 'schema change')} that old and new releases can "
                     "both bear" if facts.changes else "the server stays, and nothing else is known of the change"))
    return fits, rejected


def offline_budget(facts: Facts, minutes: float) -> Tuple[float, str]:
    """Return the minutes that an offline copy may take, and how they compare with what it takes."""
    takes = f"an offline copy takes {span(minutes / 60)} (copy + index + check, P80)"
    if not facts.given("volume_gb"):
        return -1.0, "the volume is not given, and an offline copy stops the writers for as long as the volume asks"
    if not facts.limited:
        hours = night_hours(facts)
        return 42 * hours, f"{takes}; no outage limit is given, 70 % of a window is {span(0.7 * hours)}"
    return 0.7 * facts.downtime, f"{takes}, 70 % of the outage budget is {span(0.7 * facts.downtime / 60)}"


def night_hours(facts: Facts) -> float:
    """Return the hours of the migration window, by default four at night."""
    window = facts.at("business_continuity.preferred_migration_window", {})
    return (clock(window.get("end", "06:00")) - clock(window.get("start", "02:00"))) % 24 or 24.0


def rank_service(facts: Facts, offline: Range) -> Tuple[List[Tuple[str, str]], List[Tuple[str, str]]]:
    fits: List[Tuple[str, str]] = []
    rejected: List[Tuple[str, str]] = []
    words = " ".join(endpoint.route for endpoint in facts.legacy).lower()
    critical = re.findall(r"auth|login|pay|order|invoice|account", words)
    if critical and all(not endpoint.writes for endpoint in facts.legacy):
        fits.append(("parallel_run", f"correctness is critical ({critical[0]}) and every endpoint only reads"))
    elif len(facts.legacy) >= 2:
        fits.append(("strangler_fig", f"{len(facts.legacy)} endpoints can be routed one by one"))
    room = capacity_of(facts)
    if room and room.needed_per_core <= room.rps_per_core:
        fits.append(("blue_green", f"{figure(room.cores_max)} cores carry the peak of {figure(room.peak)} rps at "
                     f"{figure(room.rps_per_core)} rps a core"))
    elif room:
        rejected.append(("blue_green", f"at most {figure(room.cores_max)} cores: the peak of {figure(room.peak)} rps "
                         f"needs {figure(room.needed_per_core)} rps a core, {figure(room.rps_per_core)} are measured "
                         f"today"))
    minutes = step_minutes(facts, 5)
    if minutes is not None and minutes <= 1440:
        fits.append(("canary", f"5 % of the traffic shows a doubled error rate in {figure(minutes)} min"))
    else:
        rejected.append(("canary", "a 5 % step needs " + (f"{figure((minutes or 0) / 60)} h" if minutes else
                         "a request rate that the specification does not give") + " to see a doubled error rate"))
    return fits or [("blue_green", "no endpoints or traffic given: the whole service switches at once")], rejected


def rank_infrastructure(facts: Facts, offline: Range) -> Tuple[List[Tuple[str, str]], List[Tuple[str, str]]]:
    staying = [load.name for load in facts.workloads if load.strategy == "retain"]
    clouds = [name for name, words in LOCATIONS[:3] if re.search(words, facts.target.text.lower())]
    if len(clouds) > 1:
        return [("multi_cloud", f"the target names {len(clouds)} providers")], [("lift_and_shift", "two providers")]
    if staying or "data_residency" in facts.requirements:
        why = f"{', '.join(staying)} stay where they are" if staying else "data_residency keeps a part where it is"
        return [("hybrid_cloud", why)], [("lift_and_shift", f"not everything may move: {why}")]
    allowed = facts.downtime if facts.limited else 60 * night_hours(facts)
    image = (f"{span(offline.likely)} to carry {volume_text(facts)} with the servers off > {figure(allowed)} min: "
             f"blocks are replicated beforehand")
    return ([("lift_and_shift", f"{servers_text(facts)} move without code changes"),
             ("blue_green", "rebuild beside")],
            [("image copy", image)] * (offline.likely * 60 > allowed)
            + [("multi_cloud", "one provider is named"), ("hybrid_cloud", "nothing has to stay")])


def servers_text(facts: Facts) -> str:
    """Return how many servers move, or that nobody has counted them."""
    return plural(vm_count(facts), "server") if facts.workloads else "the servers"


def vm_count(facts: Facts) -> int:
    return sum(load.vms for load in facts.workloads)


def plan_waves(facts: Facts) -> Tuple[Tuple[Workload, ...], ...]:
    """Return move groups: what others need goes first, non-critical before critical, small waves first."""
    waves: List[List[Workload]] = []
    for load in dependency_order(facts.workloads):
        room = wave_limit(facts, len(waves)) - sum(part.vms for part in waves[-1]) if waves else 0
        if load.vms <= room:
            waves[-1].append(load)
            continue
        left, number, share = load.vms, 1, load.gb / load.vms
        while left > 0:  # a workload that is larger than a wave is split over several
            size = min(left, wave_limit(facts, len(waves) + 1))
            name = load.name if size == load.vms else f"{load.name} ({number})"
            waves.append([load._replace(name=name, vms=size, gb=share * size)])
            left, number = left - size, number + 1
    return tuple(tuple(wave) for wave in waves)


def wave_limit(facts: Facts, number: int) -> int:
    """Return how many servers the wave of a number may hold: the first ones are small, to learn from."""
    most = int(facts.value("max_wave_size"))
    return min({1: 3, 2: 10}.get(number, most), most)


def dependency_order(loads: Sequence[Workload]) -> List[Workload]:
    """Return the workloads in an order in which each comes after what it depends on; non-critical first."""
    placed: List[Workload] = []
    names = {load.name for load in loads}
    waiting = sorted(loads, key=lambda load: (load.critical, load.gb, load.name))
    while waiting:
        done = {load.name for load in placed}
        ready = [load for load in waiting if set(load.after) & names <= done | {load.name}] or waiting[:1]
        placed.append(ready[0])
        waiting.remove(ready[0])
    return placed


# == 11. Compliance ===================================================================================
# Controls that the facts call for, with the evidence each one leaves. Section numbers are those of the texts named;
# the requirements are our own words and no legal advice.

class Control(NamedTuple):
    framework: str
    reference: str
    requirement: str
    when: str  # condition of `control_applies`
    stage: str  # assess | prepare | rehearse | validate | close
    owner: str
    evidence: str  # file of the bundle
    how: str


CONTROLS = tuple(Control(*row) for row in (
    ("GDPR", "Art. 30", "The record of processing names the new location and recipients.", "always", "assess",
     "compliance", "gdpr-art30-record.pdf", "export of the record of processing after {target_name} was added"),
    ("GDPR", "Art. 35(1), (3), (7)", "A DPIA screening is done; a full DPIA where the risk is high.", "personal",
     "assess",
     "compliance", "gdpr-dpia-screening.pdf", "screening form listing {personal_names}"),
    ("GDPR", "Art. 28(2)-(4)", "Processor contract and sub-processor list are signed before the first byte moves.",
     "relocates", "prepare", "compliance", "gdpr-art28-contract.pdf",
     "signed contract with the operator of {target_name}"),
    ("GDPR", "Art. 44-46", "A transfer tool and a transfer impact assessment cover the new country.", "transfer",
     "prepare", "compliance", "gdpr-transfer-assessment.pdf", "assessment for {residency}"),
    ("GDPR", "Art. 32(1)(a)", "Personal data is encrypted in transit and at rest.", "personal", "prepare", "security",
     "gdpr-art32-encryption.txt", "{encryption_how}; volume encryption setting of {target_name}"),
    ("GDPR", "Art. 32(1)(c)", "Availability can be restored in time.", "always", "rehearse", "dba",
     "gdpr-art32-restore.log", "timed log of the restore test (gate G03)"),
    ("GDPR", "Art. 25", "Rehearsals use masked personal data.", "personal", "rehearse", "security",
     "gdpr-art25-masking.sql", "masking statements for {personal_names} and a sample of their result"),
    ("GDPR", "Art. 5(1)(d)", "The data is as accurate after the move as before.", "always", "validate", "data",
     "gdpr-art5-reconciliation.csv", "{accuracy_how}"),
    ("GDPR", "Art. 17, 19, 21", "Erasures and objections that arrive during the run reach both sides.", "personal",
     "validate", "compliance", "gdpr-art17-replay.csv",
     "request log since the snapshot joined with {target_name} (G39)"),
    ("GDPR", "Art. 28(3)(g)", "The old copy is erased and that is certified.", "relocates", "close", "compliance",
     "gdpr-disposal-certificate.pdf", "certificate for the volumes of {source_name}"),
    ("SOX", "404(a); AS 2201", "The change has a ticket, a business approval and test evidence.", "always", "assess",
     "owner", "sox-change-ticket.pdf", "export of the ticket with approvals and times"),
    ("SOX", "404; COSO change control", "Developer, deployer and approver are different people.", "always", "prepare",
     "compliance", "sox-segregation.csv", "names from the ticket, the pipeline run and the approval"),
    ("SOX", "404; COSO access control", "Privileged access of the migration is time-boxed and logged.", "always",
     "prepare", "security", "sox-privileged-access.log", "role grants of the migration account with VALID UNTIL, and "
     "its session log"),
    ("SOX", "404; data conversion", "Control totals of money columns agree per period and are signed by finance.",
     "always", "validate", "owner", "sox-control-totals.csv", "{total_sql} -- both sides, signed"),
    ("SOX", "17 CFR 210.2-06", "Working papers are kept seven years.", "always", "close", "compliance",
     "sox-retention.txt", "retention setting of the evidence store"),
    ("HIPAA", "164.308(a)(1)(ii)(A)", "A risk analysis covers the migration.", "always", "assess", "security",
     "hipaa-risk-analysis.pdf", "risk register of this plan, reviewed and signed"),
    ("HIPAA", "164.308(b)(1), 164.314(a)", "A business associate agreement covers the new provider.", "relocates",
     "prepare", "compliance", "hipaa-baa.pdf", "signed agreement with the operator of {target_name}"),
    ("HIPAA", "164.312(a)(2)(iv), (e)(2)(ii)", "Health data is encrypted at rest and in transit.", "always", "prepare",
     "security", "hipaa-encryption.txt", "TLS setting and volume encryption of {target_name}"),
    ("HIPAA", "164.310(d)(2)(iv)", "An exact, retrievable copy exists before equipment moves.", "always", "rehearse",
     "dba", "hipaa-restore.log", "timed log of the restore test (gate G03)"),
    ("HIPAA", "164.312(c)(1)-(2)", "Integrity of the moved records is proven.", "always", "validate", "data",
     "hipaa-integrity.csv", "{hash_tables}: row hashes of both sides (gate G14)"),
    ("HIPAA", "164.312(b)", "Access during the migration is recorded.", "always", "validate", "security",
     "hipaa-access.log", "log of every session of the migration role"),
    ("HIPAA", "164.310(d)(2)(i)", "Media of the old system are disposed of.", "relocates", "close", "platform",
     "hipaa-disposal.pdf", "certificate for the volumes of {source_name}"),
    ("HIPAA", "164.316(b)(2)(i)", "Documentation is kept six years.", "always", "close", "compliance",
     "hipaa-retention.txt", "retention setting of the evidence store"),
    ("PCI DSS", "1.2.3, 1.2.4", "Network and data-flow diagrams show the new path.", "always", "assess", "security",
     "pci-diagrams.pdf", "diagrams with {target_name} and every connection of {dependency_names}"),
    ("PCI DSS", "12.5.2", "The scope is confirmed for the changed environment.", "always", "assess", "compliance",
     "pci-scope.pdf", "scope statement naming {target_name}"),
    ("PCI DSS", "4.2.1", "Card data crosses the link only under strong cryptography.", "always", "prepare", "security",
     "pci-tls-scan.txt", "TLS scan of {target_name}"),
    ("PCI DSS", "3.3.1, 3.5.1", "No sensitive authentication data moves; card numbers stay unreadable.", "pan",
     "prepare",
     "security", "pci-pan-columns.csv", "proof for {pan_names}: encrypted, truncated or absent"),
    ("PCI DSS", "6.5.1", "The change record holds security impact, approval, test and back-out.", "always", "prepare",
     "owner", "pci-change-record.pdf", "ticket with this plan's digest and the rollback runbook's"),
    ("PCI DSS", "6.5.5", "No live card numbers are used in rehearsals.", "always", "rehearse", "security",
     "pci-test-data.txt", "search for card number patterns in the rehearsal copy: 0 hits"),
    ("PCI DSS", "6.5.2", "All requirements are confirmed again after a significant change.", "always", "validate",
     "compliance", "pci-reconfirmation.pdf", "checklist signed after the last phase"),
    ("PCI DSS", "11.3.1.3, 11.3.2.1", "Internal and external scans follow the change.", "always", "validate",
     "security",
     "pci-scans.pdf", "scan reports dated after the cutover"),
    ("PCI DSS", "9.4.6, 9.4.7", "Media that held card data are destroyed.", "relocates", "close", "platform",
     "pci-media-destruction.pdf", "certificate for the volumes of {source_name}"),
    ("ISO 27001", "A.8.32, A.8.13", "The change is controlled and the backup tested.", "always", "prepare",
     "compliance",
     "iso-change-and-backup.pdf", "ticket and restore log (gate G03)"),
    ("SOC 2", "CC8.1, A1.2", "The change is authorised, tested and recoverable.", "always", "prepare", "compliance",
     "soc2-change.pdf", "ticket, rehearsal log and restore log"),
))
PERSONAL = tuple((kind, certainty, frozenset(words.split())) for kind, certainty, words in (
    ("contact", "high", "email mail phone mobile tel fax address street zip postal city postcode"),
    ("identity", "high", "firstname lastname middlename fullname surname dob birth birthday birthdate gender "
     "nationality username"),
    ("national id", "high", "ssn sin nin taxid tin passport license licence nationalid"),
    ("card number", "high", "cardnumber ccnum cardno"), ("card number", "medium", "pan"),
    ("card authentication", "high", "cvv cvc cvv2 pinblock"),
    ("financial", "high", "iban bic salary accountno routing"),
    ("health", "high", "diagnosis icd mrn patient medication allergy blood"),
    ("special category", "high", "religion ethnic ethnicity race political union orientation biometric fingerprint "
     "genetic"),
    ("online", "medium", "ip ipaddress mac deviceid imei cookie useragent sessionid geo lat lon latitude longitude"),
    ("credential", "high", "password passwd pwd salt secret token otp apikey"), ("credential", "medium", "hash"),
    ("free text", "low", "notes note comment bio message description"),
))
PAIRS = frozenset("first_name last_name middle_name full_name maiden_name user_name customer_name tax_id card_number "
                  "cc_num pin_block account_no ip_address device_id user_agent session_id api_key e_mail mail_address "
                  "birth_date national_id insurance_no".split())
NOT_PERSONAL = frozenset("company_name file_name table_name host_name product_name token_count email_template".split())


class Personal(NamedTuple):
    """A column that probably holds personal data, and why."""

    table: str
    column: str
    kind: str
    certainty: str
    why: str
    path: Path


def split_name(name: str) -> List[str]:
    """Return the words of userEmail, user_email or user-email."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower().split("_")


@lru_cache(maxsize=None)
def personal_kind(column: str, type_text: str) -> Optional[Tuple[str, str, str]]:
    """Return kind, certainty and why a column looks personal."""
    words = split_name(column)
    plain = "_".join(words)
    if plain in NOT_PERSONAL:
        return None
    joined = {"".join(pair) for pair in zip(words, words[1:])} | {"".join(words)}
    known = sorted(((kind, certainty, word) for kind, certainty, tokens in PERSONAL for word in tokens
                    if word in words or word in joined), key=lambda row: (-len(row[2]), row[2], row[0]))
    if known and known[0][0] == "contact" and re.match(r"(timestamp|date|time|bool)", type_text.lower()):
        return None  # email_verified_at says when, not who
    pairs = {f"{one}_{two}" for one, two in zip(words, words[1:])} & PAIRS
    if not known and pairs:
        known = [("identity", "high", sorted(pairs)[0])]
    if not known and re.match(r"(inet|cidr|macaddr)", type_text.lower()):
        return "online", "medium", f"type {type_text}"
    return (known[0][0], known[0][1], f"name contains {known[0][2]!r}") if known else None


def personal_columns(facts: Facts) -> List[Personal]:
    """Return the columns that hold personal data: the user's own list first, then what names and types show."""
    own = [name for name in facts.at("data.personal_columns", []) if name]
    excluded = {name for name in facts.at("data.not_personal_columns", []) if name}
    found = {}
    for index, name in enumerate(own):
        table, _, column = name.rpartition(".")
        found[table, column] = Personal(table, column, "declared", "high", "listed in data.personal_columns",
                                        ("data", "personal_columns", index))
    places = [(table.name, name, kind, table.path + ("columns", number)) for table in facts.tables
              for number, (name, kind) in enumerate(table.columns)]
    places += [(change.table, change.column, str(change.detail.get("data_type", change.detail.get("new_type", ""))),
                change.path + ("column",)) for change in facts.changes if change.column]
    for table, column, type_text, path in places:
        seen = personal_kind(column, type_text)
        if seen and (table, column) not in found and not {column, f"{table}.{column}"} & excluded:
            found[table, column] = Personal(table, column, *seen, path)
    return list(found.values())


def transfers(facts: Facts) -> str:
    """Return the move between jurisdictions in words, empty when there is none to be seen."""
    source = facts.at("data.residency_source", facts.source.region)
    target = facts.at("data.residency_target", facts.target.region)
    if facts.at("data.cross_border") or (source and target and source != target):
        return f"{source or 'the present country'} to {target or 'another country'}"
    return ""


def control_applies(control: Control, facts: Facts, personal: Sequence[Personal]) -> Optional[Tuple[Path, Any]]:
    """Return the fact that calls for a control, None when nothing does."""
    index = next((index for index, name in enumerate(facts.at("constraints.compliance_requirements", []))
                  if FRAMEWORKS.get(re.sub(r"[^a-z0-9]", "", (name or "").lower()), name) == control.framework), None)
    if index is None:
        return None
    path: Path = ("constraints", "compliance_requirements", index)
    if control.when == "personal":
        return (personal[0].path, f"{personal[0].table}.{personal[0].column}") if personal else None
    if control.when == "pan":
        cards = [column for column in personal if column.kind.startswith("card")]
        return (cards[0].path, f"{cards[0].table}.{cards[0].column}") if cards else None
    if control.when == "relocates":
        return (("target",), facts.target.text) if relocates(facts) else None
    if control.when == "transfer":
        return (("data",) if facts.at("data") else ("target",), transfers(facts)) if transfers(facts) else None
    return path, facts.at("constraints.compliance_requirements")[index]


def controls_for(facts: Facts) -> List[Tuple[Control, Path, Any]]:
    """Return the controls that apply, each with the fact that calls for it."""
    personal = personal_columns(facts)
    found = ((control, control_applies(control, facts, personal)) for control in CONTROLS)
    return [(control, *fact) for control, fact in found if fact]


# == 12. Wording ======================================================================================
# The words that templates are filled with, and SQL for the tables of this specification.

WORD = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")  # {table}, but neither {{placeholder}} nor PromQL's {job="x"}
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
SAFE_TYPE = re.compile(r"[A-Za-z][\w ]*(\(\s*\d+\s*(,\s*\d+\s*)?\))?( with(out)? time zone)?(\[\])?", re.IGNORECASE)
EXPRESSIONS = ("current_timestamp", "current_date", "now()", "null", "true", "false", "gen_random_uuid()", "uuid()",
               "localtimestamp")


def fill(template: str, words: Dict[str, str]) -> str:
    """Return a template with its {words} replaced; words that are not known stay visible."""
    return WORD.sub(lambda match: words.get(match.group(1), match.group()), template)


def figure(value: float) -> str:
    """Return a number as people read it: 12 000 000, 394, 12.6, 0.001."""
    if value != value or value in (float("inf"), float("-inf")):
        return "unlimited"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def span(hours: float) -> str:
    """Return a duration in the unit that fits it."""
    if hours <= 0:
        return "0"
    if hours < 1.5 / 60:
        return f"{figure(round(hours * 3600, 1))} s"
    if hours < 2:
        return f"{figure(round(hours * 60, 1))} min"
    return f"{figure(round(hours, 1))} h" if hours < 96 else f"{figure(round(hours / 24, 1))} d"


def plural(count: float, noun: str) -> str:
    return f"{figure(count)} {noun}" + ("" if count == 1 else "s")


def listed(names: Sequence[str], none: str = "none named", most: int = 6) -> str:
    """Return names in one line, the first few when they are many."""
    shown = [clean(name) for name in names[:most]]
    more = len(names) - len(shown)
    return (", ".join(shown) + (f" and {more} more" if more > 0 else "")) or none


def quote(name: str, facts: Facts) -> str:
    """Return an SQL identifier (parts of a dotted name each)."""
    mark = "`" if engine_of(facts, "target") in ("mysql", "mariadb") else '"'
    return ".".join(mark + part.replace(mark, mark * 2) + mark for part in name.split("."))


def literal(value: Any) -> str:
    """Return a default value as SQL."""
    if isinstance(value, dict) and isinstance(value.get("expression"), str):
        return value["expression"]
    if isinstance(value, bool) or value is None:
        return {True: "TRUE", False: "FALSE", None: "NULL"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value)
    if text.lower() in EXPRESSIONS:
        return text
    return "'" + text.strip("'").replace("'", "''") + "'"


# -- commands of each engine ---------------------------------------------------------------------------

ASKED = ("sessions", "transactions", "writes", "volume", "largest", "backup", "keyless", "same_schema", "sequences",
         "statements", "grants", "stop", "quiet")
CHECKER_SAYS = "compatibility_checker.py --before expected.json --after live.json exits 0"
COMMANDS = {engine: dict(zip(ASKED, texts)) for engine, texts in {
    "postgresql": (
        "SELECT application_name, usename, count(*) FROM pg_stat_activity GROUP BY 1, 2",
        "SELECT max(now()-xact_start) FROM pg_stat_activity WHERE state <> 'idle'; lock_timeout 5 s",
        "sum(tup_inserted+tup_updated+tup_deleted) of pg_stat_database, twice, one hour apart, divided by 3600",
        "SELECT sum(pg_total_relation_size(oid))/1e9 FROM pg_class WHERE relkind IN ('r','m')",
        "SELECT max(pg_total_relation_size(oid))/1e9 FROM pg_class WHERE relkind = 'r'",
        "pg_basebackup -X stream -c fast -D {{backup_dir}}; pg_verifybackup {{backup_dir}}",
        "SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid=c.relnamespace WHERE c.relkind='r' "
        "AND n.nspname NOT IN ('pg_catalog','information_schema') AND (c.relreplident='n' OR (c.relreplident='d' "
        "AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid=c.oid AND i.indisprimary))); SHOW wal_level "
        "must say logical",
        CHECKER_SAYS + "; SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid; SELECT conname FROM "
        "pg_constraint WHERE NOT convalidated",
        "SELECT schemaname, sequencename, last_value FROM pg_sequences", "pg_stat_statements queries", "\\dp",
        "ALTER ROLE {{application_role}} NOLOGIN", "no write in 1 min of pg_stat_database"),
    "mysql": (
        "SELECT user, host, count(*) FROM information_schema.processlist GROUP BY 1, 2",
        "SELECT max(timestampdiff(second, trx_started, now())) FROM information_schema.innodb_trx; "
        "lock_wait_timeout 5 s",
        "SHOW GLOBAL STATUS LIKE 'Innodb_rows_%': inserted + updated + deleted, twice, one hour apart, divided by 3600",
        "SELECT sum(data_length+index_length)/1e9 FROM information_schema.tables",
        "SELECT max(data_length+index_length)/1e9 FROM information_schema.tables",
        "mysqlsh -- util dump-instance {{backup_dir}}",
        "SELECT t.table_schema, t.table_name FROM information_schema.tables t LEFT JOIN "
        "information_schema.table_constraints c ON c.table_schema=t.table_schema AND c.table_name=t.table_name AND "
        "c.constraint_type='PRIMARY KEY' WHERE c.constraint_name IS NULL AND t.table_type='BASE TABLE'; "
        "SHOW VARIABLES LIKE 'binlog_format' must say ROW", CHECKER_SAYS,
        "SELECT table_name, auto_increment FROM information_schema.tables WHERE auto_increment IS NOT NULL",
        "rows of performance_schema.events_statements_summary_by_digest", "SHOW GRANTS",
        "ALTER USER {{application_role}} ACCOUNT LOCK", "SHOW MASTER STATUS does not move for 1 min"),
    "sqlite": (
        "fuser -v {{database_file}}", "BEGIN IMMEDIATE; ROLLBACK; succeeds; PRAGMA busy_timeout = 5000",
        "SELECT total_changes() of the writing connection, twice, one hour apart, divided by 3600",
        "SELECT page_count*page_size/1e9 FROM pragma_page_count(), pragma_page_size()",
        "SELECT name, sum(pgsize)/1e9 FROM dbstat GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
        "sqlite3 {{database_file}} \".backup {{backup_dir}}/copy.db\"; sqlite3 {{backup_dir}}/copy.db 'PRAGMA "
        "integrity_check'", "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%WITHOUT ROWID%'",
        CHECKER_SAYS + "; PRAGMA integrity_check; PRAGMA foreign_key_check", "SELECT name, seq FROM sqlite_sequence",
        "statements in the application's log", "ls -l {{database_file}}",
        "end the processes that fuser {{database_file}} lists", "PRAGMA data_version does not change for 1 min"),
    "oracle": (
        "SELECT username, program, machine, count(*) FROM v$session WHERE type = 'USER' GROUP BY username, program, "
        "machine", "SELECT max((sysdate - start_date) * 86400) FROM v$transaction; ddl_lock_timeout = 5",
        "SELECT sum(inserts+updates+deletes) FROM dba_tab_modifications, twice, one hour apart, divided by 3600",
        "SELECT sum(bytes)/1e9 FROM dba_segments",
        "SELECT max(sum(bytes))/1e9 FROM dba_segments WHERE segment_type LIKE 'TABLE%' GROUP BY owner, segment_name",
        "rman target / -- BACKUP DATABASE PLUS ARCHIVELOG; RESTORE DATABASE VALIDATE",
        "SELECT owner, table_name FROM dba_tables t WHERE NOT EXISTS (SELECT 1 FROM dba_constraints c WHERE c.owner = "
        "t.owner AND c.table_name = t.table_name AND c.constraint_type = 'P'); SELECT supplemental_log_data_min FROM "
        "v$database must say YES",
        "SELECT object_name FROM dba_objects WHERE status = 'INVALID'; SELECT constraint_name FROM dba_constraints "
        "WHERE validated = 'NOT VALIDATED'", "SELECT sequence_owner, sequence_name, last_number FROM dba_sequences",
        "v$sql statements", "dba_tab_privs and dba_role_privs", "ALTER USER {{application_role}} ACCOUNT LOCK",
        "SELECT current_scn FROM v$database moves by background work only for 1 min"),
    "sqlserver": (
        "SELECT program_name, login_name, count(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1 GROUP BY "
        "program_name, login_name",
        "SELECT max(datediff(second, transaction_begin_time, getdate())) FROM sys.dm_tran_active_transactions WHERE "
        "transaction_type = 1; SET LOCK_TIMEOUT 5000",
        "SELECT sum(leaf_insert_count+leaf_update_count+leaf_delete_count) FROM sys.dm_db_index_operational_stats("
        "db_id(), NULL, NULL, NULL) WHERE index_id < 2, twice, one hour apart, divided by 3600",
        "SELECT sum(size)*8192/1e9 FROM sys.database_files",
        "SELECT max(pages)*8192/1e9 FROM (SELECT sum(used_page_count) AS pages FROM sys.dm_db_partition_stats GROUP BY "
        "object_id) t", "BACKUP DATABASE {{database}} TO DISK = '{{backup_dir}}/full.bak' WITH CHECKSUM",
        "SELECT name FROM sys.tables WHERE objectproperty(object_id, 'TableHasPrimaryKey') = 0; SELECT is_cdc_enabled "
        "FROM sys.databases WHERE name = db_name() must say 1",
        "SELECT name FROM sys.foreign_keys WHERE is_not_trusted = 1; SELECT name FROM sys.indexes WHERE is_disabled = "
        "1", "SELECT name, current_value FROM sys.sequences; SELECT object_name(object_id), last_value FROM "
        "sys.identity_columns", "Query Store statements", "sys.database_permissions",
        "ALTER LOGIN {{application_role}} DISABLE", "SELECT max(end_of_log_lsn) FROM sys.dm_db_log_stats(db_id()) does "
        "not move for 1 min"),
    "mongodb": (
        "db.getSiblingDB('admin').aggregate([{$currentOp: {allUsers: true, idleConnections: true}}, {$group: {_id: "
        "'$appName', n: {$sum: 1}}}])", "db.currentOp({'transaction.timeOpenMicros': {$gt: 6e7}}) is empty",
        "db.serverStatus().opcounters: insert + update + delete, twice, one hour apart, divided by 3600",
        "db.stats().dataSize / 1e9", "the largest db.getCollection(name).stats().size / 1e9",
        "mongodump --oplog --gzip --archive={{backup_dir}}/full.gz",
        "rs.status().ok must be 1: change streams need a replica set; every document has its _id",
        "db.getCollection(name).validate().valid for each collection", "db.getCollection(name).find().sort({_id: "
        "-1}).limit(1) where keys are numbers", "db.system.profile entries",
        "db.getUsers() and db.getRoles()", "db.revokeRolesFromUser('{{application_role}}', ['readWrite'])",
        "db.serverStatus().opcounters does not move for 1 min"),
}.items()}
COMMANDS["mariadb"] = {**COMMANDS["mysql"], "backup": "mariadb-backup --backup --target-dir={{backup_dir}}"}


def engine_of(facts: Facts, side: str) -> str:
    """Return the engine whose commands a side is asked with: its own, else the other side's, else PostgreSQL's."""
    own, other = (facts.source, facts.target) if side == "source" else (facts.target, facts.source)
    return next((system.engine for system in (own, other) if system.engine in COMMANDS), "postgresql")


def engine_words(facts: Facts) -> Dict[str, str]:
    """Return the commands of both sides, each as a word for the templates."""
    return {f"{side}_{name}": text for side in ("source", "target")
            for name, text in COMMANDS[engine_of(facts, side)].items()}


def replication_words(facts: Facts, copy: Copy) -> Dict[str, str]:
    """Return how copy and replication are watched: in the engine itself, or in the tool between two engines."""
    source, target = engine_of(facts, "source"), engine_of(facts, "target")
    wal = f"{figure(round(2 * wal_gb(facts, copy)[1], 1))} GB"
    kept = f"; on the source keep {wal} for retained WAL" if source == "postgresql" and moves_rows(facts) else ""
    words = {"wal_reserve": wal, "wal_kept": kept, "log_kept": "the slot is active and holds WAL; free disk on the "
             f"source above {wal}", "drop_copy": "drop subscription and slot",
             "unsubscribe": "DROP SUBSCRIPTION and slot of the reverse replication",
             "unsubscribed": "SELECT count(*) FROM pg_replication_slots returns 0",
             "lag_query": "SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), wal_status "
             "FROM pg_replication_slots",
             "copied_query": "SELECT srrelid::regclass, srsubstate FROM pg_subscription_rel WHERE srsubstate <> 'r'"}
    if target in ("mysql", "mariadb") and source in ("mysql", "mariadb"):
        name, sql = ("Seconds_Behind_Master", "Slave") if target == "mariadb" else ("Seconds_Behind_Source", "Replica")
        words.update(lag_query=f"SHOW REPLICA STATUS on the target: {name}", copied_query="SHOW REPLICA STATUS: "
                     f"{sql}_SQL_Running = Yes and no Last_Error", unsubscribe="RESET REPLICA ALL on the old side",
                     unsubscribed="SHOW REPLICA STATUS returns no row")
    elif (source, target) != ("postgresql", "postgresql"):
        words.update(lag_query="CDCLatencyTarget of the replication task, in seconds", copied_query="aws dms "
                     "describe-table-statistics --replication-task-arn {{task_arn}}: tables not 'Table completed'",
                     unsubscribe="delete the task of the reverse replication",
                     unsubscribed="aws dms describe-replication-tasks lists no task of this migration")
        if copy.method != "dms":
            words.update(lag_query=f"lag that {copy.method} reports, in seconds", copied_query="tables that "
                         f"{copy.method} has not reported as copied", unsubscribed="no task of this migration is left")
    if (source, target) != ("postgresql", "postgresql"):
        words["drop_copy"] = f"end {copy.method} and drop what it copied"
        words["log_kept"] = f"the copy runs; the source keeps its log for at least {span(copy.hours.high)}"
    return words


def moves_rows(facts: Facts) -> bool:
    """Return whether rows travel to another server, so that its log is held back meanwhile."""
    return relocates(facts) or bool({facts.pattern, *facts.partners} & {"cdc", "data_migration", "multi_cloud"})


# -- queries over the tables of the specification ------------------------------------------------------

def table_queries(facts: Facts) -> Dict[str, str]:
    """Return the checks over the tables of the specification, each one statement."""
    critical = [table for table in facts.tables if table.critical] or list(facts.tables)
    shown = facts.tables[:12]
    everything = " UNION ALL ".join(f"SELECT {sql_text(table.name)}, count(*) FROM {quote(table.name, facts)}"
                                    for table in shown)
    hashes = one_query([hash_query(table.name, facts) for table in critical[:6]])
    same_text = engine_of(facts, "target") == "postgresql" and same_family(facts)
    totals = "; ".join(total_query(table, facts) for table in critical[:3])
    none = "SELECT count(*) FROM {{table}}"
    return {"count_sql": everything or none, "hash_sql": hashes or hash_query("{{table}}", facts),
            "hash_form": ", same TimeZone, DateStyle and extra_float_digits" if same_text else "",
            "total_sql": totals or none,
            "differing_sql": one_query(differing_queries(facts)) or none, "orphan_sql": orphan_query(facts),
            "unfilled_sql": unfilled_query(facts),
            "hash_tables": listed([table.name for table in critical], "every table")}


def one_query(parts: Sequence[str]) -> str:
    """Return queries as one, commands that are no queries one after the other, each once."""
    once = list(dict.fromkeys(parts))
    return (" UNION ALL " if once and once[0].startswith("SELECT") else "; ").join(once)


def differing_queries(facts: Facts) -> List[str]:
    """Return for each filled column how many rows differ from what they must hold."""
    return [f"SELECT count(*) FROM {quote(change.table, facts)} WHERE "
            + differs(quote(new_column(change), facts), old_form(change, facts), facts)
            for change in facts.changes if change.column and fills_rows(change)]


def total_query(table: Table, facts: Facts) -> str:
    """Return the business totals of a table: its money by month and state, rows where it holds no money."""
    def first(pattern: str, kinds: str, other: str) -> str:
        found = [name for name, kind in table.columns if re.search(pattern, name.lower())
                 or re.match(kinds, kind.lower())]
        return quote(found[0], facts) if found else "" if table.columns else "{{" + other + "}}"

    amount = first(r"amount|total|price|balance", r"numeric|decimal|money", "amount_column")
    period = first(r"_at$|_on$|date", r"date|timestamp", "period_column")
    state = first(r"^(status|state)$", r"(?!)", "status_column")
    mysql = engine_of(facts, "target") in ("mysql", "mariadb")
    month = f"date_format({period}, '%Y-%m')" if mysql else f"date_trunc('month', {period})"
    keys = [text for text in (month if period else "", state) if text]
    group = f" GROUP BY {', '.join(str(index + 2) for index in range(len(keys)))}" if keys else ""
    return (f"SELECT {', '.join([sql_text(table.name), *keys, f'sum({amount})' if amount else 'count(*)'])} FROM "
            f"{quote(table.name, facts)}{group}")


def differs(one: str, other: str, facts: Facts) -> str:
    """Return the SQL that is true where two values differ, NULL being a value."""
    engine = engine_of(facts, "target")
    if engine in ("mysql", "mariadb"):
        return f"NOT ({one} <=> {other})"
    return f"{one} IS NOT {other}" if engine == "sqlite" else f"{one} IS DISTINCT FROM {other}"


def converted(change: Change, facts: Facts) -> str:
    """Return an old value in its new type; MySQL converts on assignment and has no CAST to most of its types."""
    column = quote(change.column, facts)
    if engine_of(facts, "target") in ("mysql", "mariadb"):
        return column
    kind = type_sql(str(change.detail.get("new_type", "")), f"{change.table}_{change.column}_new_type")
    return f"CAST({column} AS {kind})"


def old_form(change: Change, facts: Facts) -> str:
    """Return what a filled column must equal, as SQL over the old column."""
    if change.kind == "add_column":
        given = str(change.detail.get("backfill", ""))
        return given if given and is_plain_sql(given) else "{{value_for_" + re.sub(r"\W", "_", change.column) + "}}"
    return quote(change.column, facts) if change.kind == "rename_column" else converted(change, facts)


def sql_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def hash_query(table: str, facts: Facts) -> str:
    """Return one row with count and order-free hash of a table (proven on PostgreSQL 15 and MariaDB 10.11)."""
    engine, name = engine_of(facts, "target"), quote(table, facts)
    if engine == "sqlite" or not same_family(facts):
        return PROFILES
    columns = next((row.columns for row in facts.tables if row.name == table), ())
    if engine in ("mysql", "mariadb"):
        parts = ", ".join(f"COALESCE({quote(column, facts)}, '')" for column, _ in columns) or "{{columns}}"
        return f"SELECT {sql_text(table)}, count(*), sum(crc32(concat_ws('|', {parts}))) FROM {name}"
    if engine == "oracle":
        parts = " || '|' || ".join(quote(column, facts) for column, _ in columns) or "{{columns}}"
        return f"SELECT {sql_text(table)}, count(*), sum(ora_hash({parts})) FROM {name}"
    if engine == "sqlserver":
        return f"SELECT {sql_text(table)}, count(*), checksum_agg(binary_checksum(*)) FROM {name}"
    if engine == "mongodb":
        return f"db.runCommand({{dbHash: 1, collections: [{sql_text(table)}]}})"
    return (f"SELECT {sql_text(table)}, count(*), sum(('x'||substr(md5(t::text),1,16))::bit(64)::bigint::numeric) FROM "
            f"{name} t")


PROFILES = ("compatibility_checker.py --type data --before source_profiles.jsonl --after target_profiles.jsonl, after "
            "the profile queries of its report (reconciliation) ran on both sides")


def same_family(facts: Facts) -> bool:
    """Return whether both sides write a row as the same text, so that one hash query serves both."""
    families = [engine_of(facts, side).replace("mariadb", "mysql") for side in ("source", "target")]
    return families[0] == families[1]


def orphan_query(facts: Facts) -> str:
    keys = [re.search(r"FOREIGN KEY\s*\(\s*(\w+)\s*\)\s*REFERENCES\s+(\w+)\s*\(\s*(\w+)\s*\)",
                      str(change.detail.get("definition", "")), re.IGNORECASE) for change in facts.changes]
    found = [f"SELECT count(*) FROM {quote(change.table, facts)} c LEFT JOIN {quote(key.group(2), facts)} p ON "
             f"p.{quote(key.group(3), facts)} = c.{quote(key.group(1), facts)} WHERE p.{quote(key.group(3), facts)} IS "
             f"NULL AND c.{quote(key.group(1), facts)} IS NOT NULL" for change, key in zip(facts.changes, keys) if key]
    listing = {"postgresql": " of pg_constraint (contype = 'f')", "sqlite": " of PRAGMA foreign_key_list"}.get(
        engine_of(facts, "target"), " of information_schema.referential_constraints")
    return " UNION ALL ".join(found) or f"for each foreign key{listing}: count(*) of children without parent"


def unfilled_query(facts: Facts) -> str:
    added = [change for change in facts.changes if change.column and fills_rows(change)]
    return " UNION ALL ".join(f"SELECT count(*) FROM {quote(change.table, facts)} WHERE "
                              f"{quote(new_column(change), facts)} IS NULL" + (
                                  f" AND {quote(change.column, facts)} IS NOT NULL"
                                  if new_column(change) != change.column else "")
                              for change in added[:8]) or "SELECT count(*) FROM {{table}} WHERE {{new_column}} IS NULL"


def facts_words(facts: Facts, copy: Copy, scripts: Sequence[Script]) -> Dict[str, str]:
    """Return the words of this specification for every template."""
    rows = rows_text(facts)
    return {
        **table_queries(facts), **load_words(facts), **people_words(facts), **engine_words(facts),
        **replication_words(facts, copy), **consumer_words(facts), **endpoint_words(facts),
        "source_name": clean(facts.source.text), "target_name": clean(facts.target.text),
        "service": str(facts.at("service_details.legacy_service.name", facts.at("name", "{{service}}"))),
        "downtime": figure(facts.downtime), "downtime_limit": span(facts.allowed_minutes / 60),
        "downtime_limit_70": span(0.7 * facts.allowed_minutes / 60),
        "backlog": plural(round(facts.value("write_rows_per_second") * copy.hours.likely * 3600), "row"),
        "sample_size": figure(canary_sample(facts)),
        "memory_limit": figure(facts.alerts.get("memory_utilization", 0.85)),
        "ttl": figure(facts.value("dns_ttl_seconds")), "rtt": figure(facts.value("rtt_ms")),
        "event_tables": listed([table.name for table in facts.tables], "the tables of the aggregates", 4),
        "change_text": plural(len(facts.changes) or len(scripts), "change").replace("0 changes", "the changes"),
        "row_total": rows, **migrate_words(facts, scripts, rows),
        "mapped_tables": listed(sorted({change.table for change in facts.changes}), "every table"),
        "vm_count": figure(vm_count(facts)), "servers": servers_text(facts), "volume": volume_text(facts),
        "streams": figure(facts.value("parallelism")), "test_days": figure(facts.value("test_days")),
        "workload_names": listed([load.name for load in facts.workloads], "the workloads"),
    }


def consumer_words(facts: Facts) -> Dict[str, str]:
    """Return who uses the source, and what must be true of those that are seen there."""
    names = [row.name for row in facts.dependencies]
    return {"dependency_names": listed(names, "no consumer is named in the specification"),
            "consumer_rule": "every name must be one of: " + listed(names, most=40) if names else
            "no consumer is named yet: write each name into constraints.dependencies"}


def endpoint_words(facts: Facts) -> Dict[str, str]:
    """Return the endpoints in numbers and words."""
    endpoints = len(facts.legacy) or len(facts.new)
    writing = sum(1 for endpoint in facts.legacy if endpoint.writes)
    return {"every_endpoint": plural(endpoints, "endpoint") if endpoints else "every endpoint",
            "compared_by": f"endpoint and field, {plural(endpoints, 'endpoint')}" if endpoints else "query and column",
            "build_text": build_text(facts), "unmatched": unmatched_text(facts),
            "writing_endpoints": plural(writing, "writing endpoint") if writing else "writes"}


def rows_text(facts: Facts) -> str:
    """Return the rows to move, marked where they follow from an assumed volume."""
    counted = any(table.rows for table in facts.tables) or facts.given("volume_gb") or not row_total(facts)
    return figure(row_total(facts)) + ("" if counted else " (assumed)")


def volume_text(facts: Facts) -> str:
    """Return the GB to move, marked where nobody gave them."""
    return f"{figure(volume_of(facts))} GB" + ("" if facts.given("volume_gb") or not volume_of(facts) else " (assumed)")


def load_words(facts: Facts) -> Dict[str, str]:
    """Return the load in words: of today, and what a test has to reach."""
    peak = facts.at("service_details.legacy_service.current_load.peak_requests_per_second", 0)
    goal = facts.at("service_details.new_service.target_performance.requests_per_second", 0)
    load, rate = max(1.5 * float(peak), float(goal)), facts.value("transactions_per_second")
    tested = f"{figure(1.5 * rate)} tx/s" if rate > 0 else "1.5 x peak"
    weight = "the routing weight" if facts.kind in ("service", "api") else "the read and write flags of the application"
    return {"load_test_rps": f"{figure(load)} rps" if load else tested,
            "tps": f"{figure(rate)} tx/s" if rate > 0 else "the load of today",
            "flag_names": listed([flag.name for flag in facts.flags], weight)}


def people_words(facts: Facts) -> Dict[str, str]:
    """Return who signs, which data is personal, how its protection is shown, and what is taken away."""
    dropped = [f"{change.table}.{change.column}" if change.column else change.table for change in facts.changes
               if is_lossy(change) or change.kind == "rename_column"]
    personal = [f"{column.table}.{column.column}" for column in personal_columns(facts)]
    officer = "DPO, " if "GDPR" in facts.frameworks else ""
    compared = ("counts and hashes of both sides (gates G13, G14, G16)" if is_data(facts) else
                "log of the shadow comparison by endpoint and field (gate G18)")
    return {"accountable": f"business owner, tech lead, {officer}on-call SRE", "accuracy_how": compared,
            "encryption_how": encryption_query(facts),
            "evidence_count": figure(len({row.evidence for row, _, _ in controls_for(facts)}) + 2),  # plan and spec
            "old_objects": listed(dropped, "the old columns of the changed tables"),
            "contract_text": contract_text(facts, dropped), "cleanup_text": "Purge the archive, r" if dropped else "R",
            "personal_names": listed(personal, "no personal column found"), "residency": transfers(facts),
            "pan_names": listed([name for name in personal if "card" in name or "pan" in name], "card columns")}


def contract_text(facts: Facts, dropped: Sequence[str]) -> str:
    """Return what the last step of a schema change does with this specification."""
    if dropped or not facts.changes:
        return f"Wait until no release uses the old form, then enforce the new one and drop {listed(dropped, 'it')}"
    if any(safe_form(change, facts).contract for change in facts.changes):
        return "Wait until every release fits the new form, then enforce it; nothing is dropped"
    return "Nothing is enforced or dropped: record the schema as it is now"


def has_two_forms(facts: Facts, scripts: Sequence[Script]) -> bool:
    """Return whether existing rows are rewritten, so that an old and a new form live side by side for a while."""
    return not facts.changes or any(fills_rows(change) for change in facts.changes) or bool(scripts)


def migrate_words(facts: Facts, scripts: Sequence[Script], rows: str) -> Dict[str, str]:
    """Return what the middle of a schema change does with this specification, and how it is undone."""
    if has_two_forms(facts, scripts):
        return {"migrate_text": f"Write both forms, fill {rows} existing rows, prove them equal, switch the readers."
                if rows != "0" else "Write both forms, fill the existing rows, prove them equal, switch the readers.",
                "migrate_undo": "readers and writers back to the old form by flag; the backfill can stop and resume"}
    return {"migrate_text": "Validate the new rules and release the programs that use the new columns; no existing row "
            "is rewritten.", "migrate_undo": "the release before it back; no row was changed"}


def build_text(facts: Facts) -> str:
    """Return how many endpoints the move needs, and how many of the new side's have nothing to do with it."""
    twins = {id(new) for _, new, _ in match_endpoints(facts) if new}
    extra = len(facts.new) - len(twins)
    own = f" ({extra} more are new and no part of the move)" if extra and twins else ""
    count = len(twins) or len(facts.legacy)
    return (plural(count, "endpoint") if count else "the endpoints") + own


def encryption_query(facts: Facts) -> str:
    """Return how the encryption of the connections is shown."""
    queries = {"postgresql": "SELECT ssl, version, cipher FROM pg_stat_ssl",
               "mysql": "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
               "mariadb": "SHOW SESSION STATUS LIKE 'Ssl_cipher'"}
    scan = "openssl s_client -connect {{target_host}}:443 -brief"
    return queries.get(facts.target.engine, scan) if is_data(facts) else scan


def unmatched_text(facts: Facts) -> str:
    lost = [endpoint.text for endpoint, twin, how in match_endpoints(facts) if not twin]
    moved = [f"{endpoint.text} -> {twin.text}" for endpoint, twin, how in match_endpoints(facts)
             if twin and how == "moved"]
    parts = ([f"no counterpart: {listed(lost)}"] if lost else []) + ([f"moved: {listed(moved)}"] if moved else [])
    return "; ".join(parts) or "every item of the old side has its counterpart"


def bare_route(route: str) -> str:
    """Return a route without version prefix and parameter names: /api/v1/users/{id} is /users/{}."""
    return re.sub(r"\{[^}]*\}|:\w+", "{}", re.sub(r"^(/api)?(/v\d+)?(?=/)", "", route))


def last_part(route: str) -> str:
    return route.rstrip("/").rsplit("/", 1)[-1]


def match_endpoints(facts: Facts) -> List[Tuple[Endpoint, Optional[Endpoint], str]]:
    """Return each legacy endpoint with its new twin: same, moved (same method and last part), or none."""
    same = {(endpoint.method, bare_route(endpoint.route)): endpoint for endpoint in facts.new}
    pairs: List[Tuple[Endpoint, Optional[Endpoint], str]] = []
    used = {id(same[key]) for key in ((old.method, bare_route(old.route)) for old in facts.legacy) if key in same}
    moved = {(new.method, last_part(new.route)): new for new in reversed(facts.new) if id(new) not in used}
    for old in facts.legacy:
        twin = same.get((old.method, bare_route(old.route)))
        how = "same"
        if twin is None:
            twin = moved.get((old.method, last_part(old.route)))
            how = "moved" if twin else "none"
        pairs.append((old, twin, how))
    return pairs


def gate_limits(facts: Facts, tracks: Sequence[str]) -> Dict[str, Any]:
    """Return the computed thresholds that gates and triggers name with an @."""
    alert, base, slo = (facts.alerts.get("response_time_p95", -1), facts.value("baseline_p95_ms"),
                        facts.value("slo_p95_ms"))
    goal = facts.at("service_details.new_service.target_performance.p95_response_time_ms", -1)
    bounds = [bound for bound in (alert, slo, 1.1 * base if base > 0 else -1) if bound > 0]
    p95 = min(bounds) if bounds else None
    if p95 is not None and goal > 0:
        p95 = max(p95, goal)  # a limit below the service's own goal would stop every step
    budget = 1 - facts.value("availability")
    error = max(5 * facts.value("baseline_error_rate"), 14.4 * budget)  # SRE workbook, alerting on SLOs
    outage = facts.allowed_minutes
    return {"p95_limit": round(p95, 1) if p95 else "1.10 x the old side's p95", "p95_unit": "ms" if p95 else "",
            "p95_trigger": round(1.5 * max(base, p95), 1) if p95 else "1.5 x baseline p95",
            "error_rate_trigger": round(error, 5),
            "error_delta": round(max(0.001, facts.value("baseline_error_rate")), 5),
            "cpu_limit": facts.alerts.get("cpu_utilization", 0.8), "outage_minutes": round(outage, 3),
            "abort_minutes": round(abort_minutes(facts, tracks), 3), "target_disk_gb": round(1.5 * volume_of(facts), 1),
            "link_gbps": round(0.8 * facts.value("bandwidth_gbps"), 3)}


def abort_minutes(facts: Facts, tracks: Sequence[str]) -> float:
    """Return when a cutover is broken off: at 70 % of the outage, and while its window still holds the way back."""
    limit = 0.7 * facts.allowed_minutes
    back = [way_back_minutes(row) for track in tracks for row in PATTERNS[track].phases
            if row.name in ("cutover", "wave")]
    if not back or not facts.at("business_continuity.preferred_migration_window"):
        return limit
    room = 60 * night_hours(facts) - max(back)
    return min(limit, room) if room > 0 else limit


def limit_of(value: Any, limits: Dict[str, Any]) -> Any:
    return limits[value[1:]] if isinstance(value, str) and value.startswith("@") else value


# == 13. Changes ======================================================================================
# The safe form of one schema change: what to run in which phase, its undo, its lock.

class SafeForm(NamedTuple):
    expand: str
    migrate: str
    contract: str
    undo: str
    lock: str
    points: float  # for the complexity score
    lossy: bool = False


def is_lossy(change: Change) -> bool:
    """Return whether a change takes something away that only a backup brings back."""
    return change.kind.startswith(("drop_", "remove_")) or (
        change.kind in ("modify_column", "alter_column", "change_type") and not widens(change))


def takes_away(facts: Facts) -> bool:
    """Return whether any change ends with something that is no longer there under its old name."""
    return any(is_lossy(change) or change.kind == "rename_column" for change in facts.changes)


def widens(change: Change) -> bool:
    """Return whether every value of the old type fits the new one."""
    old, new = (str(change.detail.get(key, "")).lower() for key in ("old_type", "new_type"))
    old_length, new_length = (int(match.group(1)) if match else 0 for match in
                              (re.search(r"\((\d+)", old), re.search(r"\((\d+)", new)))
    text = ("varchar", "character varying", "char")
    if old.startswith(text) and (new == "text" or (new.startswith(text[:2]) and new_length >= old_length)):
        return True
    order = ("smallint", "int", "integer", "bigint")
    return old in order and new in order and order.index(old) <= order.index(new)


def catalog_only(change: Change) -> bool:
    """Return whether PostgreSQL changes this type without touching a row."""
    new = str(change.detail.get("new_type", "")).lower()
    return widens(change) and (new == "text" or new.startswith(("varchar", "character varying")))


def fills_rows(change: Change) -> bool:
    """Return whether existing rows get new values."""
    if change.kind in ("add_column",):
        return bool(change.detail.get("backfill")) or (
            change.detail.get("nullable") is False and "default" not in change.detail)
    return change.kind in ("rename_column", "split_column") or (
        change.kind in ("modify_column", "alter_column", "change_type") and not catalog_only(change))


def new_column(change: Change) -> str:
    """Return the column that the change fills."""
    if change.kind == "rename_column":
        return str(change.detail.get("new_name") or change.column + "_new")
    return change.column if change.kind == "add_column" else change.column + "_new"


def type_sql(text: str, what: str) -> str:
    return text if text and SAFE_TYPE.fullmatch(text) else "{{type_of_" + re.sub(r"\W", "_", what) + "}}"


def is_plain_sql(text: str) -> bool:
    """Return whether a definition is one balanced clause: no second statement, no comment, no open quote."""
    return not re.search(r";|--|/\*|\x00", text) and text.count("'") % 2 == 0 and text.count("(") == text.count(")")


def safe_form(change: Change, facts: Facts) -> SafeForm:
    """Return the safe form of a change for the target's engine."""
    table, engine = quote(change.table, facts), engine_of(facts, "target")
    online = engine in ("mysql", "mariadb")
    if engine not in ("postgresql", "mysql", "mariadb", "sqlite"):
        return form_manual(change, table, facts, online)
    if engine == "sqlite" and change.kind in REBUILT:
        return form_rebuild(change, table, facts)
    kinds: Dict[str, Callable[[Change, str, Facts, bool], SafeForm]] = {
        "add_column": form_add_column, "modify_column": form_type, "alter_column": form_type, "change_type": form_type,
        "add_constraint": form_constraint, "add_index": form_index, "create_index": form_index,
        "rename_column": form_rename, "drop_column": form_drop, "remove_column": form_drop, "drop_table": form_drop,
        "drop_constraint": form_drop, "drop_index": form_drop, "create_table": form_create}
    return kinds.get(change.kind, form_manual)(change, table, facts, online)


REBUILT = ("modify_column", "alter_column", "change_type", "add_constraint", "drop_constraint")


def form_rebuild(change: Change, table: str, facts: Facts) -> SafeForm:
    """Return what SQLite needs for a change that it has no statement for (sqlite.org/lang_altertable.html, part 7)."""
    return SafeForm("", "", f"rebuild {table} with its new form: new table, copy, swap, in one transaction; "
                    "compatibility_checker.py writes it, plan again with --compatibility",
                    "rebuild it with its old form", "the whole file, while the rows are copied", 3, is_lossy(change))


def form_add_column(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    column = quote(change.column or "{{column}}", facts)
    kind = type_sql(str(change.detail.get("data_type", "")), f"{change.table}_{change.column}")
    default = f" DEFAULT {literal(change.detail['default'])}" if "default" in change.detail else ""
    required = change.detail.get("nullable") is False
    direct = " NOT NULL" if required and default else ""
    how = ", ALGORITHM=INPLACE, LOCK=NONE" if online else ""
    fills = fills_rows(change)
    source = str(change.detail.get("backfill") or "{{value_for_" + re.sub(r"\W", "_", change.column or "x") + "}}")
    migrate = f"UPDATE {table} SET {column} = {source} WHERE {column} IS NULL" if fills else ""
    contract = not_null_sql(table, change.column, column, online) if required and not default else ""
    return SafeForm(f"ALTER TABLE {table} ADD COLUMN {column} {kind}{default}{direct}{how};", migrate, contract,
                    f"ALTER TABLE {table} DROP COLUMN {column};", "ACCESS EXCLUSIVE, under 1 s", 2 if contract else 0.5)


def not_null_sql(table: str, name: str, column: str, online: bool) -> str:
    """Return how a filled column becomes NOT NULL without a long lock (PostgreSQL 12 and later use the CHECK)."""
    if online:
        return f"ALTER TABLE {table} MODIFY {column} {{{{full_definition}}}} NOT NULL, ALGORITHM=INPLACE, LOCK=NONE;"
    check = '"' + f"{name}_not_null".replace('"', '""') + '"'
    return (f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID; ALTER TABLE {table} "
            f"VALIDATE CONSTRAINT {check}; ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL; ALTER TABLE {table} "
            f"DROP CONSTRAINT {check};")


def form_type(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    column = quote(change.column or "{{column}}", facts)
    old, new = (type_sql(str(change.detail.get(key, "")), f"{change.table}_{change.column}_{key}")
                for key in ("old_type", "new_type"))
    if catalog_only(change):
        statement = (f"ALTER TABLE {table} MODIFY {column} {new}, ALGORITHM=INPLACE, LOCK=NONE;" if online else
                     f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {new};")
        return SafeForm(statement, "", "", f"-- values longer than {old} must be archived before going back",
                        "ACCESS EXCLUSIVE, catalog only", 1)
    fresh, former = quote(new_column(change), facts), quote(f"{change.column}_old", facts)
    how = ", ALGORITHM=INPLACE, LOCK=NONE" if online else ""
    cast = converted(change, facts)
    swap = (f"ALTER TABLE {table} RENAME COLUMN {column} TO {former}, RENAME COLUMN {fresh} TO {column};" if online else
            f"BEGIN; ALTER TABLE {table} RENAME COLUMN {column} TO {former}; ALTER TABLE {table} RENAME COLUMN {fresh} "
            f"TO {column}; COMMIT;")
    return SafeForm(f"ALTER TABLE {table} ADD COLUMN {fresh} {new}{how}; {both_written(fresh)}",
                    f"UPDATE {table} SET {fresh} = {cast} WHERE {fresh} IS NULL AND {column} IS NOT NULL",
                    f"{archive_sql(change, table, column, facts)} {swap} -- one release later: drop the trigger and "
                    f"{former}",
                    f"ALTER TABLE {table} DROP COLUMN {fresh};", "ACCESS EXCLUSIVE, under 1 s; no rewrite", 3,
                    is_lossy(change))


def both_written(fresh: str) -> str:
    """Return how the second column is kept equal: a trigger is long, the checker writes it."""
    return (f"-- then the trigger that keeps {fresh} equal on every write: compatibility_checker.py writes it, or the "
            "application writes both")


def archive_sql(change: Change, table: str, what: str, facts: Facts) -> str:
    """Return the statement that keeps what is taken away, with its key."""
    kept = re.sub(r"\W", "_", f"{change.table}_{change.column}")
    return f"{archive_table(kept, facts)} AS SELECT {{{{key}}}}, {what} FROM {table};"


def archive_table(name: str, facts: Facts) -> str:
    """Return how an archive begins: in a schema of its own where the engine has schemas inside a database."""
    if engine_of(facts, "target") == "postgresql":
        return f"CREATE SCHEMA IF NOT EXISTS migration_archive; CREATE TABLE migration_archive.{name}"
    return f"CREATE TABLE _migration_archive_{name}"


def form_constraint(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    name = object_name(change)
    quoted = quote(name, facts)
    given = str(change.detail.get("definition", ""))
    body = given if given and is_plain_sql(given) else "{{definition_of_" + re.sub(r"\W", "_", name) + "}}"
    kind = str(change.detail.get("constraint_type", "")).upper()
    if kind and not body.upper().startswith(kind):
        body = f"{kind} {body}" if body.startswith("(") or kind != "CHECK" else f"CHECK ({body})"
    undo = f"ALTER TABLE {table} DROP CONSTRAINT {quoted};"
    if online or kind == "UNIQUE":
        return SafeForm(f"ALTER TABLE {table} ADD CONSTRAINT {quoted} {body};" if online else
                        f"CREATE UNIQUE INDEX CONCURRENTLY {quoted} ON {table} {body[6:].strip()};",
                        "", "" if online else f"ALTER TABLE {table} ADD CONSTRAINT {quoted} UNIQUE USING INDEX "
                        f"{quoted};",
                        undo if online else f"DROP INDEX CONCURRENTLY {quoted};", "SHARE UPDATE EXCLUSIVE", 2)
    return SafeForm(f"ALTER TABLE {table} ADD CONSTRAINT {quoted} {body} NOT VALID;",
                    f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted};", "", undo,
                    "SHARE ROW EXCLUSIVE under 1 s, then SHARE UPDATE EXCLUSIVE", 2)


def form_index(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    columns = [name for name in change.detail.get("columns", []) if isinstance(name, str)] or [change.column]
    name = quote(object_name(change), facts)
    unique = "UNIQUE " if change.detail.get("unique") else ""
    inner = ", ".join(quote(column, facts) for column in columns if column)
    if online:
        return SafeForm(f"CREATE {unique}INDEX {name} ON {table} ({inner}) ALGORITHM=INPLACE LOCK=NONE;", "", "",
                        f"DROP INDEX {name} ON {table};", "none for reads and writes", 0.5)
    if engine_of(facts, "target") == "sqlite":
        return SafeForm(f"CREATE {unique}INDEX {name} ON {table} ({inner});", "", "", f"DROP INDEX {name};",
                        "writers wait while it is built", 0.5)
    return SafeForm(f"CREATE {unique}INDEX CONCURRENTLY {name} ON {table} ({inner});", "", "",
                    f"DROP INDEX CONCURRENTLY {name};", "SHARE UPDATE EXCLUSIVE", 0.5)


def form_rename(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    old, fresh = quote(change.column or "{{column}}", facts), quote(new_column(change), facts)
    kind = type_sql(str(change.detail.get("data_type", "")), f"{change.table}_{change.column}")
    return SafeForm(f"ALTER TABLE {table} ADD COLUMN {fresh} {kind}; {both_written(fresh)}",
                    f"UPDATE {table} SET {fresh} = {old} WHERE {fresh} IS NULL AND {old} IS NOT NULL",
                    f"drop the trigger; ALTER TABLE {table} DROP COLUMN {old}; -- its values stand in {fresh}",
                    f"ALTER TABLE {table} DROP COLUMN {fresh};", "ACCESS EXCLUSIVE, under 1 s", 3)


def form_drop(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    what = quote(str(change.column or change.detail.get("constraint_name") or change.detail.get("index_name") or
                     change.table), facts)
    if change.kind == "drop_table":
        drop = f"DROP TABLE {table};"
    elif change.kind == "drop_constraint":
        drop = f"ALTER TABLE {table} DROP CONSTRAINT {what};"
    elif change.kind == "drop_index":
        quiet = "" if engine_of(facts, "target") == "sqlite" else "CONCURRENTLY "
        drop = f"DROP INDEX {what} ON {table};" if online else f"DROP INDEX {quiet}{what};"
    else:
        drop = f"ALTER TABLE {table} DROP COLUMN {what};"
    kept = change.kind in ("drop_constraint", "drop_index")
    archive = "" if kept else (f"{archive_table(re.sub(r'[^a-zA-Z0-9_]', '_', change.table), facts)} AS SELECT "
                               f"* FROM {table}; "
                               if change.kind == "drop_table" else archive_sql(change, table, what, facts) + " ")
    return SafeForm("", "", archive + drop, "recreate it from the archive", "ACCESS EXCLUSIVE, under 1 s", 3, not kept)


def form_create(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    """Return a new table from its columns; without them its statement has to be written."""
    rows = [row for row in change.detail.get("columns", []) if isinstance(row, dict) and "name" in row]
    body = ", ".join(f"{quote(str(row['name']), facts)} " + type_sql(str(row.get("type", row.get("data_type", ""))),
                                                                     f"{change.table}_{row['name']}") for row in rows)
    return SafeForm(f"CREATE TABLE {table} "
                    f"({body or '{{columns_of_' + re.sub(r'[^a-zA-Z0-9_]', '_', change.table) + '}}'});", "", "",
                    f"DROP TABLE {table};", "none: nobody uses it yet", 0.5)


def form_manual(change: Change, table: str, facts: Facts, online: bool) -> SafeForm:
    return SafeForm(f"write and review the SQL for {change.kind} on {table}", "", "", "write and review its undo",
                    "unknown", 5)


def table_of(change: Change, facts: Facts) -> Optional[Table]:
    return facts.named.get(change.table.lower())


# == 14. Tasks ========================================================================================
# Generators: facts -> tasks, one for each table, change, endpoint, flag step, consumer, server. A task says who, what
# to do or run, and how to see that it worked. `after` is empty (the task before it in its phase) or ("start",).

MAKERS: Dict[str, Callable[[Work, str], Iterable[Task]]] = {}
BESIDE = ("start",)  # runs beside what stands before it in its phase
MOST_EACH = 12  # more tables than this are one task


def makes(name: str) -> Callable[[Callable[[Work, str], Iterable[Task]]], Callable[[Work, str], Iterable[Task]]]:
    """Register a generator of tasks under the name that pattern rows use."""
    def register(maker: Callable[[Work, str], Iterable[Task]]) -> Callable[[Work, str], Iterable[Task]]:
        MAKERS[name] = maker
        return maker
    return register


def task(title: str, action: str, check: str, role: str, hours: Range, calendar: str = "business", path: Path = (),
         after: Tuple[str, ...] = ()) -> Task:
    return Task("", title, action, check, role, calendar, hours, after, show_path(path) if path else "")


@makes("assess")
def make_assess(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    base = HUMAN["assess"]
    extra = 0.25 * len(facts.tables) + 0.5 * len(facts.dependencies)
    subject = {"service": "traffic, errors, latency, callers", "api": "traffic, errors, latency, callers",
               "infrastructure": "flows, changes a day, link"}.get(facts.kind, "load, sizes, growth, slow queries")
    yield task(f"Measure {work.words['source_name']}: {subject}",
               measure_action(facts), measure_check(facts),
               "dba" if is_data(facts) else "sre",
               Range(*(value + extra * (1 if index < 2 else 2) for index, value in enumerate(base)), "assumed", (),
                     f"8 h + 0.25 h x {len(facts.tables)} tables + 0.5 h x {len(facts.dependencies)} consumers"))
    if is_data(facts):
        yield backup_task(work)
    for dependency in facts.dependencies:
        yield consumer_notice(work, dependency)
    for name in facts.requirements:
        yield from requirement_tasks(work, name)
    yield from framework_tasks(work, "assess")


def measure_action(facts: Facts) -> str:
    """Return the commands for the inputs that had to be assumed, most used first."""
    wanted = wanted_inputs(facts)
    missing = [facts.inputs[name]._replace(how=how_to_measure(facts, name)) for name in wanted
               if facts.inputs[name].basis == "assumed"]
    given = [f"{facts.inputs[name].path} {figure(facts.value(name))}" for name in wanted if facts.value(name) > 0]
    return "; ".join(row.how
                     for row in missing[:3]) or f"compare with the last 7 days: {listed(given, 'the given load')}"


def how_to_measure(facts: Facts, name: str) -> str:
    """Return how an input is measured, in the words of the source's engine where it is asked."""
    asked = {"write_rows_per_second": "writes", "volume_gb": "volume", "largest_table_gb": "largest"}.get(name, "")
    return COMMANDS[engine_of(facts, "source")][asked] if asked and is_data(facts) else facts.inputs[name].how


def wanted_inputs(facts: Facts) -> Tuple[str, ...]:
    """Return the inputs that the first look at the present system has to give."""
    if facts.kind in ("service", "api"):
        return "baseline_error_rate", "baseline_p95_ms", "baseline_cpu"
    if facts.kind == "infrastructure":
        return "bandwidth_gbps", "churn_percent_per_day", "volume_gb"
    own = ("write_rows_per_second", "volume_gb", "largest_table_gb", "baseline_error_rate")
    return ("bandwidth_gbps", *own) if relocates(facts) else own


def measure_check(facts: Facts) -> str:
    missing = [facts.inputs[name].path for name in wanted_inputs(facts) if facts.inputs[name].basis == "assumed"]
    if missing:
        return f"measured and written into the specification: {listed(missing[:3])}"
    return "no measured figure is more than 25 % away from the specification"


CONSUMER_QUESTIONS = {
    "database": "for its connection string, which tables it reads and writes, and whether it can pause",
    "service": "which endpoints it calls, how often, and how fast it can be released",
    "api": "which endpoints it calls, how often, and how fast it can be released",
    "infrastructure": "which addresses and ports it uses, and who can test it at night"}


def consumer_notice(work: Work, dependency: Dependency) -> Task:
    owner = dependency.owner or "{{owner_of_" + re.sub(r"\W", "_", dependency.name) + "}}"
    return task(f"Agree with {dependency.name} on the change",
                f"send the T-14 d message to {owner}; ask "
                f"{CONSUMER_QUESTIONS.get(work.facts.kind, CONSUMER_QUESTIONS['database'])}",
                f"{dependency.name} acknowledged in writing and named a person on call for the cutover", "lead",
                human("notice"), path=dependency.path, after=BESIDE)


REQUIREMENT_TASKS = {
    "zero_data_loss": ("Prove that no write is lost", "compare counts and hashes with writers stopped (G13, G14); keep "
                       "{source_name} current until the point of no return; recovery point 0 s",
                       "both sides equal at the same log position; rehearsed way back kept every row", "dba"),
    "referential_integrity": ("Keep foreign keys whole", "load parents before children: {load_order}; run G15 after it",
                              "G15 returns 0 for each foreign key", "dba"),
    "performance_baseline_maintained": ("Hold the performance baseline", "save the plans of the top 20 queries of "
                                        "{source_name}; run them on {target_name} with EXPLAIN (ANALYZE, BUFFERS)",
                                        "no query slower than 1.10 x its baseline; p95 at most {p95_text}", "dba"),
    "api_backward_compatibility": ("Prove the API backward compatible", "compatibility_checker.py --type api --before "
                                   "{{api_before}} --after {{api_after}}", "exit code 0", "dev"),
    "session_continuity": ("Keep users signed in", "share the session store or accept tokens of both sides; test a "
                           "token issued by each side against the other", "G23: 401 answers at most 0.1 % points above "
                           "baseline while the traffic moves", "dev"),
    "rate_limit_preservation": ("Keep the rate limits", "send the same burst to both sides and record when 429 starts",
                                "429 starts at the same rate on both sides", "platform"),
    "data_residency": ("Keep the data where it must stay", "list region of each volume, backup and replica of "
                       "{target_name}", "every region is on the allowed list signed by compliance", "compliance"),
    "no_schema_lock": ("Never queue behind a lock", "run each DDL with lock_timeout 2 s and three tries, off-peak",
                       "no session blocked for more than 5 s in pg_stat_activity", "dba"),
    "read_only_window_ok": ("Use the read-only window", "set the application read-only for the cutover and tell the "
                            "users",
                            "reads succeed and writes are refused with the agreed message", "dev"),
}


SERVICE_LOSS = ("for 24 h before and after each step count, hour by hour, the writes that the gateway accepted and the "
                "rows that were stored; keep {source_name} ready until the point of no return; recovery point 0 s",
                "both counts equal in each hour; the rehearsed way back kept every row", "sre")


def requirement_tasks(work: Work, name: str) -> Iterable[Task]:
    index = [plain.strip().lower().replace(" ", "_").replace("-", "_")
             for plain in work.facts.at("constraints.special_requirements", [])].index(name)
    path = ("constraints", "special_requirements", index)
    if name not in REQUIREMENT_TASKS:
        yield task(f"Define how {name} is proven", f"write the test for {name} with its author and add it to the gates",
                   "the test has run once against the present system", "lead", human("requirement"), path=path,
                   after=BESIDE)
        return
    title, action, check, role = REQUIREMENT_TASKS[name]
    if name == "zero_data_loss" and not is_data(work.facts):
        action, check, role = SERVICE_LOSS
    words = {**work.words, "load_order": " -> ".join(load_order(work.facts)) or "{{load_order}}",
             "p95_text": f"{work.limits['p95_limit']} {work.limits['p95_unit']}".strip()}
    yield task(title, fill(action, words), fill(check, words), role, human("requirement"), path=path, after=BESIDE)


def load_order(facts: Facts) -> List[str]:
    """Return the tables with parents before children, as far as the changes name foreign keys."""
    parents: Dict[str, set] = {table.name: set() for table in facts.tables}
    for change in facts.changes:
        found = re.search(r"REFERENCES\s+(\w+)", str(change.detail.get("definition", "")), re.IGNORECASE)
        if found and change.table in parents and found.group(1) in parents and found.group(1) != change.table:
            parents[change.table].add(found.group(1))
    order: List[str] = []
    while len(order) < len(parents):
        ready = [name for name in parents if name not in order and parents[name] <= set(order)]
        order.append(ready[0] if ready else next(name for name in parents if name not in order))
    return [clean(name) for name in order[:8]]


def framework_tasks(work: Work, stage: str) -> Iterable[Task]:
    """Yield one task for each framework: the controls of a stage and the files they leave."""
    for name in work.facts.frameworks:
        rows = [(control, path) for control, path, _ in controls_for(work.facts)
                if control.framework == name and control.stage == stage and control.evidence not in work.collected]
        if rows:
            action = "; ".join(f"{control.reference}: {fill(control.how, work.words)}" for control, _ in rows)
            files = ", ".join(control.evidence for control, _ in rows)
            share = len(rows) / max(sum(1 for row in CONTROLS if row.framework == name), 1)
            yield task(f"Collect the {name} evidence for {listed([control.reference for control, _ in rows], most=3)}",
                       action, f"in the evidence store: {files}",
                       rows[0][0].owner, human("framework", share, formula=f"12 h x {len(rows)} of {name}'s controls"),
                       path=("constraints", "compliance_requirements"), after=BESIDE)


@makes("prepare")
def make_prepare(work: Work, phase: str) -> Iterable[Task]:
    facts, words = work.facts, work.words
    if not is_data(facts):
        yield backup_task(work)
    if needs_target(work):
        disk = f"{figure(work.limits['target_disk_gb'])} GB of disk and " if work.limits["target_disk_gb"] else ""
        load = servers_text(facts) if facts.kind == "infrastructure" else words["load_test_rps"]
        yield task(f"Provision {words['target_name']}", f"size it for {disk}{load}; apply the "
                   "infrastructure code", "health check green; G29 shows no "
                   "difference of grants", "platform", human("provision"), after=BESIDE)
    if relocates(facts) or facts.kind == "infrastructure":
        yield task(f"Open the network from {words['source_name']} to {words['target_name']}",
                   "request firewall rules and private link; iperf3 -c {{target_host}} -P 8 -t 60",
                   f"G37: at least {work.limits['link_gbps']} Gbit/s, loss below 0.1 %", "platform", human("network"),
                   after=BESIDE)
    yield from monitoring_tasks(work)
    yield from framework_tasks(work, "prepare")


def backup_task(work: Work) -> Task:
    """Return how the way back is made sure of: a tested restore, an archived image, or server snapshots."""
    facts, name = work.facts, work.words["source_name"]
    if is_data(facts):
        return task(f"Back up {name} and restore it once", COMMANDS[engine_of(facts, "source")]["backup"]
                    + "; restore into a scratch server", "restored counts equal; minutes noted"
                    + (f" (planned: {span(work.machine['restore'].likely)})" if volume_of(facts) else ""), "dba",
                    plus(human("backup"), work.machine["restore"]),
                    after=BESIDE)
    if facts.kind == "infrastructure":
        largest = max(facts.workloads, key=lambda load: load.gb / load.vms, default=None)
        one = f"one of {largest.name} ({figure(largest.gb / largest.vms)} GB)" if largest else "the largest server"
        return task(f"Restore one server of {name} from backup", f"restore {one} into an isolated network",
                    "it boots and answers; minutes noted", "platform", human("backup"))
    return task(f"Archive image and configuration of {name}", f"push the running image of {name} by digest, export its "
                "configuration; start both in a scratch environment", "health check green from the archived digest",
                "sre", human("backup"))


def is_data(facts: Facts) -> bool:
    return facts.kind in ("database", "data")


def needs_target(work: Work) -> bool:
    """Return whether a new server or deployment has to be built."""
    return relocates(work.facts) or work.facts.kind in ("service", "infrastructure", "api")


def plus(*ranges: Range) -> Range:
    """Return the sum of estimates that follow each other."""
    uses = tuple(dict.fromkeys(name for row in ranges for name in row.uses))
    return Range(*(sum(row[index] for row in ranges) for index in range(3)), ranges[0].basis, uses,
                 " + ".join(row.formula for row in ranges if row.likely > 0))


def monitoring_tasks(work: Work) -> Iterable[Task]:
    """Yield one task for each metric: its alert where a limit is given, else the work to get one."""
    facts = work.facts
    alarms = {alarm.metric: alarm for alarm in facts.alarms}
    for index, metric in enumerate(facts.metrics):
        limit, alarm = facts.alerts.get(metric), alarms.get(metric)
        parts = [f"warn above {figure(limit)}"] if limit is not None else []
        parts += [f"{alarm.action} above {figure(alarm.threshold)} for {figure(alarm.minutes)} min"] if alarm else []
        title = f"Alert on {metric}" if parts else f"Find a limit for {metric}"
        action = "; ".join(parts) or f"record {metric} for 7 days; set warning at its p99 and rollback at 1.5 x p99"
        yield task(title, action + "; fire it once with a test value",
                   f"the page for {metric} arrived on the on-call phone", "sre",
                   human("monitor"), path=("monitoring", "critical_metrics", index))


@makes("rehearse")
def make_rehearse(work: Work, phase: str) -> Iterable[Task]:
    words, facts = work.words, work.facts
    if facts.kind in ("service", "api"):
        yield task(f"Rehearse the way back to {words['source_name']}",
                   f"in staging: raise {words['flag_names']} to 50 %, then back to 0 %; time it",
                   "all traffic on the old side within 2 min; no failed request in the log", "sre",
                   human("rehearse_small"))
    elif not relocates(facts) and facts.kind != "infrastructure":
        rows = max((table.rows for table in facts.tables), default=0)
        if not facts.changes and not work.scripts:
            yield rehearsal_of_rows(work) if row_total(facts) else task(
                "Rehearse the schema changes on a full-size copy", "once they are written down (expand): restore the "
                "backup beside production; run them forward, back, forward; time each", "row hashes equal "
                "after the way back; the times are in the specification", "dba", human("rehearse_small"))
            yield from framework_tasks(work, "rehearse")
            return
        yield task("Rehearse every script and its undo on a full-size copy",
                   f"restore the backup beside production; run all of {words['change_text']} forward, back, "
                   f"forward; time each", f"row hashes equal after the way back; largest table {figure(rows)} rows "
                   f"timed",
                   "dba", human("rehearse_small"))
    else:
        images = work.copy.method == "block_replication"
        machine = work.copy.hours if images else plus(work.copy.hours, work.machine["index"], work.machine["hash"],
                                                      work.machine["catch_up"])
        if work.tracks != ("hybrid_cloud",):  # there the data stays
            yield task(f"Rehearse the copy of {words['volume']} (machine time)",
                       f"run {'the replication and one boot' if images else 'copy, index, check'} on "
                       f"{{{{rehearsal_target}}}} with method {work.copy.method}, {words['streams']} streams",
                       f"copy at most 1.25 x {span(work.copy.hours.likely)}; limit seen: "
                       f"{work.copy.bound_by}", "platform" if images else "dba", machine, "machine")
        yield task("Rehearse cutover and way back", f"switch test clients to {words['target_name']} and back; write "
                   f"the measured figures into `measured` and plan "
                   "again", f"outage at most {words['downtime_limit_70']}; "
                   "way back lost no row", "sre", human("rehearse"))
    yield from framework_tasks(work, "rehearse")


def rehearsal_of_rows(work: Work) -> Task:
    """Return the rehearsal of a plan that changes no column: its long steps on a copy."""
    steps = {"event_sourcing": "capture, snapshot events and the rebuild of the read models"}.get(
        work.tracks[0], "the backfill and its comparison")
    return task(f"Rehearse {steps} on a full-size copy", f"restore the backup beside production; run {steps} for "
                f"{work.words['row_total']} rows; time each and write the rates into `measured`; then truncate and run "
                f"them again",
                "both runs end with equal hashes; the times are in the specification", "dba", human("rehearse_small"))


def statement_task(work: Work, change: Change, stage: str) -> Iterable[Task]:
    """Yield the task of one change in one stage, when it has something to do there."""
    form = safe_form(change, work.facts)
    sql = {"expand": form.expand, "contract": form.contract}[stage]
    if not sql:
        return
    rows = table_of(change, work.facts)
    hours = human("change")
    if change.kind in ("add_index", "create_index") and rows:
        hours = plus(hours, at_speed(work.facts, rows.rows * ROW_MARGIN, "index", "index_rows_per_second", (), True))
    undo = f"; undo: {form.undo}" if stage == "expand" else ""
    yield task(change_title(change, stage), f"{sql} -- lock: {lock_text(form.lock, work.facts)}{undo}",
               change_proof(change, stage, work.facts), "dba",
               hours, "window" if stage == "contract" and form.lossy else "business", change.path)


def lock_text(lock: str, facts: Facts) -> str:
    """Return a lock in the words of the target's engine; the forms speak PostgreSQL's."""
    engine = engine_of(facts, "target")
    if engine == "postgresql":
        return lock
    wide = "the whole database for writers" if engine == "sqlite" else "metadata lock"
    return re.sub(r"ACCESS EXCLUSIVE|SHARE ROW EXCLUSIVE|SHARE UPDATE EXCLUSIVE", wide, lock)


def change_title(change: Change, stage: str) -> str:
    """Return a change in words: what is done to which object."""
    what = f"{change.table}.{change.column}" if change.column else change.table
    name = object_name(change)
    words = {"add_column": f"Add {what}", "add_constraint": f"Add {name} to {change.table}",
             "add_index": f"Build index {name} on {change.table}",
             "create_index": f"Build index {name} on {change.table}",
             "rename_column": f"Rename {what} to {new_column(change)}",
             "drop_table": f"Archive and drop {change.table}",
             "drop_column": f"Archive and drop {what}", "remove_column": f"Archive and drop {what}",
             "drop_constraint": f"Drop {name} of {change.table}", "drop_index": f"Drop index {name}",
             "create_table": f"Create table {change.table}"}
    title = words.get(change.kind, f"Change {what}: {change.detail.get('old_type', change.kind)} to "
                      f"{change.detail.get('new_type', 'its new form')}")
    if stage == "contract" and change.detail.get("new_type"):
        return f"Swap in {what} as {change.detail['new_type']}"
    return f"Enforce: {title[0].lower()}{title[1:]}" if stage == "contract" and not is_lossy(change) else title


PROOFS = {  # how one row shows that a constraint, an index, a table or a column is there
    "postgresql": ("SELECT count(*) FROM pg_constraint WHERE conname = {name}",
                   "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = to_regclass({name})",
                   "SELECT count(*) FROM pg_class WHERE oid = to_regclass({table})",
                   "SELECT data_type, is_nullable FROM information_schema.columns WHERE table_name = {table} AND "
                   "column_name = {column}"),
    "mysql": ("SELECT count(*) FROM information_schema.table_constraints WHERE constraint_name = {name}",
              "SELECT count(DISTINCT index_name) FROM information_schema.statistics WHERE index_name = {name}",
              "SELECT count(*) FROM information_schema.tables WHERE table_name = {table}",
              "SELECT data_type, is_nullable FROM information_schema.columns WHERE table_name = {table} AND "
              "column_name = {column}"),
    "sqlite": ("SELECT sql LIKE '%' || {name} || '%' FROM sqlite_master WHERE name = {table}",
               "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name = {name}",
               "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = {table}",
               "SELECT type, CASE \"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END FROM pragma_table_info({table}) WHERE "
               "name = {column}"),
    "oracle": ("SELECT count(*) FROM user_constraints WHERE constraint_name = upper({name})",
               "SELECT count(*) FROM user_indexes WHERE index_name = upper({name})",
               "SELECT count(*) FROM user_tables WHERE table_name = upper({table})",
               "SELECT data_type, nullable FROM user_tab_columns WHERE table_name = upper({table}) AND column_name = "
               "upper({column})")}
PROOFS["mariadb"] = PROOFS["sqlserver"] = PROOFS["mysql"]


def change_proof(change: Change, stage: str, facts: Facts) -> str:
    """Return the query that shows that a change is there."""
    words = {"table": sql_text(change.table.split(".")[-1]), "name": sql_text(object_name(change))}
    unique = stage == "expand" and str(change.detail.get("constraint_type", "")).upper() == "UNIQUE"
    proofs = PROOFS.get(engine_of(facts, "target"))
    if proofs is None or change.kind not in CHANGE_KINDS:
        return f"the export of the live schema shows {change.kind} on {change.table}, named in the ticket"
    there = int(not change.kind.startswith("drop_"))
    if change.kind in ("add_constraint", "drop_constraint") and not unique:
        return f"{fill(proofs[0], words)} returns {there}"
    if "index" in change.kind or unique:
        return f"{fill(proofs[1], words)} returns {there}"
    if change.kind in ("drop_table", "create_table"):
        return f"{fill(proofs[2], words)} returns {there}"
    return column_proof(change, stage, proofs[3], facts)


def object_name(change: Change) -> str:
    """Return the name of the constraint or index of a change, as its statement gives it."""
    if "index" in change.kind:
        columns = [name for name in change.detail.get("columns", []) if isinstance(name, str)] or [change.column]
        return str(change.detail.get("index_name") or f"{change.table}_{'_'.join(columns)}_idx").replace(".", "_")
    return str(change.detail.get("constraint_name")
               or f"{change.table}_{change.detail.get('constraint_type', 'check')}").replace(".", "_")


TYPE_NAMES = {"varchar": "character varying", "char": "character", "timestamptz": "timestamp with time zone",
              "timestamp": "timestamp without time zone", "int": "integer", "decimal": "numeric", "bool": "boolean"}


def column_proof(change: Change, stage: str, query: str, facts: Facts) -> str:
    """Return the query that shows the form of a column, under the name that it has at this stage."""
    swapped = stage == "contract" or not fills_rows(change)
    gone = stage == "contract" and change.kind in ("drop_column", "remove_column", "rename_column")
    given = str(change.detail.get("new_type") or change.detail.get("data_type") or "")
    if engine_of(facts, "target") == "sqlite":
        form = clean(given or "the new form")
    else:
        plain = re.sub(r"\s*\(.*?\)", "", given.lower()).strip()  # as information_schema names it
        form = clean((TYPE_NAMES.get(plain, plain) if engine_of(facts, "target") == "postgresql" else plain)
                     or "the new form")
    if swapped and change.detail.get("nullable") is False and (stage == "contract" or "default" in change.detail):
        form += ", NO"
    name = change.column if swapped or gone else new_column(change)
    words = {"table": sql_text(change.table.split(".")[-1]), "column": sql_text(name)}
    return f"{fill(query, words)} returns {'no row' if gone else form}"


@makes("expand")
def make_expand(work: Work, phase: str) -> Iterable[Task]:
    if not work.scripts:
        for change in work.facts.changes:
            yield from statement_task(work, change, "expand")
        if not work.facts.changes:
            yield task("Write the schema changes down", "compatibility_checker.py --before {{schema_before}} --after "
                       "{{schema_after}} -o report.json, then plan again with --compatibility report.json",
                       "this phase lists one script for each change", "dba", human("change", 4))


@makes("contract")
def make_contract(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    if not work.scripts:
        for change in facts.changes:
            yield from statement_task(work, change, "contract")
    lossy = [change for change in facts.changes if is_lossy(change)]
    if not lossy and not any(script.phase == "contract" for script in work.scripts):
        yield task("Record the contracted schema", "export the live schema; compatibility_checker.py --before "
                   "expected.json --after live.json", "exit code 0", "dba", human("change"))


@makes("dual_writers")
def make_dual_writers(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    filled = [change for change in facts.changes if fills_rows(change)]
    writers = [row for row in facts.dependencies if row.direction in ("write", "both")]
    pool = max(len(writers), 1)
    if not filled and phase == "migrate" and not any(script.phase == "migrate" for script in work.scripts):
        return
    what = listed([f"{change.table}.{new_column(change)}" for change in filled], "the new form")
    for row in writers:
        yield task(f"Let {row.name} write {what} as well", f"release {row.name} with the write path behind a flag; "
                   "flag on for 1 %, 100 %", "G09: no write reached only one side for 24 h", "dev",
                   pooled(facts, "writer", pool), path=row.path)
    if not writers:
        yield task(f"Release the application that writes {what} as well",
                   "deploy the write path behind a flag; flag on for 1 %, 100 "
                   "%", "G09: no write reached only one side for 24 h", "dev", pooled(facts, "writer", 1),
                   path=filled[0].path if filled else ())


@makes("backfill")
def make_backfill(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    size = facts.value("batch_size")
    for change in facts.changes if not work.scripts else ():
        form = safe_form(change, facts)
        table = table_of(change, facts)
        if not form.migrate:
            continue
        if form.migrate.startswith("ALTER"):
            hours = at_speed(facts, table.gb if table else 1, "scan", "", (), False)
            yield task(f"Validate {change.detail.get('constraint_name', change.kind)} on {change.table}", form.migrate,
                       "SELECT convalidated FROM pg_constraint WHERE conname = "
                       f"{sql_text(str(change.detail.get('constraint_name', '')))} returns t", "dba", hours, "offpeak",
                       change.path)
            continue
        rows = table.rows if table else rows_of(facts)
        batches = -(-rows // size)
        yield task(f"Backfill {change.table}.{new_column(change)}: {plural(rows, 'row')} in {figure(batches)} batches",
                   f"{form.migrate} AND {{{{key}}}} BETWEEN :from AND :to -- {figure(size)} rows, pause "
                   f"{figure(facts.value('batch_pause_ms'))} ms, resume from the progress table; halve the batch when "
                   f"T6 fires", "G10 returns 0", "dba", backfill_estimate(facts, rows), "machine", change.path)
    if phase == "backfill" and not facts.changes:
        yield task(f"Copy {work.words['row_total']} rows in batches", f"batches of {figure(size)} rows by key from a "
                   "snapshot; a newer row wins", "G10 returns 0", "dba", backfill_estimate(facts, row_total(facts)),
                   "machine")


def proof_of(script: Script) -> str:
    """Return how one sees that a script took hold."""
    return str(script.body.get("validation_query") or f"{script.id}: what it says, seen by a second person").rstrip(";")


@makes("verify")
def make_verify(work: Work, phase: str) -> Iterable[Task]:
    names = listed([table.name for table in work.facts.tables if table.critical], "every changed table")
    subject = names if any(table.critical for table in work.facts.tables) else work.words["mapped_tables"]
    if work.reported and work.scripts:
        yield task(f"Prove that the {plural(len(work.scripts), 'script')} of this phase took hold",
                   "; ".join(proof_of(script) for script in work.scripts[:6]), "each query returns true", "data",
                   human("verify"))
        yield from framework_tasks(work, "validate")
        return
    if "expand_contract" in work.tracks and (work.reported or not has_two_forms(work.facts, work.scripts)):
        names = [f"{change.table}.{change.column}" if change.column else change.table for change in work.facts.changes]
        changed = "the expanded schema" if work.reported else listed(names, most=3)
        yield task(f"Prove that the running and the next release both work with {changed}",
                   "run the tests of both releases against a copy with the expanded schema, then release the next one",
                   "both test runs green; G20 holds for one hour after the release", "dev", human("verify"))
        yield from framework_tasks(work, "validate")
        return
    yield task(f"Prove old and new form equal for {subject}", fill("{unfilled_sql}; {differing_sql}", work.words),
               "G10 and G42: each count is 0", "data",
               plus(human("verify"),
                    at_speed(work.facts, max((table.gb for table in work.facts.tables), default=0), "scan")))
    yield from framework_tasks(work, "validate")


@makes("switch_readers")
def make_switch_readers(work: Work, phase: str) -> Iterable[Task]:
    if (work.reported and not work.scripts) or not has_two_forms(work.facts, work.scripts):
        return
    readers = [row for row in work.facts.dependencies if row.direction in ("read", "both", "")]
    flag = work.facts.flags[0].name if work.facts.flags else "{{read_flag}}"
    columns = [f"{change.table}.{new_column(change)}" for change in work.facts.changes if fills_rows(change)]
    for row in readers:
        yield task(f"Switch the reads of {row.name} to {listed(columns, 'the new form', 3)}",
                   f"{flag} for {row.name} to 1, 10, 50, 100 %, 15 min each; back: {flag}=0",
                   f"G20 holds for {row.name}; its owner confirms", "dev", human("flip", 4), path=row.path,
                   after=BESIDE)


@makes("soak_contract")
def make_soak_contract(work: Work, phase: str) -> Iterable[Task]:
    facts, hours = work.facts, work.facts.value("contract_soak_hours")
    if facts.changes and not work.scripts and not any(safe_form(change, facts).contract for change in facts.changes):
        return  # nothing is taken away or enforced: there is nothing to wait for
    filled = [f"{change.table}.{new_column(change)}" for change in facts.changes if fills_rows(change)]
    if filled and not work.scripts and not takes_away(facts):
        yield task(f"Wait {span(hours)} until every release writes {listed(filled, most=3)}",
                   f"each hour: {work.words['target_sessions']}; compare with the releases that write it",
                   f"0 sessions of a release that does not write {listed(filled, most=3)}",
                   "sre", fixed(hours, ("contract_soak_hours",)), "soak")
        return
    yield task(f"Wait {span(hours)} with both forms live",
               fill("keep the old form; watch G26 for {old_objects}", work.words),
               "G26: 0 reads of the old form in the whole time", "sre",
               fixed(hours, ("contract_soak_hours",)), "soak")


def quiet_check(work: Work) -> str:
    """Return what must not have happened in a time of watching."""
    limits = {alarm.metric: alarm.threshold for alarm in work.facts.alarms}
    p95 = limits.get("response_time_p95", work.limits["p95_trigger"])
    shown = f"{figure(p95)} ms" if is_kind(p95, "number") else str(p95)
    return (f"error_rate never above {100 * limits.get('error_rate', work.limits['error_rate_trigger']):.3g} %, p95 "
            f"never above {shown} in the whole time")


@makes("soak")
def make_soak(work: Work, phase: str) -> Iterable[Task]:
    hours = work.facts.value("soak_hours")
    yield task(f"Watch for {span(hours)}",
               fill("on-call watches {source_name} and {target_name} against the triggers of "
               "this plan; the way back stays open", work.words), quiet_check(work), "sre",
               fixed(hours, ("soak_hours",)),
               "soak")


@makes("close")
def make_close(work: Work, phase: str) -> Iterable[Task]:
    small = is_small(work.facts)
    yield task(f"Close the migration to {work.words['target_name']}",
               f"remove the flags ({work.words['flag_names']}), alerts and accounts of the "
               "migration; append the history record of this plan with its actual hours",
               "the history file holds 1 record more; 0 migration roles can log "
               "in", "lead", human("close_small" if small else "close"))
    yield from framework_tasks(work, "close")


@makes("purge")
def make_purge(work: Work, phase: str) -> Iterable[Task]:
    if any(is_lossy(change) for change in work.facts.changes) or any(s.phase == "contract" for s in work.scripts):
        own = engine_of(work.facts, "target") == "postgresql"
        yield task("Purge the archive", ("DROP SCHEMA migration_archive CASCADE;" if own else
                                         "DROP TABLE of each table named _migration_archive_...;")
                   + " -- only after the sign-off of G40",
                   ("SELECT to_regnamespace('migration_archive') returns NULL" if own else
                    "no table named _migration_archive_... is left") + "; the last backup that holds it is named in "
                   "the ticket", "dba", human("change"))


def script_tasks(work: Work, stage: str) -> Iterable[Task]:
    """Yield one task for each script of the compatibility report that belongs to a stage."""
    clients = {"mysql": "mariadb {{database}} <", "mariadb": "mariadb {{database}} <",
               "sqlite": "sqlite3 -bail {{file}} <"}
    client = clients.get(work.facts.target.engine, "psql -X -q -v ON_ERROR_STOP=1 -d {{database}} -f")
    for script in work.scripts:
        if script.phase != stage:
            continue
        body = script.body
        lock = f"; lock: {body['lock']}" if body.get("lock") else ""
        action = (f"{client} {script.id}.sql" if body.get("script_type", "sql") == "sql" else
                  f"by hand: {' '.join(str(body.get('script_content', '')).split())[:1000]}")
        check = str(body.get("validation_query") or "the person who did it confirms in the ticket")
        yield task(f"Run {script.id}: {body.get('description', '')}", action + lock, f"returns true: {check}"
                   if body.get("validation_query") else check, "dba", script_hours(work, script), "business")


def script_hours(work: Work, script: Script) -> Range:
    """Return the time of one script: its own lock work, and the rewrite or backfill of the tables it names."""
    facts = work.facts
    text = str(script.body.get("script_content", ""))
    tables = [table for table in facts.tables if re.search(rf"(?<!\w){re.escape(table.name)}(?!\w)", text)]
    base = human("change")
    if script.body.get("rewrites_table") and tables:
        return plus(base, at_speed(facts, sum(table.gb for table in tables), "rewrite"))
    if script.phase == "migrate" and tables and re.search(r"\bUPDATE\b", text):
        return plus(base, backfill_estimate(facts, sum(table.rows for table in tables)))
    if re.search(r"CREATE (UNIQUE )?INDEX", text) and tables:
        return plus(base, at_speed(facts, sum(table.rows for table in tables) * ROW_MARGIN, "index",
                                   "index_rows_per_second", (), True))
    return base


@makes("scripts_expand")
def make_scripts_expand(work: Work, phase: str) -> Iterable[Task]:
    yield from script_tasks(work, "expand")


@makes("scripts_migrate")
def make_scripts_migrate(work: Work, phase: str) -> Iterable[Task]:
    yield from script_tasks(work, "migrate")


@makes("scripts_contract")
def make_scripts_contract(work: Work, phase: str) -> Iterable[Task]:
    yield from script_tasks(work, "contract")


# -- moving data ---------------------------------------------------------------------------------------

@makes("schema_load")
def make_schema_load(work: Work, phase: str) -> Iterable[Task]:
    load = schema_commands(work.facts)
    yield task(f"Create the schema on {work.words['target_name']}",
               load + "; roles, extensions, settings and collation "
               "compared", "G07: compatibility check of both exports exits 0", "dba",
               Range(4, 8, 24, "assumed", (), "schema, roles, extensions"))
    for note in version_notes(work.facts):
        yield task(note[0], note[1], note[2], "dba", human("change", 2), path=("target",))


CONVERTERS = {("oracle", "postgresql"): "ora2pg -c {{ora2pg_conf}} -t TABLE -o schema.sql; psql -X -v "
              "ON_ERROR_STOP=1 -d {{target_dsn}} -f schema.sql",
              ("mysql", "postgresql"): "pgloader --with 'schema only' {{source_dsn}} {{target_dsn}}",
              ("mariadb", "postgresql"): "pgloader --with 'schema only' {{source_dsn}} {{target_dsn}}"}


def schema_commands(facts: Facts) -> str:
    """Return how the schema gets onto the target: copied inside one engine, converted between two."""
    source, target = engine_of(facts, "source"), engine_of(facts, "target")
    if not same_family(facts):
        return CONVERTERS.get((source, target), f"export the schema of {clean(facts.source.text)}; write it again for "
                              f"{target}: types, keys, defaults, sequences; list every type without an equal and its "
                              f"substitute; load it")
    return {"postgresql": "pg_dump --schema-only -Fc -d {{source_dsn}} -f schema.dump; pg_restore --section=pre-data "
            "-d {{target_dsn}} schema.dump; the keys, which replication needs from the start: pg_restore -l "
            "--section=post-data schema.dump | grep ' CONSTRAINT ' | grep -v 'FK CONSTRAINT' > keys.list; pg_restore "
            "-L keys.list -d {{target_dsn}} schema.dump",
            "sqlite": "sqlite3 {{source_file}} .schema > schema.sql; sqlite3 {{database_file}} < schema.sql",
            "oracle": "expdp {{source_dsn}} content=metadata_only dumpfile=schema.dmp; impdp {{target_dsn}} "
            "dumpfile=schema.dmp",
            "sqlserver": "sqlpackage /Action:Extract /SourceConnectionString:{{source_dsn}} /TargetFile:schema.dacpac; "
            "sqlpackage /Action:Publish /SourceFile:schema.dacpac /TargetConnectionString:{{target_dsn}}",
            "mongodb": "db.getCollectionInfos() of the source; db.createCollection with the same options on the target"
            }.get(target, "mysqldump --no-data --routines --triggers {{database}} > schema.sql; mysql "
                  "{{target_database}} < schema.sql")


def version_notes(facts: Facts) -> Iterable[Tuple[str, str, str]]:
    """Yield what changes between two majors of an engine, as tasks (release notes of the versions)."""
    old, new = facts.source.major, facts.target.major
    if facts.source.engine == facts.target.engine == "postgresql" and old and new:
        if old < 15 <= new:
            yield ("Grant CREATE on schema public where it is needed",
                   "GRANT CREATE ON SCHEMA public TO {{application_role}}; -- PostgreSQL 15 no longer gives it to "
                   "everyone",
                   "SELECT has_schema_privilege('{{application_role}}', 'public', 'CREATE') returns t")
        if old < 14 <= new:
            yield ("Check clients against SCRAM passwords",
                   "SELECT rolname FROM pg_authid WHERE rolpassword LIKE 'md5%'; "
                   "-- PostgreSQL 14 sets new passwords as SCRAM",
                   "the query returns 0 rows, and each driver signs in on the target once")
    if facts.source.engine == "mysql" and old and old < 8 <= new:
        yield ("Check reserved words, collation and login plugin",
               "mysqlsh -- util checkForServerUpgrade {{source_dsn}}",
               "0 errors")


@makes("initial_copy")
def make_initial_copy(work: Work, phase: str) -> Iterable[Task]:
    facts, words = work.facts, work.words
    yield task(f"Start {work.copy.method} from {words['source_name']}", copy_command(work),
               words["log_kept"], "dba", human("flip"))
    shown = sorted(facts.tables, key=lambda table: -table.gb)[:MOST_EACH]
    logical = work.copy.method == "logical_replication" and engine_of(facts, "target") == "postgresql"
    for table in shown:
        rate = speeds(facts, work.copy.method, "copy_gb_per_hour")[1] * facts.value("contention")
        rate *= LOB_SLOWDOWN if table.lob else 1
        split = "; split by key range, it is the longest" if table is shown[0] and len(shown) > 1 else ""
        yield task(f"Copy {table.name}: {figure(table.gb)} GB, {plural(table.rows, 'row')}",
                   f"a worker copies it at about {figure(rate)} GB/h"
                   + ("; watch pg_stat_progress_copy" if logical else "") + split,
                   f"SELECT srsubstate FROM pg_subscription_rel WHERE srrelid = {sql_text(table.name)}::regclass "
                   f"returns r"
                   if logical else f"SELECT count(*) FROM {quote(table.name, facts)} returns the source's count at the "
                   "position of the copy", "dba",
                   Range(0, 0, 0, "given", (), f"{span(table.gb / rate)} inside the copy"), "machine", table.path,
                   BESIDE)
    yield task(f"Copy {words['volume']} (limit: {work.copy.bound_by})",
               "throttle when T6 fires: one worker less, then a pause; resume from the finished "
               "tables", "G12 returns no row", "dba", work.copy.hours, "machine")


def copy_command(work: Work) -> str:
    whole = sum(table.gb for table in work.facts.tables) >= 0.8 * volume_of(work.facts)  # else tables would be left out
    tables = ", ".join(quote(table.name, work.facts) for table in work.facts.tables) if whole else ""
    if work.copy.method == "logical_replication":
        target = f"TABLE {tables}" if tables else "ALL TABLES"
        return (f"source: CREATE PUBLICATION migration FOR {target}; target: CREATE SUBSCRIPTION migration CONNECTION "
                f"'{{{{source_dsn}}}}' PUBLICATION migration; max_sync_workers_per_subscription = "
                f"{work.words['streams']}")
    if work.copy.method == "mysqlsh":
        return (f"mysqlsh -- util dump-instance {{{{dump_dir}}}} --threads={work.words['streams']}; util load-dump; "
                f"then CHANGE REPLICATION SOURCE TO the dump's position")
    if work.copy.method == "dms":
        return ("aws dms start-replication-task --replication-task-arn {{task_arn}} --start-replication-task-type "
                f"start-replication, full load and changes, MaxFullLoadSubTasks {work.words['streams']}")
    return f"start {work.copy.method} with {work.words['streams']} streams from {{{{source_dsn}}}}"


@makes("index_target")
def make_index_target(work: Work, phase: str) -> Iterable[Task]:
    native = engine_of(work.facts, "target") if same_family(work.facts) else ""
    rest = {"postgresql": "pg_restore -l --section=post-data schema.dump | grep -vxFf keys.list > rest.list; "
            f"pg_restore -j {work.words['streams']} -L rest.list -d {{{{target_dsn}}}} schema.dump; ANALYZE;",
            "mysql": "mysqlsh -- util load-dump {{dump_dir}} --load-indexes=true --analyze-tables=on"}
    rest["mariadb"] = rest["mysql"]
    yield task(f"Build {figure(work.facts.value('indexes_per_table'))} indexes a table, foreign keys, statistics",
               rest.get(native, "create the secondary indexes and foreign keys of the schema, "
                        f"{work.words['streams']} at a time; then gather statistics of every table"),
               "G07: no invalid index, no unvalidated constraint", "dba", work.machine["index"], "machine")


@makes("catch_up")
def make_catch_up(work: Work, phase: str) -> Iterable[Task]:
    yield task(f"Apply the backlog of {work.words['backlog']}",
               f"each minute: {work.words['lag_query']}; add apply workers when it does not fall",
               "G11: below 10 s for 30 min", "dba", work.machine["catch_up"], "machine")


@makes("compare_sides")
def make_compare_sides(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    for table in facts.tables[:MOST_EACH]:
        depth = "in full" if table.critical else "46 050 sampled rows"
        yield task(f"Compare {table.name} {depth}", hash_query(table.name, facts) + " -- both sides",
                   "count and hash equal",
                   "data", Range(0, 0, 0, "given", (), "inside the comparison"), "machine", table.path, BESIDE)
    yield task(f"Compare {work.words['volume']} on both sides", fill("{count_sql}; {hash_sql}", work.words),
               "G13 and G14 at 0; differences copied again", "data", work.machine["hash"], "machine")
    yield task("Compare business totals with their owner", work.words["total_sql"], "G16: equal to the cent, signed",
               "owner", human("verify"))
    if phase == "validate":
        yield task("Shadow the reads for 72 h", f"send a copy of the reads to {work.words['target_name']}; compare "
                   f"answers and the plans of the top 20 "
                   "queries", "G18 at 0.1 % or less and falling; p95 within G20", "sre",
                   fixed(72), "soak")
    yield from framework_tasks(work, "validate")


GO_NO_GO_STEPS = ("read the go/no-go list aloud, each line with its evidence; a line without evidence is open, and an "
                  "open line at the deadline is a no-go")


@makes("cutover")
def make_cutover(work: Work, phase: str) -> Iterable[Task]:
    facts, words = work.facts, work.words
    yield task("Decide go or no-go", GO_NO_GO_STEPS,
               f"G40: signed by {words['accountable']}", "owner", human("go_no_go"))
    stoppers = [row.name for row in facts.dependencies if row.can_pause]
    for row in facts.dependencies:
        how = "pause it before the stop of the writers" if row.can_pause else "change its connection to the new address"
        proof = "one read" if row.direction == "read" else "one read and one write"
        yield task(f"Switch {row.name}", f"{how}; then {proof} by its owner", f"{row.name} works on "
                   f"{words['target_name']}: smoke test green", "sre",
                   Range(0, 0, 0, "given", (), "inside the cutover"),
                   "window", row.path, ())
    way = str(facts.at("cutover.switch", "dns"))
    stop = f"stop the writers ({words['source_stop']}, end its sessions)"
    sequences = "set sequences 1 000 above the source; start the reverse replication"
    steps = (f"{stop}; wait for lag 0; {sequences}; switch by {way}; smoke test; open")
    if is_paused(facts):
        pooler = "PROXYSQL " if engine_of(facts, "source") in ("mysql", "mariadb") else ""
        steps = (f"{sequences.replace('; start', ' beforehand; start')}; smoke test {words['target_name']} read-only; "
                 f"in the pooler: {pooler}PAUSE; wait for lag 0; point it to {words['target_name']}; {pooler}RESUME")
    paused = f"pause {listed(stoppers)}; " if stoppers else ""
    yield task(f"Cut over to {words['target_name']} (budget {words['downtime_limit']})", paused + steps,
               f"G27: outage at most {words['downtime_limit']}; abort at "
               f"{span(work.limits['abort_minutes'] / 60)} (T9)", "sre", cutover_minutes(work), "window")


def cutover_minutes(work: Work) -> Range:
    parts, _ = outage_parts(work.facts, work.tracks, bulk_hours(work.machine, work.copy))
    low, likely, high = (sum(part[index] for part in parts) / 60 for index in range(3))
    return Range(low + 0.5, likely + 0.5, high + 0.5, "assumed", () if is_paused(work.facts) else ("dns_ttl_seconds",),
                 "30 min of checks + the outage parts")


@makes("reverse_soak")
def make_reverse_soak(work: Work, phase: str) -> Iterable[Task]:
    hours = work.facts.value("soak_hours")
    yield task(f"Run on {work.words['target_name']} for {span(hours)}",
               fill("keep the reverse replication to {source_name} "
               "below 10 s lag; watch T1 and T13", work.words),
               quiet_check(work) + "; one month-end or billing run seen, if "
               "it falls into it", "sre", fixed(hours, ("soak_hours",)), "soak")


@makes("finalize")
def make_finalize(work: Work, phase: str) -> Iterable[Task]:
    yield task(f"Archive and retire {work.words['source_name']}", f"last backup to cold storage with its checksum; "
               f"{work.words['unsubscribe']}; stop the server; delete after the retention time",
               f"restore of the archived backup tested once; {work.words['unsubscribed']}", "dba",
               human("close"))
    yield from framework_tasks(work, "close")


@makes("bulk_copy")
def make_bulk_copy(work: Work, phase: str) -> Iterable[Task]:
    paused = f"pause {work.words['dependency_names']}; " if work.facts.dependencies else ""
    yield task("Stop the writers", f"{paused}{work.words['source_stop']}; end its sessions",
               work.words["source_quiet"], "sre", human("flip"), "window")
    yield from make_initial_copy(work, phase)
    yield from make_index_target(work, phase)


@makes("delta_sync")
def make_delta_sync(work: Work, phase: str) -> Iterable[Task]:
    yield task("Copy the chunks that changed since their copy",
               "compare the chunk manifest; copy again where a checksum "
               "differs", "0 chunks differ", "dba", human("flip", 2), "machine")


# -- schema versions, events, dual write ---------------------------------------------------------------

@makes("create_v2")
def make_create_v2(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    names = sorted({change.table for change in facts.changes}) or [table.name for table in facts.tables]
    for name in names[:MOST_EACH] or ["every table"]:
        mine = [change for change in facts.changes if change.table == name]
        what = listed([f"{change.kind} {change.column}".strip() for change in mine], "unchanged form")
        yield task(f"Build v2 of {name} with its mapping both ways",
                   f"CREATE TABLE or view in schema v2 ({what}); triggers up and down with a loop "
                   "guard", "46 050 rows through both mappings: 0 differences", "dba",
                   Range(2, 6, 16, "assumed", (), "mapped table hours"), path=mine[0].path if mine else ())


@makes("fill_v2")
def make_fill_v2(work: Work, phase: str) -> Iterable[Task]:
    for table in work.facts.tables[:MOST_EACH]:
        yield task(f"Fill v2.{table.name}: {plural(table.rows, 'row')}", f"batches of "
                   f"{figure(work.facts.value('batch_size'))} rows by key with triggers on; pause "
                   f"{figure(work.facts.value('batch_pause_ms'))} ms", f"counts of {table.name} equal in both schemas",
                   "dba",
                   backfill_estimate(work.facts, table.rows), "machine", table.path)


@makes("shadow_reads")
def make_shadow_reads(work: Work, phase: str) -> Iterable[Task]:
    yield task("Compare reads of both sides", "flag read_compare at 10 % for 24 h, 100 % for 48 h; log each difference "
               "with its key", "G18: 0 unexplained", "dev", Range(24, 72, 168, "assumed", (), "72 h of shadow reads"),
               "soak")


@makes("route_consumers")
def make_route_consumers(work: Work, phase: str) -> Iterable[Task]:
    rows = sorted(work.facts.dependencies, key=lambda row: (row.direction in ("write", "both"), row.name))
    for row in rows:
        yield task(f"Route {row.name} to v2",
                   "set its search_path or connection string to v2" + (
                       "" if row.direction == "read" else ": its reads, a day later its writes"),
                   f"{row.name} has sessions only on v2; G20 holds", "dev",
                   pooled(work.facts, "writer", len(rows)), path=row.path)
    if not rows:
        yield task("Route the application to v2", "set search_path = v2 for {{application_role}}", "no session on v1",
                   "dev",
                   human("writer"))


@makes("freeze_v1")
def make_freeze_v1(work: Work, phase: str) -> Iterable[Task]:
    hours = work.facts.value("contract_soak_hours")
    every = "v1.*" if engine_of(work.facts, "target") in ("mysql", "mariadb") else "ALL TABLES IN SCHEMA v1"
    yield task("Revoke writes on v1", f"REVOKE INSERT, UPDATE, DELETE ON {every} FROM {{{{application_role}}}};",
               "no permission error in the application log", "dba", human("change"))
    yield task(f"Wait {span(hours)} without writers on v1",
               f"each hour, of schema v1: {work.words['target_sessions']}",
               "G25: 0 sessions", "sre", fixed(hours, ("contract_soak_hours",)), "soak")


@makes("drop_v1")
def make_drop_v1(work: Work, phase: str) -> Iterable[Task]:
    mysql = engine_of(work.facts, "target") in ("mysql", "mariadb")
    yield task("Archive and drop v1", "mysqldump --routines --triggers v1 > v1.sql; DROP DATABASE v1;" if mysql else
               "pg_dump -n v1 -Fc -f v1.dump; pg_restore -l v1.dump; DROP SCHEMA v1 CASCADE;",
               "the dump restores into a scratch database; G07 exits 0", "dba", Range(0.25, 0.5, 2, "assumed"),
               "window")


def aggregates(work: Work) -> List[Table]:
    return list(work.facts.tables[:MOST_EACH])


@makes("model_events")
def make_model_events(work: Work, phase: str) -> Iterable[Task]:
    tables = aggregates(work)
    share = 1 / max(len(tables), 1)
    if not tables:
        yield task(f"Name the aggregates and events of {work.words['source_name']}", "list every statement that "
                   "writes; each becomes a named, versioned event with aggregate id and order; put the tables into "
                   "tables_to_migrate and plan again", "every write path maps to one event", "dev",
                   Range(40, 80, 160, "assumed", (), "80 h over all aggregates"))
    for table in tables:
        personal = [name for name, kind in table.columns if personal_kind(name, kind)]
        erase = f"; key per person for {listed(personal)} (crypto-shredding)" if personal else ""
        yield task(f"Name the events of {table.name}", f"each INSERT, UPDATE, DELETE on {table.name} becomes a named, "
                   f"versioned event with aggregate id and order{erase}",
                   f"every write path to {table.name} maps to one event", "dev",
                   Range(40 * share, 80 * share, 160 * share, "assumed", (), "80 h over all aggregates"),
                   path=table.path)


@makes("event_store")
def make_event_store(work: Work, phase: str) -> Iterable[Task]:
    yield task(f"Stand up the event store for {work.words['tps']}",
               "append-only table or log, UNIQUE (aggregate, version), retention, snapshot every 100 events, replica "
               "and backup",
               f"load test at {work.words['load_test_rps']}: append p99 within budget; restore "
               "tested", "platform", Range(16, 40, 80, "assumed", (), "store hours"))


@makes("capture_events")
def make_capture_events(work: Work, phase: str) -> Iterable[Task]:
    tables = aggregates(work)
    share = 1 / max(len(tables), 1)
    for table in tables:
        yield task(f"Capture the events of {table.name}",
                   f"write {table.name} and its event in one transaction (outbox); "
                   "relay publishes it", f"events of {table.name} equal its writes for 24 h", "dev",
                   Range(24 * share, 60 * share, 120 * share, "assumed", (), "60 h over all"),
                   path=table.path)
    if not tables:
        yield task("Capture the events of every aggregate", "write the row and its event in one transaction (outbox); "
                   "relay publishes it", "events equal the rows written for 24 h", "dev",
                   Range(24, 60, 120, "assumed", (), "60 h over all"))
    names = listed([sql_text(table.name) for table in tables], "{{table}}")
    yield task("Compare events and writes for 24 h",
               "each hour: SELECT count(*) FROM {{event_table}} WHERE recorded_at >= :hour; "
               + written_rows(work.facts, names),
               "both grew by the same number in each of 24 hours", "sre", fixed(24), "soak")


def written_rows(facts: Facts, names: str) -> str:
    """Return the query for the rows written to the aggregates' tables."""
    if engine_of(facts, "source") == "postgresql":
        return f"SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE relname IN ({names})"
    if engine_of(facts, "source") in ("mysql", "mariadb"):
        return ("SELECT sum(count_insert + count_update + count_delete) FROM "
                f"performance_schema.table_io_waits_summary_by_table WHERE object_name IN ({names})")
    return f"the rows written to {names} meanwhile, by the application's own counters"


@makes("genesis")
def make_genesis(work: Work, phase: str) -> Iterable[Task]:
    yield task(f"Write {work.words['row_total']} snapshot events",
               "one per aggregate with the log position it was read at; skip aggregates that already have "
               "events", "events equal aggregates; G14 at 0", "dba",
               work.machine["genesis"], "machine")


@makes("projection")
def make_projection(work: Work, phase: str) -> Iterable[Task]:
    likely = work.machine["projection"].likely
    yield task("Write the read models", "one projector for each query of {{read_queries}}; idempotent, with its "
               "position",
               "replaying an event twice changes nothing", "dev", Range(16, 40, 80, "assumed", (), "read model hours"))
    yield task(f"Rebuild from {work.words['row_total']} events and time it", "empty the read model, replay from 0",
               f"at most 4 h (planned {span(likely)}); else run projectors in parallel or from snapshots", "dev",
               work.machine["projection"], "machine")


@makes("dual_run")
def make_dual_run(work: Work, phase: str) -> Iterable[Task]:
    yield task("Run both models for 14 days with a month end", fill("reconcile {event_tables} each night: {count_sql}",
               work.words), "G16 and G34: 0 differences on 14 days", "data", fixed(336, (), "policy: 14 days"), "soak")
    yield from framework_tasks(work, "validate")


@makes("cut_reads")
def make_cut_reads(work: Work, phase: str) -> Iterable[Task]:
    yield task("Serve reads from the projections", "flag read_from_events to 1, 10, 50, 100 %, at least 18 h each",
               "G18 and G20 at each step", "dev", fixed(72), "soak")


@makes("cut_writes")
def make_cut_writes(work: Work, phase: str) -> Iterable[Task]:
    yield task("Decide go or no-go for the writes", GO_NO_GO_STEPS, f"G40: signed by {work.words['accountable']}",
               "owner",
               human("go_no_go"))
    yield task("Switch commands to the event store", f"flag write_events on; back-projection fills "
               f"{work.words['event_tables']}", "G09: back-projection lag below 10 s; G22", "dev",
               Range(0.25, 0.5, 1.5, "assumed", (), "window"), "window")


@makes("switch_writes")
def make_switch_writes(work: Work, phase: str) -> Iterable[Task]:
    yield task("Decide go or no-go for the writes", GO_NO_GO_STEPS, f"G40: signed by {work.words['accountable']}",
               "owner",
               human("go_no_go"))
    yield task("Make the new store primary", "flag primary_store=new; the old store is mirrored",
               "mirror lag below 10 s; G09 reversed", "dev", Range(0.25, 0.5, 1, "assumed", (), "window"), "window")


# -- services ------------------------------------------------------------------------------------------

@makes("facade")
def make_facade(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    moved = [(old, new) for old, new, how in match_endpoints(facts) if new
             and (how == "moved" or old.route != new.route)]
    rules = "; ".join(f"{old.text} -> {new.route}" for old, new in moved if new)[:600]
    balancer = facts.at("service_details.legacy_service.infrastructure.load_balancer", "the load balancer")
    yield task(f"Put the facade behind {balancer} at 0 %", f"route {work.words['every_endpoint']} to "
               f"{work.words['source_name']}; pass request ids, sessions and rate limits through",
               "added p95 at most 5 ms for 24 h, error difference 0", "platform",
               Range(8, 16, 40, "assumed", (), "facade hours"))
    if rules:
        yield task(f"Write the {len(moved)} rewrite rules", rules, f"in staging each of {len(moved)} old calls "
                   "through the facade gets the new side's answer", "dev", human("flip", len(moved)),
                   path=moved[0][0].path)
    yield task("Pass everything through for 24 h", f"0 % to {work.words['target_name']}; {baseline_text(facts)} stay "
               f"on {work.words['source_name']}", "p95 and error rate differ by at most 5 % from the day before the "
               "facade", "sre", fixed(24), "soak")


def baseline_text(facts: Facts) -> str:
    rate = requests_per_second(facts)
    return f"all of {figure(rate)} requests/s" if rate else "all requests"


@makes("implement")
def make_implement(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    twins = {new.text: old for old, new, _ in match_endpoints(facts) if new}
    ordered = sorted((new for new in facts.new if new.text in twins) if facts.new else facts.legacy,
                     key=lambda endpoint: (endpoint.writes, endpoint.text))
    for endpoint in ordered:
        old = twins.get(endpoint.text)
        origin = f"same answer as {old.text}" if old and facts.new else "from its specification"
        test = f"write the contract test ({origin}), then the endpoint until it passes"
        side = "; its writes go to a sandbox until the redirect" if endpoint.writes else ""
        yield task(f"Build {endpoint.text}", test + side, f"contract test of {endpoint.text} green in the pipeline",
                   "dev",
                   pooled(facts, "endpoint", len(ordered)), path=endpoint.path)
    if not ordered:
        yield task(f"Build {work.words['target_name']}", "list its endpoints in service_details.new_service.endpoints "
                   "and plan again", "each endpoint has a contract test", "dev", human("endpoint"))
    yield load_test(work)


def load_test(work: Work) -> Task:
    return task(f"Load test {work.words['target_name']} at {work.words['load_test_rps']}", "k6 run --duration 30m "
                f"{{{{load_script}}}} with {work.words['load_test_rps']} against {work.words['target_name']}",
                comparison("G24: p95", "<=", work.limits["p95_limit"], work.limits["p95_unit"]), "sre",
                human("verify"))


@makes("mirror")
def make_mirror(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    both = "parallel_run" in work.tracks  # its writes end in the sandbox that the setup built
    mirrored = [endpoint for endpoint in facts.legacy if both or not endpoint.writes]
    rate, hours = requests_per_second(facts), 24.0
    if rate > 0:
        hours = min(max(24.0, 4603 * max(len(mirrored), 1) / (rate * 0.1) / 3600), 168)
    what = plural(len(mirrored), "endpoint" if both else "reading endpoint") if mirrored else "the reading endpoints"
    store = ", its writes in the sandbox" if any(endpoint.writes for endpoint in mirrored) else ""
    yield task(f"Mirror {what}",
               f"copy 10 % of {listed([e.text for e in mirrored], 'the reads')} to {work.words['target_name']}{store}, "
               f"discard its answers, log differences by field",
               f"G18: 4 603 comparisons for each endpoint, at most 0.1 % differ ({span(hours)} at "
               + (f"{figure(rate)} rps)" if rate else "an unknown rate)"), "sre",
               Range(max(24, hours), max(48, hours), max(72, hours), "assumed", (), "max(24 h, samples / rate)"),
               "soak")


def step_hours(facts: Facts, step: Step) -> Tuple[float, str]:
    """Return how long a step must be held, and which rule asks for the most."""
    need = step_minutes(facts, step.percentage)
    cycle = 24.0 if 25 <= step.percentage < 100 and len(facts.flags) and step.hours == 0 else 0.0
    rows = [(step.hours, "the schedule" if step.path else "no schedule is given: one day a step")]
    rows += ([(need / 60, "the sample size")] if need else []) + [(cycle, "one day cycle")]
    return max(rows, key=lambda row: row[0])


def default_steps() -> Tuple[Step, ...]:
    return tuple(Step(percent, 24.0 if percent < 100 else 0.0, ()) for percent in (1, 5, 25, 50, 100))


@makes("rollout")
def make_rollout(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    room = capacity_of(facts)
    flags = facts.flags or (Flag("the routing weight", default_steps(), 0, (), ()),)
    reached = 0.0
    for flag in flags:
        before = flag.initial
        for step in flag.steps:
            hours, rule = step_hours(facts, step)
            need = step_minutes(facts, step.percentage)
            enough = f"; {figure(round(need, 1))} min show a doubled error rate" if need else ""
            enough += blast_text(facts, step.percentage)
            alone = flag.path and facts.at("feature_flags")[flag.path[1]].get("parallel")
            hold = f"hold {span(hours)} ({rule}){enough}"
            if step.percentage >= 100 and not step.hours:  # what follows is the next flag or the soak
                hours, hold = 0.0, ("go on when G19 to G22 hold" if flag is not flags[-1] else
                                    f"the {span(facts.value('soak_hours'))} of soak follow")
            to = "=" if flag.path else " to "
            yield task(f"Set {flag.name} to {figure(step.percentage)} %",
                       f"{replicas_before(room, step.percentage, reached)}set {flag.name}{to}"
                       f"{figure(step.percentage)}; {hold}; back: {flag.name}{to}"
                       f"{figure(before if before < step.percentage else 0)}",
                       "G19 to G22 hold for the whole step", "sre",
                       plus(human("flip"), fixed(hours)), "soak", step.path, (f"flag {flag.name}",) if alone else ())
            before, reached = step.percentage, max(reached, step.percentage)
    yield from framework_tasks(work, "validate")


def blast_text(facts: Facts, percentage: float) -> str:
    """Return how much of the error budget a fault eats at a step before its trigger fires."""
    alarm = next((alarm for alarm in facts.alarms if alarm.metric == "error_rate"), None)
    if not alarm:
        return ""
    days, budget = facts.value("slo_window_days"), 1 - facts.value("availability")
    share = percentage / 100 * alarm.threshold * alarm.minutes / (days * 1440 * budget)
    return (f"; a fault at {100 * alarm.threshold:.3g} % errors eats {100 * share:.2g} % of the {figure(days)}-day "
            f"error budget before the trigger fires")


def replicas_before(room: Optional[Capacity], percentage: float, reached: float) -> str:
    """Return the command that must run before a step so that the replicas carry its peak share; they never shrink."""
    if not room or room.core_limit <= 0:
        return ""
    start = room.cores_start / room.core_limit
    counts = [max(-(-room.peak * share / 100 / room.rps_per_core / 0.7 // room.core_limit), start)
              for share in (percentage, reached)]
    most = room.cores_max / room.core_limit
    first = (f"raise max_replicas from {figure(most)} to {figure(counts[0])}, or show {figure(room.needed_per_core)} "
             f"rps a core in the load test; " if counts[0] > most else "")
    why = (f" ({figure(room.peak * percentage / 100)} rps at peak / {figure(room.rps_per_core)} rps a core, 70 % busy)")
    return (f"{first}kubectl scale deployment {{{{deployment}}}} --replicas={figure(counts[0])}{why}; "
            if counts[0] > counts[1] else "")


@makes("soak_service")
def make_soak_service(work: Work, phase: str) -> Iterable[Task]:
    hours = work.facts.value("soak_hours")
    yield task(f"Hold 100 % for {span(hours)}",
               fill("keep {source_name} running idle, patched, at {flag_names}", work.words),
               quiet_check(work) + "; G25 counts no request on the old side", "sre", fixed(hours, ("soak_hours",)),
               "soak")


@makes("retire_service")
def make_retire_service(work: Work, phase: str) -> Iterable[Task]:
    old = work.facts.at("service_details.legacy_service.infrastructure.instances")
    what = f"{figure(old)} instances of {work.words['source_name']}" if old else work.words["source_name"]
    yield task(f"Retire {what}", f"archive image and data with checksums; remove the routes of "
               f"{work.words['every_endpoint']}; revoke its credentials; delete {work.words['source_name']}",
               "the archived image starts once in a scratch network; its cost in billing is 0", "platform",
               Range(2, 4, 12, "assumed", (), "retire hours"))
    yield from make_close(work, phase)


@makes("comparison_setup")
def make_comparison_setup(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    writers = [endpoint for endpoint in facts.legacy if endpoint.writes]
    yield task(f"Write the comparison for {work.words['every_endpoint']}",
               "key, tolerance and ignore list by "
               "endpoint", "10 recorded answers of each endpoint compare equal to themselves", "dev",
               Range(8, 24, 60, "assumed", (), "comparison hours"))
    for endpoint in writers:
        yield task(f"Isolate the side effects of {endpoint.text}", "dry run or sandbox store; mails and payments off",
                   "a mirrored call leaves no trace outside the sandbox", "dev",
                   pooled(facts, "change", len(writers)), path=endpoint.path)


@makes("deploy_dark")
def make_deploy_dark(work: Work, phase: str) -> Iterable[Task]:
    room = capacity_of(work.facts)
    yield task(f"Deploy {work.words['target_name']} without traffic",
               replicas_before(room, 100, 0) + "deploy; health check",
               "healthy replicas; 0 requests", "sre", Range(4, 8, 16, "assumed", (), "deploy hours"))
    yield load_test(work)


@makes("compare_answers")
def make_compare_answers(work: Work, phase: str) -> Iterable[Task]:
    yield task("Run one business cycle and classify each difference", "bug new, bug old, noise; fix and repeat",
               "G18: 0 unexplained on the last day", "dev", fixed(168, (), "policy: one business cycle"), "soak")
    yield task("Fix what the comparison found", "one ticket for each class of difference",
               "its endpoint compares equal",
               "dev", Range(8, 24, 80, "assumed", (), "fix hours"))
    yield from framework_tasks(work, "validate")


@makes("build_green")
def make_build_green(work: Work, phase: str) -> Iterable[Task]:
    yield task(f"Build green for {work.words['target_name']}",
               "apply the same infrastructure code; diff of the settings shows "
               "only what the specification names", "drift 0", "platform",
               Range(4, 8, 24, "assumed", (), "build hours"))


@makes("sync_green")
def make_sync_green(work: Work, phase: str) -> Iterable[Task]:
    gb = volume_of(work.facts)
    if gb and relocates(work.facts):
        yield task(f"Replicate {work.words['volume']} to green", copy_command(work), "G11 and G12", "dba",
                   work.copy.hours,
                   "machine")
        return
    yield task("Let green use the database of blue", "same connection string; schema readable by both releases",
               "compatibility_checker.py exits 0 or 1 for the schemas of both releases", "dba", human("verify"))


@makes("verify_green")
def make_verify_green(work: Work, phase: str) -> Iterable[Task]:
    yield task("Warm green", "replay one hour of reads against caches and pools", "hit rate as on blue", "sre",
               human("verify"))
    yield load_test(work)


@makes("switch_green")
def make_switch_green(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    yield task("Decide go or no-go", GO_NO_GO_STEPS, f"G40: signed by {work.words['accountable']}", "owner",
               human("go_no_go"))
    way = facts.at("cutover.switch", "lb")
    yield task(f"Switch from blue to green by {way}", f"drain 60 s; switch {way}; watch 15 min; back: the same switch "
               f"to blue",
               f"G27: outage at most {figure(work.limits['outage_minutes'])} min; G19, G20 for 15 min", "sre",
               Range(0.3, 0.5, 1, "assumed", (), "switch and 15 min of watching"), "window")
    for row in facts.dependencies:
        yield task(f"Check {row.name} on green", "one read and one write by its owner", "both succeed", "sre",
                   Range(0, 0, 0.1, "given", (), "inside the watch"), "window", row.path)


# -- infrastructure ------------------------------------------------------------------------------------

@makes("inventory")
def make_inventory(work: Work, phase: str) -> Iterable[Task]:
    if not work.facts.workloads:
        yield task(f"List the servers of {work.words['source_name']}", "for each: owner, operating system, size, "
                   "ports, licence, flows of 14 days, what it needs; write them into workloads and plan again: waves "
                   "and times follow from them", "G01: each server has an owner", "platform",
                   Range(24, 40, 80, "assumed", (), "inventory of an unknown number of servers"))
    for load in work.facts.workloads[:MOST_EACH * 2]:
        needs = f"; needs {listed(list(load.after))}" if load.after else ""
        yield task(f"Inventory {load.name}: {plural(load.vms, 'server')}",
                   f"owner, operating system, ports, licence, flows of 14 days{needs}; strategy: "
                   f"{load.strategy}", f"G01: each server of {load.name} has an owner",
                   "platform", Range(0.2 * load.vms, 0.5 * load.vms / work.facts.value("team_size"), 1.0 * load.vms,
                                     "assumed", ("team_size",), f"0.5 h x {load.vms} / team")._replace(
                       low=0.2 * load.vms / work.facts.value("team_size"),
                       high=1.0 * load.vms / work.facts.value("team_size")), path=load.path)


@makes("replicate")
def make_replicate(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    churn = volume_of(facts) * facts.value("churn_percent_per_day") / 100
    yield task(f"Replicate {work.words['volume']} from {work.words['servers']}",
               f"agent on each server; limit to {work.limits['link_gbps']} Gbit/s in business hours; changes "
               f"{figure(churn)} GB a day ({figure(churn * 8e3 / 86400)} "
               f"Mbit/s)", "G33: lag and backlog 0 on each server", "platform",
               work.copy.hours,
               "machine")


@makes("test_launch")
def make_test_launch(work: Work, phase: str) -> Iterable[Task]:
    facts = work.facts
    first = work.waves[0] if work.waves else ()
    for load in first:
        yield task(f"Test launch of {load.name}", f"start {plural(load.vms, 'server')} in an isolated subnet; "
                   "check services, licence and clock; smoke test",
                   f"G32: every server of {load.name} boots and answers", "dev",
                   scaled("vm_test", load.vms / min(facts.value("team_size"), load.vms)), path=load.path)
    if not first:
        yield task("Test launch of the servers", "start each server in an isolated subnet; check services, licence and "
                   "clock; smoke test", "G32: every server boots and answers", "dev", human("vm_test"))
    yield task(f"Leave {figure(facts.value('test_days'))} days between test and cutover",
               f"fix what the test launch of {listed([load.name for load in first], 'the servers')} "
               f"found", "no open finding of the first wave", "lead",
               fixed(24 * facts.value("test_days"), ("test_days",)), "soak")


def scaled(name: str, times: float) -> Range:
    return human(name, times)


@makes("move_wave")
def make_move_wave(work: Work, phase: str) -> Iterable[Task]:
    number = int(phase.rsplit("_", 1)[-1]) if phase.rsplit("_", 1)[-1].isdigit() else 1
    wave = work.waves[number - 1] if work.waves else ()
    yield task(f"Decide go or no-go for wave {number}", GO_NO_GO_STEPS, f"G40: signed by {work.words['accountable']}",
               "owner",
               human("go_no_go"))
    for load in wave:
        yield task(f"Move {load.name}: {plural(load.vms, 'server')}, {figure(load.gb)} GB",
                   "stop the application; final sync; boot on the target; smoke test; switch its name or load "
                   "balancer; back: power on the source",
                   f"G32, G28: {load.name} answers on the target; G27 measured", "platform",
                   Range(0, 0, 0, "given", (), "inside the wave"), "window", load.path)
    outage = cutover_minutes(work)
    yield task(f"Cut over wave {number}: "
               + (plural(sum(load.vms for load in wave), "server") if wave else "the servers"),
               f"{listed([load.name for load in wave], 'the servers')} within {work.words['downtime_limit']} of the "
               f"first stop; abort at {span(work.limits['abort_minutes'] / 60)} (T9)",
               f"G27: outage at most {work.words['downtime_limit']}", "platform", outage, "window")
    if number < len(work.waves):  # the last one is watched by the soak that follows
        yield task(f"Watch wave {number}: {listed([load.name for load in wave])}",
                   f"keep the sources of wave {number} powered off; test launch of wave {number + 1} "
                   f"({listed([load.name for load in work.waves[number]])}) meanwhile",
                   quiet_check(work) + "; G32 holds for the next wave", "sre",
                   fixed(wave_dwell(work.facts), ("soak_hours",)), "soak")


def wave_dwell(facts: Facts) -> float:
    """Return the hours a wave is watched before the next one starts: three days see every daily job twice."""
    return min(facts.value("soak_hours"), 72.0)


@makes("decommission")
def make_decommission(work: Work, phase: str) -> Iterable[Task]:
    yield task(f"Wipe and return {servers_text(work.facts)} of {work.words['source_name']}",
               f"right-size and patch them on {work.words['target_name']}; wipe {work.words['volume']} with "
               "certificate; return the licences",
               "certificate for each server; G36 below 120 %", "platform",
               Range(8, 16, 40, "assumed", (), "decommission hours"))
    yield from framework_tasks(work, "close")


@makes("placement")
def make_placement(work: Work, phase: str) -> Iterable[Task]:
    loads = work.facts.workloads
    if not loads:
        yield task("List the workloads and decide where each runs", "for each: residency, latency, licence, data "
                   "gravity; write them into workloads, with r_strategy retain for what stays, and plan again",
                   "a written reason for each, signed", "lead", Range(8, 24, 60, "assumed", (), "24 h over all"))
    for load in loads:
        yield task(f"Decide where {load.name} runs",
                   f"residency, latency, licence, data gravity; today: {load.strategy}",
                   f"written reason for {load.name}, signed", "lead",
                   Range(8 / len(loads), 24 / len(loads), 60 / len(loads), "assumed", (), "24 h over all"),
                   path=load.path)


@makes("connectivity")
def make_connectivity(work: Work, phase: str) -> Iterable[Task]:
    rtt, calls = work.facts.value("rtt_ms"), work.facts.at("workload.calls_per_request", 5)
    yield task(f"Join {work.words['source_name']} and {work.words['target_name']}",
               "two independent paths, MTU, split DNS, identity "
               "federation", f"G37; {figure(calls)} calls x {figure(rtt)} ms = {figure(calls * rtt)} ms stay "
               "below 20 % of p95", "platform", Range(16, 40, 120, "assumed", (), "network hours"))


def workload_tasks(work: Work, loads: Sequence[Workload], action: str, check: str, hours: Range) -> Iterable[Task]:
    if not movers(work.facts):
        yield task("Name what moves", f"list what runs on {work.words['source_name']} under workloads (name, vms, "
                   f"size_gb, r_strategy) and plan "
                   "again", "this phase holds one task for each workload that moves", "lead",
                   human("change", 4))
    for load in loads:
        yield task(f"Move {load.name}: {plural(load.vms, 'server')}", action, f"{check} for {load.name}", "platform",
                   hours,
                   path=load.path)


def movers(facts: Facts) -> List[Workload]:
    return [load for load in sorted(facts.workloads, key=lambda load: (load.critical, load.gb, load.name))
            if load.strategy != "retain"]


@makes("pilot_workload")
def make_pilot_workload(work: Work, phase: str) -> Iterable[Task]:
    yield from workload_tasks(work, movers(work.facts)[:1],
                              "deploy on the target; route 10, 50, 100 %; back: route home",
                              "G20 and G29 hold", Range(8, 24, 60, "assumed", (), "pilot hours"))
    yield task("Watch the pilot for 72 h", "latency, errors and cost by day", "T2 never fired", "sre", fixed(72),
               "soak")


@makes("move_workloads")
def make_move_workloads(work: Work, phase: str) -> Iterable[Task]:
    yield from workload_tasks(work, movers(work.facts)[1:] or (),
                              "deploy; route 10, 50, 100 %; its data stays or is replicated; "
                              "back: route home", "G19 to G22 hold", Range(8, 16, 40, "assumed", (), "16 h a workload"))


@makes("operate")
def make_operate(work: Work, phase: str) -> Iterable[Task]:
    target = work.facts.at("business_continuity.rto_minutes", work.facts.at("rto_minutes"))
    yield task("Cut one path on purpose", "disable the first link for 30 min in a quiet hour", f"recovered within "
               f"{figure(target)} min" if target else "recovered within {{rto_minutes}} min", "sre",
               Range(8, 24, 60, "assumed", (), "operate hours"))
    yield task(f"Run one patch cycle over both sites ({span(work.facts.value('soak_hours'))})", "patch, backup and "
               "monitoring from one place", "no server without patch, backup or alert", "sre",
               fixed(work.facts.value("soak_hours"), ("soak_hours",)), "soak")


@makes("review")
def make_review(work: Work, phase: str) -> Iterable[Task]:
    yield task("Sign the hybrid state", "exit criteria, costs, date of the next review", "G40: signed", "owner",
               Range(2, 4, 8, "assumed", (), "review hours"))
    yield from framework_tasks(work, "close")


@makes("mapping")
def make_mapping(work: Work, phase: str) -> Iterable[Task]:
    egress = volume_of(work.facts) * work.facts.value("churn_percent_per_day") / 100 * 30
    cost = work.facts.value("cost_per_gb") * egress
    yield task("Map services and writers", f"for {work.words['workload_names']}: equal service, region of the one "
               f"writer; egress {figure(egress)} GB a month"
               + (f" = {figure(cost)}" if cost else ", price in network.cost_per_gb"),
               "each dataset has one writer; cost signed", "platform",
               Range(24, 60, 160, "assumed", (), "mapping hours"))


@makes("common_layer")
def make_common_layer(work: Work, phase: str) -> Iterable[Task]:
    yield task("Build the common layer in both clouds",
               "infrastructure code, cluster, secrets, identity, observability, "
               "images", "plan of the infrastructure code shows no drift in either cloud; G38", "platform",
               Range(60, 160, 400, "assumed", (), "layer hours"))


@makes("data_layer")
def make_data_layer(work: Work, phase: str) -> Iterable[Task]:
    yield task(f"Replicate {work.words['volume']} to the second cloud", copy_command(work),
               "G11; recovery point measured",
               "dba", work.copy.hours, "machine")
    yield task("Test the conflict policy", "write the same key on both sides within one second, 1 000 times",
               "each conflict ends as the policy says", "dba", human("verify", 2))


@makes("pilot_weight")
def make_pilot_weight(work: Work, phase: str) -> Iterable[Task]:
    yield task("Send 1 % to the second cloud", "global load balancer weight 1; back: 0", "G19, G20, G36 for 72 h",
               "sre",
               Range(72, 96, 168, "assumed", (), "pilot hours"), "soak")


@makes("distribute")
def make_distribute(work: Work, phase: str) -> Iterable[Task]:
    yield from workload_tasks(work, movers(work.facts), "passive first; then weight 10, 50; writer last, with reverse "
                              "replication", "G22 holds", Range(8, 24, 60, "assumed", (), "24 h a service"))


@makes("gameday")
def make_gameday(work: Work, phase: str) -> Iterable[Task]:
    yield task("Cut one provider and come back, twice", "weight 0 for one provider for 1 h each",
               "recovery time and point met twice", "sre", Range(8, 16, 40, "assumed", (), "game day hours"))
    yield from framework_tasks(work, "close")


# == 15. Phasing ======================================================================================
# Tracks -> phases with tasks, gates, triggers and scripts. Phases follow each other.

def build_phases(work: Work) -> Tuple[Phase, ...]:
    """Return the phases of all tracks in their order."""
    rows = [(track, row) for index, track in enumerate(work.tracks) for row in track_rows(work, track, index)]
    phases: List[Phase] = []
    carried = set()
    for track, row in rows:
        scripts = tuple(script for script in work.scripts if script.phase == row.carries and row.carries not in carried)
        carried.add(row.carries)
        held = work._replace(scripts=scripts, reported=bool(work.scripts), collected=tuple(
            word.strip(",") for phase in phases for item in phase.tasks if item.title.startswith("Collect the ")
            for word in item.check.split()))
        names = {phase.name for phase in phases}
        name = row.name if row.name not in names else f"{track}_{row.name}"
        before = phases_before(phases, row)
        phase = build_phase(held, track, row._replace(name=name), before, bool(work.scripts))
        phases += [phase] if phase.tasks else []
    return tuple(phases)


def phases_before(phases: Sequence[Phase], row: PhaseRow) -> Tuple[str, ...]:
    """Return the phases that one waits for: the last one and what ran beside it, or what that one waits for."""
    if not phases or row.beside:
        return phases[-1].after if phases else ()
    together = 1
    while together < len(phases) and phases[-together].row.beside:
        together += 1
    return tuple(phase.name for phase in phases[-together:])


def track_rows(work: Work, track: str, index: int) -> Iterable[PhaseRow]:
    """Yield the phase rows of one track: waves unrolled, preparation and closing only once in a plan."""
    for row in PATTERNS[track].phases:
        if index and ("assess" in row.make.split() or "prepare" in row.make.split()):
            continue
        if row.name == "close" and track != work.tracks[-1]:
            continue
        if row.each == "wave":
            for number in range(1, max(len(work.waves), 1) + 1):
                yield row._replace(name=f"wave_{number}")
        else:
            yield row


def build_phase(work: Work, track: str, row: PhaseRow, before: Tuple[str, ...], reported: bool) -> Phase:
    words = {**work.words, **wave_words(work, row)}
    tasks = tuple(phase_tasks(work, row, reported))
    if reported and work.scripts:
        words["change_text"] = plural(len(work.scripts), "change")
    gates = tuple(gate for gate in (make_gate(work, name) for name in row.gates.split()) if gate)
    no_return = fill(row.no_return, words) if row.no_return and not is_returnable(work, row, reported) else ""
    undo = row.undo
    if row.name in ("contract", "cleanup") and not no_return and track == "expand_contract":
        undo, row = soft_undo(work, row, reported), row._replace(undo_minutes=(1, 5, 15))
    kind, _, how = undo.partition(": ")
    entry = tuple(f"{name} has passed its gates" for name in before) or ("the specification is valid",)
    return Phase(row.name, row, track, fill(row.purpose, words), entry, before, tasks, gates,
                 phase_triggers(work, row), work.scripts, f"{kind}: {fill(how, words)}", no_return)


def soft_undo(work: Work, row: PhaseRow, reported: bool) -> str:
    """Return how a last step is undone that took nothing away."""
    if row.name == "cleanup":
        return "rollback: no data was removed; flags and alerts come back with the configuration of the release before"
    if reported:
        return "rollback: run the rollback_script of each script, last first; all of them are lossless"
    facts = work.facts
    steps = []
    for change in facts.changes:
        table, column = quote(change.table, facts), quote(change.column or "{{column}}", facts)
        if change.kind == "rename_column":
            steps.append(f"add {change.table}.{change.column} again and fill it from {new_column(change)}")
        elif change.kind == "add_column" and safe_form(change, facts).contract:
            steps.append(f"MODIFY {column} without NOT NULL" if engine_of(facts, "target") in ("mysql", "mariadb") else
                         f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL;")
    return "rollback: " + ("; ".join(steps) or "nothing to undo: nothing was enforced or dropped")


def is_returnable(work: Work, row: PhaseRow, reported: bool) -> bool:
    """Return whether the reason that makes this phase final does not hold for this specification."""
    facts = work.facts
    lossy = any(is_lossy(change) for change in facts.changes)
    if row.name in ("contract", "cleanup"):
        return (all(script.body.get("reversibility") == "lossless" for script in work.scripts) and not lossy if reported
                else not lossy)
    if row.name in ("redirect", "switch"):  # both sides use one database, or writes are kept on both
        writes = any(endpoint.writes for endpoint in facts.legacy) or not facts.legacy
        return not (writes and facts.at("constraints.data_volume_gb") and not facts.partners)
    return False


def wave_words(work: Work, row: PhaseRow) -> Dict[str, str]:
    number = int(row.name[5:]) if row.each == "wave" and row.name[5:].isdigit() else 0
    if not number or not work.waves:
        return {"wave_text": "the servers"}
    wave = work.waves[number - 1]
    return {"wave_text": f"wave {number} of {len(work.waves)}: {plural(sum(load.vms for load in wave), 'server')} "
                         f"({listed([load.name for load in wave])}), {figure(sum(load.gb for load in wave))} GB"}


def phase_tasks(work: Work, row: PhaseRow, reported: bool) -> Iterable[Task]:
    """Yield the tasks of a phase with their ids, each after what must come before it."""
    number = 0
    before: List[str] = []  # ids the next group waits for
    given = {name: value for name, value in work.facts.at("estimates", {}).items() if value}
    for maker in row.make.split():
        lanes: Dict[str, List[str]] = {"main": []}
        if reported and maker in ("expand", "contract", "backfill") and not work.scripts:
            continue
        for item in MAKERS[maker](work, row.name):
            number += 1
            name = f"{row.name}-{number:02d}"
            lane = "main" if not item.after else item.after[0] if item.after != BESIDE else f"side {number}"
            after = tuple(lanes.get(lane, [])[-1:] or before)
            lanes.setdefault(lane, []).append(name)
            yield item._replace(id=name, after=after, title=clean(item.title), lane=f"{maker}/{lane}",
                                hours=own_estimate(given.get(name), item.hours))
        before = [lane[-1] for lane in lanes.values() if lane] or before


def own_estimate(given: Optional[Dict[str, Any]], hours: Range) -> Range:
    """Return the user's own three-point estimate of a task, when there is one."""
    if not given or "m" not in given:
        return hours
    likely = float(given["m"])
    return Range(min(float(given.get("o", likely)), likely), likely, max(float(given.get("p", likely)), likely),
                 "given",
                 (), "estimates of the specification")


def make_gate(work: Work, name: str) -> Optional[Gate]:
    """Return a gate filled with this specification's names, None when it has no subject here."""
    row, facts = GATES[name], work.facts
    if not gate_applies(work, name):
        return None
    how = SERVICE_HOW.get(name, row.how) if not is_data(facts) else row.how
    return Gate(name, fill(row.metric, work.words), row.operator, limit_of(row.threshold, work.limits),
                limit_of(row.unit, work.limits), fill(how, work.words))


SERVICE_HOW = {  # how the same gate is measured where there is no database to ask
    "G01": "callers in the gateway's or firewall's log of 7 days; {consumer_rule}",
    "G03": "start the archived image or restored server of {source_name} in a scratch network; note the minutes",
    "G05": "df -BG on each volume of {target_name}; quota of the account at least 1.5 x {volume}",
    "G07": "compatibility_checker.py --type api --before expected.json --after live.json exits 0",
    "G11": "lag of each replica in the console that runs it, in seconds",
    "G29": "openssl s_client -connect {{target_host}}:443 -verify_return_error; port scan from outside; roles of both "
    "sides "
           "compared",
    "G31": "restore the first backup of {target_name}; fire one test alert",
}


def gate_applies(work: Work, name: str) -> bool:
    """Return whether a gate has something to measure in this specification."""
    facts = work.facts
    filled = any(change.column and fills_rows(change) for change in facts.changes)
    twice = bool(set(work.tracks) & {"dual_write", "event_sourcing", "parallel_schema"})
    needs = {"G26": not facts.changes or takes_away(facts) or bool(work.scripts), "G42": filled,
             "G10": filled or not facts.changes,
             "G09": filled or twice or bool(work.scripts),
             "G15": is_data(facts) and ("REFERENCES" in str(facts.spec.get("schema_changes", "")).upper()
                                        or "referential_integrity" in facts.requirements or relocates(facts)),
             "G11": replicates(facts), "G05": relocates(facts) or facts.kind == "infrastructure",
             "G12": work.copy.method in ("logical_replication", "mysqlsh", "dms"),
             "G23": facts.kind == "service" and ("session_continuity" in facts.requirements
                                                 or any("auth" in item.route or "login" in item.route
                                                        for item in facts.legacy))}
    return needs.get(name, True)


def replicates(facts: Facts) -> bool:
    """Return whether a replica of the data has a lag: not where both sides of a service use one database."""
    return is_data(facts) or facts.kind == "infrastructure" or relocates(facts) or "cdc" in facts.partners


def phase_triggers(work: Work, row: PhaseRow) -> Tuple[Trigger, ...]:
    """Return the triggers of a phase; a trigger of the specification replaces the row on the same metric."""
    own = {alarm.metric: alarm for alarm in work.facts.alarms}
    quiet = row.carries == "migrate" and "switch_readers" in row.make and not has_two_forms(work.facts, work.scripts)
    triggers = []
    for name in row.triggers.split():
        if quiet and name in ("T10", "T4", "T6", "T7"):  # nothing is written twice or filled
            continue
        if name == "T5" and not replicates(work.facts):
            continue
        item = TRIGGERS[name]
        alarm = own.pop(item.metric, None) or own.pop(item.metric.replace("_above_baseline", ""), None)
        if alarm:
            triggers.append(alarm_trigger(alarm, name))
        else:
            triggers.append(Trigger(name, item.metric, item.operator, limit_of(item.threshold, work.limits),
                                    limit_of(item.unit, work.limits), item.minutes, item.action))
    if row.triggers and set(row.triggers.split()) & {"T1", "T2", "T13"}:
        triggers += [alarm_trigger(alarm, f"S{alarm.path[1] + 1}") for alarm in own.values()]
    return tuple(triggers)


def alarm_trigger(alarm: Alarm, name: str) -> Trigger:
    unit = "share" if alarm.metric in RATIO_METRICS else "ms" if "response_time" in alarm.metric else ""
    return Trigger(name, alarm.metric, ">", alarm.threshold, unit, alarm.minutes, alarm.action, show_path(alarm.path))


# == 16. Scheduling ===================================================================================
# Durations on a calendar: critical path, simulation, dates. Time is hours since the start.

BAND = 512  # quantiles of one PERT shape
LONG_STRETCH = 32  # tasks of one kind in a row; the sum of more is drawn at once, or 1000 tables take minutes
HUMAN_OVERRUN = (1.10, 0.30)  # median and sigma of a lognormal: P80 1.42; Bloor 2007: 40 % mean time overrun
MACHINE_OVERRUN = (1.0, 0.25)  # assumed
REFERENCE_START = "2024-01-01T09:00"  # a Monday and the first day of a year: day numbers count from the start
HORIZON_DAYS = 900


class Open:
    """The hours in which one kind of work may run, as intervals since the start."""

    def __init__(self, intervals: Iterable[Tuple[float, float]]) -> None:
        self.starts: List[float] = []
        self.ends: List[float] = []
        self.before: List[float] = []  # open hours before each interval
        total = 0.0
        for start, end in intervals:
            self.starts.append(start)
            self.ends.append(end)
            self.before.append(total)
            total += end - start
        self.longest = max((end - start for start, end in zip(self.starts, self.ends)), default=0.0)
        self.hours = total
        self.last = self.ends[-1] if self.ends else 0.0
        self.pace = self.last / total if total else 1.0

    def finish(self, start: float, hours: float) -> float:
        """Return when work of `hours` ends that begins at `start` and rests while closed; past the last day too."""
        if start >= self.last:
            return start + hours * self.pace
        index = bisect_right(self.starts, start) - 1
        used = start - self.starts[index] if index >= 0 and start < self.ends[index] else None
        worked = (self.before[index] + used if used is not None else self.before[min(index + 1, len(self.before) - 1)])
        if worked + hours > self.hours:
            return self.last + (worked + hours - self.hours) * self.pace
        last = bisect_left(self.before, worked + hours) - 1
        return self.starts[max(last, 0)] + worked + hours - self.before[max(last, 0)]

    def opening(self, start: float) -> float:
        """Return the first open moment from `start` on."""
        index = bisect_right(self.starts, start) - 1
        if index >= 0 and start < self.ends[index]:
            return start
        return self.starts[index + 1] if index + 1 < len(self.starts) else start

    def fit(self, start: float, hours: float) -> float:
        """Return when work of `hours` ends that must not be interrupted."""
        index = max(bisect_right(self.starts, start) - 1, 0)
        if self.starts and self.starts[index] <= start <= self.ends[index] - hours + 1e-9:
            return start + hours
        wanted = min(hours, self.longest)
        while index < len(self.starts) and self.ends[index] - max(self.starts[index], start) < wanted - 1e-9:
            index += 1
        return (max(self.starts[index], start) if index < len(self.starts) else start) + hours


class Calendar(NamedTuple):
    """When each kind of work may run, and how hours since the start become dates."""

    start: Any  # aware datetime in UTC
    zone: Any
    business: Open
    window: Open
    offpeak: Open
    dated: bool
    window_hours: float


def build_calendar(facts: Facts, start: Optional[str]) -> Calendar:
    """Return the calendar of this specification from its start, or from a Monday that stands for any."""
    import datetime
    zone = zone_of(str(facts.at("team.timezone", "UTC"))) or datetime.timezone.utc
    begin = datetime.datetime.fromisoformat(start or REFERENCE_START)
    if begin.tzinfo is None:
        begin = begin.replace(tzinfo=zone)
    origin = begin.astimezone(datetime.timezone.utc)
    opening = clock(str(facts.at("team.day_starts", "09:00")))
    workdays = facts.at("team.workdays", list(DAYS[:5]))
    free = closed_days(facts)
    business = day_spans(origin, zone, opening, opening + facts.value("hours_per_day"), workdays, free[0])
    window = facts.at("business_continuity.preferred_migration_window", {})
    wall = zone_of(str(window.get("timezone", ""))) if window.get("timezone") else zone
    opens, closes = clock(window.get("start", "02:00")), clock(window.get("end", "06:00"))
    closes += 24 if closes <= opens else 0
    days = window.get("days", ["tue", "wed", "thu"])
    windows = day_spans(origin, wall or zone, opens, closes, days, free[0] | free[1])
    busy = facts.at("business_continuity.critical_business_hours", {})
    busy_zone = zone_of(str(busy.get("timezone", ""))) if busy.get("timezone") else zone
    quiet_from, quiet_to = clock(busy.get("end", "18:00")), clock(busy.get("start", "08:00"))
    quiet_to += 24 if quiet_to <= quiet_from else 0
    offpeak = day_spans(origin, busy_zone or zone, quiet_from, quiet_to, list(DAYS), set())
    return Calendar(origin, zone, Open(business), Open(windows), Open(offpeak), bool(start), closes - opens)


def clock(text: str) -> float:
    hours, minutes = text.split(":")
    return int(hours) + int(minutes) / 60


def closed_days(facts: Facts) -> Tuple[set, set]:
    """Return holidays, and the days on which nothing is cut over (blackouts, the day before a holiday)."""
    import datetime
    one = datetime.timedelta(days=1)
    free = {datetime.date.fromisoformat(day[:10]) for day in facts.at("business_continuity.holidays", []) if day}
    blocked = {day - one for day in free}
    for row in facts.at("business_continuity.blackout_dates", []):
        day = datetime.date.fromisoformat(row["start"][:10])
        last = datetime.date.fromisoformat(row.get("end", row["start"])[:10])
        while day <= last:
            blocked.add(day)
            day += one
    return free, blocked


def day_spans(origin: Any, zone: Any, opens: float, closes: float, days: Sequence[str],
              closed: set) -> Iterable[Tuple[float, float]]:
    """Yield the open spans of each local day as hours since the origin; a time that DST skips moves with the clock."""
    import datetime
    first = origin.astimezone(zone).date() - datetime.timedelta(days=1)
    wanted = {DAYS.index(name) for name in days}
    fixed_zone = isinstance(zone, datetime.timezone)
    midnight = datetime.datetime.combine(first, datetime.time(), zone)
    base = (midnight - origin).total_seconds() / 3600
    for number in range(HORIZON_DAYS):
        day = first + datetime.timedelta(days=number)
        if day.weekday() not in wanted or day in closed:
            continue
        if fixed_zone:
            start, end = base + 24 * number + opens, base + 24 * number + closes
        else:
            start, end = (local_hours(origin, zone, day, hour) for hour in (opens, closes))
        if end > 0:
            yield max(start, 0.0), end


def local_hours(origin: Any, zone: Any, day: Any, hour: float) -> float:
    """Return a local wall-clock time as hours since the origin."""
    import datetime
    moment = datetime.datetime.combine(day, datetime.time(), zone) + datetime.timedelta(hours=hour)
    return (moment.astimezone(datetime.timezone.utc) - origin).total_seconds() / 3600


class Item(NamedTuple):
    """One task as the simulation needs it."""

    low: float
    width: float
    band: Tuple[float, ...]
    kind: str  # human | machine | fixed
    calendar: str


class Timed(NamedTuple):
    """Where one task stands on the likely course."""

    task: Task
    start: float
    end: float
    slack: float
    critical: bool


class Forecast(NamedTuple):
    """What the simulation found; hours of work and waiting on the path, days on the calendar, minutes of outage."""

    path: Dict[str, float]
    days: Dict[str, float]
    phases: Dict[str, Dict[str, float]]
    phase_ends: Dict[str, Dict[str, float]]  # hours since the start, on the calendar
    outage: Dict[str, float]
    meets_outage: float
    on_time: Optional[float]
    timed: Dict[str, Timed]
    likely_hours: float
    likely_days: float
    runs: int
    seed: int
    sensitivity: Tuple[Tuple[str, float], ...]


BANDS: Dict[int, Tuple[float, ...]] = {}


def pert_band(low: float, likely: float, high: float) -> Tuple[float, ...]:
    """Return the quantiles of a PERT distribution on 0..1, from its density added up in small steps."""
    mode = round(100 * (likely - low) / (high - low)) if high > low else 50
    if mode not in BANDS:
        a, b = 4 * mode / 100, 4 - 4 * mode / 100  # exponents of the density x^a (1-x)^b
        grid = 2000
        weights = [((cell + 0.5) / grid) ** a * (1 - (cell + 0.5) / grid) ** b for cell in range(grid)]
        total, reached, values = sum(weights), 0.0, []
        for cell, weight in enumerate(weights):
            while len(values) < BAND and reached + weight >= total * (len(values) + 0.5) / BAND:
                values.append((cell + (total * (len(values) + 0.5) / BAND - reached) / weight) / grid)
            reached += weight
        BANDS[mode] = tuple(values + [1.0] * (BAND - len(values)))
    return BANDS[mode]


def advance(calendar: Calendar, kind: str, start: float, hours: float) -> float:
    """Return when a task of a kind of calendar ends."""
    return end_in(calendar, kind)(start, hours) if hours > 0 else start


def end_in(calendar: Calendar, kind: str) -> Callable[[float, float], float]:
    """Return the function from start and hours of a task to its end; machines never rest."""
    return {"business": calendar.business.finish, "offpeak": calendar.offpeak.finish,
            "window": calendar.window.fit}.get(kind, add)


def lanes_of(phase: Phase) -> List[List[List[Task]]]:
    """Return the tasks of a phase as groups that follow each other, each of lanes that run side by side."""
    groups: Dict[str, Dict[str, List[Task]]] = {}
    for item in phase.tasks:
        group, _, lane = item.lane.partition("/")
        groups.setdefault(group, {}).setdefault(lane, []).append(item)
    return [list(lanes.values()) for lanes in groups.values()]


def likely_course(phases: Sequence[Phase], calendar: Calendar) -> Tuple[Dict[str, Timed], float]:
    """Return each task's likely dates and slack, and the hours on the critical path."""
    slacks, hours = phase_slacks(phases)
    timed: Dict[str, Timed] = {}
    ends: Dict[str, float] = {}
    for phase in phases:
        moment = max((ends[name] for name in phase.after), default=0.0)
        for group in lanes_of(phase):
            longest = max(sum(item.hours.likely for item in lane) for lane in group)
            reached = [moment]
            for lane in group:
                slack = slacks[phase.name] + longest - sum(item.hours.likely for item in lane)
                reached.append(place_lane(lane, calendar, moment, slack, timed))
            moment = max(reached)
        ends[phase.name] = moment
    return timed, hours


def place_lane(lane: Sequence[Task], calendar: Calendar, begin: float, slack: float, timed: Dict[str, Timed]) -> float:
    """Put the tasks of one lane into `timed`, one after the other; return when the last one ends."""
    here = begin
    waiting: List[Task] = []  # what happens inside the window that comes next
    for item in lane:
        if item.calendar == "window" and not item.hours.likely:
            waiting.append(item)
            continue
        end = advance(calendar, item.calendar, here, item.hours.likely)
        open_hours = {"business": calendar.business, "offpeak": calendar.offpeak}.get(item.calendar)
        start = open_hours.opening(here) if open_hours else here
        if item.calendar == "window":
            start = end - item.hours.likely
        timed[item.id] = Timed(item, min(max(start, here), end), end, slack, slack < 1e-9 and item.hours.likely > 0)
        timed.update({inner.id: Timed(inner, start, end, slack, False) for inner in waiting})
        here, waiting = end, []
    timed.update({inner.id: Timed(inner, here, here, slack, False) for inner in waiting})
    return here


def likely_length(phase: Phase) -> float:
    """Return the likely hours of a phase: its groups one after the other, each as long as its longest lane."""
    return sum(max(sum(item.hours.likely for item in lane) for lane in group) for group in lanes_of(phase))


def phase_slacks(phases: Sequence[Phase]) -> Tuple[Dict[str, float], float]:
    """Return how long each phase may slip without moving the end, and the hours from start to end."""
    finish: Dict[str, float] = {}
    for phase in phases:
        finish[phase.name] = max((finish[name] for name in phase.after), default=0.0) + likely_length(phase)
    total = max(finish.values(), default=0.0)
    latest = {phase.name: total for phase in phases}
    for phase in reversed(phases):
        for name in phase.after:
            latest[name] = min(latest[name], latest[phase.name] - likely_length(phase))
    return {name: max(latest[name] - finish[name], 0.0) for name in finish}, total


def simulate(phases: Sequence[Phase], work: Work, calendar: Calendar, runs: int, seed: int,
             deadline: Optional[float], overruns: Sequence[float] = ()) -> Forecast:
    """Return the spread of path, dates and outage over `runs` seeded runs; `overruns` are those of past migrations."""
    import random
    dice = random.Random(seed)
    compiled = compile_phases(phases, calendar)
    paths, ends, spans, reached = [], [], [[] for _ in phases], [[] for _ in phases]
    human, machine = [], []
    _, incident = outage_parts(work.facts, work.tracks, bulk_hours(work.machine, work.copy))
    for _ in range(runs):
        factors = {"human": dice.choice(overruns) if overruns else
                   dice.lognormvariate(0, HUMAN_OVERRUN[1]) * HUMAN_OVERRUN[0],
                   "machine": dice.lognormvariate(0, MACHINE_OVERRUN[1]) * MACHINE_OVERRUN[0], "fixed": 1.0}
        total, end = one_run(compiled, calendar, dice, factors, incident, spans, reached)
        paths.append(total)
        ends.append(end)
        human.append(factors["human"])
        machine.append(factors["machine"])
    outages = simulate_outage(work, random.Random(seed + 1), runs)  # the same whatever the tasks draw
    timed, likely = likely_course(phases, calendar)
    allowed = work.facts.allowed_minutes
    return Forecast(
        quantiles(paths, 1), quantiles(ends, 24), {phase.name: quantiles(row, 1) for phase, row in zip(phases, spans)},
        {phase.name: quantiles(row, 1) for phase, row in zip(phases, reached)},
        quantiles(outages, 1), sum(1 for value in outages if value <= allowed) / runs,
        sum(1 for value in ends if value <= deadline) / runs if deadline is not None else None, timed, likely,
        max((row.end for row in timed.values()), default=0) / 24, runs, seed,
        (("people take longer than planned", rank_correlation(human, ends)),
         ("machines run slower than planned", rank_correlation(machine, ends))))


class Alternative(NamedTuple):
    """The same work in another order, and when it would end."""

    name: str
    phases: Tuple[Phase, ...]


def alternatives(work: Work, phases: Sequence[Phase]) -> Iterable[Alternative]:
    """Yield other orders of this plan's work that somebody will ask for."""
    last = f"wave_{len(work.waves)}"
    if len(work.waves) > 1 and "lift_and_shift" in work.tracks:
        hours = fixed(24 * work.facts.value("test_days"), ("test_days",))
        yield Alternative("each wave tested only after the wave before it", tuple(
            phase._replace(tasks=tuple(item._replace(hours=hours) if item.calendar == "soak" else item
                                       for item in phase.tasks))
            if phase.row.each == "wave" and phase.name != last else phase for phase in phases))
    free = [flag for flag in work.facts.flags if not flag.after]
    if len(free) > 1 and any(step.path for flag in free for step in flag.steps):
        yield Alternative("the flags raised side by side", tuple(
            phase._replace(tasks=tuple(item._replace(lane=side_lane(item)) for item in phase.tasks))
            for phase in phases))


def side_lane(item: Task) -> str:
    """Return the lane of a flag of its own for a step of the rollout."""
    flag = re.match(r"feature_flags\[\d+\]", item.path)
    return f"rollout/{flag.group()}" if flag else item.lane


def simulation_items(lane: Sequence[Task]) -> List[Item]:
    """Return the tasks of a lane that take time, ready to be sampled."""
    items = []
    for item in lane:
        low, likely, high = item.hours[:3]
        if high > 0:
            kind = "fixed" if item.calendar == "soak" else "machine" if item.calendar == "machine" else "human"
            band = pert_band(low, likely, high) if high > low else ()
            items.append(Item(low, high - low, band, kind, item.calendar))
    return items


def bundle_stretches(items: Sequence[Item]) -> List[Item]:
    """Return the tasks of a lane with each long stretch of one kind as one; cutovers fail one by one and stay apart."""
    rows: List[Item] = []
    for (_, days), stretch in groupby(items, key=lambda item: (item.kind, item.calendar)):
        row = list(stretch)
        rows += [bundle(row)] if len(row) > LONG_STRETCH and days != "window" else row
    return rows


def bundle(items: Sequence[Item]) -> Item:
    """Return one task whose quantiles are those of the sum of tasks: each one's own, shuffled and added up.

    That is a Latin hypercube sample (McKay, Beckman, Conover 1979): the mean is exact, whatever the shuffling.
    """
    import random
    dice = random.Random(len(items))
    sums = [0.0] * BAND
    for item in items:
        drawn = [item.width * share for share in item.band] or [0.0] * BAND
        dice.shuffle(drawn)
        sums = [one + two for one, two in zip(sums, drawn)]
    width = sum(item.width for item in items)
    band = tuple(sorted(hours / width for hours in sums)) if width else ()
    return Item(sum(item.low for item in items), width, band, items[0].kind, items[0].calendar)


Ready = List[Tuple[Item, Callable[[float, float], float]]]  # a lane: each task, and what tells its end
Compiled = List[Tuple[Tuple[int, ...], List[List[Ready]]]]  # each phase: what it waits for, groups of lanes


def compile_phases(phases: Sequence[Phase], calendar: Calendar) -> Compiled:
    """Return the phases as the simulation needs them: numbers of the phases they wait for, tasks ready to sample."""
    places = {phase.name: index for index, phase in enumerate(phases)}
    return [(tuple(places[name] for name in phase.after),
             [[[(item, end_in(calendar, item.calendar)) for item in lane]
               for lane in lanes_that_count([bundle_stretches(simulation_items(lane)) for lane in group])]
              for group in lanes_of(phase)]) for phase in phases]


def lanes_that_count(lanes: List[List[Item]]) -> List[List[Item]]:
    """Leave out lanes of office hours that end before another lane in every run: all people share one overrun."""
    office = [[item for item in lane if item.kind == "human" and item.calendar == "business"] for lane in lanes]
    least = [sum(item.low for item in items) for items in office]
    longest = least.index(max(least))
    return [lane for number, (lane, items) in enumerate(zip(lanes, office)) if number == longest
            or len(items) < len(lane) or sum(item.low + item.width for item in items) > least[longest]]


def one_run(compiled: Compiled, calendar: Calendar, dice: Any, factors: Dict[str, float], incident: float,
            spans: List[List[float]], reached: List[List[float]]) -> Tuple[float, float]:
    """Return hours on the path and the end on the calendar for one run; note each phase's hours and end."""
    paths: List[float] = []
    ends: List[float] = []
    for number, (after, groups) in enumerate(compiled):
        begun = total = max([paths[index] for index in after], default=0.0)
        moment = max([ends[index] for index in after], default=0.0)
        for lanes in groups:
            if len(lanes) == 1:
                length, moment = run_lane(lanes[0], calendar, dice.random, factors, incident, moment)
                total += length
                continue
            drawn = [run_lane(lane, calendar, dice.random, factors, incident, moment) for lane in lanes]
            total += max([length for length, _ in drawn])
            moment = max([end for _, end in drawn])
        spans[number].append(total - begun)
        reached[number].append(moment)
        paths.append(total)
        ends.append(moment)
    return max(paths, default=0.0), max(ends, default=0.0)


def run_lane(lane: Ready, calendar: Calendar, chance: Callable[[], float], factors: Dict[str, float],
             incident: float, here: float) -> Tuple[float, float]:
    """Return drawn hours and the end of tasks that follow each other."""
    length = 0.0
    for (low, width, band, kind, days), end_of in lane:
        hours = low + (width * band[int(chance() * BAND)] if band else 0.0)
        hours *= factors[kind]
        length += hours
        here = end_of(here, hours) if hours > 0 else here
        if days == "window" and hours > 0.25 and chance() < incident:  # the cutover is broken off and done again
            here = calendar.window.fit(calendar.business.finish(here, 8), hours)
            length += hours + 8
    return length, here


def simulate_outage(work: Work, dice: Any, runs: int) -> List[float]:
    """Return the minutes of outage of each run: the parts added up, and now and then an incident."""
    parts, incident = outage_parts(work.facts, work.tracks, bulk_hours(work.machine, work.copy))
    bands = [(low, high - low, pert_band(low, likely, high)) for low, likely, high in parts]
    trouble = pert_band(*INCIDENT_MINUTES)
    outages = []
    for _ in range(runs):
        minutes = sum(low + width * band[int(dice.random() * BAND)] for low, width, band in bands)
        if dice.random() < incident and parts:
            minutes += INCIDENT_MINUTES[0] + (INCIDENT_MINUTES[2] - INCIDENT_MINUTES[0]) * trouble[
                int(dice.random() * BAND)]
        outages.append(minutes)
    return outages


def quantiles(values: List[float], divisor: float) -> Dict[str, float]:
    ordered = sorted(values)
    return {name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)] / divisor, 3)
            for name, share in (("p50", 0.5), ("p80", 0.8), ("p95", 0.95))}


def rank_correlation(one: Sequence[float], two: Sequence[float]) -> float:
    """Return Spearman's correlation of two samples."""
    def ranks(values: Sequence[float]) -> List[int]:
        places = [0] * len(values)
        for rank, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
            places[index] = rank
        return places

    count = len(one)
    apart = sum((first - second) ** 2 for first, second in zip(ranks(one), ranks(two)))
    return round(1 - 6 * apart / (count * (count * count - 1)), 2) if count > 1 else 0.0


# == 17. Checking =====================================================================================
# Contradictions in the specification. Errors stop the run; warnings become `findings` of the plan.

CHECKS: List[Callable[[Facts, Work], Iterable[Finding]]] = []
END_OF_LIFE = {  # postgresql.org/support/versioning, endoflife.date/mysql
    ("postgresql", 10): "2022-11-10", ("postgresql", 11): "2023-11-09", ("postgresql", 12): "2024-11-21",
    ("postgresql", 13): "2025-11-13", ("postgresql", 14): "2026-11-12", ("postgresql", 15): "2027-11-11",
    ("postgresql", 16): "2028-11-09", ("postgresql", 17): "2029-11-08", ("mysql", 5.6): "2021-02-05",
    ("mysql", 5.7): "2023-10-31", ("mysql", 8.0): "2026-04-30"}
CHANGE_KINDS = ("add_column", "modify_column", "alter_column", "change_type", "add_constraint", "add_index",
                "create_index", "rename_column", "drop_column", "remove_column", "drop_table", "drop_constraint",
                "drop_index", "create_table", "split_table", "merge_tables", "rekey", "split_column")
ONLINE = ("expand_contract", "parallel_schema", "dual_write", "cdc")


def check(function: Callable[[Facts, Work], Iterable[Finding]]) -> Callable[[Facts, Work], Iterable[Finding]]:
    """Register a check."""
    CHECKS.append(function)
    return function


def find_all(facts: Facts, work: Work) -> List[Finding]:
    return [finding for function in CHECKS for finding in function(facts, work)]


def repeated(names: Sequence[str]) -> Iterable[Tuple[int, int]]:
    """Yield the places of a name that stands twice, whatever its case, with the place of the first."""
    first: Dict[str, int] = {}
    for index, name in enumerate(names):
        key = name.strip().lower()
        if key in first:
            yield index, first[key]
        first.setdefault(key, index)


@check
def check_duplicates(facts: Facts, work: Work) -> Iterable[Finding]:
    groups = (("table", facts.tables, "name"), ("flag", facts.flags, "name"), ("consumer", facts.dependencies, "name"),
              ("workload", facts.workloads, "name"), ("endpoint", facts.legacy, "text"),
              ("endpoint", facts.new, "text"))
    for noun, rows, key in groups:
        names = [getattr(row, key) for row in rows]
        for index, first in repeated(names):
            yield Finding("V020", ERROR, rows[index].path, f"{noun} {describe(names[index])} a second time",
                          f"each {noun} once", f"first at {show_path(rows[first].path)}")


@check
def check_changes(facts: Facts, work: Work) -> Iterable[Finding]:
    known = {table.name.lower() for table in facts.tables}
    seen = set()
    for change in facts.changes:
        if known and change.table.lower() not in known and change.kind != "create_table":
            guess = did_you_mean(change.table, sorted(known))
            yield Finding("V021", WARNING, change.path, f"a change of table {describe(change.table)}",
                          "a table of tables_to_migrate", f"did you mean {guess!r}?" if guess else
                          "its rows and size are unknown, so its backfill is not estimated")
        if change.kind not in CHANGE_KINDS:
            guess = did_you_mean(change.kind, CHANGE_KINDS)
            yield Finding("V021", WARNING, change.path + ("type",), describe(change.kind), "a known change type",
                          f"did you mean {guess!r}?" if guess else "it becomes a task by hand")
        key = (change.table.lower(), change.column.lower())
        if change.column and key in seen and change.kind not in ("add_constraint", "add_index"):
            yield Finding("V021", WARNING, change.path, f"a second change of {change.table}.{change.column}",
                          "one change for each column", "two changes of one column belong into two releases")
        seen.add(key)
        if (change.kind == "add_column" and change.detail.get("nullable") is False and "default" not in change.detail
                and "backfill" not in change.detail):
            yield Finding("V021", ERROR, change.path, "a NOT NULL column without default or backfill",
                          "a default, a backfill or nullable true", "rows that exist have no value for it")


@check
def check_volume(facts: Facts, work: Work) -> Iterable[Finding]:
    summed = sum(table.gb for table in facts.tables)
    declared = facts.at("constraints.data_volume_gb")
    if declared and summed:
        share = summed / declared
        text = (f"{figure(declared)} GB, but tables_to_migrate sum to {figure(round(summed, 2))} GB "
                f"({100 * share:.1f} %)")
        if share > 1.25:
            yield Finding("V022", ERROR, ("constraints", "data_volume_gb"), text, "at least the sum of the tables",
                          "correct one of them")
        elif share < 0.8:
            yield Finding("V022", WARNING, ("constraints", "data_volume_gb"), text,
                          "80 to 125 % of the declared volume",
                          f"the plan uses {figure(volume_of(facts))} GB; name the other tables or correct the volume")
    for table in facts.tables:
        size = table.gb * 1e9 / table.rows if table.rows else 0
        if table.rows and table.gb and (size < TUPLE_HEADER or size > 1e7):
            yield Finding("V023", WARNING, table.path, f"{figure(size)} bytes a row", "24 bytes to 10 MB",
                          "row_count or size_mb is wrong: a PostgreSQL row header alone has 24 bytes")
        if not table.rows and table.gb > 0.001:
            yield Finding("V023", WARNING, table.path, f"0 rows in {figure(table.gb)} GB", "the row count", "count it")


def window_length(window: Dict[str, Any]) -> float:
    opens, closes = clock(window["start"]), clock(window["end"])
    return closes - opens + (24 if closes <= opens else 0)


@check
def check_windows(facts: Facts, work: Work) -> Iterable[Finding]:
    for name in ("preferred_migration_window", "critical_business_hours"):
        window = facts.at(f"business_continuity.{name}", {})
        path = ("business_continuity", name)
        if not {"start", "end"} <= set(window):
            continue
        if window["start"] == window["end"]:
            yield Finding("V030", ERROR, path, f"start and end both {window['start']}", "two different times")
        elif clock(window["end"]) < clock(window["start"]):
            length = window_length(window)
            yield Finding("V031", WARNING if length > 12 else INFO, path,
                          f"{window['start']} to {window['end']}: {figure(length)} h across midnight",
                          "start before end, or a window over midnight",
                          "probably swapped" if length > 12 else "read as a window over midnight")
    for index, row in enumerate(facts.at("business_continuity.blackout_dates", [])):
        if row and "start" in row and row.get("end", row["start"]) < row["start"]:
            yield Finding("V031", ERROR, ("business_continuity", "blackout_dates", index),
                          f"{row['start']} to {row['end']}", "an end that is not before the start")


@check
def check_window_overlap(facts: Facts, work: Work) -> Iterable[Finding]:
    import datetime
    window, busy = (facts.at(f"business_continuity.{name}", {})
                    for name in ("preferred_migration_window", "critical_business_hours"))
    if not ({"start", "end"} <= set(window) and {"start", "end"} <= set(busy)):
        return
    for month in (1, 7):  # winter and summer: two zones may move against each other
        spans = [utc_span(row, datetime.date(2026, month, 14)) for row in (window, busy)]
        shared = max((min(spans[0][1], spans[1][1] + shift) - max(spans[0][0], spans[1][0] + shift)
                      for shift in (-24, 0, 24)), default=0)
        if shared > 0:
            yield Finding("V032", WARNING, ("business_continuity", "preferred_migration_window"),
                          f"{window['start']}-{window['end']} {window.get('timezone', 'UTC')} meets the critical hours "
                          f"{busy['start']}-{busy['end']} {busy.get('timezone', 'UTC')} for {span(shared)}",
                          "a window outside the critical hours", "both converted to UTC, in "
                          + ("winter" if month == 1 else "summer"))
            return


def utc_span(row: Dict[str, Any], day: Any) -> Tuple[float, float]:
    """Return a daily span as UTC hours of a day."""
    import datetime
    zone = zone_of(str(row.get("timezone", "UTC"))) or datetime.timezone.utc
    shift = datetime.datetime.combine(day, datetime.time(12), zone).utcoffset()
    start = clock(row["start"]) - (shift.total_seconds() / 3600 if shift else 0)
    return start, start + window_length(row)


@check
def check_dst(facts: Facts, work: Work) -> Iterable[Finding]:
    window = facts.at("business_continuity.preferred_migration_window", {})
    if not {"start", "end", "timezone"} <= set(window) or ZONE_OFFSET.fullmatch(window["timezone"]):
        return
    days = window.get("days", ["tue", "wed", "thu"])
    if "sun" in days and clock(window["start"]) <= 3 < clock(window["start"]) + window_length(window):
        yield Finding("V033", WARNING, ("business_continuity", "preferred_migration_window"),
                      f"Sunday nights {window['start']}-{window['end']} {window['timezone']}",
                      "nights without a clock change",
                      "on two Sundays a year this night is an hour shorter or longer; give days without sun")


def cycle_in(edges: Dict[str, Sequence[str]]) -> List[str]:
    """Return one cycle of a graph as names, first = last; empty when there is none."""
    done: set = set()
    for root in sorted(edges):
        trail: List[str] = []
        waiting: List[Tuple[str, int]] = [(root, 0)]
        while waiting:
            name, depth = waiting.pop()
            del trail[depth:]
            if name in trail:
                return trail[trail.index(name):] + [name]
            if name not in done:
                trail.append(name)
                waiting += [(other, depth + 1) for other in edges.get(name, ())]
        done.update(trail)
    return []


@check
def check_cycles(facts: Facts, work: Work) -> Iterable[Finding]:
    consumers = [row if isinstance(row, dict) else {"name": row} for row in facts.at("constraints.dependencies", [])
                 if row]
    graphs = (("workloads", {load.name: load.after for load in facts.workloads}),
              ("feature_flags", {flag.name: flag.after for flag in facts.flags}),
              ("constraints.dependencies",
               {row["name"]: needed_by(row) for row in consumers if "name" in row}))
    for place, edges in graphs:
        path = tuple(place.split("."))
        for number, (name, after) in enumerate(edges.items()):
            for other in after:
                if other not in edges:
                    guess = did_you_mean(other, sorted(edges))
                    yield Finding("V040", ERROR, path + (number, "depends_on"),
                                  f"{describe(name)} needs {describe(other)}",
                                  f"a name of {place}", f"did you mean {guess!r}?" if guess else "")
        cycle = cycle_in({name: [other for other in after if other in edges] for name, after in edges.items()})
        if cycle:
            yield Finding("V040", ERROR, path, "a cycle: " + " -> ".join(cycle),
                          "an order in which each can come first",
                          "remove one of these depends_on")


@check
def check_rollout(facts: Facts, work: Work) -> Iterable[Finding]:
    for flag in facts.flags:
        shares = [step.percentage for step in flag.steps]
        if any(later <= earlier for earlier, later in zip(shares, shares[1:])):
            yield Finding("V050", ERROR, flag.path, "steps " + ", ".join(figure(share) for share in shares) + " %",
                          "percentages that rise with each step")
        elif shares and shares[-1] != 100:
            yield Finding("V050", ERROR, flag.path, f"a last step of {figure(shares[-1])} %", "100 % as the last step")
        if shares and shares[0] > 25:
            yield Finding("V050", WARNING, flag.path, f"a first step of {figure(shares[0])} %", "25 % or less",
                          "a fault meets that share of the users at once")
        if shares and flag.initial > shares[0]:
            yield Finding("V050", WARNING, flag.path + ("initial_percentage",), f"{figure(flag.initial)} %",
                          f"at most the first step, {figure(shares[0])} %")
        for earlier, later in zip(flag.steps, flag.steps[1:]):
            if earlier.percentage > 0 and later.percentage > 5 * earlier.percentage and later.percentage > 25:
                yield Finding("V050", WARNING, later.path,
                              f"{figure(earlier.percentage)} % to {figure(later.percentage)} %",
                              "at most five times the step before")
        yield from short_steps(facts, flag)


def short_steps(facts: Facts, flag: Flag) -> Iterable[Finding]:
    for step in flag.steps:
        need = step_minutes(facts, step.percentage)
        if step.percentage < 100 and step.hours == 0:
            yield Finding("V050", WARNING, step.path, "0 h", "time to see something before the next step")
        elif need is not None and step.percentage < 100 and need > step.hours * 60:
            yield Finding("V051", WARNING, step.path, f"{figure(step.hours)} h at {figure(step.percentage)} %",
                          f"{figure(need / 60)} h", f"{figure(canary_sample(facts))} requests a side show a doubled "
                          f"error rate; {figure(requests_per_second(facts) * step.percentage / 100)} rps arrive")


@check
def check_phase_hours(facts: Facts, work: Work) -> Iterable[Finding]:
    total = sum(step.hours for flag in facts.flags for step in flag.steps)
    for index, row in enumerate(facts.at("migration_phases", [])):
        own = row and "phase" in row and row.get("estimated_duration_hours")
        if own and re.search(r"gradual|redirect|rollout|canary|traffic", row["phase"].lower()) and total > own:
            parts = " + ".join(figure(sum(step.hours for step in flag.steps)) for flag in facts.flags)
            yield Finding("V052", WARNING, ("migration_phases", index, "estimated_duration_hours"), f"{figure(own)} h",
                          f"at least {figure(total)} h", f"the flags' own schedules take {parts} h one after the other")


@check
def check_thresholds(facts: Facts, work: Work) -> Iterable[Finding]:
    given = facts.at("monitoring.alert_thresholds", {})
    places = {metric_name(name): ("monitoring", "alert_thresholds", name) for name in given}
    current = {"response_time_p95": facts.value("baseline_p95_ms"), "error_rate": facts.value("baseline_error_rate"),
               "cpu_utilization": facts.value("baseline_cpu")}
    goals = {"response_time_p95": float(facts.at("service_details.new_service.target_performance.p95_response_time_ms",
                                                 -1))}
    for metric, limit in facts.alerts.items():
        now_at = current.get(metric, -1)
        if metric in RATIO_METRICS and limit > 1:
            yield Finding("V061", ERROR, places[metric], figure(limit), "a share from 0 to 1",
                          f"{figure(limit)} % is {figure(limit / 100)}")
        elif now_at > 0 and limit <= now_at and facts.given({"response_time_p95": "baseline_p95_ms",
                                                           "error_rate": "baseline_error_rate",
                                                           "cpu_utilization": "baseline_cpu"}[metric]):
            yield Finding("V060", WARNING, places[metric], f"{figure(limit)} while {metric} is {figure(now_at)} today",
                          f"more than {figure(now_at)}", "the alert fires before anything has moved")
        elif 0 < goals.get(metric, -1) and limit < goals[metric]:
            yield Finding("V060", WARNING, places[metric], f"{figure(limit)}",
                          f"at least the goal {figure(goals[metric])}",
                          "the new side fires it when it performs as planned")
    for alarm in facts.alarms:
        yield from check_alarm(facts, alarm)


def check_alarm(facts: Facts, alarm: Alarm) -> Iterable[Finding]:
    limit = facts.alerts.get(alarm.metric)
    if alarm.metric in RATIO_METRICS and alarm.threshold > 1:
        yield Finding("V061", ERROR, alarm.path + ("threshold",), figure(alarm.threshold), "a share from 0 to 1",
                      f"{figure(alarm.threshold)} % is {figure(alarm.threshold / 100)}")
        return
    if limit is not None and limit >= alarm.threshold:
        yield Finding("V060", WARNING, alarm.path + ("threshold",),
                      f"{alarm.metric} {figure(alarm.threshold)} with an alert at {figure(limit)}",
                      "an alert below the rollback threshold", "the rollback comes before its warning")
    budget = 1 - facts.value("availability")
    if alarm.metric == "error_rate" and alarm.threshold > 5 * 14.4 * budget:
        exposed = 50.0
        yield Finding("V060", WARNING, alarm.path + ("threshold",),
                      f"{100 * alarm.threshold:.3g} % errors",
                      f"at most {100 * 14.4 * budget:.3g} % (14.4 x the budget of a "
                      f"{100 * facts.value('availability'):.6g} % SLO)",
                      f"at {figure(exposed)} % of the traffic this burns the budget "
                      f"{figure(exposed / 100 * alarm.threshold / budget)} times too fast")
    if not 1 <= alarm.minutes <= 1440:
        yield Finding("V060", WARNING, alarm.path + ("duration_minutes",), f"{figure(alarm.minutes)} min",
                      "1 to 1440 min")
    if facts.metrics and alarm.metric not in facts.metrics:
        yield Finding("V060", INFO, alarm.path + ("metric",), alarm.metric, "a metric of monitoring.critical_metrics",
                      "nobody is told to watch it")
    if alarm.action not in ACTIONS:
        guess = did_you_mean(alarm.action, ACTIONS)
        yield Finding("V060", INFO, alarm.path + ("action",), describe(alarm.action), "one of " + ", ".join(ACTIONS),
                      f"did you mean {guess!r}?" if guess else "the runbook treats it as a page to a person")


@check
def check_endpoints(facts: Facts, work: Work) -> Iterable[Finding]:
    for side in ("legacy_service", "new_service"):
        for index, text in enumerate(facts.at(f"service_details.{side}.endpoints", [])):
            if text and not REQUEST.fullmatch(text.strip()):
                yield Finding("V080", WARNING, ("service_details", side, "endpoints", index), describe(text),
                              "METHOD /path", "it is left out of the plan")
    if not facts.new:
        return
    pairs = match_endpoints(facts)
    for old, twin, how in pairs:
        if how == "none":
            yield Finding("V080", WARNING, old.path, f"{old.text} without counterpart", "an endpoint of new_service",
                          "its callers get 404 after the redirect")
        elif how == "moved" and twin:
            clients = listed([row.name for row in facts.dependencies if row.direction in ("both", "write", "")],
                             "its callers")
            yield Finding("V080", WARNING, old.path, f"{old.text} -> {twin.text}", "the same route in another version",
                          f"the facade needs a rewrite rule, or {clients} break")


@check
def check_capacity(facts: Facts, work: Work) -> Iterable[Finding]:
    room = capacity_of(facts)
    if not room:
        return
    path = ("service_details", "new_service", "infrastructure")
    if room.fails_from < 100:
        yield Finding("V076", WARNING, path + ("initial_replicas",),
                      f"{figure(room.cores_start)} cores for {figure(room.peak)} rps at peak",
                      f"{figure(room.peak / room.rps_per_core)} cores ({figure(room.rps_per_core)} rps a core, as "
                      f"today)",
                      f"short from {room.fails_from:.0f} % of the traffic on; the plan scales before each step")
    if room.needed_per_core > room.rps_per_core:
        yield Finding("V076", WARNING, path + ("max_replicas",), f"{figure(room.cores_max)} cores at most",
                      f"{figure(room.peak / room.rps_per_core)} cores", f"enough only if a new core serves at least "
                      f"{figure(room.needed_per_core)} rps; today's serve {figure(room.rps_per_core)}")


@check
def check_data_strategy(facts: Facts, work: Work) -> Iterable[Finding]:
    writers = [endpoint for endpoint in facts.legacy if endpoint.writes]
    declared = facts.at("constraints.data_volume_gb")
    if facts.kind == "service" and writers and declared and not facts.partners and not facts.changes:
        yield Finding("V083", WARNING, ("constraints", "data_volume_gb"),
                      f"{figure(declared)} GB, {len(writers)} writing endpoints and {figure(facts.downtime)} min of "
                      f"outage, but no way for the data", "one database for both sides, dual_write or cdc",
                      'say it: "pattern": {"primary": "strangler_fig", "with": ["dual_write"]}')
    if facts.partners == () and len(work.tracks) > 1:
        yield Finding("V083", WARNING, ("pattern",) if "pattern" in facts.spec else ("target",),
                      f"{facts.pattern}: {facts.source.text} -> {facts.target.text}",
                      "a pattern that does all of it", f"{facts.pattern} alone "
                      + ("moves the data as it is" if facts.pattern in ("cdc", "data_migration") else
                         "moves no data between servers") + f"; the plan combines {' + '.join(work.tracks)}")


@check
def check_versions(facts: Facts, work: Work) -> Iterable[Finding]:
    for system in (facts.source, facts.target):
        ends = END_OF_LIFE.get((system.engine, system.major))
        if ends and ends < now()[:10]:
            yield Finding("V084", WARNING, system.path, f"{system.engine} {system.version}", "a supported version",
                          f"past its end of life since {ends}")
    same = facts.source.engine and facts.source.engine == facts.target.engine
    if same and facts.source.version and facts.target.version and facts.source.major > facts.target.major:
        yield Finding("V084", ERROR, facts.target.path, f"{facts.target.engine} {facts.target.version}",
                      f"at least {facts.source.version}", "a lower major version cannot read the newer one's features")


@check
def check_feasible(facts: Facts, work: Work) -> Iterable[Finding]:
    share = 0.5 if other_engine(facts) else 1.0  # assumed: another engine applies half as fast
    writes = facts.value("write_rows_per_second")
    apply, slow = (speed * share for speed in speeds(facts, "apply", "apply_rows_per_second")[1:3])
    online_copy = facts.at("method") in ("gh_ost", "pt_osc")
    limit = RATES["gh_ost"].high if online_copy and facts.value("apply_rows_per_second") == 0 else apply
    if (("cdc" in work.tracks or online_copy) and writes >= limit):
        yield Finding("V072", ERROR, ("workload", "write_rows_per_second"), f"{figure(writes)} rows/s are written",
                      f"fewer than the {figure(limit)} rows/s that can be applied",
                      "replication never catches up: split by table, apply in parallel, or freeze the writes")
    elif "cdc" in work.tracks and writes * 1.5 > apply:
        yield Finding("V072", WARNING, ("workload", "write_rows_per_second"), f"{figure(writes)} rows/s are written",
                      f"at most {figure(apply / 1.5)} rows/s",
                      f"{figure(apply)} rows/s are applied: the backlog falls slowly")
    elif "cdc" in work.tracks and facts.given("write_rows_per_second") and writes >= slow:
        yield Finding("V072", WARNING, ("workload",) if "workload" in facts.spec else (),
                      f"{figure(writes)} rows/s written, between {figure(slow)} and {figure(apply)} rows/s applied",
                      "measured.apply_rows_per_second", "at the slow end the backlog never falls: measure it before "
                      "the copy, plan with parallel apply")


@check
def check_room(facts: Facts, work: Work) -> Iterable[Finding]:
    churn = volume_of(facts) * facts.value("churn_percent_per_day") / 100 / 24
    if "lift_and_shift" in work.tracks and churn >= work.copy.network[1]:
        yield Finding("V073", ERROR, ("network",), f"{figure(churn)} GB/h change",
                      f"less than {figure(work.copy.network[1])} GB/h of the "
                      "link", "the replication lag grows without end")
    free = facts.value("target_disk_free_gb")
    if free >= 0 and (relocates(facts) or facts.kind == "infrastructure") and free < 1.3 * volume_of(facts):
        yield Finding("V074", ERROR, ("target", "disk_free_gb"), f"{figure(free)} GB",
                      f"{figure(1.3 * volume_of(facts))} GB",
                      f"1.3 x {figure(volume_of(facts))} GB: data, indexes being built, WAL")
    if moves_data(work) and not facts.given("bandwidth_gbps"):
        yield Finding("V075", WARNING, ("network",) if "network" in facts.spec else (), "no network.bandwidth_gbps",
                      "the bandwidth to the target", f"{figure(facts.value('bandwidth_gbps'))} Gbit/s assumed: the "
                      f"copy of {work.words['volume']} takes {span(work.copy.hours.likely)}; with 0.1 Gbit/s the link "
                      f"alone would take "
                      f"{span(volume_of(facts) / (NET_GB_PER_HOUR * 0.1 * facts.value('utilization')))}")


def moves_data(work: Work) -> bool:
    return bool(set(work.tracks) & {"cdc", "data_migration", "lift_and_shift", "multi_cloud"})


@check
def check_zero_outage(facts: Facts, work: Work) -> Iterable[Finding]:
    volume = volume_of(facts)
    image = facts.at("method") in ("dump_restore", "physical",
                                   "parallel_copy") or facts.at("workload.replication") is False
    speed = work.copy.network[1]
    hours = volume / speed if speed else 0
    sum_text = f"{figure(volume)} GB / {figure(speed)} GB/h = {hours:.1f} h"
    limit = facts.allowed_minutes
    if not facts.limited:
        return
    if "cdc" in work.tracks and is_paused(facts) and not facts.at("cutover.switch"):
        yield Finding("V070", WARNING, ("constraints", "max_downtime_minutes"),
                      f"{figure(facts.downtime)} min with cdc",
                      "cutover.switch 'pooler' or 'proxy': every client behind one that can hold its connections",
                      "the plan assumes it: paused, switched and resumed in seconds; by DNS it takes minutes")
    if "lift_and_shift" in work.tracks and (facts.downtime == 0 or (image and hours * 60 > limit)):
        why = f"{sum_text} > {figure(facts.downtime)} min"
        yield Finding("V070", ERROR, ("constraints", "max_downtime_minutes"), f"{figure(facts.downtime)} min with "
                      "lift_and_shift", "time for the final sync and the boot of each server",
                      why + "; with block replication about 45 min a wave remain")
    if "data_migration" in work.tracks:
        offline = bulk_hours(work.machine, work.copy)
        if offline.likely * 60 > limit:
            yield Finding("V070", ERROR, ("constraints", "max_downtime_minutes"),
                          f"{figure(facts.downtime)} min with an offline "
                          "copy", f"at least {figure(offline.likely * 60)} min",
                          f"copy {span(work.copy.hours.likely)} + index {span(work.machine['index'].likely)} + check "
                          f"{span(work.machine['hash'].likely)} > {figure(facts.downtime)} min; cdc fits")


@check
def check_promises(facts: Facts, work: Work) -> Iterable[Finding]:
    names = [name or "" for name in facts.at("constraints.special_requirements", [])]
    if "zero_data_loss" in facts.requirements:
        index = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in names].index("zero_data_loss")
        rpo = facts.at("business_continuity.rpo_minutes", facts.at("rpo_minutes", 0))
        if facts.at("cutover.reverse_replication") is False or rpo > 0:
            what = f"a recovery point of {figure(rpo)} min" if rpo > 0 else "no reverse replication"
            yield Finding("V081", WARNING, ("constraints", "special_requirements", index),
                          f"zero_data_loss with {what}",
                          "a recovery point of 0 and reverse replication",
                          "a rollback after the cutover would lose writes")
    for index, name in enumerate(names):
        plain = name.strip().lower().replace(" ", "_").replace("-", "_")
        if plain and plain not in REQUIREMENTS:
            guess = did_you_mean(plain, REQUIREMENTS)
            yield Finding("V090", INFO, ("constraints", "special_requirements", index), describe(name),
                          "a requirement with its own tasks and gates", f"did you mean {guess!r}?" if guess else
                          "it becomes one task: define how it is proven")


@check
def check_compliance(facts: Facts, work: Work) -> Iterable[Finding]:
    sensitive = [name for name in facts.frameworks if name in ("GDPR", "HIPAA", "PCI DSS")]
    if sensitive and not facts.at("data") and not personal_columns(facts):
        yield Finding("V082", WARNING, ("constraints", "compliance_requirements"),
                      f"{', '.join(sensitive)} without a named "
                      "column", "data.personal_columns or tables with columns", "which data is personal cannot be seen")
    for index, name in enumerate(facts.at("constraints.compliance_requirements", [])):
        if name and FRAMEWORKS.get(re.sub(r"[^a-z0-9]", "", name.lower())) is None:
            yield Finding("V082", WARNING, ("constraints", "compliance_requirements", index), describe(name),
                          "one of " + ", ".join(sorted(set(FRAMEWORKS.values()))), "no control is known for it")


def find_outage(facts: Facts, work: Work, forecast: Forecast, calendar: Calendar) -> Iterable[Finding]:
    """Yield what only the computed figures show."""
    allowed = facts.allowed_minutes
    path = ("constraints", "max_downtime_minutes")
    late = forecast.outage["p80"] if facts.limited else 0.0
    if late > allowed:
        yield Finding("V071", ERROR, path, f"{figure(facts.downtime)} min",
                      f"at least {figure(late)} min (P80 of the outage)",
                      f"{' + '.join(work.tracks)} keeps within it in {100 * forecast.meets_outage:.0f} % of the runs"
                      + way_to_less(facts, work, late))
    elif late > 0.7 * allowed and facts.downtime:
        yield Finding("V071", WARNING, path, f"{figure(facts.downtime)} min", f"{figure(late / 0.7)} min",
                      f"the P80 of {figure(late)} min fills {late / allowed:.2f} of the budget: ask for more or switch "
                      f"faster")
    window = facts.at("business_continuity.preferred_migration_window")
    needed = cutover_need(facts, work, forecast)
    if window and needed > calendar.window_hours:
        yield Finding("V032", ERROR, ("business_continuity", "preferred_migration_window"),
                      f"{span(calendar.window_hours)}", f"{span(needed)}: P80 of the cutover and of its undo",
                      f"{figure((needed - calendar.window_hours) * 60)} min are missing")


def way_to_less(facts: Facts, work: Work, minutes: float) -> str:
    """Return what would shorten an outage that is too long."""
    if "cdc" in work.tracks:
        return "; cutover.switch 'pooler' shortens it" if facts.at("cutover.switch") not in ("pooler", "proxy") else ""
    if "data_migration" in work.tracks:
        return "; cdc fits"
    if minutes <= 1:
        return f"; if clients retry for {figure(minutes * 60)} s, say so in cutover.zero_tolerance_seconds"
    return ""


def cutover_need(facts: Facts, work: Work, forecast: Forecast) -> float:
    """Return the hours that a cutover and its undo may need together."""
    if not set(work.tracks) & {"cdc", "data_migration", "lift_and_shift"}:
        return 0.0
    undo = max(row.undo_minutes[2] for track in work.tracks for row in PATTERNS[track].phases
               if row.name in ("cutover", "wave"))
    return (forecast.outage["p80"] + min(undo, 60)) / 60


# == 18. Judging ======================================================================================
# Complexity, probability of success, and how much of it is known.

class Factor(NamedTuple):
    name: str
    fact: str
    points: float
    most: float


def bracket(value: float, steps: Sequence[Tuple[float, float]], beyond: float) -> float:
    """Return the points of the first limit that a value stays below."""
    return next((points for limit, points in steps if value < limit), beyond)


def complexity(facts: Facts, work: Work, forecast: Forecast) -> List[Factor]:
    """Return what makes this migration hard, in points; at most 100 together."""
    volume = volume_of(facts)
    writes = facts.value("write_rows_per_second") if is_data(facts) else written_requests(facts)
    allowed = facts.allowed_minutes
    ratio = forecast.outage["p80"] / allowed
    outage = 3.0 if facts.downtime == 0 and ratio <= 1 else bracket(ratio, ((0.3, 3), (0.7, 6), (1.0001, 10)), 15)
    personal = 2 if personal_columns(facts) and facts.frameworks else 0
    estate = vm_count(facts) / 20 * 4 + len(facts.legacy) / 5
    return [
        Factor("volume", f"{figure(volume)} GB", bracket(volume, ((10, 0), (100, 4), (1000, 8), (10000, 12)), 16), 16),
        Factor("consumers", f"{len(facts.dependencies)} named", min(12, 1.5 * len(facts.dependencies)), 12),
        Factor("outage", f"P80 {figure(forecast.outage['p80'])} of {figure(allowed)} min", outage, 15),
        Factor("write load", f"{figure(writes)} {'rows' if is_data(facts) else 'writing requests'}/s",
               bracket(writes, ((100, 0), (1000, 3), (10000, 6)), 10), 10),
        Factor("engine", engine_text(facts), engine_points(facts, work), 10),
        Factor("place", place_text(facts), 6 if other_place(facts) else 0, 6),
        Factor("changes", f"{len(facts.changes) or len(facts.legacy)} schema or API changes",
               min(12, change_points(facts)), 12),
        Factor("compliance", listed(facts.frameworks, "none"), min(6, 2 * len(facts.frameworks) + personal), 6),
        Factor("promises", listed(facts.requirements, "none"), min(5, 1.5 * len(facts.requirements)), 5),
        Factor("estate", f"{vm_count(facts)} servers, {len(facts.legacy)} endpoints", min(8, estate), 8)]


def change_points(facts: Facts) -> float:
    """Return the points of the schema changes, or of the endpoints that move."""
    if facts.kind in ("service", "api"):
        return sum({"none": 3, "moved": 2}.get(how, 0.5) for _, _, how in match_endpoints(facts))
    return sum(safe_form(change, facts).points for change in facts.changes)


def place_text(facts: Facts) -> str:
    return f"{facts.source.location or '?'} to {facts.target.location or '?'}"


def written_requests(facts: Facts) -> float:
    """Return the writing requests a second, as if every endpoint were called equally often."""
    share = sum(1 for endpoint in facts.legacy if endpoint.writes) / max(len(facts.legacy), 1)
    return requests_per_second(facts) * share


def engine_text(facts: Facts) -> str:
    old, new = (f"{system.engine or '?'} {system.version}".strip() for system in (facts.source, facts.target))
    return f"{old} to {new}"


def engine_points(facts: Facts, work: Work) -> float:
    if facts.kind in ("service", "api"):
        return 8 if set(work.tracks) & {"strangler_fig", "parallel_run"} else 4
    if "event_sourcing" in work.tracks:
        return 10
    if facts.source.engine and facts.target.engine and facts.source.engine != facts.target.engine:
        return 10
    return min(4,
               2 * abs(facts.target.major - facts.source.major)) if facts.source.version and facts.target.version else 0


def complexity_level(points: float) -> str:
    return LEVELS[int(bracket(points, ((20, 0), (40, 1), (60, 2)), 3))]


class Belief(NamedTuple):
    """One piece of evidence about success in log-odds; None where the specification says nothing."""

    name: str
    fact: str
    weight: Optional[float]
    path: str


BASE_RATE = 0.80  # DORA 2024: change-fail rates 5/20/10/40 % weighted by cluster share give 18.7 % failing
EVIDENCE_WEIGHT = 10  # pseudo-counts of the prior when every factor is known


def beliefs(facts: Facts, work: Work) -> List[Belief]:
    """Return the evidence for and against success; the weights are assumed."""
    return [*beliefs_of_readiness(facts, work), *beliefs_of_size(facts)]


def beliefs_of_readiness(facts: Facts, work: Work) -> List[Belief]:
    """Return what is proven already, and how much of the migration can be taken back."""
    ready, exposure = facts.at("readiness", {}), PATTERNS[work.tracks[0]].exposure
    back = facts.at("cutover.reverse_replication", True) and "data_migration" not in work.tracks
    rewrite = "event_sourcing" in work.tracks or (
        facts.kind == "service" and bool(set(work.tracks) & {"strangler_fig", "parallel_run"}))
    version = -0.7 if other_engine(facts) else -0.2 if other_major(facts) else 0.0
    return [
        Belief("rehearsal", str(ready.get("rehearsal", "unknown")),
               {"full": 0.6, "partial": 0.2, "planned": 0.3, "none": -0.6}.get(ready.get("rehearsal", "")),
               "readiness.rehearsal"),
        Belief("rollback tested", str(ready.get("rollback_tested", "unknown")).lower(),
               {True: 0.4, False: -0.5}.get(ready.get("rollback_tested")), "readiness.rollback_tested"),
        Belief("automated gates", str(ready.get("automated_gates", "unknown")).lower(),
               {True: 0.3, False: -0.2}.get(ready.get("automated_gates")), "readiness.automated_gates"),
        Belief("exposure", exposure, {"progressive": 0.4, "bang": -0.5}.get(exposure, 0.0), "pattern"),
        Belief("way back after the cutover", "kept" if back else "none", 0.3 if back else -0.4,
               "cutover.reverse_replication"),
        Belief("engine", engine_text(facts), version, "target"),
        Belief("rewrite", "built anew" if rewrite else "no", -0.4 if rewrite else 0.0, "type")]


def beliefs_of_size(facts: Facts) -> List[Belief]:
    """Return what distance, consumers, volume, losses and practice say."""
    import math
    deps, done = facts.dependencies, facts.value("experience")
    lossy = sum(1 for change in facts.changes if is_lossy(change))
    unowned = sum(1 for row in deps if not row.owner)
    volume = volume_of(facts) if is_data(facts) or facts.kind == "infrastructure" else 0
    practice = bracket(done, ((0, 0.0), (1, -0.4), (3, 0.1)), 0.4)
    return [
        Belief("place", place_text(facts), -0.2 if relocates(facts) else 0.0, "target"),
        Belief("consumers", f"{len(deps)} named", -0.12 * math.log2(1 + len(deps)), "constraints.dependencies"),
        Belief("volume", f"{figure(volume)} GB", -0.15 * max(0.0, math.log10(max(volume, 1) / 100)),
               "constraints.data_volume_gb"),
        Belief("consumers without owner", f"{unowned}", -min(0.6, 0.2 * unowned), "constraints.dependencies"),
        Belief("lossy changes", f"{lossy}", -min(0.6, 0.2 * lossy), "schema_changes"),
        Belief("experience", f"{figure(done)} similar migrations" if done >= 0 else "unknown",
               practice if done >= 0 else None, "team.experience_similar_migrations")]


def logistic(value: float) -> float:
    import math
    return 1 / (1 + math.exp(-max(min(value, 40.0), -40.0)))


def logit(share: float) -> float:
    import math
    return math.log(share / (1 - share))


def prior_of(rows: Sequence[Belief]) -> Tuple[float, float]:
    """Return the prior probability and how many observations it counts as."""
    unknown = sum(1 for row in rows if row.weight is None)
    return logistic(logit(BASE_RATE) + sum(row.weight or 0 for row in rows)), max(4.0, EVIDENCE_WEIGHT - unknown)


def beta_quantile(a: float, b: float, share: float) -> float:
    """Return a quantile of the beta distribution by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(a, b, middle) < share else (low, middle)
    return (low + high) / 2


def beta_cdf(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function (continued fraction, Lentz; Numerical Recipes 6.4)."""
    import math
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(1 - x)) / a
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), 1e-30)
    value = d
    for m in range(1, 200):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                     -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / (1 + term * d if abs(1 + term * d) > 1e-30 else 1e-30)
            c = 1 + term / c if abs(1 + term / c) > 1e-30 else 1e-30
            value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * value


# -- history -------------------------------------------------------------------------------------------

FEATURES = (  # name, prior weight (log-odds for one unit); the raw values are those of a history record
    ("rehearsal", 0.6), ("rollback_tested", 0.45), ("automated_gates", 0.25), ("exposure", 0.45), ("engine", -0.7),
    ("dependencies", -0.12), ("volume_gb", -0.15), ("experience", 0.4))
OUTCOMES = ("success", "rolled_back", "failed", "repaired")
FEW = 20  # fewer records than this and no regression is tried
LEAST_CLASS = 5
WEIGHT_VARIANCE, INTERCEPT_VARIANCE = 0.5, 2.25  # 95 % of odds ratios within a factor of four of the prior


class Record(NamedTuple):
    id: str
    kind: str
    pattern: str
    success: int
    features: Tuple[float, ...]
    overrun: float


def feature(name: str, value: Any) -> float:
    """Return a factor of a record as the number that its weight multiplies; 0 when unknown."""
    import math
    words = {"none": -1.0, "planned": 0.5, "partial": 0.33, "full": 1.0, "progressive": 1.0, "switch": 0.0,
             "bang": -1.0,
             "same": 0.0, "major": 0.3, "other": 1.0}
    if value is None:
        return 0.0
    if isinstance(value, bool):
        return 1.0 if value else -1.0
    if isinstance(value, str):
        return words.get(value, 0.0)
    if name == "dependencies":
        return math.log2(1 + max(float(value), 0))
    if name == "volume_gb":
        return max(0.0, math.log10(max(float(value), 1) / 100))
    return 1.0 if value >= 3 else 0.25 if value >= 1 else -1.0


def read_history(document: Document, faults: Faults) -> Tuple[List[Record], List[str]]:
    """Return the usable records of a history file, and a line for each that is skipped or old."""
    rows = document.value.get("records") if isinstance(document.value, dict) else document.value
    rows = faults.typed(rows, ("records",) if isinstance(document.value, dict) else (), list,
                        "a list of history records")
    records, notes = [], []
    for index, row in enumerate(rows or []):
        wrong = wrong_record(row)
        if wrong:
            notes.append(f"history record {index + 1}: {wrong}; skipped")
            continue
        records.append(read_record(row, index))
        if str(row.get("date", "9999"))[:10] < three_years_ago():
            notes.append(f"history record {index + 1}: {str(row['date'])[:10]} is more than three years ago; used all "
                         f"the same")
    return records, notes


def wrong_record(row: Any) -> str:
    """Return why a history record cannot be used, empty when it can."""
    if not isinstance(row, dict) or row.get("outcome") not in OUTCOMES:
        return f"no outcome of {', '.join(OUTCOMES)}"
    factors = row.get("factors", {})
    odd = [name for name, _ in FEATURES if isinstance(factors, dict) and isinstance(factors.get(name), (dict, list))]
    return f"factors.{odd[0]} is {describe(factors[odd[0]])}" if odd else "" if isinstance(factors, dict) else "factors"


def read_record(row: Dict[str, Any], index: int) -> Record:
    factors, planned, actual = row.get("factors", {}), row.get("planned_hours"), row.get("actual_hours")
    both = is_kind(planned, "number") and is_kind(actual, "number") and planned > 0 and actual > 0
    return Record(str(row.get("id", index + 1)), str(row.get("type", "")),
                  ALIASES.get(str(row.get("pattern")), str(row.get("pattern"))), int(row["outcome"] == "success"),
                  tuple(feature(name, factors.get(name)) for name, _ in FEATURES), actual / planned if both else 0.0)


def three_years_ago() -> str:
    today = now()[:10]
    return f"{int(today[:4]) - 3}{today[4:]}"


def overruns_of(records: Sequence[Record]) -> List[float]:
    """Return actual by planned hours of the past, when there are enough to stand for what is to come."""
    known = [row.overrun for row in records if row.overrun > 0]
    return known if len(known) >= LEAST_CLASS else []


def own_factors(facts: Facts, work: Work) -> Dict[str, Any]:
    """Return this plan's factors in the form of a history record."""
    ready = facts.at("readiness", {})
    other = facts.source.engine and facts.target.engine and facts.source.engine != facts.target.engine
    major = facts.source.version and facts.target.version and facts.source.major != facts.target.major
    done = facts.value("experience")
    return {"rehearsal": ready.get("rehearsal"), "rollback_tested": ready.get("rollback_tested"),
            "automated_gates": ready.get("automated_gates"), "exposure": PATTERNS[work.tracks[0]].exposure,
            "engine": "other" if other else "major" if major else "same", "dependencies": len(facts.dependencies),
            "volume_gb": short(volume_of(facts)), "experience": done if done >= 0 else None}


def solve(matrix: List[List[float]], right: List[float]) -> List[float]:
    """Return the solution of a small linear system by Gaussian elimination with pivoting."""
    size = len(right)
    rows = [row[:] + [right[index]] for index, row in enumerate(matrix)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda index: abs(rows[index][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for index in range(column + 1, size):
            share = rows[index][column] / rows[column][column]
            for place in range(column, size + 1):
                rows[index][place] -= share * rows[column][place]
    values = [0.0] * size
    for index in range(size - 1, -1, -1):
        known = sum(rows[index][place] * values[place] for place in range(index + 1, size))
        values[index] = (rows[index][size] - known) / rows[index][index]
    return values


def fit_logistic(samples: Sequence[Tuple[Tuple[float, ...], int]]) -> Tuple[List[float], List[List[float]]]:
    """Return weights and Hessian of a logistic regression whose penalty is centred on the prior weights."""
    means = [logit(BASE_RATE)] + [weight for _, weight in FEATURES]
    precision = [1 / INTERCEPT_VARIANCE] + [1 / WEIGHT_VARIANCE] * len(FEATURES)
    weights, size = means[:], len(means)
    hessian: List[List[float]] = []
    for _ in range(50):
        gradient = [-precision[i] * (weights[i] - means[i]) for i in range(size)]
        hessian = [[precision[i] if i == j else 0.0 for j in range(size)] for i in range(size)]
        for features, outcome in samples:
            row = (1.0, *features)
            chance = logistic(sum(weight * value for weight, value in zip(weights, row)))
            for i in range(size):
                gradient[i] += (outcome - chance) * row[i]
                for j in range(size):
                    hessian[i][j] += chance * (1 - chance) * row[i] * row[j]
        step = solve(hessian, gradient)
        cut = min(1.0, 2 / max(max(abs(value) for value in step), 1e-12))
        weights = [weight + cut * value for weight, value in zip(weights, step)]
        if max(abs(value) for value in step) < 1e-9:
            break
    return weights, hessian


def predict(weights: Sequence[float], features: Sequence[float]) -> float:
    return logistic(sum(weight * value for weight, value in zip(weights, (1.0, *features))))


def cross_validate(samples: Sequence[Tuple[Tuple[float, ...], int]]) -> Dict[str, Any]:
    """Return Brier scores of held-out records: the model, the base rate, the prior alone."""
    import math
    count = len(samples)
    folds = count if count <= 200 else 10
    model = base = log_loss = 0.0
    seen: List[Tuple[float, int]] = []
    prior_weights = [logit(BASE_RATE)] + [weight for _, weight in FEATURES]
    for fold in range(folds):
        kept = [sample for index, sample in enumerate(samples) if index % folds != fold]
        weights, _ = fit_logistic(kept)
        rate = sum(outcome for _, outcome in kept) / len(kept)
        for features, outcome in samples[fold::folds]:
            chance = predict(weights, features)
            seen.append((chance, outcome))
            model += (chance - outcome) ** 2
            base += (rate - outcome) ** 2
            log_loss -= math.log(max(chance if outcome else 1 - chance, 1e-9))
    prior = sum((predict(prior_weights, features) - outcome) ** 2 for features, outcome in samples)
    return {"brier": round(model / count, 4), "brier_base_rate": round(base / count, 4),
            "brier_prior": round(prior / count, 4), "log_loss": round(log_loss / count, 4),
            "skill": round(1 - model / base, 4) if base else 0.0, "bins": calibration_bins(seen)}


def calibration_bins(seen: Sequence[Tuple[float, int]]) -> List[Dict[str, float]]:
    """Return the held-out records in three groups, lowest chance first: what was predicted and what happened."""
    ordered = sorted(seen)
    cuts = [len(ordered) * third // 3 for third in range(4)]
    groups = [ordered[low:high] for low, high in zip(cuts, cuts[1:]) if high > low]
    return [{"records": len(group), "predicted": round(sum(chance for chance, _ in group) / len(group), 3),
             "observed": round(sum(outcome for _, outcome in group) / len(group), 3)} for group in groups]


def reference_class(records: Sequence[Record], facts: Facts, pattern: str) -> Tuple[str, List[Record]]:
    """Return the narrowest class of comparable records that holds at least three."""
    for name, rows in ((f"pattern {pattern}", [row for row in records if row.pattern == pattern]),
                       (f"type {facts.kind}", [row for row in records if row.kind == facts.kind])):
        if len(rows) >= 3:
            return name, rows
    return "all records", list(records)


def success_document(facts: Facts, work: Work, forecast: Forecast, records: Sequence[Record],
                     skipped: Sequence[str]) -> Dict[str, Any]:
    """Return the probability of success, what it rests on, and how well that has predicted before."""
    rows = beliefs(facts, work)
    prior, strength = prior_of(rows)
    name, comparable = reference_class(records, facts, work.tracks[0])
    wins = sum(row.success for row in comparable)
    losses = len(comparable) - wins
    a, b = strength * prior + wins, strength * (1 - prior) + losses
    method = "expert prior, not learned" if not comparable else f"Beta-binomial over {len(comparable)} records ({name})"
    value, low, high = a / (a + b), beta_quantile(a, b, 0.1), beta_quantile(a, b, 0.9)
    learned: Dict[str, Any] = {}
    if len(records) >= FEW and min(sum(row.success for row in records),
                                   sum(1 - row.success for row in records)) >= LEAST_CLASS:
        samples = [(row.features, row.success) for row in records]
        learned = cross_validate(samples)
        if learned["skill"] > 0:
            value, low, high = regression(samples, facts, work)
            method = f"logistic regression over {len(records)} records, penalty centred on the prior"
        else:
            method += "; the regression predicted held-out records no better than their average and is not used"
    total = value * forecast.meets_outage
    known = sorted((row for row in rows if row.weight), key=lambda row: -abs(row.weight or 0))
    return {
        "definition": "finished without unplanned rollback and without data repair, outage within max_downtime_minutes",
        "probability": short(total), "without_outage_limit": short(value), "meets_outage": short(forecast.meets_outage),
        "interval_80": [short(low * forecast.meets_outage), short(high * forecast.meets_outage)], "method": method,
        "prior": short(prior), "pseudo_count": strength, "base_rate": BASE_RATE,
        "contributions": [{"name": row.name, "fact": row.fact, "log_odds": short(row.weight or 0), "path": row.path}
                          for row in known],
        "unknown": [row.path for row in rows if row.weight is None], "raises_most": raises_most(facts, rows, prior),
        "cross_validation": learned, "records": len(records), "skipped_records": list(skipped),
        "history_template": {"id": "{{ticket}}", "date": "{{end_date}}", "type": facts.kind, "pattern": work.tracks[0],
                             "factors": own_factors(facts, work), "outcome": "{{success|rolled_back|failed|repaired}}",
                             "planned_hours": forecast.path["p50"], "actual_hours": "{{hours}}",
                             "planned_downtime_minutes": forecast.outage["p50"],
                             "actual_downtime_minutes": "{{minutes}}"}}


def regression(samples: Sequence[Tuple[Tuple[float, ...], int]], facts: Facts,
               work: Work) -> Tuple[float, float, float]:
    """Return probability and 80 % interval of this plan from the fitted model (delta method on the logit)."""
    import math
    weights, hessian = fit_logistic(samples)
    own = own_factors(facts, work)
    row = [1.0] + [feature(name, own[name]) for name, _ in FEATURES]
    spread = math.sqrt(max(sum(value * other for value, other in zip(row, solve(hessian, row))), 0))
    centre = sum(weight * value for weight, value in zip(weights, row))
    return logistic(centre), logistic(centre - 1.2816 * spread), logistic(centre + 1.2816 * spread)


def raises_most(facts: Facts, rows: Sequence[Belief], prior: float) -> List[Dict[str, Any]]:
    """Return what the team can still do that raises the probability most."""
    best = {"rehearsal": (0.6, "rehearse fully on a full-size copy"),
            "rollback tested": (0.4, "test the rollback once"),
            "automated gates": (0.3, "let a pipeline check the gates"),
            "consumers without owner": (0.0, "find an owner for each consumer")}
    found = []
    for row in rows:
        if row.name in best and (row.weight or 0) < best[row.name][0] - 0.05:
            gain = best[row.name][0] - (row.weight or 0)
            found.append({"action": best[row.name][1], "probability": short(logistic(logit(prior) + gain)),
                          "now": short(prior)})
    return sorted(found, key=lambda item: -item["probability"])[:3]


# -- confidence ----------------------------------------------------------------------------------------

def used_inputs(work: Work, phases: Sequence[Phase]) -> Dict[str, float]:
    """Return the inputs that the estimates rest on, with the hours of spread of the tasks that use each."""
    spread: Dict[str, float] = {}
    for phase in phases:
        for item in phase.tasks:
            for name in item.hours.uses:
                spread[name] = spread.get(name, 0.0) + (item.hours.high - item.hours.low)
    return spread


def idle_inputs(copy: Copy) -> Tuple[str, ...]:
    """Return the inputs of the copy that no better figure would change anything about: another limit binds."""
    rows = {"largest table on one stream": ("largest_table_gb", "contention", "copy_gb_per_hour"),
            "network": ("bandwidth_gbps", "utilization")}
    several = ("parallelism", "contention", "copy_gb_per_hour")
    binding = {max(sorted(copy.terms), key=lambda name: copy.terms[name][index]) for index in range(3)}
    wanted = {name for limit in binding for name in rows.get(limit, several)}
    return tuple(name for name in (*rows["largest table on one stream"], *rows["network"], *several)
                 if name not in wanted)


def confidence(facts: Facts, work: Work, phases: Sequence[Phase]) -> Dict[str, Any]:
    """Return one to five stars for the share of the spread that rests on given figures, and what to measure first."""
    used = {name: 0.0 if name in idle_inputs(work.copy) else hours
            for name, hours in used_inputs(work, phases).items()}
    weight = {name: 1 + hours for name, hours in used.items() if not is_optional(facts, name)}
    guessed = sorted((item for phase in phases for item in phase.tasks
                      if item.hours.basis == "assumed" and not item.hours.uses and item.hours.high > item.hours.low),
                     key=lambda item: (item.hours.low - item.hours.high, item.id))
    total = sum(weight.values()) + sum(item.hours.high - item.hours.low for item in guessed)
    share = sum(value for name, value in weight.items() if facts.given(name)) / (total or 1.0)
    wanted = sorted((name for name in used if used[name] and is_open(facts, name)),
                    key=lambda name: (-round(used[name], 3), not is_optional(facts, name), name))[:5]
    return {"stars": min(5, 1 + int(share * 5)), "share_given": short(share),
            "measure_first": [measure_document(facts, name, used[name]) for name in wanted],
            "ask_first": [{"task": item.id, "title": item.title, "owner": ROLES[item.role],
                           "hours": [short(value) for value in item.hours[:3]],
                           "how": f'"estimates": {{"{item.id}": {{"o": ..., "m": ..., "p": ...}}}}'}
                          for item in guessed[:3]]}


def measure_document(facts: Facts, name: str, hours: float) -> Dict[str, Any]:
    """Return an input whose measurement narrows the range, with how to get it."""
    value = facts.value(name)
    return {"input": facts.inputs[name].path, "now": figure(value) if value else "published rates",
            "spread_hours": short(hours), "how": how_to_measure(facts, name)}


def is_open(facts: Facts, name: str) -> bool:
    """Return whether an input was neither given nor measured."""
    return not facts.given(name) and not (is_optional(facts, name) and facts.value(name))


def is_optional(facts: Facts, name: str) -> bool:
    """Return whether an input only replaces a rate of RATES."""
    return facts.inputs[name].path.startswith("measured.")


def assumed_limits(facts: Facts) -> Iterable[Dict[str, Any]]:
    """Yield the assumptions about engine and outage that no estimate shows."""
    if is_data(facts) and not {facts.source.engine, facts.target.engine} & set(COMMANDS):
        yield {"what": "target.engine", "value": "postgresql", "unit": "", "why": "no engine is named: the commands of "
               "this plan are PostgreSQL's", "how_to_measure": "name the engine of both sides"}
    if not facts.limited:
        yield {"what": "constraints.max_downtime_minutes", "value": short(facts.allowed_minutes), "unit": "min",
               "why": "no limit is given: the bad case of each part of this plan's own outage",
               "how_to_measure": "ask the business owner how long users may be shut out"}


def assumptions(facts: Facts, work: Work, phases: Sequence[Phase], records: Sequence["Record"]) -> List[Dict[str, Any]]:
    """Return what had to be assumed: missing inputs, published rates, hours of people."""
    used = used_inputs(work, phases)
    rows = [{"what": facts.inputs[name].path, "value": facts.value(name), "unit": facts.inputs[name].unit,
             "why": facts.inputs[name].why, "how_to_measure": how_to_measure(facts, name)}
            for name in sorted(used) if facts.inputs[name].basis == "assumed" and not is_optional(facts, name)]
    rows += assumed_limits(facts)
    if "days" not in facts.at("business_continuity.preferred_migration_window", {}) and any(
            item.calendar == "window" for phase in phases for item in phase.tasks):
        rows.append({"what": "business_continuity.preferred_migration_window.days", "value": "tue, wed, thu",
                     "unit": "",
                     "why": "no cutover before a weekend", "how_to_measure": "name the days"})
    names = {"initial_copy": work.copy.method, "index_target": "index", "compare_sides": "hash", "backfill": "backfill",
             "catch_up": "apply", "genesis": "genesis", "projection": "projection"}
    makers = {name for phase in phases for name in phase.row.make.split()}
    for maker, rate in names.items():
        row = RATES[rate]
        if maker in makers and row.low < 1e6:
            rows.append({"what": f"rate {rate}", "value": row.likely, "unit": row.unit,
                         "why": f"{row.kind}: {row.source} (from {figure(row.low)} to {figure(row.high)})",
                         "how_to_measure": "set it in `measured` after the rehearsal"})
    own = sorted(overruns_of(records))
    rows.append({"what": "hours of people", "value": short(own[len(own) // 2]) if own else HUMAN_OVERRUN[0],
                 "unit": "x plan (median overrun)", "why": "assumed hours of each task, spread by "
                 + (f"the overruns of {len(own)} history records" if own else "the overruns of Bloor's survey of 2007"),
                 "how_to_measure": "give `estimates` {task id: {o, m, p}}"})
    return rows


# == 19. Risks ========================================================================================
# A risk stands in the register because of a fact; without the fact it is not there.

class RiskRow(NamedTuple):
    category: str
    description: str
    mitigation: str
    owner: str
    gates: str
    lowers: int  # how many of the five probability steps the mitigation takes away
    residual: str


RISKS = {name: RiskRow(*row) for name, row in {
    "R01": ("availability", "The outage lasts longer than {downtime_limit}", "rehearse the switch; abort after {abort}",
            "sre", "G04 G27", 2, "an incident during the switch remains"),
    "R02": ("schedule", "Cutover and way back do not fit into the window",
            "ask for a longer window or split the cutover",
            "lead", "G04", 2, "a late start still costs the window"),
    "R03": ("technical", "Replication never catches up with the writes",
            "apply in parallel, one slot for each big table",
            "dba", "G11", 2, "a write peak can bring the lag back"),
    "R04": ("technical", "Retained WAL ({wal_reserve}) fills the source's disk",
            "set max_slot_wal_keep_size, alert at 80 %, drop the slot at 90 "
            "%", "dba", "G05", 2, "a dropped slot means copying again"),
    "R05": ("schedule", "One table decides how long the copy takes", "split it by key range over several streams",
            "dba", "G04",
            2, "an uneven key leaves one long range"),
    "R06": ("technical", "The link to {target_name} is slower than planned",
            "measure it before provisioning; throttle or ship an "
            "appliance", "platform", "G37", 2, "other traffic shares the link"),
    "R07": ("planning", "The volume in the specification is wrong", "measure it on the source and plan again", "dba",
            "G02", 3,
            "growth until the cutover"),
    "R08": ("technical", "DDL waits behind a long transaction and blocks the table",
            "lock_timeout 5 s with three tries, off-peak, no transaction older than 60 "
            "s", "dba", "G08", 2, "a forgotten session can still delay it"),
    "R09": ("technical", "A type change rewrites the table", "new column, trigger, backfill in batches, swap", "dba",
            "G10", 2,
            "the backfill loads the disk"),
    "R10": ("data", "What is dropped or narrowed cannot be brought back",
            "archive first, rename for 24 h, drop one release "
            "later", "owner", "G26", 1, "values written after the drop are lost"),
    "R11": ("technical", "A table without a key cannot be replicated", "add a key or set the replica identity", "dba",
            "G06", 3,
            "none once the key stands"),
    "R12": ("data", "Both sides differ without anybody noticing", "hash every critical table in canonical text form",
            "data",
            "G14 G15 G16", 2, "sampled tables keep a 1 % chance per 0.01 % defect"),
    "R13": ("data", "New rows on the target reuse keys", "set each sequence 1 000 above the source", "dba", "G17", 3,
            "application-made keys"),
    "R14": ("organisation", "A consumer nobody knows breaks", "read the access log for 7 days; give each name an owner",
            "lead",
            "G01", 2, "jobs that run once a month"),
    "R15": ("technical", "Callers of moved or missing endpoints break",
            "rewrite rules and contract tests for {unmatched}",
            "dev", "G41 G18", 2, "clients that parse error texts"),
    "R16": ("capacity", "The new side is too small for the step", "scale before the step, load test at {load_test_rps}",
            "sre",
            "G21 G24", 2, "traffic above the tested peak"),
    "R17": ("monitoring", "Thresholds fire too early or too late", "derive them from the SLO and the baseline", "sre",
            "G19", 2,
            "seasonal load"),
    "R18": ("monitoring", "A step is too short to show an error", "hold it until the sample size is reached", "sre",
            "G19", 2,
            "faults of rare requests"),
    "R19": ("data", "A rollback loses the writes made since the cutover",
            "reverse replication or a mirror until the point of no "
            "return", "dba", "G11", 2, "lag at the moment of the rollback"),
    "R20": ("recovery", "The way back or the restore does not work when it is needed",
            "rehearse both once on a full-size copy and time them", "sre", "G03 G04", 3, "data grown since the test"),
    "R21": ("planning", "A schema change and a move at once hide which one broke", "separate them by a release", "lead",
            "G07", 2,
            "shared deadlines"),
    "R22": ("technical", "The new version behaves differently", "run the top 20 queries and each driver on the target",
            "dba",
            "G24", 2, "rare queries"),
    "R23": ("users", "Users are signed out or limited differently",
            "shared session store, tokens of both sides accepted", "dev",
            "G23", 2, "very old tokens"),
    "R24": ("compliance", "Personal data is exposed or leaves its jurisdiction",
            "encrypt, mask the rehearsal, sign the transfer assessment "
            "first", "compliance", "G29 G39", 1, "copies in logs and backups"),
    "R25": ("compliance", "The audit finds no evidence",
            "collect the {evidence_count} files of the bundle while working",
            "compliance", "G30", 2, "evidence with wrong dates"),
    "R26": ("schedule", "The deadline is missed", "more people, less scope, or another date", "lead", "", 1,
            "the tail of the forecast"),
    "R27": ("organisation", "The team does this for the first time",
            "pilot on the smallest part; someone who has done it beside "
            "them", "lead", "G04", 1, "routine comes with the second wave"),
    "R28": ("cost", "Both sides run longer than budgeted", "billing alert at 120 % of the model", "owner", "G36", 2,
            "egress during a repeat"),
    "R29": ("performance", "Calls across the two sites slow every request", "keep talkative parts on one side",
            "platform",
            "G37", 2, "new features add calls"),
    "R30": ("technical", "An event design that cannot be undone",
            "versions and upcasters from the first event, back-projection "
            "until the end", "dev", "G34", 1, "events are kept for ever"),
    "R31": ("data", "The two stores drift apart", "outbox and repair queue, reconcile daily", "dev", "G09", 2,
            "writes outside the shared path"),
    "R32": ("schedule", "A freeze, holiday or clock change falls on the cutover", "use the reserve slot one week later",
            "lead",
            "G40", 2, "a second freeze"),
}.items()}


class Raised(NamedTuple):
    """A risk and the fact that raised it."""

    id: str
    path: Path
    text: str
    probability: int
    impact: int


class View(NamedTuple):
    """What the risk rules look at."""

    facts: Facts
    work: Work
    forecast: Forecast
    codes: Dict[str, Finding]


def likelihood(share: float) -> int:
    """Return the step 1..5 of a probability."""
    return int(bracket(share, ((0.02, 1), (0.1, 2), (0.3, 3), (0.6, 4)), 5))


def risks_of_time(view: View) -> Iterable[Raised]:
    facts, forecast, codes = view.facts, view.forecast, view.codes
    miss = 1 - forecast.meets_outage
    down = ("constraints", "max_downtime_minutes")
    if forecast.outage["p95"] > 0:
        allowed = (f"{figure(facts.downtime)} min allowed" if facts.limited else
                   f"the plan allows itself {span(facts.allowed_minutes / 60)}")
        yield Raised("R01", down, f"{allowed}; P95 {figure(forecast.outage['p95'])} min, "
                     f"missed in {100 * miss:.0f} % of the runs", likelihood(miss), 4)
    if "V032" in codes:
        yield Raised("R02", codes["V032"].path, codes["V032"].found, 4, 4)
    if forecast.on_time is not None and facts.at("constraints.deadline"):
        yield Raised("R26", ("constraints", "deadline"), f"{facts.at('constraints.deadline')} is met in "
                     f"{100 * forecast.on_time:.0f} % of the runs", likelihood(1 - forecast.on_time), 3)
    for name in ("blackout_dates", "holidays"):
        if facts.at(f"business_continuity.{name}"):
            yield Raised("R32", ("business_continuity", name),
                         f"{len(facts.at(f'business_continuity.{name}'))} closed dates",
                         2, 3)
            return


def risks_of_copying(view: View) -> Iterable[Raised]:
    facts, work, codes = view.facts, view.work, view.codes
    volume = ("constraints", "data_volume_gb")
    if "V022" in codes:
        yield Raised("R07", codes["V022"].path, codes["V022"].found, 4, 3)
    if not moves_data(work):
        return
    yield from risks_of_replicating(view)
    if work.copy.bound_by.startswith("largest"):
        yield Raised("R05", ("workload", "largest_table_gb"),
                     f"{figure(facts.value('largest_table_gb'))} GB on one stream: "
                     f"{span(work.copy.hours.likely)}", 4, 3)
    if not facts.given("bandwidth_gbps") or work.copy.bound_by == "network":
        yield Raised("R06", ("network", "bandwidth_gbps"), f"{figure(facts.value('bandwidth_gbps'))} Gbit/s "
                     + ("given; the link binds the copy" if facts.given("bandwidth_gbps") else "assumed"), 4, 3)
    odd = sum(1 for table in facts.tables for _, kind in table.columns
              if re.search(r"float|double|real|blob|text", kind))
    other = facts.source.engine != facts.target.engine
    yield Raised("R12", volume, f"{figure(volume_of(facts))} GB copied"
                 + (f"; {odd} text or float columns" if odd else "") + ("; other engine" if other else ""),
                 4 if other else 2, 5)
    if len(work.tracks) > 1 and facts.changes:
        yield Raised("R21", ("schema_changes",), f"{len(facts.changes)} changes beside {work.tracks[0]}", 3, 4)
    if other_major(facts):
        yield Raised("R22", ("target",), engine_text(facts), 3, 3)


def risks_of_replicating(view: View) -> Iterable[Raised]:
    facts, work = view.facts, view.work
    writes, apply = facts.value("write_rows_per_second"), speeds(facts, "apply", "apply_rows_per_second")[1]
    if "cdc" in work.tracks:
        ratio = apply / max(writes, 1e-9)
        if ratio < 5:
            yield Raised("R03", ("workload", "write_rows_per_second"),
                         f"{figure(writes)} rows/s against {figure(apply)} applied",
                         4 if ratio < 1.5 else 2, 4)
        yield Raised("R04", ("source", "disk_free_gb"), f"{view.work.words['wal_reserve']} WAL at most while copying "
                     f"{span(work.copy.hours.likely)}", 2 if facts.given("source_disk_free_gb") else 3, 5)
        yield Raised("R13", ("tables_to_migrate",), f"{len(facts.tables) or 'all'} tables get new rows on the target",
                     3, 4)
    for table in facts.tables:
        if table.has_key is False:
            yield Raised("R11", table.path + ("primary_key",), f"{table.name} has no key", 5, 4)


def risks_of_schema(view: View) -> Iterable[Raised]:
    facts = view.facts
    yield from risk_of_locks(facts)
    rewritten = next((change for change in facts.changes if change.detail.get("new_type")
                      and change.kind in ("modify_column", "alter_column", "change_type")
                      and not catalog_only(change)), None)
    if rewritten:
        yield Raised("R09", rewritten.path, f"{rewritten.table}.{rewritten.column} "
                     f"{rewritten.detail.get('old_type', '?')} to {rewritten.detail['new_type']}", 4, 4)
    lossy = [change for change in facts.changes if is_lossy(change)]
    script = next((script for script in view.work.scripts if script.body.get("reversibility") == "lossy"), None)
    if lossy:
        yield Raised("R10", lossy[0].path,
                     listed([f"{change.kind} {change.table}.{change.column}" for change in lossy]), 2, 5)
    elif script:
        yield Raised("R10", ("type",), f"script {script.id}: {script.body.get('data_loss') or 'lossy'}", 2, 5)
    filled = next((change for change in facts.changes if fills_rows(change)), None)
    if filled or "dual_write" in view.work.tracks:
        yield Raised("R31", filled.path if filled else ("pattern",), "two places are written until the old one is gone",
                     3, 4)


def risk_of_locks(facts: Facts) -> Iterable[Raised]:
    """Yield the risk of the first change of a table that is large or often written."""
    rates = {str(row.get("name", "")).lower(): float(row.get("write_rows_per_second", 0))
             for row in facts.at("tables_to_migrate", []) if row}
    for change in facts.changes:
        table, rate = table_of(change, facts), rates.get(change.table.lower(), 0.0)
        if table and (rate > 100 or table.gb > 10):
            yield Raised("R08", change.path,
                         f"{change.kind} on {change.table}: {figure(table.gb)} GB, {figure(rate)} rows/s", 3, 4)
            return


def risks_of_service(view: View) -> Iterable[Raised]:
    facts, codes = view.facts, view.codes
    for name, code, chance, impact in (("R15", "V080", 4, 4), ("R16", "V076", 4, 4), ("R17", "V060", 4, 3),
                                       ("R18", "V051", 3, 3)):
        if code in codes and codes[code].severity != INFO:
            yield Raised(name, codes[code].path, codes[code].found, chance, impact)
    for name in ("session_continuity", "rate_limit_preservation"):
        if name in facts.requirements:
            index = facts.requirements.index(name)
            yield Raised("R23", ("constraints", "special_requirements", index), name, 3, 4)
            break
    rtt, calls = facts.value("rtt_ms"), facts.at("workload.calls_per_request", 5)
    limit = facts.value("slo_p95_ms") if facts.value("slo_p95_ms") > 0 else facts.alerts.get("response_time_p95", 0)
    if "hybrid_cloud" in view.work.tracks and limit and calls * rtt > 0.2 * limit:
        yield Raised("R29", ("network", "rtt_ms"), f"{figure(calls)} calls x {figure(rtt)} ms = {figure(calls * rtt)} "
                     f"ms of {figure(limit)} ms", 3, 4)
    if "event_sourcing" in view.work.tracks:
        yield Raised("R30", ("pattern",), "events are kept for ever", 3, 4)


def risks_of_people(view: View) -> Iterable[Raised]:
    facts, work = view.facts, view.work
    unowned = [row for row in facts.dependencies if not row.owner]
    if unowned or len(facts.dependencies) > 5:
        row = (unowned or list(facts.dependencies))[0]
        names = f": {listed([item.name for item in unowned])}" if unowned else ""
        yield Raised("R14", row.path, f"{len(unowned)} of {len(facts.dependencies)} consumers without owner{names}",
                     4 if unowned else 3, 4)
    yield from risk_of_lost_writes(facts, work)
    ready = facts.at("readiness", {})
    if ready.get("rollback_tested") is not True or ready.get("backup_restore_tested_days_ago", 99) > 7:
        missing = [name for name in ("rollback_tested", "backup_restore_tested_days_ago") if name not in ready]
        yield Raised("R20", ("readiness",), f"unverified: {listed(missing)} not given" if missing else
                     "rollback not tested or restore test older than 7 days", 3, 5)
    if facts.value("experience") == 0:
        yield Raised("R27", ("team", "experience_similar_migrations"), "0 similar migrations", 3, 3)


def risk_of_lost_writes(facts: Facts, work: Work) -> Iterable[Raised]:
    back = facts.at("cutover.reverse_replication")
    if set(work.tracks) & {"cdc", "data_migration", "lift_and_shift"} and (back is False or "cdc" not in work.tracks):
        yield Raised("R19", ("cutover", "reverse_replication"), f"{work.tracks[0]} "
                     + ("with reverse_replication false" if back is False else "keeps no way back for new writes"), 3,
                     5)


def risks_of_rules(view: View) -> Iterable[Raised]:
    facts, work = view.facts, view.work
    personal = personal_columns(facts)
    if personal and (transfers(facts) or relocates(facts) or facts.frameworks):
        move = f"; {transfers(facts)}" if transfers(facts) else ""
        yield Raised("R24", personal[0].path,
                     f"{len(personal)} personal columns ({personal[0].table}.{personal[0].column}: "
                     f"{personal[0].why}){move}", 3 if transfers(facts) else 2, 5)
    if set(facts.frameworks) & {"SOX", "PCI DSS", "HIPAA"}:
        yield Raised("R25", ("constraints", "compliance_requirements"), listed(facts.frameworks), 3, 4)
    if facts.target.location in ("aws", "azure", "gcp") and moves_data(work):
        yield Raised("R28", ("target",), f"both sides run for {span(facts.value('soak_hours'))} of soak", 3, 2)


RISK_RULES = (risks_of_time, risks_of_copying, risks_of_schema, risks_of_service, risks_of_people,
              risks_of_rules)


def because(facts: Facts, path: Path, text: str) -> Dict[str, Any]:
    """Return the fact behind a risk: its path in the specification, what stands there, and what it means."""
    here: Any = facts.spec
    reached: Path = ()
    for key in path:
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            break
        reached += (key,)
    shown = here if isinstance(here, (str, int, float, bool)) else describe(here)
    missing = "" if reached == path else f"{show_path(path)} is not given; "
    return {"path": show_path(reached), "value": shown, "text": missing + text}


def raise_risks(view: View, phases: Sequence[Phase]) -> List[Dict[str, Any]]:
    """Return the risk register, highest score first."""
    words = {**view.work.words, "abort": span(view.work.limits["abort_minutes"] / 60)}
    found = [risk_document(view.facts, raised, phases, words) for rule in RISK_RULES for raised in rule(view)]
    return sorted(found, key=lambda row: (-row["score"], row["id"]))


def score_level(score: int) -> str:
    return LEVELS[int(bracket(score, ((5, 0), (10, 1), (16, 2)), 3))]


NIST = {5: (1, 2, 3, 4, 5), 4: (1, 2, 3, 4, 5), 3: (1, 2, 3, 3, 4), 2: (1, 2, 2, 2, 3),
        1: (1, 1, 1, 2, 2)}  # 800-30 table I-2
NIST_WORDS = ("", "very low", "low", "moderate", "high", "very high")


def risk_document(facts: Facts, raised: Raised, phases: Sequence[Phase], words: Dict[str, str]) -> Dict[str, Any]:
    row = RISKS[raised.id]
    score = raised.probability * raised.impact
    left = max(1, raised.probability - row.lowers)
    phase = next((phase.name for phase in phases if set(row.gates.split()) & {gate.id for gate in phase.gates}),
                 phases[0].name)
    known = {gate.id for phase in phases for gate in phase.gates}
    return {"id": raised.id, "category": row.category, "description": fill(row.description, words),
            "probability": NIST_WORDS[raised.probability], "impact": NIST_WORDS[raised.impact],
            "severity": score_level(score), "score": score, "mitigation": fill(row.mitigation, words),
            "owner": ROLES[row.owner], "because": because(facts, raised.path, raised.text), "phase": phase,
            "probability_step": raised.probability, "impact_step": raised.impact,
            "nist_level": NIST_WORDS[NIST[raised.probability][raised.impact - 1]],
            "gate_ids": [name for name in row.gates.split() if name in known],
            "residual": {"probability_step": left, "impact_step": raised.impact, "score": left * raised.impact,
                         "severity": score_level(left * raised.impact), "why": fill(row.residual, words)}}


def phase_risk(phase: Phase, risks: Sequence[Dict[str, Any]]) -> str:
    """Return the level of a phase: its worst open risk after mitigation, at least high where nothing comes back."""
    scores = [row["residual"]["score"] for row in risks if row["phase"] == phase.name
              or set(row["gate_ids"]) & {gate.id for gate in phase.gates}]
    level = score_level(max(scores, default=1))
    return level if not phase.no_return or LEVELS.index(level) >= 2 else "high"


# == 20. Communicating ================================================================================
# Who is told what and when, who decides, and what must be true before they do.

EVENTS = (  # event, when, audiences, text
    ("announcement", "T-14 d", ("executives", "technical", "consumers", "support"),
     "{source} is to become {target}. Planned for {window}. Expected outage: {outage}. Please name a person on call."),
    ("reminder", "T-2 d", ("technical", "consumers", "support"),
     "{source} -> {target}: {window}. Expected outage: {outage}. Freeze: no release of {released} from T-1 d until "
     "the all-clear. Decision deadline: {deadline}."),
    ("go/no-go", "before {main_phase}", ("executives", "technical"),
     "Go/no-go for {main_phase}: {gate_count} measurable lines, decided by {decider}. No decision by the deadline "
     "means no-go."),
    ("start", "at the start of {main_phase}", ("technical", "consumers", "support"),
     "{main_phase} started. Users see: {users_see}. Next message in {next_message} min or at the end."),
    ("half time", "after {half} min of {main_phase}", ("technical", "executives"),
     "{main_phase} has used half of its {budget}. Steps left: {{steps_left}}. It is rolled back after {abort}."),
    ("done", "at the end of {main_phase}", ("executives", "technical", "consumers", "support"),
     "{target} serves. Measured outage: {{measured_minutes}} min (allowed {budget}). {source} stays ready to take over "
     "until {last_phase}."),
    ("rollback started", "when a trigger fires", ("technical", "consumers", "support", "executives"),
     "{main_phase} is being rolled back because {{trigger}} fired. Expected back on {source} in {undo} min. Next "
     "message in 15 min."),
    ("rollback done", "when {source} serves again", ("executives", "technical", "consumers", "support"),
     "{source} serves again since {{time}}. Writes lost: {{rows}} (expected: {at_risk}). Next attempt: {{date}}."),
    ("close", "at the end of {last_phase}", ("executives", "consumers"),
     "The migration to {target} is closed. Measured: {{hours}} h (planned P50 {p50}), outage {{measured_minutes}} "
     "min."))
CHANNELS = {"executives": "e-mail from the {owner}", "technical": "#{{migration_channel}}",
            "consumers": "e-mail to each owner",
            "support": "ticket to the support desk and status page draft"}


def person(facts: Facts, role: str) -> str:
    """Return a role, with the name that the specification gives it."""
    name = facts.at("team.roles", {}).get(role)
    return f"{ROLES[role]} ({clean(name)})" if name else ROLES[role]


def main_phase(phases: Sequence[Phase]) -> Phase:
    """Return the phase that users notice most: the switch, else the one with the point of no return."""
    for name in ("cutover", "cut_writes", "switch", "switch_writes", "wave_1", "redirect", "steps", "route", "contract",
                 "distribute", "move_compute"):
        for phase in phases:
            if phase.name == name:
                return phase
    return phases[-1]


def message_words(work: Work, phases: Sequence[Phase], forecast: Forecast, calendar: Calendar,
                  gates: int) -> Dict[str, str]:
    facts, main = work.facts, main_phase(phases)
    window = facts.at("business_continuity.preferred_migration_window", {})
    first = next((item for item in main.tasks if item.calendar == "window"), main.tasks[0] if main.tasks else None)
    when = f"{window.get('start', '02:00')}-{window.get('end', '06:00')} {window.get('timezone', 'UTC')}"
    if calendar.dated and first:
        when = f"{local_text(calendar, forecast.timed[first.id].start, facts)}"
    allowed = facts.allowed_minutes
    outage = forecast.outage
    seen = ("nothing, requests are retried" if outage["p80"] <= 0.1 else
            f"an outage of about {figure(outage['p50'])} min")
    return {"source": clean(facts.source.text), "target": clean(facts.target.text), "window": when,
            "released": listed([row.name for row in facts.dependencies], "any program that uses it"),
            "next_message": figure(round(min(max(allowed / 2, 15), 30))),
            "outage": "none" if outage["p80"] == 0 else f"P50 {span(outage['p50'] / 60)}, P80 "
            f"{span(outage['p80'] / 60)}, at most {span(allowed / 60)}", "consumers": work.words["dependency_names"],
            "deadline": deadline_text(work, main), "main_phase": main.name, "gate_count": figure(gates),
            "decider": person(facts, "owner"), "users_see": seen, "half": figure(round(allowed / 2, 1)) if allowed >= 30
            else "15",
            "budget": span(allowed / 60), "abort": span(work.limits["abort_minutes"] / 60),
            "last_phase": phases[-1].name,
            "undo": figure(main.row.undo_minutes[1]), "at_risk": "none" if not main.no_return
            else f"what was written there since {main.name} began", "owner": person(facts, "owner"),
            "p50": span(forecast.path["p50"])}


def deadline_text(work: Work, main: Phase) -> str:
    """Return until when the main phase can still be turned back inside its window."""
    window = work.facts.at("business_continuity.preferred_migration_window", {})
    if not any(item.calendar == "window" for item in main.tasks):
        return (f"the start of {main.name}, which needs no window: each of its steps is turned back within "
                f"{figure(main.row.undo_minutes[2])} min")
    end = clock(window.get("end", "06:00"))
    minutes = way_back_minutes(main.row)
    moment_of_day = (end - minutes / 60) % 24
    return (f"{int(moment_of_day):02d}:{int(moment_of_day * 60 % 60):02d} {window.get('timezone', 'UTC')} (end of the "
            f"window less {figure(round(minutes))} min for the way back)")


def way_back_minutes(row: PhaseRow) -> float:
    """Return the minutes that the undo of a phase takes when it goes rather badly."""
    return row.undo_minutes[1] + (row.undo_minutes[2] - row.undo_minutes[1]) / 2


def local_text(calendar: Calendar, hours: float, facts: Facts) -> str:
    """Return a moment in the window's own zone and in UTC."""
    import datetime
    moment_utc = calendar.start + datetime.timedelta(seconds=round(hours * 3600))
    name = facts.at("business_continuity.preferred_migration_window.timezone", facts.at("team.timezone", "UTC"))
    local = moment_utc.astimezone(zone_of(str(name)) or datetime.timezone.utc)
    here = f"{local.strftime('%a %Y-%m-%d %H:%M')} {name}"
    return here if local.utcoffset() == datetime.timedelta(0) else f"{here} ({moment_utc.strftime('%H:%M')} UTC)"


def communication_document(work: Work, phases: Sequence[Phase], forecast: Forecast, calendar: Calendar,
                           gates: int) -> Dict[str, Any]:
    """Return every message, filled, for each audience, and one for each consumer with its action."""
    words = message_words(work, phases, forecast, calendar, gates)
    messages = [{"event": name, "when": fill(when, words), "audience": audience,
                 "channel": fill(CHANNELS[audience], words),
                 "subject": f"[{name}] {words['source']} -> {words['target']}",
                 "text": fill(text, words)}
                for name, when, audiences, text in EVENTS if name != "half time" or work.facts.downtime >= 30
                for audience in audiences]
    consumers = [{"consumer": row.name, "to": row.contact or row.owner or "{{contact_of_"
                  + re.sub(r"\W", "_", row.name) + "}}",
                  "action": consumer_action(work, row), "text":
                  f"{words['source']} -> {words['target']}, {words['window']}. For {row.name}: "
                  f"{consumer_action(work, row)}. Expected outage: "
                  f"{words['outage']}."} for row in work.facts.dependencies]
    return {"messages": messages, "consumers": consumers, "dates": message_dates(phases, forecast, calendar),
            "raci": raci_document(work, phases)}


def consumer_action(work: Work, row: Dependency) -> str:
    if row.can_pause:
        moment_of_pause = "the window" if moves_data(work) else "the switch"
        return f"pause it at the start of {moment_of_pause} and start it after the all-clear"
    if moves_data(work):
        return "refresh the connection to the new address when the message 'start' arrives; retry for the outage"
    if row.direction == "read":
        return "nothing on the day; test reads against the new form until T-2 d"
    return "test reads and writes against the new form until T-2 d; somebody on call during the switch"


def message_dates(phases: Sequence[Phase], forecast: Forecast, calendar: Calendar) -> Dict[str, Optional[str]]:
    main = main_phase(phases)
    at = min((forecast.timed[item.id].start for item in main.tasks), default=0.0)
    return {"T": moment(calendar, at), "T-14 d": moment(calendar, at - 336), "T-2 d": moment(calendar, at - 48)}


def raci_document(work: Work, phases: Sequence[Phase]) -> List[Dict[str, Any]]:
    """Return one row for each phase: one accountable role, at least one responsible, who is asked, who is told."""
    rows = []
    for phase in phases:
        names = phase.row.roles.split()
        accountable = names[0]
        doing = list(dict.fromkeys([*names[1:], *(item.role for item in phase.tasks)]))
        responsible = [role for role in doing if role != accountable] or [accountable]
        asked = [role for role in (("compliance",) if work.facts.frameworks else ()) + ("security",)
                 if role not in (accountable, *responsible)]
        told = [role for role in ("owner", "support") if role not in (accountable, *responsible, *asked)]
        rows.append({"phase": phase.name, "accountable": person(work.facts, accountable),
                     "responsible": [person(work.facts, role) for role in responsible],
                     "consulted": [person(work.facts, role) for role in asked],
                     "informed": [person(work.facts, role) for role in told]})
    return rows


def go_no_go(work: Work, phases: Sequence[Phase]) -> List[Dict[str, Any]]:
    """Return the measurable lines of the decision before the main phase."""
    facts, main = work.facts, main_phase(phases)
    lines = []
    for phase in phases[:[row.name for row in phases].index(main.name)]:
        for gate in phase.gates:
            if gate.id not in {line["gate_id"] for line in lines}:
                lines.append({"id": f"N{len(lines) + 1:02d}", "gate_id": gate.id, "required":
                              comparison(gate.metric, gate.operator, gate.threshold, gate.unit), "how": gate.how,
                              "owner": person(facts, phase.row.roles.split()[0])})
    own = [("age of the rehearsal <= 30 d", "date in the rehearsal log", "lead"),
           (f"error budget left >= 25 % of {figure(facts.value('slo_window_days'))} d at "
            f"{100 * facts.value('availability'):.6g} %", f"1 - sum(increase(http_requests_total{{service=\""
            f"{work.words['service']}\",code=~\"5..\"}}[{figure(facts.value('slo_window_days'))}d])) / budget", "sre"),
           ("open P1 and P2 incidents == 0", "incident list", "sre"),
           ("people on call for each consumer: " + work.words["dependency_names"], "on-call plan of the night", "lead"),
           ("traffic forecast < 50 % of peak", "same hour of the last four weeks", "sre"),
           (f"decision deadline agreed: {deadline_text(work, main)}", "minutes of the go/no-go meeting", "owner"),
           (f"rollback owner named for {main.name}", "name in the runbook", "owner")]
    return lines + [{"id": f"N{len(lines) + index:02d}", "gate_id": "", "required": text, "how": how,
                     "owner": person(facts, role)} for index, (text, how, role) in enumerate(own, 1)]


def stakeholder_document(facts: Facts, phases: Sequence[Phase]) -> List[Dict[str, Any]]:
    """Return the roles that the plan uses and the owners of the consumers."""
    used = list(dict.fromkeys([role for phase in phases for role in phase.row.roles.split()]
                              + [item.role for phase in phases for item in phase.tasks]))
    rows = [{"role": ROLES[role], "name": facts.at("team.roles", {}).get(role) or "{{name_of_" + role + "}}",
             "contact": "",
             "why": "works on " + listed([phase.name for phase in phases if role in phase.row.roles.split() or any(
                 item.role == role for item in phase.tasks)], most=3)} for role in used]
    return rows + [{"role": f"Owner of {row.name}", "name": row.owner or "{{owner_of_"
                    + re.sub(r"\W", "_", row.name) + "}}",
                    "contact": row.contact, "why": f"{row.name} uses {clean(facts.source.text)}"}
                   for row in facts.dependencies]


def rollback_document(work: Work, phases: Sequence[Phase]) -> Dict[str, Any]:
    """Return how far the plan can be undone, and how, last phase first."""
    final = next((phase for phase in phases if phase.no_return), None)
    main = main_phase(phases)
    return {
        "strategy": f"undo phase by phase, last first; lossless until {final.name}" if final else
        "undo phase by phase, last first; nothing in this plan is final",
        "point_of_no_return": {"phase": final.name, "reason": final.no_return} if final else None,
        "decision_deadline": deadline_text(work, main), "decided_by": person(work.facts, "owner"),
        "phases": [{"phase": phase.name, **recovery_document(phase)} for phase in reversed(phases)],
        "restore_hours": range_document(work.machine["restore"]) if is_data(work.facts) else None,
        "keeps_new_writes": "cdc" in work.tracks and work.facts.at("cutover.reverse_replication", True)}


def compliance_document(work: Work, phases: Sequence[Phase]) -> Dict[str, Any]:
    """Return the controls with their phase and evidence, the personal columns, and the bundle."""
    stages = stage_phases(phases)
    rows = []
    for control, path, value in controls_for(work.facts):
        phase, made = next(((phase, item.id) for phase in phases for item in phase.tasks
                            if control.evidence in item.check),
                           (stages[control.stage], ""))
        rows.append({"framework": control.framework, "reference": control.reference, "requirement": control.requirement,
                     "applies_because": {"path": show_path(path), "value": value if isinstance(value, (str, int)) else
                                         describe(value)}, "phase": phase.name, "task_id": made,
                     "owner": ROLES[control.owner], "status": "open",
                     "evidence": [{"file": control.evidence, "producer": fill(control.how, work.words)}]})
    personal = [{"table": row.table, "column": row.column, "kind": row.kind, "certainty": row.certainty, "why": row.why,
                 "path": show_path(row.path)} for row in personal_columns(work.facts)]
    return {"controls": rows, "personal_data": personal,
            "evidence_bundle": {"files": sorted({row["evidence"][0]["file"]
                                                 for row in rows}) + ["plan.json", "spec.json"],
                                "manifest": "sha256sum * > manifest.sha256 after each phase; sign the manifest"},
            "note": "Section numbers name the controls; this is no legal advice."}


def stage_phases(phases: Sequence[Phase]) -> Dict[str, Phase]:
    """Return the phase of each stage of the compliance work: the one whose tasks collect its evidence."""
    first, last = phases[0], phases[-1]
    found = {"assess": first, "prepare": first, "rehearse": first, "validate": last, "close": last}
    for phase in phases:
        makers = phase.row.make.split()
        for stage in ("assess", "prepare", "rehearse"):
            if stage in makers:
                found[stage] = phase
        if set(makers) & {"verify", "compare_sides", "rollout", "dual_run", "compare_answers"}:
            found["validate"] = phase
    return found


def schedule_document(plan_phases: Sequence[Phase], forecast: Forecast, calendar: Calendar,
                      work: Work) -> Dict[str, Any]:
    """Return dates when a start was given, else days from any Monday."""
    facts = work.facts
    ends = {name: round(days, 2) for name, days in forecast.days.items()}
    window = facts.at("business_continuity.preferred_migration_window", {})
    main = main_phase(plan_phases)
    begins = min((forecast.timed[item.id].start for item in main.tasks if item.calendar == "window"), default=None)
    return {"start": moment(calendar, 0),
            "end": {name: moment(calendar, 24 * days) for name, days in forecast.days.items()}
            if calendar.dated else None, "calendar_days": ends, "likely_days": short(forecast.likely_days),
            "based_on": "the given start" if calendar.dated else "a start on a Monday at the beginning of the working "
            "day",
            "window": {"start": window.get("start", "02:00"), "end": window.get("end", "06:00"),
                       "timezone": window.get("timezone", facts.at("team.timezone", "UTC")),
                       "days": window.get("days", ["tue", "wed", "thu"])},
            "cutover": moment(calendar, begins) if begins is not None else None,
            "reserve": moment(calendar, begins + 168) if begins is not None else None,
            "critical_path": [row.task.id for row in forecast.timed.values() if row.critical],
            "simulations": forecast.runs, "seed": forecast.seed,
            "sensitivity": [{"what": name, "rank_correlation": value} for name, value in forecast.sensitivity],
            "your_estimates": own_phase_hours(facts, plan_phases),
            "alternatives": alternative_documents(work, plan_phases,
                                                                                                          forecast,
                                                  calendar)}


def alternative_documents(work: Work, phases: Sequence[Phase], forecast: Forecast,
                          calendar: Calendar) -> List[Dict[str, Any]]:
    """Return when the plan would end if its work were ordered differently; fewer runs than the plan itself."""
    found = []
    for other in alternatives(work, phases):
        seen = simulate(other.phases, work, calendar, max(forecast.runs // 10, 100), forecast.seed, None)
        found.append({"name": other.name, "likely_days": short(seen.likely_days), "calendar_days": seen.days})
    return found


def own_phase_hours(facts: Facts, phases: Sequence[Phase]) -> List[Dict[str, Any]]:
    """Return the specification's own hours beside the computed ones."""
    rows = []
    for row in facts.at("migration_phases", []):
        if not row or "estimated_duration_hours" not in row:
            continue
        twin = next((phase for phase in phases if phase.name == row["phase"].lower()), None)
        ours = likely_length(twin) if twin else None
        rows.append({"phase": row["phase"], "yours": row["estimated_duration_hours"],
                     "ours": short(ours) if ours else None})
    return rows


def success_criteria(work: Work, phases: Sequence[Phase]) -> List[str]:
    """Return what must be true at the end, from the gates of the last phases and the specification's promises."""
    allowed = figure(work.limits["outage_minutes"])
    rows = [f"measured outage at most {allowed} min" + (" (0 by tolerance)" if work.facts.downtime == 0 else "")]
    for phase in phases[-3:]:
        rows += [f"{gate.id} {comparison(gate.metric, gate.operator, gate.threshold, gate.unit)}"
                 for gate in phase.gates]
    rows += [f"{row.name} works on {clean(work.facts.target.text)}, confirmed by {row.owner or 'its owner'}"
             for row in work.facts.dependencies]
    return list(dict.fromkeys(rows))


# == 21. Plan =========================================================================================
# Everything computed -> one JSON document with the keys of the contract.

class Plan(NamedTuple):
    """What the renderers draw from: the public document and the records behind it."""

    document: Dict[str, Any]
    phases: Tuple[Phase, ...]
    forecast: Forecast
    calendar: Calendar
    work: Work


def migration_id(spec: Any) -> str:
    """Return 12 hex digits that change when the specification does."""
    import hashlib
    return hashlib.sha256(json.dumps(spec, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
                          .encode("utf-8")).hexdigest()[:12]


def short(value: float) -> float:
    """Return a figure of the plan without noise."""
    return round(value, 3)


def range_document(hours: Range) -> Dict[str, Any]:
    return {"optimistic": short(hours.low), "likely": short(hours.likely), "pessimistic": short(hours.high),
            "basis": hours.basis, "formula": hours.formula}


def task_document(item: Task, timed: Timed, calendar: Calendar) -> Dict[str, Any]:
    return {"id": item.id, "title": item.title, "action": clean(item.action), "done_when": clean(item.check),
            "owner": ROLES.get(item.role, item.role), "calendar": item.calendar, "hours": range_document(item.hours),
            "depends_on": list(item.after), "source": item.path, "start": moment(calendar, timed.start),
            "end": moment(calendar, timed.end), "critical": timed.critical, "slack_hours": short(timed.slack)}


def moment(calendar: Calendar, hours: float) -> Optional[str]:
    """Return a time of the schedule in UTC, None without a start."""
    if not calendar.dated:
        return None
    import datetime
    return (calendar.start + datetime.timedelta(seconds=round(hours * 3600))).strftime("%Y-%m-%dT%H:%M:%SZ")


def gate_document(gate: Gate) -> Dict[str, Any]:
    return {"id": gate.id, "metric": gate.metric, "operator": gate.operator, "threshold": gate.threshold,
            "unit": gate.unit, "how": gate.how}


def trigger_document(trigger: Trigger) -> Dict[str, Any]:
    return {"id": trigger.id, "metric": trigger.metric, "operator": trigger.operator, "threshold": trigger.threshold,
            "unit": trigger.unit, "duration_minutes": trigger.minutes, "action": trigger.action, "source": trigger.path}


def comparison(metric: str, operator: str, threshold: Any, unit: str) -> str:
    limit = figure(threshold) if is_kind(threshold, "number") else str(threshold)
    return f"{metric} {operator} {limit}" + (f" {unit}" if unit and unit != "share" else "")


def trigger_text(trigger: Trigger) -> str:
    text = comparison(trigger.metric, trigger.operator, trigger.threshold, trigger.unit)
    held = f" for {figure(trigger.minutes)} min" if trigger.minutes else ""
    return f"{text}{held}: {trigger.action}"


def recovery_document(phase: Phase) -> Dict[str, Any]:
    kind, _, how = phase.undo.partition(": ")
    low, likely, high = phase.row.undo_minutes
    return {"kind": kind, "steps": how, "minutes": {"optimistic": low, "likely": likely, "pessimistic": high},
            "data_at_risk": phase.no_return or "none while this phase runs"}


def phase_document(phase: Phase, plan: "Plan", risk_level: str) -> Dict[str, Any]:
    timed = plan.forecast.timed
    spread = plan.forecast.phases[phase.name]
    likely = likely_length(phase)
    starts = [timed[item.id].start for item in phase.tasks]
    ends = [timed[item.id].end for item in phase.tasks]
    return {
        "name": phase.name, "description": phase.description, "track": phase.track, "entry_criteria": list(phase.entry),
        "duration_hours": short(likely), "duration_range_hours": spread,
        "start": moment(plan.calendar, min(starts, default=0)),
        "end": moment(plan.calendar, max(ends, default=0)), "dependencies": list(phase.after),
        "tasks": [item.title for item in phase.tasks],
        "task_details": [task_document(item, timed[item.id], plan.calendar) for item in phase.tasks],
        "validation_criteria": [f"{gate.id} {comparison(gate.metric, gate.operator, gate.threshold, gate.unit)}"
                                for gate in phase.gates],
        "gates": [gate_document(gate) for gate in phase.gates],
        "rollback_triggers": [trigger_text(trigger) for trigger in phase.triggers],
        "triggers": [trigger_document(trigger) for trigger in phase.triggers],
        "no_trigger_reason": "" if phase.triggers else no_trigger_reason(phase), "risk_level": risk_level,
        "resources_required": resources(phase), "point_of_no_return": bool(phase.no_return),
        "point_of_no_return_reason": phase.no_return, "recovery": recovery_document(phase),
        "scripts": [script.body for script in phase.scripts]}


def no_trigger_reason(phase: Phase) -> str:
    """Return why nothing has to be watched while a phase runs."""
    kind, _, how = phase.undo.partition(": ")
    if kind == "rollback":
        return f"users are not touched, its gates are enough; to turn it back: {how}"
    return f"it starts only after its gates and is not turned back: {phase.no_return or how}"


def resources(phase: Phase) -> List[str]:
    """Return who a phase needs and for how many hours."""
    needs: Dict[str, float] = {}
    for item in phase.tasks:
        if item.calendar != "soak":
            needs[item.role] = needs.get(item.role, 0) + (item.hours.likely if item.calendar != "machine" else 0)
    return [f"{ROLES[role]}: {span(hours)}" if hours else f"{ROLES[role]}: on call" for role, hours in needs.items()]


# == 22. Rendering: text ==============================================================================
# For a terminal of 80 columns.

WIDTH = 80


def wrap(text: str, indent: str = "", first: Optional[str] = None) -> List[str]:
    import textwrap
    return textwrap.wrap(clean(text), WIDTH, initial_indent=indent if first is None else first,
                         subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False) or [(first or indent).rstrip()]


def heading(text: str) -> List[str]:
    return ["", clean(text), "-" * min(len(text), WIDTH)]


def render_text(plan: Plan) -> str:
    document = plan.document
    lines = text_head(document)
    for part in (text_next, text_findings, text_choice, text_phases, text_risks, text_success, text_assumptions,
                 text_compliance, text_people, text_end):
        lines += part(plan)
    return "\n".join(lines) + "\n"


def text_head(document: Dict[str, Any]) -> List[str]:
    hours = document["duration"]["path_hours"]
    days = document["duration"]["calendar_days"]
    chance = document["success_probability"]
    low, high = chance["interval_80"]
    final = document["rollback_plan"]["point_of_no_return"]
    lines = wrap(f"Migration plan {document['migration_id']}: {document['source_system']} -> "
                 f"{document['target_system']}")
    lines += ["=" * min(WIDTH, max(map(len, lines)))]
    rows = [("Pattern", " + ".join(document["pattern_selection"]["tracks"])),
            ("Complexity", f"{document['complexity']} ({figure(document['complexity_score'])} of 100)"),
            ("Work on path", f"P50 {span(hours['p50'])}, P80 {span(hours['p80'])}, P95 {span(hours['p95'])}"),
            ("Calendar", f"P50 {figure(days['p50'])} d, P80 {figure(days['p80'])} d, P95 {figure(days['p95'])} d"),
            ("Outage", document["downtime"]["summary"]),
            ("Success", f"{100 * chance['probability']:.0f} % (80 % interval {100 * low:.0f} to {100 * high:.0f} %)"),
            ("No way back", f"after {final['phase']}: {final['reason']}" if final else
             "every phase can be undone without loss")]
    return lines + [line for name, text in rows for line in wrap(text, " " * 15, f"{name + ':':<15}")]


def next_steps(plan: Plan) -> List[str]:
    """Return what somebody has to do now, most pressing first."""
    document = plan.document
    codes = list(dict.fromkeys(row["code"] for row in document["findings"] if row["severity"] == WARNING))
    steps = [f"settle what stands under Findings: {', '.join(codes)}"] if codes else []
    unowned = [row.name for row in plan.work.facts.dependencies if not (row.owner or row.contact)]
    steps += [f"name who answers for {listed(unowned)}"] if unowned else []
    steps += [f"measure {row['input']}: {row['how']}" for row in document["confidence"]["measure_first"][:1]]
    first = document["phases"][0]["task_details"][0]
    return steps + [f"begin: {first['title']} -- {first['owner']}"]


def text_next(plan: Plan) -> List[str]:
    lines = heading("Next")
    for number, text in enumerate(next_steps(plan), 1):
        lines += wrap(text, "     ", f"  {number}. ")
    return lines


def text_findings(plan: Plan) -> List[str]:
    findings = plan.document["findings"]
    if not findings:
        return []
    lines = heading(f"Findings ({len(findings)})")
    for row in findings:
        lines += wrap(f"{row['severity']} {row['code']} {row['path']}: found {row['found']}, expected {row['expected']}"
                      + (f" ({row['hint']})" if row["hint"] else ""), "    ", "  ")
    return lines


def text_phases(plan: Plan) -> List[str]:
    lines: List[str] = []
    told: Dict[Tuple[str, str], int] = {}  # gates whose measurement stands further up
    names = {show_path(row.path): (row.name, row.owner) for row in plan.work.facts.dependencies}
    for number, phase in enumerate(plan.document["phases"], 1):
        spread = phase["duration_range_hours"]
        lines += heading(f"{number}. {phase['name'].upper()}: {span(phase['duration_hours'])} "
                         f"(P80 {span(spread['p80'])}), risk {phase['risk_level']}")
        lines += wrap(phase["description"])
        for group in alike(phase["task_details"], names):
            lines += text_task(group, names)
        lines += [""] + [line for gate in phase["gates"] for line in text_gate(gate, number, told)]
        lines += [line for row, text in zip(phase["triggers"], phase["rollback_triggers"])
                  for line in wrap(f"{row['id']} {text}", "        ", "  stop: ")]
        recovery = phase["recovery"]
        minutes = recovery["minutes"]
        lines += wrap(f"{recovery['kind']}, {figure(minutes['likely'])} min (up to {figure(minutes['pessimistic'])}): "
                      f"{recovery['steps']}", "        ", "  undo: ")
        if phase["point_of_no_return"]:
            lines += wrap(phase["point_of_no_return_reason"], "        ", "  POINT OF NO RETURN: ")
    return lines


def alike(items: Sequence[Dict[str, Any]], names: Dict[str, Tuple[str, str]]) -> List[List[Dict[str, Any]]]:
    """Return the tasks as groups: neighbours that say the same of different consumers stand together."""
    groups: List[List[Dict[str, Any]]] = []
    for item in items:
        if groups and item["source"] in names and groups[-1][0]["source"] in names and (
                in_general(item, names) == in_general(groups[-1][0], names)):
            groups[-1].append(item)
        else:
            groups.append([item])
    return [part for group in groups for part in ([group] if len(group) > 2 else [[item] for item in group])]


def in_general(item: Dict[str, Any], names: Dict[str, Tuple[str, str]]) -> Tuple[str, ...]:
    """Return what a task of one consumer says of every consumer."""
    name, owner = names[item["source"]]
    unnamed = "{{owner_of_" + re.sub(r"\W", "_", name) + "}}"
    texts = [item["title"].replace(name, "each consumer")]
    for text in (item["action"], item["done_when"]):
        for mark in (owner, unnamed):
            text = text.replace(mark, "its owner") if mark else text
        texts.append(re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "it", text))
    return (*texts, item["owner"], span(item["hours"]["likely"]))


def text_task(group: Sequence[Dict[str, Any]], names: Dict[str, Tuple[str, str]]) -> List[str]:
    item = group[0]
    each = len(group) > 1
    title, action, done = in_general(item, names)[:3] if each else (item["title"], item["action"], item["done_when"])
    hours = item["hours"]
    spent = span(hours["likely"]) + " each" * each
    if spent.startswith("0"):
        spent = hours["formula"] if "inside" in hours["formula"] else "seconds"
    lines = wrap(f"{title} -- {item['owner']}, {spent}", "      ", "  [ ] ")
    lines += wrap(action, "          ", "      do: ")
    lines += wrap(done, "            ", "      done: ")
    if each:
        owned = [names[one["source"]] for one in group]
        lines += wrap(", ".join(f"{name} ({owner})" if owner else name for name, owner in owned), "            ",
                      "      each: ")
    return lines


def text_gate(gate: Dict[str, Any], number: int, told: Dict[Tuple[str, str], int]) -> List[str]:
    """Return a gate; how it is measured only where it stands for the first time."""
    first = told.setdefault((gate["id"], gate["how"]), number)
    again = f" (measured as in {first})" if first != number else ""
    lines = wrap(f"{gate['id']} {comparison(gate['metric'], gate['operator'], gate['threshold'], gate['unit'])}{again}",
                 "        ", "  gate: ")
    return lines + ([] if again else wrap(gate["how"], "        ", "        "))


def text_choice(plan: Plan) -> List[str]:
    choice = plan.document["pattern_selection"]
    lines = heading("Why this way")
    for text in choice["reasons"] + ([choice["composite"]] if choice["composite"] else []):
        lines += wrap(text, "    ", "  + ")
    for row in choice["rejected"]:
        lines += wrap(f"not {row['pattern']}: {row['reason']}", "    ", "  - ")
    estimates = plan.document["estimates"]
    if estimates.get("bound_by"):
        hours = estimates["machine_hours"]
        lines += wrap(f"copying {figure(estimates['volume_gb'])} GB by {estimates['method']} takes "
                      f"{span(hours['copy']['likely'])} ({span(hours['copy']['optimistic'])} to "
                      f"{span(hours['copy']['pessimistic'])}); limit: {estimates['bound_by']}", "    ", "  + ")
    return lines


def text_risks(plan: Plan) -> List[str]:
    lines = heading(f"Risks ({len(plan.document['risks'])})")
    for row in plan.document["risks"]:
        fact = row["because"]
        lines += wrap(f"{row['id']} {row['severity']} ({row['score']}): {row['description']} -- {row['owner']}",
                      "      ", "  ")
        lines += wrap(f"{fact['path']}: {fact['text']}", "               ", "      because: ")
        left = row["residual"]
        lines += wrap(f"{row['mitigation']} -> {left['score']}; left: {left['why']}", "          ", "      do: ")
    return lines


def text_success(plan: Plan) -> List[str]:
    row = plan.document["success_probability"]
    low, high = row["interval_80"]
    lines = heading("Chance of success")
    lines += wrap(f"{100 * row['probability']:.0f} % (80 % interval {100 * low:.0f} to {100 * high:.0f} %): "
                  f"{row['definition']}.", "  ", "  ")
    lines += wrap(f"How: {row['method']}; {100 * row['without_outage_limit']:.0f} % x {100 * row['meets_outage']:.0f} "
                  f"% to keep the outage.", "  ", "  ")
    for item in row["contributions"][:6]:
        lines += wrap(f"{item['log_odds']:+.2f} {item['name']}: {item['fact']}", "          ", "    ")
    for item in row["raises_most"]:
        lines += wrap(f"{item['action']}: {100 * item['now']:.0f} -> {100 * item['probability']:.0f} %", "      ",
                      "    raise it: ")
    if row["unknown"]:
        lines += wrap(f"unknown, so the interval is wide: {listed(row['unknown'])}", "    ", "    ")
    return lines


def text_assumptions(plan: Plan) -> List[str]:
    rows, trust = plan.document["assumptions"], plan.document["confidence"]
    lines = heading(f"Assumptions ({len(rows)}), confidence {'*' * trust['stars']} of *****")
    for row in rows:
        value = figure(row["value"]) if is_kind(row["value"], "number") else row["value"]
        lines += wrap(f"{row['what']} = {value} {row['unit']}: {row['why']}", "      ", "  - ")
    if trust["measure_first"]:
        lines += ["  Measure these first:"]
    for number, row in enumerate(trust["measure_first"], 1):
        lines += wrap(f"{row['input']} (now {row['now']}): {row['how']}", "       ", f"    {number}. ")
    lines += ["  Ask these first (the widest guesses at people's hours):"] if trust["ask_first"] else []
    for row in trust["ask_first"]:
        low, likely, high = map(span, row["hours"])
        lines += wrap(f"{row['owner']}: {row['title']}, {low} / {likely} / {high}; put it into estimates as "
                      f"{row['task']}",
                      "      ", "    - ")
    return lines


def text_compliance(plan: Plan) -> List[str]:
    document = plan.document["compliance"]
    if not document["controls"] and not document["personal_data"]:
        return []
    lines = heading(f"Compliance ({len(document['controls'])} controls)")
    for row in document["controls"]:
        lines += wrap(f"{row['framework']} {row['reference']}: {row['requirement']} -> {row['evidence'][0]['file']} "
                      f"({row['phase']}, {row['owner']})", "        ", "  [ ] ")
    names = [f"{row['table']}.{row['column']} ({row['kind']}, {row['why']})".lstrip(".")
             for row in document["personal_data"]]
    return lines + (wrap("personal data: " + listed(names, most=12), "    ", "  ") if names else []) + [
        "  " + document["note"]]


def text_people(plan: Plan) -> List[str]:
    lines = heading("Who")
    for row in plan.document["communication"]["raci"]:
        lines += wrap(f"{row['phase']}: {row['accountable']} answers; {listed(row['responsible'], most=9)} do; asked: "
                      f"{listed(row['consulted'], 'nobody')}", "      ", "  ")
    lines += text_go_no_go(plan.document)
    lines += heading("Messages")
    seen = set()
    for row in plan.document["communication"]["messages"]:
        if row["event"] not in seen:
            seen.add(row["event"])
            lines += wrap(f"{row['event']} ({row['when']}): {row['text']}", "      ", "  ")
    actions: Dict[str, List[str]] = {}
    for row in plan.document["communication"]["consumers"]:
        actions.setdefault(row["action"], []).append(f"{row['consumer']} ({row['to']})")
    for action, consumers in actions.items():
        lines += wrap(f"asked of {listed(consumers, most=20)}: {action}", "      ", "  ")
    return lines


def text_go_no_go(document: Dict[str, Any]) -> List[str]:
    """Return the decision's lines: gates by their ids, phase by phase, then what no gate measures."""
    lines = heading(f"Go or no-go ({len(document['go_no_go'])} lines)")
    left = {row["gate_id"] for row in document["go_no_go"] if row["gate_id"]}
    for phase in document["phases"]:
        names = [gate["id"] for gate in phase["gates"] if gate["id"] in left]
        left -= set(names)
        if names:
            lines += wrap(f"gates of {phase['name']} hold: {' '.join(names)}", "      ", "  [ ] ")
    for row in document["go_no_go"]:
        if not row["gate_id"]:
            lines += wrap(f"{row['required']} -- {row['owner']}", "      ", "  [ ] ")
    return lines


def text_end(plan: Plan) -> List[str]:
    document = plan.document
    names = [row["name"] for row in document["placeholders"]]
    lines = heading("Last")
    lines += wrap(f"{len(names)} placeholders to fill: {listed(names, 'none', 40)}", "  ", "  ")
    if not document["schedule"]["start"]:
        lines += wrap("No dates: give --start 2026-03-02T09:00 to place the plan on the calendar.", "  ", "  ")
    return lines


# == 23. Rendering: Markdown ==========================================================================
# For a repository or a ticket: a Mermaid Gantt chart, checkboxes to tick, tables.

MOST_BARS = 60  # a Gantt chart with more bars than this is drawn by phase
SHORTEST_BAR = 1.0  # hours: shorter bars cannot be seen
MARKUP = re.compile(r"([\\`*_{}\[\]<>|#])")


def md(text: Any) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return MARKUP.sub(r"\\\1", " ".join(clean(str(text)).split()))


def code(text: str) -> str:
    """Return a code span; its fence is longer than any run of backticks inside."""
    line = " ".join(clean(text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def minutes_only(stamp: Optional[str]) -> str:
    """Return 2026-03-02 09:00 for a time of the plan."""
    return stamp[:16].replace("T", " ") if stamp else ""


def md_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> List[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(md(cell) for cell in row) + " |" for row in rows] + [""]


def render_markdown(plan: Plan) -> str:
    document = plan.document
    lines = [f"# Migration plan {document['migration_id']}: {md(document['source_system'])} → "
             f"{md(document['target_system'])}", ""]
    lines += md_table(("What", "Figure"), summary_rows(document))
    lines += ["## Next", "", *(f"{number}. {md(text)}" for number, text in enumerate(next_steps(plan), 1)), ""]
    lines += ["## Timeline", "", "```mermaid", *mermaid_lines(plan), "```", ""]
    for part in (md_findings, md_choice, md_phases, md_risks, md_success, md_assumptions, md_compliance, md_people):
        lines += part(document)
    return "\n".join(lines) + "\n"


def summary_rows(document: Dict[str, Any]) -> List[Tuple[str, str]]:
    """Return the figures that every rendering starts with."""
    hours, days = document["duration"]["path_hours"], document["duration"]["calendar_days"]
    success = document["success_probability"]
    low, high = success["interval_80"]
    final = document["rollback_plan"]["point_of_no_return"]
    rows = [("Pattern", " + ".join(document["pattern_selection"]["tracks"])),
            ("Complexity", f"{document['complexity']} ({figure(document['complexity_score'])} of 100)"),
            ("Work on the path", f"P50 {span(hours['p50'])}, P80 {span(hours['p80'])}, P95 {span(hours['p95'])}"),
            ("Calendar", f"P50 {figure(days['p50'])} d, P80 {figure(days['p80'])} d, P95 {figure(days['p95'])} d")]
    rows += [(f"Calendar, {row['name']}", f"P50 {figure(row['calendar_days']['p50'])} d, P80 "
              f"{figure(row['calendar_days']['p80'])} d") for row in document["schedule"]["alternatives"]]
    return rows + [
        ("Outage", document["downtime"]["summary"]),
        ("Chance of success", f"{100 * success['probability']:.0f} % (80 % interval {100 * low:.0f} to "
         f"{100 * high:.0f} %)"),
        ("Point of no return", f"{final['phase']}: {final['reason']}" if final else "none"),
        ("Confidence", "*" * document["confidence"]["stars"] + " of *****")]


def mermaid_lines(plan: Plan) -> List[str]:
    """Return a Gantt chart in Mermaid's language; without a start, day 1 of a year that begins on a Monday."""
    dated = plan.calendar.dated
    title = "Times in UTC" if dated else "Days from the start on a Monday (no --start was given)"
    lines = ["gantt", f"    title {title}", "    dateFormat YYYY-MM-DDTHH:mm",
             f"    axisFormat {'%d %b' if dated else 'day %-j'}"]
    by_phase = sum(1 for row in plan.forecast.timed.values() if row.task.hours.likely > 0) > MOST_BARS
    for number, phase in enumerate(plan.phases, 1):
        lines.append(f"    section {number} {mermaid_name(phase.name)}")
        rows = [plan.forecast.timed[item.id] for item in phase.tasks if item.hours.likely > 0]
        if by_phase and rows:
            lines.append(mermaid_bar(plan, f"{number} {phase.name}", f"p{number}", min(row.start for row in rows),
                                     max(row.end for row in rows), any(row.critical for row in rows)))
        else:
            lines += [mermaid_bar(plan, f"{number}.{place} {row.task.title}", f"t{number}_{place}", row.start, row.end,
                                  row.critical) for place, row in enumerate(rows, 1)]
        if phase.no_return and rows:
            at = mermaid_time(plan.calendar, min(row.start for row in rows))
            lines.append(f"    {number} Point of no return :milestone, m{number}, {at}, 0d")
    return lines


def mermaid_name(text: str) -> str:
    """Return a name without what Mermaid takes for its own: colons end a task, commas and # and ; break it."""
    plain = re.sub(r"\s+", " ", re.sub(r"[^\w ()-]|_", " ", clean(text), flags=re.ASCII)).strip()
    return (plain if len(plain) <= 60 else plain[:60].rsplit(" ", 1)[0]) or "unnamed"


def mermaid_bar(plan: Plan, name: str, key: str, start: float, end: float, critical: bool) -> str:
    """Return one bar; its name begins with a number, so it is never one of Mermaid's words."""
    number, _, words = name.partition(" ")
    tags = "crit, " if critical else ""
    ends = mermaid_time(plan.calendar, max(end, start + SHORTEST_BAR))
    begins = mermaid_time(plan.calendar, start)
    return f"    {number.replace('.', '-')} {mermaid_name(words)} :{tags}{key}, {begins}, {ends}"


def mermaid_time(calendar: Calendar, hours: float) -> str:
    import datetime
    return (calendar.start + datetime.timedelta(seconds=round(hours * 3600))).strftime("%Y-%m-%dT%H:%M")


def md_findings(document: Dict[str, Any]) -> List[str]:
    if not document["findings"]:
        return []
    return ["## Findings", "", *md_table(("Code", "Severity", "Where", "Found", "Expected", "Hint"), (
        (row["code"], row["severity"], row["path"], row["found"], row["expected"], row["hint"])
        for row in document["findings"]))]


def md_choice(document: Dict[str, Any]) -> List[str]:
    choice = document["pattern_selection"]
    lines = [f"- {md(text)}" for text in choice["reasons"] + ([choice["composite"]] if choice["composite"] else [])]
    return ["## Why this way", "", *lines,
            *(f"- not **{md(row['pattern'])}**: {md(row['reason'])}" for row in choice["rejected"]), ""]


def md_phases(document: Dict[str, Any]) -> List[str]:
    lines = ["## Phases", ""]
    for number, phase in enumerate(document["phases"], 1):
        spread = phase["duration_range_hours"]
        lines += [f"### {number}. {md(phase['name'])}: {span(phase['duration_hours'])} (P80 {span(spread['p80'])}), "
                  f"risk {phase['risk_level']}", "", md(phase["description"]), ""]
        for item in phase["task_details"]:
            when = f", {minutes_only(item['start'])} to {minutes_only(item['end'])} UTC" if item["start"] else ""
            lines += [f"- [ ] **{md(item['title'])}** ({md(item['owner'])}, {span(item['hours']['likely'])}{when}"
                      f"{', critical' if item['critical'] else ''})", f"  - do: {code(item['action'])}",
                      f"  - done: {md(item['done_when'])}"]
        lines += ["", "Gates:", ""]
        lines += [f"- [ ] {md(gate['id'])} "
                  f"{md(comparison(gate['metric'], gate['operator'], gate['threshold'], gate['unit']))}: "
                  f"{code(gate['how'])}" for gate in phase["gates"]]
        lines += [""] + (["Stop when:", ""] + [f"- {md(text)}" for text in phase["rollback_triggers"]] + [""]
                         if phase["rollback_triggers"] else [])
        recovery = phase["recovery"]
        lines += [f"Undo: {recovery['kind']}, {figure(recovery['minutes']['likely'])} min (up to "
                  f"{figure(recovery['minutes']['pessimistic'])}): {md(recovery['steps'])}.", ""]
        lines += [f"**Point of no return:** {md(phase['point_of_no_return_reason'])}",
                  ""] if phase["point_of_no_return"] else []
        for script in phase["scripts"]:
            lines += md_script(script)
    return lines


def md_script(script: Dict[str, Any]) -> List[str]:
    """Return a script of the compatibility report in a fence that its text cannot close."""
    body = clean(str(script.get("script_content", ""))).split("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", "\n".join(body))), default=0))
    return [f"#### {md(script.get('id', 'script'))}: {md(script.get('description', ''))}", "", f"{fence}sql", *body,
            fence, ""]


def md_risks(document: Dict[str, Any]) -> List[str]:
    return ["## Risks", "", *md_table(("Risk", "Level", "What", "Because", "Do", "Left", "Owner"), (
        (row["id"], f"{row['severity']} ({row['score']})", row["description"],
         f"{row['because']['path']}: {row['because']['text']}", row["mitigation"],
         f"{row['residual']['score']}: {row['residual']['why']}", row["owner"]) for row in document["risks"]))]


def md_success(document: Dict[str, Any]) -> List[str]:
    row = document["success_probability"]
    low, high = row["interval_80"]
    lines = ["## Chance of success", "", f"{100 * row['probability']:.0f} % (80 % interval {100 * low:.0f} to "
             f"{100 * high:.0f} %): {md(row['definition'])}. {md(row['method'])}.", ""]
    lines += md_table(("Evidence", "Fact", "Log-odds"), ((item["name"], item["fact"], f"{item['log_odds']:+.2f}")
                                                         for item in row["contributions"]))
    return lines + [f"- raise it: {md(item['action'])} ({100 * item['now']:.0f} → {100 * item['probability']:.0f} %)"
                    for item in row["raises_most"]] + [""]


def md_assumptions(document: Dict[str, Any]) -> List[str]:
    rows = ((row["what"], f"{row['value'] if isinstance(row['value'], str) else figure(row['value'])} {row['unit']}",
             row["why"], row["how_to_measure"]) for row in document["assumptions"])
    first = [f"{number}. {md(row['input'])} (now {md(row['now'])}): {code(row['how'])}"
             for number, row in enumerate(document["confidence"]["measure_first"], 1)]
    return ["## Assumptions", "", *md_table(("What", "Value", "Why", "How to measure"), rows),
            *(["Measure these first:", "", *first, ""] if first else [])]


def md_compliance(document: Dict[str, Any]) -> List[str]:
    controls = document["compliance"]["controls"]
    if not controls:
        return []
    return ["## Compliance", "", *(f"- [ ] {md(row['framework'])} {md(row['reference'])}: {md(row['requirement'])} → "
                                   f"{code(row['evidence'][0]['file'])} ({md(row['phase'])}, {md(row['owner'])})"
                                   for row in controls), "", document["compliance"]["note"], ""]


def md_people(document: Dict[str, Any]) -> List[str]:
    talk = document["communication"]
    raci = ((row["phase"], row["accountable"], ", ".join(row["responsible"]), ", ".join(row["consulted"]),
             ", ".join(row["informed"])) for row in talk["raci"])
    lines = ["## Who", "", *md_table(("Phase", "Accountable", "Responsible", "Consulted", "Informed"), raci),
             "## Go or no-go", ""]
    lines += [f"- [ ] {row['id']} {md(row['required'])} ({md(row['owner'])}): {code(row['how'])}"
              for row in document["go_no_go"]]
    lines += ["", "## Messages", "", *md_table(("Event", "When", "To", "By", "Text"), (
        (row["event"], row["when"], row["audience"], row["channel"], row["text"]) for row in talk["messages"]))]
    lines += md_table(("Consumer", "To", "Text"),
                      ((row["consumer"], row["to"], row["text"]) for row in talk["consumers"]))
    open_ones = [f"- {code('{{' + row['name'] + '}}')}: {md(row['how_to_obtain'])}" for row in document["placeholders"]]
    return lines + (["## Still to fill in", "", *open_ones, ""] if open_ones else [])


# == 24. Rendering: HTML ==============================================================================
# One file that fetches nothing and runs nothing: readable in light and dark, on paper, and without its drawings.

STYLE = """
:root{color-scheme:light dark;--ink:#1c2127;--soft:#56606c;--paper:#fff;--line:#d5dae1;--band:#f3f5f8;
--bar:#b9cbe8;--crit:#2f5f9e;--late:#8a93a0;--final:#7a1fa2;--window:#cfe3d4;--low:#dcefdc;--medium:#fbeebd;
--high:#f7cfae;--critical:#efb0aa}@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#a3adba;
--paper:#14171b;--line:#3a424d;--band:#1d2228;--bar:#33507d;--crit:#7ea6e8;--late:#788392;--final:#cf8df0;
--window:#24402d;--low:#21402a;--medium:#4d431a;--high:#5a3517;--critical:#622723}}body{
font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:72rem;margin:2rem auto;
padding:0 1rem}h1{font-size:1.6rem;line-height:1.25}h2{margin-top:2.2rem;border-bottom:1px solid var(--line)}h3{
margin-top:1.6rem}table{border-collapse:collapse;width:100%;margin:.6rem 0}th,td{border:1px solid var(--line);
padding:.3rem .5rem;text-align:left;vertical-align:top}th{background:var(--band)}caption{text-align:left;
color:var(--soft)}code{font:.88em/1.4 ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}pre{
background:var(--band);padding:.6rem;overflow-x:auto}.scroll{overflow-x:auto}svg{min-width:46rem;
max-width:100%;height:auto}svg text{fill:var(--ink);font:13px system-ui,sans-serif}.soft{
color:var(--soft)}.low{background:var(--low)}.medium{background:var(--medium)}.high{background:var(--high)}
.critical{background:var(--critical)}.matrix{
width:auto}.matrix td{width:6.5rem;height:2.6rem}.error,.warning{font-weight:600}li{margin:.35rem 0}dl{
display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0}
@media(max-width:40rem){dl{display:block}dd{margin:0 0 .5rem}}@media print{svg{min-width:0}body{max-width:none;margin:0;
font-size:11px}h2,h3{break-after:avoid}tr,li{break-inside:avoid}}
""".strip()
CHART_LABEL, CHART_WIDTH, CHART_ROW = 230, 1000, 26  # pixels of the drawing's own coordinates


def esc(text: Any) -> str:
    """Return text for HTML: what the specification says is never markup."""
    import html
    return html.escape(clean(str(text)))


def tag(name: str, *content: str, **attributes: str) -> str:
    """Return an element; its content is HTML already."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{esc(value)}"' for key,
                    value in attributes.items() if value)
    return f"<{name}{given}>{''.join(content)}</{name}>"


def html_table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    title = tag("caption", esc(caption)) if caption else ""
    def cell(text: Any) -> str:
        """Let long names break at their points, but no number."""
        return tag("td", re.sub(r"(?<=\w)([._/])(?=[^\W\d])", r"\1<wbr>", esc(text)))

    body = "\n".join(tag("tr", *map(cell, row)) for row in rows)
    heads = tag("tr", *(tag("th", esc(cell), scope="col") for cell in head))
    return tag("div", tag("table", title, tag("thead", heads), tag("tbody", body)), class_="scroll")


def render_html(plan: Plan) -> str:
    document = plan.document
    title = f"Migration plan {document['migration_id']}: {document['source_system']} → {document['target_system']}"
    summary = tag("dl", *(tag("dt", esc(name)) + tag("dd", esc(text)) for name, text in summary_rows(document)))
    steps = tag("ol", *(tag("li", esc(text)) for text in next_steps(plan)))
    parts = [tag("h1", esc(title)), summary, tag("h2", "Next"), steps, tag("h2", "Timeline"), gantt_svg(plan)]
    parts.append(html_timeline(plan))
    parts += [part(document) for part in (html_findings, html_choice, html_phases, html_risks, html_success,
                                          html_assumptions, html_compliance, html_people)]
    head = ('<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            + tag("title", esc(title)) + f"\n<style>\n{STYLE}\n</style>")
    return "<!DOCTYPE html>\n" + tag("html", tag("head", "\n", head, "\n"), "\n", tag(
        "body", "\n", "\n".join(part for part in parts if part), "\n"), "\n", lang="en") + "\n"


class Scale(NamedTuple):
    """From hours since the start to a place in the drawing."""

    hours: float

    def x(self, hours: float) -> float:
        return round(CHART_LABEL + (CHART_WIDTH - CHART_LABEL - 10) * min(max(hours / self.hours, 0), 1), 1)


def phase_bars(plan: Plan) -> List[Tuple[Phase, float, float, float]]:
    """Return each phase with its start and its P50 and P80 ends, in hours since the start."""
    ends = plan.forecast.phase_ends
    return [(phase, max((ends[name]["p50"] for name in phase.after), default=0.0), ends[phase.name]["p50"],
             ends[phase.name]["p80"]) for phase in plan.phases]


def gantt_svg(plan: Plan) -> str:
    """Return the phases as a drawing: P50 as a bar, P80 as a line behind it, windows as bands, final steps as marks."""
    bars = phase_bars(plan)
    scale = Scale(max((late for *_, late in bars), default=1.0) * 1.02 or 1.0)
    height = CHART_ROW * (len(bars) + 2)
    parts = [*window_bands(plan, scale, height), *day_marks(plan, scale, height)]
    for row, (phase, start, middle, late) in enumerate(bars, 1):
        parts += phase_bar(plan, phase, scale, row * CHART_ROW, (start, middle, late))
    legend = ("bar: likely (P50), pale where it may slip without moving the end; line: P80; band: window for cutovers; "
              "diamond: point of no return")
    return tag("div", tag("svg", tag("title", "Timeline of the phases"), "\n", "\n".join(parts), "\n", role="img",
                          viewBox=f"0 0 {CHART_WIDTH} {height}", aria_label="Timeline; the table below says the same"),
               tag("p", esc(legend), class_="soft"), class_="scroll")


def window_bands(plan: Plan, scale: Scale, height: int) -> List[str]:
    """Return the windows as bands; over many months they would only be a haze."""
    if scale.hours > 24 * 120 or not any(item.calendar == "window" for phase in plan.phases for item in phase.tasks):
        return []
    window = plan.calendar.window
    return [f'<rect x="{scale.x(start)}" y="{CHART_ROW}" width="{max(scale.x(end) - scale.x(start), 1):.1f}" '
            f'height="{height - 2 * CHART_ROW}" fill="var(--window)"/>'
            for start, end in zip(window.starts, window.ends) if start < scale.hours]


def day_marks(plan: Plan, scale: Scale, height: int) -> List[str]:
    """Return upright lines with their dates, about ten of them."""
    import datetime
    days = scale.hours / 24
    step = next((step for step in (1, 2, 7, 14, 28, 56) if days / step <= 12), 112)
    marks = []
    for day in range(0, int(days) + 1, step):
        moment_utc = plan.calendar.start + datetime.timedelta(days=day)
        text = moment_utc.strftime("%d %b") if plan.calendar.dated else f"day {day}"
        x = scale.x(24 * day)
        marks.append(f'<line x1="{x}" y1="{CHART_ROW}" x2="{x}" y2="{height - CHART_ROW}" stroke="var(--line)"/>'
                     f'<text x="{x}" y="{height - 8}" text-anchor="middle">{text}</text>')
    return marks


def phase_bar(plan: Plan, phase: Phase, scale: Scale, top: int, hours: Tuple[float, float, float]) -> List[str]:
    start, middle, late = hours
    critical = any(plan.forecast.timed[item.id].critical for item in phase.tasks)
    text = f"{phase.name}: likely {span(middle - start)} of calendar, P80 ends {span(late)} after the start"
    x, wide, y = scale.x(start), max(scale.x(middle) - scale.x(start), 2), top + CHART_ROW / 2
    parts = [f'<text x="0" y="{y + 5}">{esc(phase.name)}</text>',
             f'<line x1="{scale.x(middle)}" y1="{y}" x2="{scale.x(late)}" y2="{y}" stroke="var(--late)" '
             f'stroke-width="3"/>'
             f'<line x1="{scale.x(late)}" y1="{y - 5}" x2="{scale.x(late)}" y2="{y + 5}" stroke="var(--late)" '
             'stroke-width="2"/>',
             f'<rect x="{x}" y="{top + 5}" width="{wide:.1f}" height="{CHART_ROW - 10}" rx="3" '
             f'fill="var(--{"crit" if critical else "bar"})">{tag("title", esc(text))}</rect>']
    if phase.no_return:
        parts.append(f'<path d="M{x} {y - 9}l9 9l-9 9l-9 -9z" fill="var(--final)">'
                     f'{tag("title", esc("point of no return: " + phase.no_return))}</path>')
    return parts


def html_timeline(plan: Plan) -> str:
    def when(hours: float) -> str:
        return minutes_only(moment(plan.calendar, hours)) or f"day {figure(round(hours / 24, 1))}"

    rows = [(phase.name, when(start), when(middle), when(late), span(likely_length(phase)),
             phase.no_return or "") for phase, start, middle, late in phase_bars(plan)]
    return html_table(("Phase", "Starts", "Ends (P50)", "Ends (P80)", "Work, likely", "Point of no return"), rows,
                      "The same as a table"
                      + ("; times in UTC" if plan.calendar.dated else "; days from the start on a Monday"))


def html_findings(document: Dict[str, Any]) -> str:
    rows = document["findings"]
    return tag("h2", f"Findings ({len(rows)})") + html_table(
        ("Code", "Severity", "Where", "Found", "Expected", "Hint"),
        ((row["code"], row["severity"], row["path"], row["found"], row["expected"], row["hint"])
         for row in rows)) if rows else ""


def html_choice(document: Dict[str, Any]) -> str:
    choice = document["pattern_selection"]
    given = choice["reasons"] + ([choice["composite"]] if choice["composite"] else [])
    return tag("h2", "Why this way") + tag("ul", *(tag("li", esc(text)) for text in given), *(
        tag("li", "not ", tag("strong", esc(row["pattern"])), f": {esc(row['reason'])}") for row in choice["rejected"]))


def html_phases(document: Dict[str, Any]) -> str:
    return tag("h2", "Phases") + "\n".join(html_phase(number, phase) for number,
                                           phase in enumerate(document["phases"], 1))


def html_phase(number: int, phase: Dict[str, Any]) -> str:
    spread, recovery = phase["duration_range_hours"], phase["recovery"]
    head = tag("h3", esc(f"{number}. {phase['name']}: {span(phase['duration_hours'])} (P80 {span(spread['p80'])}), "),
               tag(
        "span", f"risk {esc(phase['risk_level'])}", class_=phase["risk_level"]))
    tasks = tag("ul", *(html_task(item) for item in phase["task_details"]))
    gates = tag("ul", *(tag("li", esc(f"{gate['id']} " + comparison(gate["metric"], gate["operator"], gate["threshold"],
                                                                  gate["unit"])), "<br>", tag("code", esc(gate["how"])))
                        for gate in phase["gates"]))
    stops = tag("ul", *(tag("li", esc(text)) for text in phase["rollback_triggers"]))
    undo = esc(f"{recovery['kind']}, {figure(recovery['minutes']['likely'])} min (up to "
               f"{figure(recovery['minutes']['pessimistic'])}): {recovery['steps']}")
    final = tag("p", tag("strong", "Point of no return: "), esc(phase["point_of_no_return_reason"]), class_="high")
    return (head + tag("p", esc(phase["description"])) + tasks + tag("h4", "Gates") + gates
            + (tag("h4", "Stop when") + stops if phase["rollback_triggers"]
               else "") + tag("p", tag("strong", "Undo: "), undo)
            + (final if phase["point_of_no_return"] else "") + "".join(html_script(script)
                                                                       for script in phase["scripts"]))


def html_task(item: Dict[str, Any]) -> str:
    when = f", {minutes_only(item['start'])} to {minutes_only(item['end'])} UTC" if item["start"] else ""
    facts = esc(f"{item['owner']}, {span(item['hours']['likely'])}{when}" + (", critical" if item["critical"] else ""))
    return tag("li", tag("strong", esc(item["title"])), " ", tag("span", facts, class_="soft"), "<br>do: ",
               tag("code", esc(item["action"])), "<br>done: ", esc(item["done_when"]))


def html_script(script: Dict[str, Any]) -> str:
    return tag("h4", esc(f"{script.get('id', 'script')}: {script.get('description', '')}")) + tag(
        "pre", tag("code", esc(script.get("script_content", ""))))


def html_risks(document: Dict[str, Any]) -> str:
    rows = document["risks"]
    table = html_table(("Risk", "Level", "What", "Because", "Do", "Left", "Owner", "Phase"), (
        (row["id"], f"{row['severity']} ({row['score']})", row["description"],
         f"{row['because']['path']}: {row['because']['text']}", row["mitigation"],
         f"{row['residual']['score']}: {row['residual']['why']}", row["owner"], row["phase"]) for row in rows))
    return tag("h2", f"Risks ({len(rows)})") + risk_matrix(rows) + table


def risk_matrix(rows: Sequence[Dict[str, Any]]) -> str:
    """Return the five by five table: likelihood upwards, impact to the right, the risks by their ids."""
    lines = [tag("tr", tag("th", "likelihood \\ impact", scope="col"),
                 *(tag("th", NIST_WORDS[impact], scope="col") for impact in range(1, 6)))]
    for chance in range(5, 0, -1):
        cells = []
        for impact in range(1, 6):
            names = [row["id"] for row in rows if (row["probability_step"], row["impact_step"]) == (chance, impact)]
            cells.append(tag("td", esc(", ".join(dict.fromkeys(names))), class_=score_level(chance * impact)))
        lines.append(tag("tr", tag("th", NIST_WORDS[chance], scope="row"), *cells))
    return tag("div", tag("table", tag("caption", "Before their mitigation"), *lines, class_="matrix"), class_="scroll")


def html_success(document: Dict[str, Any]) -> str:
    row = document["success_probability"]
    low, high = row["interval_80"]
    text = (f"{100 * row['probability']:.0f} % (80 % interval {100 * low:.0f} to {100 * high:.0f} %): "
            f"{row['definition']}. {row['method']}.")
    return (tag("h2", "Chance of success") + tag("p", esc(text)) + html_table(
        ("Evidence", "Fact", "Log-odds"), ((item["name"], item["fact"], f"{item['log_odds']:+.2f}")
                                           for item in row["contributions"]))
            + tag("ul", *(tag("li", esc(f"raise it: {item['action']} ({100 * item['now']:.0f} to "
                                        f"{100 * item['probability']:.0f} %)")) for item in row["raises_most"])))


def html_assumptions(document: Dict[str, Any]) -> str:
    rows = ((row["what"], f"{row['value'] if isinstance(row['value'], str) else figure(row['value'])} {row['unit']}",
             row["why"], row["how_to_measure"]) for row in document["assumptions"])
    first = tag("ol", *(tag("li", esc(f"{row['input']} (now {row['now']}): "), tag("code", esc(row["how"])))
                        for row in document["confidence"]["measure_first"]))
    return (tag("h2", "Assumptions") + html_table(("What", "Value", "Why", "How to measure"), rows)
            + (tag("h3", "Measure these first") + first if document["confidence"]["measure_first"] else ""))


def html_compliance(document: Dict[str, Any]) -> str:
    rows = document["compliance"]["controls"]
    if not rows:
        return ""
    return tag("h2", f"Compliance ({len(rows)} controls)") + html_table(
        ("Control", "Requirement", "Because", "Evidence", "Phase", "Owner"), (
            (f"{row['framework']} {row['reference']}", row["requirement"],
             f"{row['applies_because']['path']}: {row['applies_because']['value']}",
             f"{row['evidence'][0]['file']}: {row['evidence'][0]['producer']}", row["phase"], row["owner"])
            for row in rows)) + tag("p", esc(document["compliance"]["note"]), class_="soft")


def html_people(document: Dict[str, Any]) -> str:
    talk = document["communication"]
    raci = html_table(("Phase", "Accountable", "Responsible", "Consulted", "Informed"), (
        (row["phase"], row["accountable"], ", ".join(row["responsible"]), ", ".join(row["consulted"]),
         ", ".join(row["informed"])) for row in talk["raci"]))
    lines = html_table(("Line", "Required", "How", "Owner"), (
        (row["id"], row["required"], row["how"], row["owner"]) for row in document["go_no_go"]))
    messages = html_table(("Event", "When", "To", "By", "Text"), (
        (row["event"], row["when"], row["audience"], row["channel"], row["text"]) for row in talk["messages"]))
    consumers = html_table(("Consumer", "To", "Text"), (
        (row["consumer"], row["to"], row["text"]) for row in talk["consumers"])) if talk["consumers"] else ""
    fill_in = html_table(("Placeholder", "How to get it"), (
        ("{{" + row["name"] + "}}", row["how_to_obtain"]) for row in document["placeholders"]))
    return (tag("h2", "Who") + raci + tag("h2", "Go or no-go") + lines + tag("h2", "Messages") + messages + consumers
            + (tag("h2", "Still to fill in") + fill_in if document["placeholders"] else ""))


# == 25. Exporting ====================================================================================
# Files for other programs: a table of the tasks for a spreadsheet, the fixed dates for a calendar.

CSV_HEAD = ("id", "phase", "title", "owner", "calendar", "optimistic_hours", "likely_hours", "pessimistic_hours",
            "basis",
            "start", "end", "critical", "slack_hours", "depends_on", "action", "done_when", "source")
FORMULA = re.compile(r"[=+\-@\t\r]")  # a spreadsheet runs a cell that begins like this


def render_csv(plan: Plan) -> str:
    import csv
    import io
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow(CSV_HEAD)
    for phase in plan.document["phases"]:
        for item in phase["task_details"]:
            hours = item["hours"]
            writer.writerow([csv_cell(cell) for cell in (
                item["id"], phase["name"], item["title"], item["owner"], item["calendar"], hours["optimistic"],
                hours["likely"], hours["pessimistic"], hours["basis"], item["start"] or "", item["end"] or "",
                "yes" if item["critical"] else "no", item["slack_hours"], " ".join(item["depends_on"]), item["action"],
                item["done_when"], item["source"])])
    return text.getvalue()


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return "'" + value if isinstance(value, str) and FORMULA.match(value) else value


class Event(NamedTuple):
    """One entry of a calendar."""

    key: str
    start: float  # hours since the start of the plan
    end: float
    title: str
    text: str


def calendar_events(plan: Plan) -> Iterable[Event]:
    """Yield what people must keep free: notices, decisions, cutovers, their reserve, the freeze before them."""
    rows = [plan.forecast.timed[item.id] for phase in plan.phases for item in phase.tasks]
    decided = [row for row in rows if row.task.title.startswith("Decide ")]
    cut = [row for row in rows if row.task.calendar == "window" and row.task.hours.likely > 0]
    for row in decided + cut:
        yield Event(row.task.id, row.start, row.end, row.task.title, f"{row.task.action}. Done when: {row.task.check}")
    if cut:
        first = cut[0]
        yield Event("notice-14", first.start - 336, first.start - 335.5, f"Announce: {first.task.title}",
                    "Send the messages of the event 'announcement'.")
        yield Event("notice-2", first.start - 48, first.start - 47.5, f"Remind: {first.task.title}",
                    "Send the messages of the event 'reminder'.")
        yield Event("freeze", first.start - 24, first.end, f"Release freeze for {first.task.title}",
                    f"No release of {plan.work.words['dependency_names']} until the all-clear.")
        yield Event("reserve", first.start + 168, first.end + 168, f"Reserve: {first.task.title}",
                    "Used when the decision was no-go or the cutover was broken off.")


def render_ics(plan: Plan) -> str:
    """Return an iCalendar (RFC 5545): times in UTC, lines folded, text escaped, a reminder a day before."""
    stamp = re.sub(r"[-:]", "", plan.document["created_at"])
    name = str(plan.work.facts.at("name", plan.document["target_system"]))
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//migration-architect//{TOOL} {VERSION}//EN",
             "CALSCALE:GREGORIAN"]
    for event in sorted(calendar_events(plan), key=lambda event: (event.start, event.key)):
        lines += ["BEGIN:VEVENT", f"UID:{event.key}-{plan.document['migration_id']}@migration-architect.invalid",
                  f"DTSTAMP:{stamp}", f"DTSTART:{ics_time(plan.calendar, event.start)}",
                  f"DTEND:{ics_time(plan.calendar, max(event.end, event.start + 0.25))}",
                  f"SUMMARY:{ics_text(name)}: {ics_text(event.title)}",
                  f"DESCRIPTION:{ics_text(event.text)}", "BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-P1D",
                  f"DESCRIPTION:{ics_text(event.title)}", "END:VALARM", "END:VEVENT"]
    return "".join(part + "\r\n" for line in [*lines, "END:VCALENDAR"] for part in ics_fold(line))


def ics_time(calendar: Calendar, hours: float) -> str:
    import datetime
    return (calendar.start + datetime.timedelta(seconds=round(hours * 3600))).strftime("%Y%m%dT%H%M%SZ")


def ics_text(text: str) -> str:
    """Return text as RFC 5545 3.3.11 has it: backslash first, then what would end a value."""
    plain = clean(text).replace("\t", " ")
    return plain.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def ics_fold(line: str) -> Iterable[str]:
    """Yield a line in parts of at most 75 octets (RFC 5545 3.1), never cutting a character."""
    room, part = 75, ""
    for letter in line:
        if len((part + letter).encode("utf-8")) > room:
            yield part
            part = " "
        part += letter
    yield part


def write_export(folder: str, plan: Plan, quiet: bool) -> None:
    """Write every rendering into a folder; the calendar only when the plan has dates."""
    files = export_files(folder, plan.calendar.dated)
    for path, render in zip(files, (render_markdown, render_html, render_csv, render_ics)):
        write_file(path, render(plan))
        if not quiet:
            say(f"wrote {path}")
    if not plan.calendar.dated and not quiet:
        say(f"{TOOL}: no calendar was written: give --start 2026-03-02T09:00 to place the plan on the calendar")


def export_files(folder: str, dated: bool) -> List[str]:
    names = ("migration_plan.md", "migration_plan.html", "tasks.csv") + (("calendar.ics",) if dated else ())
    return [os.path.join(folder, name) for name in names]


def make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder: {error.strerror or error}")


# == 26. Command line =================================================================================

EPILOG = """examples:
  migration_planner.py -i assets/sample_database_migration.json -o plan.json
  migration_planner.py -i spec.json --compatibility report.json --start 2026-03-02T09:00 -o plan.json
  migration_planner.py -i spec.json --validate
  migration_planner.py -i spec.json -f json | jq .phases[].name
  migration_planner.py -i spec.json --start 2026-03-02T09:00 --export plan/
  migration_planner.py -i spec.json -f html -o plan.html

exit codes:
  0  the plan was written, or the specification is valid
  1  the specification was read but is not valid; every problem is listed
  3  input that cannot be read or parsed, output that cannot be written, wrong usage
"""


def build_parser() -> Parser:
    parser = Parser(prog=TOOL, description=(__doc__ or "").split("\n")[0], allow_abbrev=False, epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"{TOOL} (migration-architect) {VERSION}")
    parser.add_argument("-i", "--input", metavar="SPEC", help="migration specification (JSON), - for standard input")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write; without it, standard output")
    parser.add_argument("-f", "--format", choices=("json", "text", "both", "markdown", "html"),
                        help="both writes FILE and, beside it, a text report (default: both; none with --export)")
    parser.add_argument("--validate", action="store_true", help="check the specification and write no plan")
    parser.add_argument("--strict", action="store_true", help="treat warnings as problems")
    parser.add_argument("--compatibility", metavar="REPORT", action="append", default=[],
                        help="report of compatibility_checker.py whose scripts the phases carry; may be repeated")
    parser.add_argument("--history", metavar="FILE", help="records of past migrations, to learn the chance of success "
                        "from")
    parser.add_argument("--start", metavar="ISO-8601", help="first working moment; without it the plan has no dates")
    parser.add_argument("--simulations", metavar="N", type=whole_number, default=5000,
                        help="simulated runs behind P50, P80 and P95 (default: 5000)")
    parser.add_argument("--seed", metavar="N", type=int,
                        help="seed of the simulation (default: from the specification)")
    parser.add_argument("--export", metavar="DIR", help="write Markdown with a Mermaid chart, HTML, a CSV of the tasks "
                        "and, with --start, an iCalendar into this folder")
    parser.add_argument("--list-patterns", action="store_true", help="print the pattern catalogue and stop")
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages on standard error")
    return parser


def whole_number(text: str) -> int:
    value = int(text)
    if not 100 <= value <= 100000:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number from 100 to 100000")
    return value


def read_reports(documents: Sequence[Document]) -> Tuple[Tuple[Script, ...], List[str]]:
    """Return the scripts of all compatibility reports in their order, and the problems of reports that have none."""
    scripts: List[Script] = []
    problems: List[str] = []
    for document in documents:
        faults = Faults(document)
        report = faults.typed(document.value, (), dict, "a report of compatibility_checker.py")
        rows = faults.typed((report or {}).get("migration_scripts"), ("migration_scripts",), list, "a list of scripts")
        for index, row in enumerate(rows or []):
            path = ("migration_scripts", index)
            if faults.typed(row, path, dict, "a migration script") is None:
                continue
            if row.get("phase") not in ("expand", "migrate", "contract"):
                faults.add(path + ("phase",), describe(row.get("phase")), "expand, migrate or contract")
            elif faults.typed(row.get("id"), path + ("id",), str, "the script's id") is not None:
                scripts.append(Script(row["id"], row["phase"], row, document.name))
        problems += faults.lines()
    return tuple(scripts), problems


def list_patterns() -> str:
    """Return the pattern catalogue as a table."""
    lines = [f"{'pattern':<16} {'for':<28} phases"]
    for pattern in PATTERNS.values():
        names = ", ".join(row.name for row in pattern.phases)
        lines += wrap(names, " " * 46, f"{pattern.name:<16} {'/'.join(pattern.kinds):<28} ")
        lines += wrap(f"use when {pattern.fits}", " " * 17)
    return "\n".join(lines) + "\n"


def check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is read."""
    if not options.input:
        raise InputError(f"the following arguments are required: -i/--input; see {TOOL} --help")
    inputs = [options.input, *options.compatibility, *([options.history] if options.history else [])]
    written = output_paths(options.output, options.format or "both")
    written += export_files(options.export, True) if options.export else []
    refuse_inputs_as_outputs(written, inputs)
    if options.start is not None:
        check_start(options.start)


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = build_parser().parse_args(argv)
    if options.list_patterns:
        print_out(list_patterns())
        return EXIT_DONE
    check_options(options)
    document = load_specification(options)
    reports = [load(path) for path in options.compatibility]
    history = load(options.history) if options.history else None
    given, problems = read_inputs_of(document, reports, history, options)
    if given is None:
        return report_problems(problems, options)
    computed, problems = judge(given, problems, options)
    if problems or computed is None:
        return report_problems(problems, options)
    if options.validate:
        if not options.quiet:
            warnings = sum(row.severity == WARNING for row in computed[-1])
            say(f"{TOOL}: {document.name}: valid, {plural(warnings, 'warning')}")
        return EXIT_DONE
    write_plan(make_plan(given, computed), options)
    return EXIT_DONE


def judge(given: "Inputs", problems: List[str], options: argparse.Namespace) -> Tuple[Any, List[str]]:
    """Return what was computed, and the problems that forbid a plan; print the warnings that do not."""
    computed: Any = None
    try:
        computed = compute(given)
        findings = computed[-1]
    except Unplannable as error:
        findings = error.args[0]
    faults = Faults(given.document)
    for finding in findings:
        if finding.severity == ERROR or (options.strict and finding.severity == WARNING):
            faults.add(finding.path, finding.found, finding.expected, f"{finding.code}: {finding.hint}".rstrip(": "))
        elif finding.severity == WARNING and not options.quiet:
            say(f"{TOOL}: warning: {finding_text(finding)}")
    return computed, problems + faults.lines()


def write_plan(plan: Plan, options: argparse.Namespace) -> None:
    """Write the export, and the plan itself unless only the export was asked for."""
    if options.export:
        make_folder(options.export)
        write_export(options.export, plan, options.quiet)
    if options.output or options.format or not options.export:
        emit(options.output, options.format or "both", {
            "json": lambda: to_json(plan.document), "text": lambda: render_text(plan),
            "markdown": lambda: render_markdown(plan), "html": lambda: render_html(plan)}, options.quiet)


def load_specification(options: argparse.Namespace) -> Document:
    """Return the specification; where it cannot be read, --validate gives its verdict behind the error."""
    try:
        return load(options.input)
    except InputError as error:
        if options.validate:
            error.args += ("Migration plan validation failed: the specification cannot be read",)
        raise


def report_problems(problems: Sequence[str], options: argparse.Namespace) -> int:
    """Say every problem, one line each, and with --validate the verdict as the last line."""
    for line in problems:
        say(f"{TOOL}: {line}")
    if options.validate:
        say(f"{TOOL}: Migration plan validation failed: {len(problems)} problem(s)")
    return EXIT_INVALID


def check_start(text: str) -> None:
    import datetime
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"argument --start: found {text!r}, expected a date or time such as 2026-03-02T09:00")


def read_inputs_of(document: Document, reports: Sequence[Document], history: Optional[Document],
                   options: argparse.Namespace) -> Tuple[Optional[Inputs], List[str]]:
    """Return everything a plan is made from; None with the problems when something is not valid."""
    scripts, problems = read_reports(reports)
    records: List[Record] = []
    skipped: List[str] = []
    if history:
        faults = Faults(history)
        records, skipped = read_history(history, faults)
        problems += faults.lines()
    faults = Faults(document)
    facts, notes = read_spec(document, faults)
    if facts is not None and faults.found:
        work, _ = work_of(facts, scripts)
        for finding in find_all(work.facts, work._replace(waves=())):
            if finding.severity == ERROR:
                faults.add(finding.path, finding.found, finding.expected,
                           f"{finding.code}: {finding.hint}".rstrip(": "))
    problems = faults.lines() + problems
    if problems or facts is None:
        return None, problems
    documents = (document, *reports, *((history,) if history else ()))
    return Inputs(document, facts, tuple(notes), scripts, tuple(records), tuple(skipped), documents, options.start,
                  options.simulations, options.seed), []


class Inputs(NamedTuple):
    """Everything a plan is made from."""

    document: Document
    facts: Facts
    notes: Tuple[Finding, ...]
    scripts: Tuple[Script, ...]
    records: Tuple[Record, ...]
    skipped: Tuple[str, ...]
    documents: Tuple[Document, ...]
    start: Optional[str]
    runs: int
    seed: Optional[int]


def compute(given: Inputs) -> Tuple[Work, Tuple[Phase, ...], Forecast, Calendar, Choice, List[Finding]]:
    """Return the records behind a plan and all findings."""
    work, choice = work_of(given.facts, given.scripts)
    facts = work.facts
    findings = [*given.notes, *find_all(facts, work), *find_in_reports(facts, given.documents[1:])]
    if any(finding.code == "V040" for finding in findings):
        raise Unplannable(findings)
    phases = build_phases(work)
    calendar = build_calendar(facts, given.start)
    seed = given.seed if given.seed is not None else int(migration_id(given.document.value), 16)
    forecast = simulate(phases, work, calendar, given.runs, seed, deadline_hours(facts, calendar),
                        overruns_of(given.records))
    findings += find_outage(facts, work, forecast, calendar)
    return work, phases, forecast, calendar, choice, findings


def find_in_reports(facts: Facts, documents: Sequence[Document]) -> Iterable[Finding]:
    """Yield where a compatibility report and the specification say different things."""
    for document in documents:
        report = document.value if isinstance(document.value, dict) else {}
        if "migration_scripts" in report:
            yield from find_in_report(facts, document.name, report)


def find_in_report(facts: Facts, name: str, report: Dict[str, Any]) -> Iterable[Finding]:
    found = report.get("issues")
    issues = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    breaking = [row for row in issues if row.get("severity") == "breaking"]
    kind = report.get("schema_type")
    if breaking and "api_backward_compatibility" in facts.requirements and kind == "api":
        yield Finding("V085", WARNING, ("constraints", "special_requirements"), "api_backward_compatibility, but "
                      f"{name} finds {plural(len(breaking), 'breaking change')}, first "
                      f"{breaking[0].get('field_path', '')}",
                      "a report without breaking changes",
                      "serve the old version until its last caller has moved, or take the change back")
    engine, dialect = facts.target.engine.replace("mariadb", "mysql"), report.get("dialect")
    if engine and dialect and kind == "database" and engine != dialect:
        yield Finding("V086", WARNING, facts.target.path, f"{engine}, but the scripts of {name} are for {dialect}",
                      f"a report made with --dialect {engine}", "these scripts do not run on the target")
    scripts = [row for row in report["migration_scripts"] if isinstance(row, dict)]
    rewriting = [row["id"] for row in scripts if row.get("rewrites_table")]
    if rewriting and facts.limited and facts.downtime == 0:
        yield Finding("V088", WARNING, ("constraints", "max_downtime_minutes"), "0 min, but "
                      f"{listed(rewriting, most=3)} of {name} rewrites a table under its lock",
                      "scripts that hold a lock for an instant",
                      "time it on a full-size copy, or ask for the minutes")
    yield from find_absent(facts, name, issues) if kind == "database" else ()


def find_absent(facts: Facts, name: str, issues: Sequence[Dict[str, Any]]) -> Iterable[Finding]:
    """Yield the changes of the specification whose table a report does not mention."""
    known = set(re.split(r"[.\s]", " ".join(str(row.get("field_path", "")) for row in issues).lower()))
    absent = [change for change in facts.changes if change.table.lower() not in known]
    if absent:
        names = listed(list(dict.fromkeys(change.table for change in absent)))
        yield Finding("V087", WARNING, absent[0].path, f"{plural(len(absent), 'change')} of {names} that {name} "
                      "does not know", "the same changes in both", "export the schema again; only the report's "
                      "scripts are run")


def work_of(facts: Facts, scripts: Sequence[Script]) -> Tuple[Work, Choice]:
    """Return what phases and tasks are made from, and the choice of the pattern."""
    copy = copy_estimate(facts)
    machine = machine_times(facts, copy)
    choice = choose(facts, copy, machine, scripts)
    if not facts.limited:
        facts = facts._replace(downtime=own_limit(facts, choice.tracks, bulk_hours(machine, copy)))
    return Work(facts, choice.tracks, tuple(scripts), facts_words(facts, copy, scripts),
                gate_limits(facts, choice.tracks), machine, copy, plan_waves(facts)), choice


class Unplannable(Exception):
    """The findings leave no order in which the work could be done."""


def deadline_hours(facts: Facts, calendar: Calendar) -> Optional[float]:
    """Return the specification's deadline in hours since the start, None without dates."""
    import datetime
    given = facts.at("constraints.deadline")
    if not given or not calendar.dated:
        return None
    day = datetime.datetime.fromisoformat(given[:10]).replace(tzinfo=calendar.zone) + datetime.timedelta(days=1)
    return (day.astimezone(datetime.timezone.utc) - calendar.start).total_seconds() / 3600


def make_plan(given: Inputs, computed: Any) -> Plan:
    """Return the plan document and the records that renderers need."""
    work, phases, forecast, calendar, choice, findings = computed
    view = View(work.facts, work, forecast, {finding.code: finding for finding in reversed(findings)})
    risks = raise_risks(view, phases)
    plan = Plan({}, phases, forecast, calendar, work)
    document = {**head_document(given, plan, choice), "phases": [
        phase_document(phase, plan, phase_risk(phase, risks)) for phase in phases], "risks": risks,
        **tail_document(given, plan, findings)}
    document["placeholders"] = placeholder_document(document)
    document.update({"specification": given.document.value, "created_at": now(),
                     "provenance": provenance(TOOL, given.documents)})
    return plan._replace(document=document)


def head_document(given: Inputs, plan: Plan, choice: Choice) -> Dict[str, Any]:
    facts, forecast = plan.work.facts, plan.forecast
    factors = complexity(facts, plan.work, forecast)
    points = round(sum(factor.points for factor in factors), 1)
    parsed = {side: {"text": system.text, "engine": system.engine, "version": system.version,
                     "location": system.location,
                     "region": system.region} for side, system in (("source", facts.source), ("target", facts.target))}
    return {
        "schema_version": "1.0", "migration_id": migration_id(given.document.value), "source_system": facts.source.text,
        "target_system": facts.target.text, "migration_type": facts.kind, "pattern": choice.tracks[0],
        "pattern_selection": {"requested": choice.requested, "tracks": list(choice.tracks),
                              "reasons": list(choice.reasons),
                              "composite": choice.composite,
                              "rejected": [{"pattern": name, "reason": why} for name, why in choice.rejected]},
        "parsed": parsed, "complexity": complexity_level(points), "complexity_score": points,
        "complexity_factors": [{"name": factor.name, "fact": factor.fact, "points": round(factor.points, 1),
                                "most": factor.most} for factor in factors],
        "estimated_duration_hours": forecast.path["p50"],
        "duration": {"path_hours": forecast.path, "calendar_days": forecast.days,
                     "likely_hours": short(forecast.likely_hours), "likely_days": short(forecast.likely_days)}}


def tail_document(given: Inputs, plan: Plan, findings: Sequence[Finding]) -> Dict[str, Any]:
    facts, work, phases, forecast = plan.work.facts, plan.work, plan.phases, plan.forecast
    lines = go_no_go(work, phases)
    return {
        "success_criteria": success_criteria(work, phases), "rollback_plan": rollback_document(work, phases),
        "stakeholders": stakeholder_document(facts, phases),
        "communication": communication_document(work, phases, forecast, plan.calendar, len(lines)),
        "schedule": schedule_document(phases, forecast, plan.calendar, work),
        "downtime": outage_document(work, forecast),
        "success_probability": success_document(facts, work, forecast, given.records, given.skipped),
        "confidence": confidence(facts, work, phases), "estimates": estimate_document(work),
        "compliance": compliance_document(work, phases), "go_no_go": lines,
        "warnings": [finding_text(row) for row in findings if row.severity == WARNING],
        "findings": [finding_document(row) for row in findings],
        "assumptions": assumptions(facts, work, phases, given.records),
        "waves": [{"wave": number, "servers": sum(load.vms for load in wave),
                   "gb": short(sum(load.gb for load in wave)),
                   "workloads": [load.name for load in wave]} for number, wave in enumerate(work.waves, 1)],
        "endpoint_map": [{"legacy": old.text, "new": new.text if new else None, "match": how}
                         for old, new, how in match_endpoints(facts)] if facts.new else [],
        "capacity": capacity_document(facts)}


def outage_document(work: Work, forecast: Forecast) -> Dict[str, Any]:
    facts = work.facts
    names, incident = outage_names(facts, work.tracks[0])
    allowed = facts.allowed_minutes
    outage = forecast.outage
    share = f"within {span(allowed / 60)} in {100 * forecast.meets_outage:.0f} % of the runs"
    text = f"P50 {span(outage['p50'] / 60)}, P80 {span(outage['p80'] / 60)}, P95 {span(outage['p95'] / 60)}; " + (
        share if facts.limited else f"no limit is given, the plan allows itself {span(allowed / 60)}")
    if not outage["p95"]:
        text = "none"
    return {"minutes": outage, "allowed_minutes": facts.downtime, "limit_given": facts.limited,
            "tolerance_seconds": facts.value("zero_tolerance_seconds")
            if facts.downtime == 0 else None, "probability_within": short(forecast.meets_outage), "parts": list(names),
            "incident_probability": incident, "summary": text, "per": "wave" if work.waves else "cutover",
            "probability_all_waves": short(forecast.meets_outage ** len(work.waves)) if work.waves else None,
            "offline_copy_hours": offline_document(work, forecast) if moves_data(work) else None}


def offline_document(work: Work, forecast: Forecast) -> Dict[str, Any]:
    """Return how long the outage would last if the data were copied with the writers stopped."""
    import random
    minutes = simulate_outage(work._replace(tracks=("data_migration",)), random.Random(forecast.seed), 1000)
    return {**range_document(bulk_hours(work.machine, work.copy)), **quantiles(minutes, 60)}


def estimate_document(work: Work) -> Dict[str, Any]:
    """Return the machine times behind the plan, with the limit that binds."""
    if not (moves_data(work) or is_data(work.facts)):
        return {}
    low, high = wal_gb(work.facts, work.copy)
    moving = moves_data(work)
    rows = {"copy": range_document(work.copy.hours)} if moving else {}
    rows.update({name: range_document(hours) for name, hours in sorted(work.machine.items())
                 if moving or name in ("hash", "restore")})
    return {"volume_gb": short(volume_of(work.facts)), "method": work.copy.method if moving else None,
            "bound_by": work.copy.bound_by if moving else None,
            "limits": [{"limit": name, **dict(zip(("optimistic", "likely", "pessimistic"), map(short, hours)))}
                       for name, hours in work.copy.terms.items()] if moving else [],
            "network_gb_per_hour": short(work.copy.network[1]),
            "retained_wal_gb": [round(low, 1), round(high, 1)] if moving else None, "machine_hours": rows}


def capacity_document(facts: Facts) -> Optional[Dict[str, Any]]:
    room = capacity_of(facts)
    if not room:
        return None
    steps = sorted({step.percentage for flag in facts.flags for step in flag.steps})
    return {"rps_per_core_today": short(room.rps_per_core), "cores_at_start": room.cores_start, "cores_at_most":
            room.cores_max, "short_from_percent": round(room.fails_from, 1), "rps_per_core_needed":
            short(room.needed_per_core), "steps": [{"percentage": percent, "rps": short(room.peak * percent / 100),
                                                    "cores": short(room.peak * percent / 100 / room.rps_per_core)}
                                                   for percent in steps]}


def placeholder_document(document: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Return every {{placeholder}} of the plan once, with where it stands and how to get it."""
    places: Dict[str, List[str]] = {}
    waiting: List[Tuple[Path, Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            for name in PLACEHOLDER.findall(value):
                places.setdefault(name, []).append(show_path(path))
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting += [(path + (key,), item) for key, item in inner if key not in ("scripts",)]
    return [{"name": name, "where": sorted(places[name])[:3], "count": len(places[name]),
             "how_to_obtain": how_to_obtain(name)} for name in sorted(places)]


def how_to_obtain(name: str) -> str:
    words = name.replace("_", " ")
    role = name[8:] if name.startswith("name_of_") else ""
    if role in ROLES:
        return f"who works as {ROLES[role].lower() if role != 'dba' else 'DBA'}; add the name to team.roles.{role}"
    if name.startswith(("owner_of_", "contact_of_")):
        return f"who answers for {name.partition('_of_')[2]}; add {name.partition('_')[0]} to constraints.dependencies"
    if name.startswith(("measured", "hours", "minutes", "rows", "time", "date", "steps", "trigger", "end_date")):
        return "known when it happens"
    return f"from your inventory: {words}"


def finding_text(row: Finding) -> str:
    hint = f" ({row.hint})" if row.hint else ""
    return f"{row.code} {show_path(row.path)}: found {row.found}, expected {row.expected}{hint}"


def finding_document(row: Finding) -> Dict[str, Any]:
    return {"code": row.code, "severity": row.severity, "path": show_path(row.path), "found": row.found,
            "expected": row.expected, "hint": row.hint}


def command_line() -> int:
    """Entry point of the installed command."""
    return run(TOOL, main)


if __name__ == "__main__":
    raise SystemExit(command_line())
