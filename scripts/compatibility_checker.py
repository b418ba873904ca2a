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
    extra: Dict[str, Any] = {}  # more keys of the issue


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


# == 3. Database: records, dialects, comparing, judging, scripting (in work) ==========================

DIALECTS: Dict[str, Any] = {"mysql": None, "postgresql": None, "sqlite": None}


def compare_databases(before: Document, after: Document, options: Options) -> Comparison:
    return Comparison(dialect=options.dialect or "postgresql")


# == 40. API rules ====================================================================================
# In: nothing. Out: API_RULES. A narrower schema breaks who sends (request), a wider one breaks who receives
# (response): the two severities of a schema rule follow from its polarity, in SEVERITY_OF, and from nothing else.

REQUEST, RESPONSE = "request", "response"
DIRECTIONS = (REQUEST, RESPONSE)


class Kind(NamedTuple):
    """One kind of change of a schema: `offending` are the values that only one of the two sides allows."""

    id: str
    polarity: str
    title: str
    sentence: str
    offending: str = ""


SEVERITY_OF: Dict[str, Dict[str, str]] = {  # polarity -> direction -> severity
    "narrower": {REQUEST: BREAKING, RESPONSE: NON_BREAKING},
    "wider": {REQUEST: NON_BREAKING, RESPONSE: BREAKING},
    "larger": {REQUEST: ADDITIVE, RESPONSE: BREAKING},  # wider by something that has a name of its own
    "open_ended": {REQUEST: ADDITIVE, RESPONSE: POTENTIALLY},  # clients often have a branch for what they do not know
    "different": {REQUEST: BREAKING, RESPONSE: BREAKING},
    "undecidable": {REQUEST: POTENTIALLY, RESPONSE: POTENTIALLY},
    "neutral": {REQUEST: NON_BREAKING, RESPONSE: NON_BREAKING},
    "additive": {REQUEST: ADDITIVE, RESPONSE: ADDITIVE},
    "obligatory": {REQUEST: BREAKING, RESPONSE: ADDITIVE},
    "obliging": {REQUEST: BREAKING, RESPONSE: NON_BREAKING},
    "excusing": {REQUEST: NON_BREAKING, RESPONSE: BREAKING},
    "lost": {REQUEST: POTENTIALLY, RESPONSE: BREAKING},
    "revealed": {REQUEST: NON_BREAKING, RESPONSE: POTENTIALLY},
}

SCHEMA_KINDS: Tuple[Kind, ...] = tuple(Kind(*row) for row in (
    # id                     polarity       title            sentence           offending values
    ("type_narrowed", "narrower", "Fewer types allowed", "type narrowed from {old} to {new}",
     "a value of type {removed}"),
    ("type_widened", "wider", "More types allowed", "type widened from {old} to {new}", "a value of type {added}"),
    ("type_changed", "different", "Type changed", "type changed from {old} to {new}",
     "a value of type {new}, not {old}"),
    ("text_type_changed", "neutral", "Type changed, same text on the wire",
     "type changed from {old} to {new}; as text, "
     "values of both are written alike"),
    ("text_type_unclear", "undecidable", "Type changed in a parameter object",
     "type changed from {old} to {new}; whether "
     "that is seen depends on how the object is written in the URL", "a value of type {new}, not {old}"),
    ("format_added", "narrower", "Format required", "format {new} required", "a value that is no {new}"),
    ("format_removed", "wider", "Format dropped", "format {old} dropped", "a value that is no {old}"),
    ("format_narrowed", "narrower", "Narrower format", "format narrowed from {old} to {new}",
     "an {old} that is no {new}"),
    ("format_widened", "wider", "Wider format", "format widened from {old} to {new}", "an {new} that is no {old}"),
    ("format_changed", "different", "Format changed", "format changed from {old} to {new}",
     "a {new} in place of a {old}"),
    ("became_not_nullable", "narrower", "null no longer allowed", "null is no longer allowed", "null"),
    ("became_nullable", "wider", "null allowed", "null is now allowed", "null"),
    ("enum_added", "narrower", "Values limited to a list", "values limited to {new}", "any other value"),
    ("enum_removed", "wider", "List of values dropped", "no longer limited to {old}", "any other value"),
    ("enum_value_removed", "narrower", "Values removed from an enum", "{removed} removed from the enum", "{removed}"),
    ("enum_value_added", "open_ended", "Values added to an enum", "{added} added to the enum", "{added}"),
    ("extensible_value_removed", "narrower", "Values removed from an extensible enum",
     "{removed} removed from x-extensible-enum", "{removed}"),
    ("extensible_value_added", "neutral", "Values added to an extensible enum", "{added} added to x-extensible-enum"),
    ("const_added", "narrower", "Fixed to one value", "fixed to the constant {new}", "any other value"),
    ("const_removed", "wider", "No longer one value", "no longer fixed to the constant {old}", "any other value"),
    ("const_changed", "different", "Constant changed", "constant changed from {old} to {new}",
     "{new} in place of {old}"),
    ("minimum_set", "narrower", "Minimum set", "minimum {new} set", "a number below {new}"),
    ("minimum_increased", "narrower", "Minimum raised", "minimum raised from {old} to {new}",
     "a number from {old} to {new}"),
    ("minimum_decreased", "wider", "Minimum lowered", "minimum lowered from {old} to {new}",
     "a number from {new} to {old}"),
    ("minimum_unset", "wider", "Minimum dropped", "minimum {old} dropped", "a number below {old}"),
    ("maximum_set", "narrower", "Maximum set", "maximum {new} set", "a number above {new}"),
    ("maximum_decreased", "narrower", "Maximum lowered", "maximum lowered from {old} to {new}",
     "a number from {new} to {old}"),
    ("maximum_increased", "wider", "Maximum raised", "maximum raised from {old} to {new}",
     "a number from {old} to {new}"),
    ("maximum_unset", "wider", "Maximum dropped", "maximum {old} dropped", "a number above {old}"),
    ("min_length_increased", "narrower", "Minimum length raised", "minLength raised from {old} to {new}",
     "text shorter than {new} characters"),
    ("min_length_decreased", "wider", "Minimum length lowered", "minLength lowered from {old} to {new}",
     "text shorter than {old} characters"),
    ("max_length_set", "narrower", "Maximum length set", "maxLength {new} set", "text longer than {new} characters"),
    ("max_length_decreased", "narrower", "Maximum length lowered", "maxLength lowered from {old} to {new}",
     "text longer than {new} characters"),
    ("max_length_increased", "wider", "Maximum length raised", "maxLength raised from {old} to {new}",
     "text longer than {old} characters"),
    ("max_length_unset", "wider", "Maximum length dropped", "maxLength {old} dropped",
     "text longer than {old} characters"),
    ("min_items_increased", "narrower", "More items required", "minItems raised from {old} to {new}",
     "a list of fewer than {new} items"),
    ("min_items_decreased", "wider", "Fewer items required", "minItems lowered from {old} to {new}",
     "a list of fewer than {old} items"),
    ("max_items_set", "narrower", "Number of items limited", "maxItems {new} set", "a list of more than {new} items"),
    ("max_items_decreased", "narrower", "Fewer items allowed", "maxItems lowered from {old} to {new}",
     "a list of more than {new} items"),
    ("max_items_increased", "wider", "More items allowed", "maxItems raised from {old} to {new}",
     "a list of more than {old} items"),
    ("max_items_unset", "wider", "Limit of items dropped", "maxItems {old} dropped", "a list of more than {old} items"),
    ("min_properties_increased", "narrower", "More properties required", "minProperties raised from {old} to {new}",
     "an object of fewer than {new} properties"),
    ("min_properties_decreased", "wider", "Fewer properties required", "minProperties lowered from {old} to {new}",
     "an object of fewer than {old} properties"),
    ("max_properties_set", "narrower", "Number of properties limited", "maxProperties {new} set",
     "an object of more than {new} properties"),
    ("max_properties_decreased", "narrower", "Fewer properties allowed", "maxProperties lowered from {old} to {new}",
     "an object of more than {new} properties"),
    ("max_properties_increased", "wider", "More properties allowed", "maxProperties raised from {old} to {new}",
     "an object of more than {old} properties"),
    ("max_properties_unset", "wider", "Limit of properties dropped", "maxProperties {old} dropped",
     "an object of more than {old} properties"),
    ("min_contains_increased", "narrower", "More matching items required", "minContains raised from {old} to {new}",
     "a list with fewer than {new} matching items"),
    ("min_contains_decreased", "wider", "Fewer matching items required", "minContains lowered from {old} to {new}",
     "a list with fewer than {old} matching items"),
    ("max_contains_set", "narrower", "Matching items limited", "maxContains {new} set",
     "a list with more than {new} matching items"),
    ("max_contains_decreased", "narrower", "Fewer matching items allowed", "maxContains lowered from {old} to {new}",
     "a list with more than {new} matching items"),
    ("max_contains_increased", "wider", "More matching items allowed", "maxContains raised from {old} to {new}",
     "a list with more than {old} matching items"),
    ("max_contains_unset", "wider", "Limit of matching items dropped", "maxContains {old} dropped",
     "a list with more than {old} matching items"),
    ("multiple_of_set", "narrower", "Multiple required", "multipleOf {new} set",
     "a number that is no multiple of {new}"),
    ("multiple_of_unset", "wider", "Multiple no longer required", "multipleOf {old} dropped",
     "a number that is no multiple of {old}"),
    ("multiple_of_narrowed", "narrower", "Coarser multiple required", "multipleOf changed from {old} to {new}",
     "a multiple of {old} that is none of {new}"),
    ("multiple_of_widened", "wider", "Finer multiple allowed", "multipleOf changed from {old} to {new}",
     "a multiple of {new} that is none of {old}"),
    ("multiple_of_changed", "different", "Multiple changed", "multipleOf changed from {old} to {new}",
     "a number that only one of the two divides"),
    ("unique_items_set", "narrower", "Items must differ", "items must now differ from each other",
     "a list with equal items"),
    ("unique_items_unset", "wider", "Items may be equal", "items may now be equal", "a list with equal items"),
    ("pattern_added", "narrower", "Pattern set", "pattern {new} set", "text that does not match {new}"),
    ("pattern_removed", "wider", "Pattern dropped", "pattern {old} dropped", "text that does not match {old}"),
    ("pattern_changed", "undecidable", "Pattern changed", "pattern changed from {old} to {new}",
     "text that matches only one of {old} and {new}"),
    ("optional_property_added", "additive", "Optional property added", "optional property {name} added"),
    ("required_property_added", "obligatory", "Required property added", "required property {name} added",
     "an object without {name}"),
    ("property_removed", "lost", "Required property removed", "property {name} removed", "an object without {name}"),
    ("optional_property_removed", "undecidable", "Property removed", "property {name} removed",
     "an object without {name}"),
    ("hidden_property_removed", "neutral", "Property removed that this side never saw",
     "property {name} removed, which is "
     "{marked}"),
    ("property_became_required", "obliging", "Property became required", "property {name} became required",
     "an object without {name}"),
    ("property_became_optional", "excusing", "Property became optional", "property {name} became optional",
     "an object without {name}"),
    ("hidden_property_required_changed", "neutral", "Property required on the side that does not see it",
     "whether {name} is required changed; it is {marked}"),
    ("property_read_only_changed", "neutral", "readOnly changed", "readOnly changed from {old} to {new}"),
    ("property_write_only_changed", "neutral", "writeOnly changed", "writeOnly changed from {old} to {new}"),
    ("required_property_revealed", "revealed", "Required property no longer writeOnly",
     "no longer writeOnly, so that responses carry it now", "an object that carries it"),
    ("additional_properties_closed", "narrower", "Unknown properties forbidden",
     "properties that are not listed are now "
     "forbidden", "an object with a property that is not listed"),
    ("additional_properties_opened", "wider", "Unknown properties allowed",
     "properties that are not listed are now allowed",
     "an object with a property that is not listed"),
    ("additional_properties_restricted", "narrower", "Unknown properties limited",
     "properties that are not listed must now "
     "match a schema", "an object whose unlisted properties have another form"),
    ("additional_properties_unrestricted", "wider", "Unknown properties no longer limited",
     "properties that are not listed "
     "need no longer match a schema", "an object whose unlisted properties have another form"),
    ("schema_keyword_added", "narrower", "Sub-schema required", "{part} added", "a value that {part} rules out"),
    ("schema_keyword_removed", "wider", "Sub-schema dropped", "{part} dropped", "a value that {part} ruled out"),
    ("not_changed", "undecidable", "Excluded values changed", "what not excludes has changed",
     "a value that only one side excludes"),
    ("tuple_item_added", "larger", "Tuple became longer", "item {name} added to the tuple", "a list with {name} items"),
    ("tuple_item_removed", "narrower", "Tuple became shorter", "item {name} removed from the tuple",
     "a list with {name} items"),
    ("dependent_required_added", "narrower", "Properties required together", "{name} now requires {added}",
     "an object with {name} and without {added}"),
    ("dependent_required_removed", "wider", "Properties no longer required together",
     "{name} no longer requires {removed}",
     "an object with {name} and without {removed}"),
    ("dependent_required_changed", "different", "Other properties required together",
     "{name} requires {added} in place of {removed}", "an object with {name} and without {added} or {removed}"),
    ("content_media_type_changed", "different", "Media type of the text changed", "{part} changed from {old} to {new}",
     "text in {new} in place of {old}"),
    ("union_member_added", "larger", "Alternative added", "alternative {added} added to {part}",
     "a value of form {added}"),
    ("union_member_removed", "narrower", "Alternative removed", "alternative {removed} removed from {part}",
     "a value of form {removed}"),
    ("wrapped_in_union", "different", "Replaced by alternatives", "replaced by {part} of {name}", "one of {name}"),
    ("unwrapped_from_union", "different", "Alternatives replaced", "the alternatives {name} replaced by one schema",
     "the new form only"),
    ("union_added", "narrower", "Alternatives required", "{part} of {name} required",
     "a value that fits none of {name}"),
    ("union_removed", "wider", "Alternatives dropped", "{part} of {name} no longer required",
     "a value that fits none of {name}"),
    ("union_loosened", "wider", "More than one alternative may fit", "oneOf became anyOf",
     "a value that fits more than one alternative"),
    ("union_tightened", "narrower", "Only one alternative may fit", "anyOf became oneOf",
     "a value that fits more than one alternative"),
    ("discriminator_changed", "neutral", "Discriminator changed", "discriminator changed from {old} to {new}"),
    ("default_changed", "neutral", "Default changed", "default changed from {old} to {new}"),
    ("property_deprecated", "neutral", "Property deprecated", "marked deprecated"),
    ("property_undeprecated", "neutral", "Property no longer deprecated", "no longer marked deprecated"),
    ("property_stability_raised", "neutral", "Stability raised", "x-stability-level raised from {old} to {new}"),
    ("property_stability_lowered", "different", "Stability lowered", "x-stability-level lowered from {old} to {new}",
     "a property that may now change without notice"),
    ("property_stability_invalid", "different", "Unknown stability level",
     "x-stability-level is {new}, which is none of "
     "draft, alpha, beta, stable", "a property whose stability nobody can tell"),
    ("property_sunset_invalid", "different", "Unreadable sunset date", "x-sunset is {new}, which is no RFC 3339 date",
     "a property whose end nobody can tell"),
    ("property_sunset_missing", "different", "Deprecated without a sunset date",
     "deprecated without x-sunset, which the "
     "configured notice of {name} days needs", "a property whose end nobody can tell"),
    ("property_sunset_too_soon", "different", "Sunset too soon",
     "sunset {new} is sooner than the notice of {name} days",
     "a property that ends before clients can move"),
))
KINDS: Dict[str, Kind] = {kind.id: kind for kind in SCHEMA_KINDS}

FRAMES: Dict[Tuple[str, str], Tuple[str, str]] = {  # (direction, severity) -> impact, remedy
    (REQUEST, BREAKING): ("A client that sends {offending} in {what} was served before and is refused now.",
                          "Keep accepting {offending} in {what} until its senders have moved, or enforce the new rule "
                          "in a new field or a new version of the path."),
    (REQUEST,
     POTENTIALLY): ("A client that sends {offending} in {what} may be refused or ignored now; the document cannot "
                             "tell.", "Check what the server does with {offending} in {what}."),
    (RESPONSE, BREAKING): ("A client that reads {what} can meet {offending}, which the old document ruled out.",
                           "Keep {offending} out of {what} until its readers have moved, or return it in a new field, "
                           "media type or version of the path."),
    (RESPONSE, POTENTIALLY): ("A client that reads {what} can meet {offending}; some clients fail on that.",
                              "Announce it, and return {offending} in {what} once the readers have a default branch."),
}
REMEDIES: Dict[str, str] = {  # kind -> what to do instead, where there is something better than the frame
    "type_changed": "Add a new property of type {new} beside {what}, and keep {what} of type {old}, deprecated with an "
                    "x-sunset date, until its users have moved.",
    "format_changed": "Add a new property of format {new} beside {what}, and keep {what} of format {old} until its "
                      "users have moved.",
    "required_property_added": "Make {name} optional, with a default that acts as before.",
    "property_became_required": "Keep {name} optional, with a default that acts as before.",
    "property_became_optional": "Keep sending {name} always.",
    "property_removed": "Keep {name}, marked deprecated with an x-sunset date, and remove it after that date.",
    "optional_property_removed": "Keep {name}, marked deprecated with an x-sunset date, and remove it after that date.",
    "enum_value_added": "Announce {added}, and return it in {what} once the readers have a default branch.",
    "union_member_added": "Announce {added}, and return it in {what} once the readers skip forms they do not know.",
    "wrapped_in_union": "Keep the old form as one of the alternatives, or return the alternatives in a new property "
                        "beside {what}.",
}
REMOVED_FROM_REQUESTS = "A client that still sends {name} is refused or ignored; the document cannot tell which."
HARMLESS_FRAMES: Dict[str, str] = {
    REQUEST: "Requests that were valid stay valid.",
    RESPONSE: "Responses stay within what the old document allowed.",
}
BLANK_FRAMES = ("Clients of the old document are not concerned.", "Nothing to do.")
GENERAL_WORDS = {"old": "the old value", "new": "the new value", "name": "the property", "added": "the added values",
                 "removed": "the removed values", "part": "the keyword", "marked": "readOnly or writeOnly",
                 "what": "it"}


def schema_rules() -> Iterator[Tuple[str, str, str, str, str]]:
    """Yield the rules of the schema kinds: one where both directions weigh the same, else one for each direction."""
    for kind in SCHEMA_KINDS:
        levels = SEVERITY_OF[kind.polarity]
        alike = levels[REQUEST] == levels[RESPONSE]
        for direction in DIRECTIONS[:1] if alike else DIRECTIONS:
            title = kind.title if alike else f"{kind.title} in a {direction}"
            impact, remedy = frame(kind, direction, GENERAL_WORDS)
            yield (kind.id if alike else f"{direction}_{kind.id}", levels[direction], title, impact, remedy)


def frame(kind: Kind, direction: str, words: Dict[str, str]) -> Tuple[str, str]:
    """Return impact and remedy of one kind of schema change."""
    severity = SEVERITY_OF[kind.polarity][direction]
    if (direction, severity) in FRAMES:
        impact, remedy = FRAMES[direction, severity]
        words = {**words, "offending": fill(kind.offending, words) or "another form"}
        if direction == REQUEST and kind.id in ("property_removed", "optional_property_removed"):
            impact = REMOVED_FROM_REQUESTS
        return fill(impact, words), fill(REMEDIES.get(kind.id, remedy), words)
    return (BLANK_FRAMES[0] if kind.polarity in ("neutral",
                                                 "additive") else HARMLESS_FRAMES[direction]), BLANK_FRAMES[1]


def fill(template: str, words: Dict[str, str]) -> str:
    """Return a template with its words in braces replaced; words are data and are not looked into."""
    return re.sub(r"\{(\w+)\}", lambda match: words.get(match.group(1), "nothing"), template)


DOCUMENT_RULES: Tuple[Tuple[str, str, str, str, str], ...] = (
    ("path_removed", BREAKING, "Path removed", "Every call of the path ends in 404 Not Found.",
     "Keep the path, mark its operations deprecated with an x-sunset date, and remove it after that date."),
    ("operation_removed", BREAKING, "Operation removed", "Calls end in 404 Not Found or 405 Method Not Allowed.",
     "Keep the operation, mark it deprecated with an x-sunset date, and remove it after that date."),
    ("operation_removed_before_sunset", BREAKING, "Operation removed before its sunset",
     "Clients that planned for the announced date fail earlier.", "Keep the operation until the date in x-sunset."),
    ("operation_removed_after_deprecation", NON_BREAKING, "Deprecated operation removed",
     "Clients that ignored the deprecation fail.",
     "Check the access log for calls that still come in before the release."),
    ("operation_removed_after_sunset", NON_BREAKING, "Operation removed after its sunset",
     "Only clients that ignored the announced date fail.", "Nothing to do: the announced date has passed."),
    ("operation_removed_while_unstable", NON_BREAKING, "Unstable operation removed",
     "The stability level promised nothing to clients.", "Nothing to do."),
    ("operation_added", ADDITIVE, "Operation added", "Clients may call it; nobody has to.", "Nothing to do."),
    ("operation_deprecated", NON_BREAKING, "Operation deprecated", "The operation keeps working.",
     "Add x-sunset with the date of the removal, so that clients can plan."),
    ("operation_deprecated_with_sunset", NON_BREAKING, "Operation deprecated with a date",
     "The operation works until the announced date.", "Send the headers Deprecation and Sunset with its responses."),
    ("operation_undeprecated", NON_BREAKING, "Deprecation withdrawn", "The operation stays.", "Nothing to do."),
    ("operation_id_changed", NON_BREAKING, "operationId changed",
     "Calls are the same; generated clients rename a method.",
     "Keep the operationId where generated clients are published."),
    ("operation_tags_changed", NON_BREAKING, "Tags changed", "Calls are the same; generated clients may move a method.",
     "Nothing to do."),
    ("sunset_invalid", BREAKING, "Unreadable sunset date", "Nobody can tell from the document when the end comes.",
     "Write x-sunset as an RFC 3339 date: 2030-12-31."),
    ("sunset_missing", BREAKING, "Deprecated without a sunset date",
     "Nobody can tell from the document when the end comes.",
     "Add x-sunset, at least the configured number of days away."),
    ("sunset_too_soon", BREAKING, "Sunset too soon", "The end comes before the promised notice has run.",
     "Move x-sunset to a date that leaves the configured number of days."),
    ("sunset_removed", BREAKING, "Sunset date withdrawn", "Clients that planned for the date no longer know the end.",
     "Keep x-sunset while the operation is deprecated."),
    ("sunset_moved_too_close", BREAKING, "Sunset moved too close",
     "Clients that planned for the old date fail earlier.",
     "Keep the announced date, or move it later."),
    ("stability_invalid", BREAKING, "Unknown stability level", "Nobody can tell what the operation promises.",
     "Use one of draft, alpha, beta, stable in x-stability-level."),
    ("stability_lowered", BREAKING, "Stability lowered",
     "What was promised to be stable may now change without notice.",
     "Keep the level; publish the unstable variant as an operation of its own."),
    ("stability_raised", NON_BREAKING, "Stability raised", "Clients may rely on more than before.", "Nothing to do."),
    ("webhook_removed", BREAKING, "Webhook removed", "Receivers wait for calls that no longer come.",
     "Keep sending it until the receivers have another source."),
    ("webhook_added", ADDITIVE, "Webhook added", "Only who subscribes receives it.", "Nothing to do."),
    ("callback_removed", BREAKING, "Callback removed", "Clients that gave a callback address are no longer called.",
     "Keep calling back until the clients have another source."),
    ("callback_added", ADDITIVE, "Callback added", "Only who gives an address is called.", "Nothing to do."),
    ("version_not_raised", NON_BREAKING, "Version number does not tell of the break",
     "Clients that watch info.version take the release for a compatible one.",
     "Raise the major number of info.version."),
    ("schema_removed", NON_BREAKING, "Named schema removed", "The wire is the same; generated clients lose a type.",
     "Keep the name where generated clients are published."),
    ("security_tightened", BREAKING, "Security tightened", "Calls that were let in are answered 401 or 403.",
     "Accept the old credentials too until the clients have new ones: keep the old alternative beside the new one."),
    ("security_loosened", NON_BREAKING, "Security loosened", "Calls that were let in are still let in.",
     "Nothing to do."),
    ("security_scheme_changed", BREAKING, "Security scheme changed",
     "Credentials sent in the old way are not recognised.",
     "Add the new way as a scheme of its own and accept both until the clients have moved."),
    ("security_scheme_address_changed", NON_BREAKING, "Address of the authorisation changed",
     "Credentials stay valid; clients fetch them elsewhere.", "Let the old address redirect to the new one."),
    ("security_scheme_scopes_changed", NON_BREAKING, "Offered scopes changed",
     "Operations judge their own scopes.", "Check that no client requests a scope that is gone."),
    ("security_scheme_removed", NON_BREAKING, "Security scheme removed", "Operations judge their own requirements.",
     "Nothing to do."),
    ("security_scheme_added", ADDITIVE, "Security scheme added", "Operations judge their own requirements.",
     "Nothing to do."),
    ("server_removed", POTENTIALLY, "Server address removed",
     "Clients that call the old address fail when it is shut down.",
     "Keep the old address answering, or redirect it with 308 Permanent Redirect."),
    ("server_added", ADDITIVE, "Server address added", "Clients may use it; nobody has to.", "Nothing to do."),
    ("required_parameter_added", BREAKING, "Required parameter added", "Calls without it are answered 400.",
     "Make it optional, with a default that acts as before."),
    ("optional_parameter_added", ADDITIVE, "Optional parameter added", "Clients may send it; nobody has to.",
     "Nothing to do."),
    ("parameter_removed", POTENTIALLY, "Parameter removed", "Clients that send it are ignored or refused.",
     "Keep accepting it, mark it deprecated with an x-sunset date, and remove it after that date."),
    ("parameter_removed_before_sunset", BREAKING, "Parameter removed before its sunset",
     "Clients that planned for the announced date fail earlier.", "Keep the parameter until the date in x-sunset."),
    ("parameter_removed_after_deprecation", NON_BREAKING, "Deprecated parameter removed",
     "Clients that ignored the deprecation are ignored or refused.",
     "Check the access log for calls that still send it."),
    ("parameter_became_required", BREAKING, "Parameter became required", "Calls without it are answered 400.",
     "Keep it optional, with a default that acts as before."),
    ("parameter_became_optional", NON_BREAKING, "Parameter became optional", "Calls that send it work as before.",
     "Nothing to do."),
    ("parameter_deprecated", NON_BREAKING, "Parameter deprecated", "The parameter keeps working.",
     "Add x-sunset with the date of the removal, so that clients can plan."),
    ("parameter_undeprecated", NON_BREAKING, "Deprecation withdrawn", "The parameter stays.", "Nothing to do."),
    ("parameter_style_changed", BREAKING, "Parameter written differently",
     "The old way of writing lists or objects is read wrongly or refused.",
     "Accept both ways, or add a second parameter with the new style."),
    ("parameter_reserved_forbidden", BREAKING, "Reserved characters no longer allowed",
     "Calls that send :/?#[]@!$&'()*+,;= unescaped are read wrongly.",
     "Keep allowReserved until the clients escape them."),
    ("parameter_reserved_allowed", NON_BREAKING, "Reserved characters allowed",
     "Escaped characters are read as before.",
     "Nothing to do."),
    ("parameter_content_changed", BREAKING, "Parameter carried differently",
     "Values written in the old form are read wrongly or refused.", "Accept both forms, or add a second parameter."),
    ("request_body_added_required", BREAKING, "Required body added", "Calls without a body are answered 400.",
     "Make the body optional, with a default that acts as before."),
    ("request_body_added_optional", ADDITIVE, "Optional body added", "Clients may send it; nobody has to.",
     "Nothing to do."),
    ("request_body_removed", BREAKING, "Body removed", "What clients send in the body is ignored or refused.",
     "Keep accepting the body until the clients have moved."),
    ("request_body_became_required", BREAKING, "Body became required", "Calls without a body are answered 400.",
     "Keep the body optional, with a default that acts as before."),
    ("request_body_became_optional", NON_BREAKING, "Body became optional", "Calls that send it work as before.",
     "Nothing to do."),
    ("request_media_type_removed", BREAKING, "Media type no longer accepted", "Bodies of that type are answered 415.",
     "Keep accepting it until the clients have moved."),
    ("request_media_type_added", ADDITIVE, "Media type accepted", "Clients may send it; nobody has to.",
     "Nothing to do."),
    ("request_schema_added", BREAKING, "Body must match a schema", "Bodies of another form are answered 400.",
     "Log what would be refused first, then enforce it in a new version of the path."),
    ("request_schema_removed", NON_BREAKING, "Body may have any form", "Bodies that were valid stay valid.",
     "Nothing to do."),
    ("object_in_text_changed", NON_BREAKING, "Object in a URL or header changed",
     "How objects and lists are taken apart in a URL or header is up to the server; OpenAPI leaves it undefined.",
     "Check what the server does with values in the old form."),
    ("encoding_changed", BREAKING, "Parts of the body encoded differently",
     "Parts written in the old way are read wrongly.",
     "Accept both encodings until the clients have moved."),
    ("response_removed", BREAKING, "Success response removed",
     "Clients that wait for this status take success for failure.",
     "Keep answering with the old status."),
    ("error_response_removed", NON_BREAKING, "Error response removed", "Clients handle a status that no longer comes.",
     "Nothing to do."),
    ("default_response_removed", POTENTIALLY, "Default response removed",
     "The document no longer says what comes when nothing else fits.", "Keep the default response."),
    ("response_added", ADDITIVE, "Response added", "Clients meet a status that the old document did not name.",
     "Return it only where the old document's statuses do not fit."),
    ("response_media_type_removed", BREAKING, "Media type no longer returned",
     "Clients that ask for it are answered 406 or get another form.", "Keep returning it to who asks for it."),
    ("response_media_type_added", ADDITIVE, "Media type returned", "Clients that ask for it get it.",
     "Return it only to who asks for it in Accept."),
    ("response_media_type_generalized", BREAKING, "More general media type returned",
     "Clients can no longer tell from Content-Type which form they got.", "Keep returning the specific media type."),
    ("response_media_type_specialized", NON_BREAKING, "More specific media type returned",
     "Clients that read the general form read this one.", "Nothing to do."),
    ("response_media_type_renamed", NON_BREAKING, "Parameters of the media type changed",
     "Clients that compare Content-Type as a whole text notice.", "Nothing to do."),
    ("response_schema_added", NON_BREAKING, "Body got a schema", "Clients learn what they get.", "Nothing to do."),
    ("response_schema_removed", BREAKING, "Body lost its schema", "The new document allows any body in the response.",
     "Describe the body that is really returned."),
    ("response_header_removed", BREAKING, "Required response header removed", "Clients that read the header fail.",
     "Keep sending the header until the clients have moved."),
    ("optional_response_header_removed", POTENTIALLY, "Response header removed",
     "Clients that read the header where it came take another way.",
     "Keep sending the header until the clients have moved."),
    ("response_header_added", ADDITIVE, "Response header added", "Clients may read it; nobody has to.",
     "Nothing to do."),
    ("response_header_became_optional", BREAKING, "Response header no longer promised",
     "Clients that read it fail where it "
     "is left out.", "Keep sending the header always."),
    ("response_header_became_required", NON_BREAKING, "Response header promised", "Clients may rely on it.",
     "Nothing to do."),
    ("link_removed", NON_BREAKING, "Link removed", "Calls work as before; generated clients lose a shortcut.",
     "Keep the link."),
    ("link_changed", NON_BREAKING, "Link changed", "The responses are the same.",
     "Check clients that follow links by the document."),
    ("link_added", ADDITIVE, "Link added", "Clients may follow it; nobody has to.", "Nothing to do."),
)
API_RULES: Dict[str, Rule] = catalogue(*schema_rules(), *DOCUMENT_RULES)


# == 41. API records ==================================================================================


class Place(NamedTuple):
    """A value of a document and where it stands; `file` is set when that is another file beside the document."""

    value: Any
    path: Path
    file: str = ""


Places = Tuple[Place, ...]  # several schemas that a value must match together, as under allOf


class Choice(NamedTuple):
    """oneOf or anyOf with at least two members, null left out."""

    keyword: str
    members: Tuple[Place, ...]
    leaf: Place


class Shape(NamedTuple):
    """What a schema allows, in one form for every dialect, with the members of allOf merged; None is no limit."""

    leaves: Places = ()
    types: Optional[FrozenSet[str]] = None  # without "null"
    null: Optional[bool] = None
    joined: bool = False  # the types were the members of a oneOf or anyOf
    formats: FrozenSet[str] = frozenset()
    enum: Optional[Dict[str, Any]] = None  # JSON text -> value, without null
    const: Optional[Dict[str, Any]] = None
    lower: Optional[Tuple[float, bool]] = None  # (bound, whether it is excluded)
    upper: Optional[Tuple[float, bool]] = None
    limits: Dict[str, float] = {}
    multiples: FrozenSet[float] = frozenset()
    patterns: FrozenSet[str] = frozenset()
    unique: bool = False
    properties: Dict[str, Places] = {}
    required: FrozenSet[str] = frozenset()
    inner: Dict[str, Places] = {}  # keyword, or keyword and name -> the schemas under it
    tuple_items: Tuple[Places, ...] = ()
    dependent: Dict[str, FrozenSet[str]] = {}
    choices: Tuple[Choice, ...] = ()
    read_only: bool = False
    write_only: bool = False
    notes: Dict[str, Any] = {}  # default, deprecated, discriminator, content* and x-* as they stand


class Media(NamedTuple):
    """One media type of a body: `schema` is empty when none is given."""

    name: str
    schema: Places
    encoding: Any
    path: Path


class Parameter(NamedTuple):
    """A parameter of a call, or a header of a response, with the defaults of its style filled in."""

    name: str
    where: str
    required: bool
    schema: Places
    media: Dict[str, Media]
    style: str
    explode: bool
    reserved: bool
    notes: Dict[str, Any]
    path: Path


class Body(NamedTuple):
    """What a call carries besides its parameters."""

    required: bool
    media: Dict[str, Media]
    path: Path


class Response(NamedTuple):
    """One answer of an operation: headers by lower-case name."""

    headers: Dict[str, Parameter]
    media: Dict[str, Media]
    links: Dict[str, Place]
    path: Path


class Route(NamedTuple):
    """A path of the document: `key` is the full path with blank parameter names, so that a rename changes nothing."""

    name: str
    key: str
    item: Place


class Operation(NamedTuple):
    """One method of a path, with what it inherits from the path and from the document."""

    label: str
    value: Dict[str, Any]
    path: Path
    parameters: Dict[Tuple[str, str], Parameter]
    body: Optional[Body]
    responses: Dict[str, Response]
    security: List[Any]
    security_path: Path
    callbacks: Dict[str, Place]


# == 42. API reading ==================================================================================
# In: a Document. Out: a Side, which resolves references and reads operations and schemas when they are asked for.
# Sources: OpenAPI 3.0.3 and 3.1.0, Swagger 2.0 (spec.openapis.org), JSON Schema 2020-12.

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
NEVER: Dict[str, Any] = {"not": {}}  # what the schema `false` means
LOST: Dict[str, Any] = {"x-unresolved": True}  # stands for a schema that could not be found
FORM = "x-form-parameters"  # the form parameters of Swagger 2.0, as properties of a body
NAMED_SECTIONS = ("schemas", "responses", "parameters", "examples", "requestBodies", "headers", "securitySchemes",
                  "links",
                  "callbacks", "pathItems")
TEMPLATE = re.compile(r"\{[^{}]*\}")  # {id} in /users/{id}
MAX_HOPS = 64  # references to references; a longer chain is a ring


class Side:
    """One document as it is read: its references, its shapes, and the faults met on the way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.value: Dict[str, Any] = document.value
        self.version = str(self.value.get("openapi") or self.value.get("swagger") or "")[:3]
        self.faults = Faults(document)
        self.files: Dict[str, Any] = {"": document.value}
        self.targets: Dict[Tuple[str, str], Optional[Place]] = {}
        self.leaf_sets: Dict[int, Places] = {}
        self.shapes: Dict[Tuple[int, ...], Shape] = {}
        self.held: List[Any] = []  # keeps what is keyed by id() alive

    def fault(self, path: Path, found: str, expected: str) -> None:
        if (path, found, expected, "") not in self.faults.found:
            self.faults.add(path, found, expected)

    def mapping(self, value: Any, path: Path) -> Dict[str, Any]:
        """Return an object of the document; anything else is noted and taken for an empty one."""
        if isinstance(value, dict):
            return value
        if value is not None:
            self.fault(path, describe(value), "an object")
        return {}

    def sequence(self, value: Any, path: Path) -> List[Any]:
        if isinstance(value, list):
            return value
        if value is not None:
            self.fault(path, describe(value), "a list")
        return []

    def resolve(self, place: Place) -> Place:
        """Follow $ref to the value it names; what cannot be found is noted and becomes LOST."""
        for _ in range(MAX_HOPS):
            reference = place.value.get("$ref") if isinstance(place.value, dict) else None
            if not isinstance(reference, str):
                return place
            target = self.target(reference, place.file)
            if target is None:
                self.fault(place.path, f"the reference {describe(reference)}", "the place of a value in the document")
                return Place(LOST, place.path, place.file)
            place = target
        self.fault(place.path, "references in a ring", "a value at their end")
        return Place(LOST, place.path, place.file)

    def target(self, reference: str, file: str) -> Optional[Place]:
        if (reference, file) not in self.targets:
            self.targets[reference, file] = self.find(reference, file)
        return self.targets[reference, file]

    def find(self, reference: str, file: str) -> Optional[Place]:
        """Return the place that a reference names, in this document or in a file beside it."""
        from urllib.parse import unquote
        name, _, pointer = reference.partition("#")
        name = os.path.normpath(os.path.join(os.path.dirname(file), unquote(name))) if name else file
        value = self.beside(name)
        path: List[Union[str, int]] = [name] if name else []
        for step in unquote(pointer).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
                path.append(key)
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
                path.append(int(key))
            else:
                return None
        return None if value is None else Place(value, tuple(path), name)

    def beside(self, name: str) -> Any:
        """Return the content of a file in or below the folder of the document; None when it cannot be read."""
        if name not in self.files:
            outside = os.path.isabs(name) or name.startswith("..") or ":" in name or self.document.name == "<stdin>"
            folder = os.path.dirname(self.document.name)
            self.files[name] = None if outside else load_if_readable(os.path.join(folder, name))
        return self.files[name]

    def leaves(self, places: Places) -> Places:
        """Return the schemas that a value must match together: references followed, allOf opened, notes left out."""
        if len(places) == 1:
            known = self.leaf_sets.get(id(places[0].value))
            if known is not None:
                return known
        found: Dict[int, Place] = {}
        seen: Set[int] = set()
        waiting = list(reversed(places))
        while waiting:
            place = self.schema_value(waiting.pop(), waiting)
            if id(place.value) not in seen:
                seen.add(id(place.value))
                waiting.extend(reversed(self.joined_members(place)))
                if not says_nothing(place.value):
                    found[id(place.value)] = place
        leaves = tuple(found.values())
        if len(places) == 1:
            self.held.append(places[0].value)
            self.leaf_sets[id(places[0].value)] = leaves
        return leaves

    def schema_value(self, place: Place, waiting: List[Place]) -> Place:
        """Return a schema without its reference: `true` is {}, keywords beside $ref count from OpenAPI 3.1 on."""
        value = place.value
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            target = self.resolve(place)
            if len(value) == 1 or self.version in ("2.0", "3.0") or says_nothing(value):
                return self.schema_value(target, waiting)
            waiting.append(target)
            return place
        if isinstance(value, dict):
            return place
        if value is not True and value is not False:
            self.fault(place.path, describe(value), "a schema")
        return Place(NEVER if value is False else {}, place.path, place.file)

    def joined_members(self, place: Place) -> List[Place]:
        """Return the members of allOf, and the only member of a oneOf or anyOf that is not null."""
        members = []
        for keyword in ("allOf", "oneOf", "anyOf"):
            if keyword in place.value:
                found = self.members(place, keyword)
                rest = found if keyword == "allOf" else [member for member in found if not is_null(member.value)]
                members += rest if keyword == "allOf" or len(rest) == 1 else []
        return members

    def members(self, place: Place, keyword: str) -> List[Place]:
        path = place.path + (keyword,)
        return [Place(member, path + (number,), place.file)
                for number, member in enumerate(self.sequence(place.value[keyword], path))]

    def shape(self, leaves: Places) -> Shape:
        """Return what the leaves allow together."""
        key = tuple([id(leaf.value) for leaf in leaves])
        shape = self.shapes.get(key)
        if shape is None:
            facets: Dict[str, Any] = {"leaves": leaves}
            for leaf in leaves:
                for keyword, value in leaf.value.items():
                    reader = READERS.get(keyword)
                    if reader is not None:
                        reader(self, facets, keyword, value, leaf)
            self.held.append(leaves)
            facets.pop("null_is_meant", None)
            shape = self.shapes[key] = Shape(**facets)
        return shape


def load_if_readable(path: str) -> Any:
    try:
        return load(path).value
    except InputError:
        return None


def says_nothing(schema: Iterable[str]) -> bool:
    """Tell whether a schema has no keyword but those that do not count: titles, descriptions, examples."""
    return READERS.keys().isdisjoint(schema)


def is_null(schema: Any) -> bool:
    """Tell whether a schema allows null and nothing else."""
    return isinstance(schema, dict) and (schema.get("type") == "null" or schema.get("enum") == [None]
                                         or ("const" in schema and schema["const"] is None))


def json_key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_types(side: Side, facets: Dict[str, Any], _: str, value: Any, leaf: Place) -> None:
    names = {name for name in ([value] if isinstance(value, str) else side.sequence(value, leaf.path + ("type",)))
             if isinstance(name, str)}
    if "file" in names:  # Swagger 2.0; OpenAPI 3 writes it as a binary string
        names = names - {"file"} | {"string"}
        facets["formats"] = facets.get("formats", frozenset()) | {"binary"}
    if names:
        allow_types(facets, frozenset(names - {"null"}))
        allow_null(facets,
                   "null" in names or leaf.value.get("nullable") is True or leaf.value.get("x-nullable") is True)


def allow_types(facets: Dict[str, Any], types: FrozenSet[str]) -> None:
    known = facets.get("types")
    if known is not None:  # integer is within number
        types = frozenset({name for name in types if name in known or (name == "integer" and "number" in known)}
                          | {"integer" for name in types if name == "number" and "integer" in known})
    facets["types"] = types


def allow_null(facets: Dict[str, Any], allowed: bool, is_meant: bool = False) -> None:
    """Note whether null is allowed: every list of types has a say, unless null was added beside them on purpose."""
    facets["null_is_meant"] = is_meant = is_meant or facets.get("null_is_meant", False)
    facets["null"] = is_meant or (allowed and facets.get("null") is not False)


def read_nullable(_: Side, facets: Dict[str, Any], __: str, value: Any, leaf: Place) -> None:
    if value is True and "type" not in leaf.value:  # beside allOf or oneOf, where people expect it to work
        allow_null(facets, True, is_meant=True)


def read_enum(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    values = side.sequence(value, leaf.path + (keyword,)) if keyword == "enum" else [value]
    listed = {json_key(item): item for item in values if item is not None}
    if None in values and "type" not in leaf.value:
        allow_null(facets, True)
    known = facets.get(keyword)
    facets[keyword] = listed if known is None else {key: item for key, item in listed.items() if key in known}


def read_bound(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    """Read minimum and maximum; exclusiveMinimum is a flag beside them in OpenAPI 3.0 and a bound in 3.1."""
    if isinstance(value, bool):
        return
    if not is_number(value):
        return side.fault(leaf.path + (keyword,), describe(value), "a number")
    facet = "lower" if keyword.endswith("inimum") else "upper"
    excluded = keyword.startswith("exclusive") or leaf.value.get("exclusive" + keyword.capitalize()) is True
    bound, known = (value, excluded), facets.get(facet)
    if known is None or tightness(facet, bound) > tightness(facet, known):
        facets[facet] = bound


def tightness(facet: str, bound: Tuple[float, bool]) -> Tuple[float, bool]:
    return (bound[0] if facet == "lower" else -bound[0], bound[1])


def read_limit(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    if not is_number(value):
        return side.fault(leaf.path + (keyword,), describe(value), "a number")
    limits = facets.setdefault("limits", {})
    known = limits.get(keyword, value)
    limits[keyword] = max(known, value) if keyword.startswith("min") else min(known, value)


def read_into_set(_: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    facet = SET_FACETS[keyword]
    if is_number(value) and value > 0 if keyword == "multipleOf" else isinstance(value, str):
        facets[facet] = facets.get(facet, frozenset()) | {value}


def read_flag(_: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    if value is True:
        facets[FLAG_FACETS[keyword]] = True


def read_properties(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    properties = facets.setdefault("properties", {})
    path = leaf.path + (keyword,)
    for name, schema in side.mapping(value, path).items():
        properties[name] = properties.get(name, ()) + (Place(schema, path + (name,), leaf.file),)


def read_form(_: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    facets["properties"] = {name: (place,) for name, place in value.items()}


def read_required(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    if not isinstance(value, bool):  # a Swagger 2.0 parameter is its own schema, and its flag is no list
        names = side.sequence(value, leaf.path + (keyword,))
        facets["required"] = facets.get("required", frozenset()) | {name for name in names if isinstance(name, str)}


def read_inner(_: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    inner = facets.setdefault("inner", {})
    if isinstance(value, list) and keyword == "items":  # JSON Schema before 2020-12: a tuple
        return read_tuple(_, facets, keyword, value, leaf)
    inner[keyword] = inner.get(keyword, ()) + (Place(value, leaf.path + (keyword,), leaf.file),)


def read_named_inner(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    inner = facets.setdefault("inner", {})
    path = leaf.path + (keyword,)
    for name, schema in side.mapping(value, path).items():
        title = f"{keyword} {name}"
        inner[title] = inner.get(title, ()) + (Place(schema, path + (name,), leaf.file),)


def read_tuple(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    path = leaf.path + (keyword,)
    facets["tuple_items"] = tuple((Place(schema, path + (number,), leaf.file),)
                                  for number, schema in enumerate(side.sequence(value, path)))


def read_dependent(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    dependent = facets.setdefault("dependent", {})
    for name, needed in side.mapping(value, leaf.path + (keyword,)).items():
        names = frozenset(item for item in side.sequence(needed, leaf.path + (keyword, name)) if isinstance(item, str))
        dependent[name] = dependent.get(name, frozenset()) | names


def read_choice(side: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    """Read oneOf and anyOf: null becomes the null flag, members that are bare types become the list of types."""
    members = side.members(leaf, keyword)
    rest = [member for member in members if not is_null(member.value)]
    if len(rest) < len(members):
        allow_null(facets, True, is_meant=True)
    if len(rest) > 1 and all(is_bare_type(member.value) for member in rest):
        facets["joined"] = True
        for_types = [member.value["type"] for member in rest]
        names = {name for item in for_types for name in ([item] if isinstance(item, str) else item)}
        allow_types(facets, frozenset(names - {"null"}))
        allow_null(facets, "null" in names)
    elif len(rest) > 1:
        facets["choices"] = facets.get("choices", ()) + (Choice(keyword, tuple(rest), leaf),)


def is_bare_type(schema: Any) -> bool:
    return isinstance(schema, dict) and says_nothing(schema.keys() - {"type"}) \
        and (isinstance(schema.get("type"), str) or is_text_list(schema.get("type"))) and "$ref" not in schema \
        and schema.get("type") not in ("object", "array")


def is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def read_note(_: Side, facets: Dict[str, Any], keyword: str, value: Any, leaf: Place) -> None:
    facets.setdefault("notes", {}).setdefault(keyword, value)


SET_FACETS = {"format": "formats", "pattern": "patterns", "multipleOf": "multiples"}
FLAG_FACETS = {"readOnly": "read_only", "writeOnly": "write_only", "uniqueItems": "unique"}
LIMITS = {  # keyword -> (name in rule ids, default where a missing one means something)
    "minLength": ("min_length", 0), "maxLength": ("max_length", None), "minItems": ("min_items", 0),
    "maxItems": ("max_items", None), "minProperties": ("min_properties", 0), "maxProperties": ("max_properties", None),
    "minContains": ("min_contains", 1), "maxContains": ("max_contains", None)}
INNER = ("items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames",
         "contentSchema", "not", "if", "then", "else")
NOTES = ("default", "deprecated", "discriminator", "contentMediaType", "contentEncoding", "x-extensible-enum",
         "x-ms-enum",
         "x-sunset", "x-stability-level", "x-unresolved")
READERS: Dict[str, Callable[[Side, Dict[str, Any], str, Any, Place], None]] = {
    "type": read_types, "nullable": read_nullable, "x-nullable": read_nullable, "enum": read_enum, "const": read_enum,
    **{keyword: read_bound for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")},
    **{keyword: read_limit for keyword in LIMITS}, **{keyword: read_into_set for keyword in SET_FACETS},
    **{keyword: read_flag for keyword in FLAG_FACETS}, "properties": read_properties, FORM: read_form,
    "required": read_required, **{keyword: read_inner for keyword in INNER}, "prefixItems": read_tuple,
    "patternProperties": read_named_inner, "dependentSchemas": read_named_inner, "dependentRequired": read_dependent,
    "oneOf": read_choice, "anyOf": read_choice, **{keyword: read_note for keyword in NOTES}}


# The rest of the section reads paths, operations, parameters, bodies and responses of both generations.

STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}  # OpenAPI 3.0.3, Parameter Object
COLLECTION_STYLES = {"csv": ("", False), "multi": ("form", True), "ssv": ("spaceDelimited", False),
                     "tsv": ("tabDelimited", False), "pipes": ("pipeDelimited", False)}  # Swagger 2.0
JSON_TYPE = "application/json"


def read_side(document: Document) -> Side:
    """Return a document ready to be read; raises InputError for what is neither an API nor a schema document."""
    value = document.value
    if not isinstance(value, dict):
        raise InputError(problem(document.name, 1, 1, (), describe(value),
                                 "an OpenAPI, Swagger or JSON Schema document"))
    side = Side(document)
    if is_schema_document(side):
        return side
    known = side.version in ("2.0", "3.0", "3.1", "3.2")
    if not known:
        key = "swagger" if "swagger" in value else "openapi"
        side.faults.add((key,) if key in value else (), describe(value.get(key)) if key in value else "no version",
                        "openapi 3.0 or 3.1, swagger 2.0, or a JSON Schema with $schema, type or properties")
        side.faults.finish()
    if not isinstance(value.get("paths", {}), dict):
        side.faults.add(("paths",), describe(value["paths"]), "an object")
        side.faults.finish()
    return side


def is_schema_document(side: Side) -> bool:
    value = side.value
    return not {"openapi", "swagger", "paths"} & value.keys() and bool(
        {"$schema", "$defs", "definitions", "$ref", "allOf"} & value.keys() or not says_nothing(value))


def servers(side: Side) -> List[str]:
    """Return the addresses of the servers, without a slash at their end."""
    if side.version == "2.0":
        host, base = side.value.get("host") or "", side.value.get("basePath") or ""
        schemes = side.sequence(side.value.get("schemes"), ("schemes",)) or [""]
        urls = [f"{scheme}:" * bool(scheme and host) + f"//{host}" * bool(host) + str(base) for scheme in schemes]
    else:
        listed = side.sequence(side.value.get("servers"), ("servers",))
        urls = [item["url"] for item in listed if isinstance(item, dict) and isinstance(item.get("url"), str)]
    return [url.rstrip("/") for url in urls] or [""]


def base_path(url: str) -> str:
    """Return the path of an address: https://api.example.com/v1 is /v1."""
    return re.sub(r"^(?:[a-z][a-z0-9+.-]*:)?//[^/]*", "", url)


def read_routes(side: Side, section: str = "paths") -> Dict[str, Route]:
    routes = {}
    for name, item in side.mapping(side.value.get(section), (section,)).items():
        if not name.startswith("x-") or section != "paths":
            place = side.resolve(Place(item, (section, name)))
            place = place._replace(value=side.mapping(place.value, place.path))
            routes[name] = Route(name, TEMPLATE.sub("{}", name), place)
    return routes


def read_operation(side: Side, item: Place, method: str, label: str) -> Operation:
    """Return one operation with the parameters of its path and the security of the document merged in."""
    path = item.path + (method,)
    value = side.mapping(item.value[method], path)
    parameters, form, old_body = read_parameters(side, item, value, path)
    own = isinstance(value.get("security"), list)
    security = value["security"] if own else side.value.get("security")
    responses = side.mapping(value.get("responses"), path + ("responses",))
    return Operation(
        label, value, path, parameters, read_body(side, value, path, form, old_body),
        {status.upper() if status.lower() != "default" else "default":
            read_response(side, Place(item, path + ("responses", status)), value)
         for status, item in responses.items() if not status.startswith("x-")},
        security if isinstance(security, list) else [], path + ("security",) if own else ("security",),
        {name: side.resolve(Place(item, path + ("callbacks", name)))
         for name, item in side.mapping(value.get("callbacks"), path + ("callbacks",)).items()})


def read_parameters(side: Side, item: Place, value: Dict[str, Any], path: Path) \
        -> Tuple[Dict[Tuple[str, str], Parameter], List[Place], Optional[Place]]:
    """Return the parameters by place and name, and the form and body parameters of Swagger 2.0."""
    parameters: Dict[Tuple[str, str], Parameter] = {}
    form: List[Place] = []
    body = None
    for owner, owner_path in ((item.value, item.path), (value, path)):
        listed = side.sequence(owner.get("parameters"), owner_path + ("parameters",))
        for number, entry in enumerate(listed):
            place = side.resolve(Place(entry, owner_path + ("parameters", number), item.file))
            given = side.mapping(place.value, place.path)
            if given.get("in") == "body":
                body = place
            elif given.get("in") == "formData":
                form.append(place)
            elif isinstance(given.get("name"), str) and isinstance(given.get("in"), str):
                parameter = read_parameter(side, place, given["name"], given["in"])
                parameters[parameter.where, parameter.name.lower() if parameter.where == "header" else parameter.name] \
                    = parameter
            elif place.value is not LOST:
                side.fault(place.path, "a parameter without name or in", "both")
    return parameters, form, body


def read_parameter(side: Side, place: Place, name: str, where: str) -> Parameter:
    """Read a parameter, or a header as one; what Swagger 2.0 writes on the parameter itself is its schema."""
    place = place._replace(value=side.mapping(place.value, place.path))
    value = place.value
    style, explode = STYLES.get(where, "simple"), False
    schema: Places = (place,) if "type" in value else ()
    if "collectionFormat" in value:
        named, explode = COLLECTION_STYLES.get(str(value["collectionFormat"]), ("", False))
        style = named or style
    elif side.version != "2.0":
        style = value.get("style") or style
        explode = value["explode"] if isinstance(value.get("explode"), bool) else style == "form"
    if "schema" in value:
        schema = (Place(value["schema"], place.path + ("schema",), place.file),)
    return Parameter(name, where, value.get("required") is True, schema, read_media(side, place, "content"), style,
                     explode,
                     value.get("allowReserved") is True, value, place.path)


def read_media(side: Side, place: Place, keyword: str) -> Dict[str, Media]:
    """Return the media types of a content object by their lower-case name without blanks."""
    media = {}
    path = place.path + (keyword,)
    for name, entry in side.mapping(place.value.get(keyword), path).items():
        value = side.mapping(entry, path + (name,))
        schema = (Place(value["schema"], path + (name, "schema"), place.file),) if "schema" in value else ()
        media[re.sub(r"\s", "", name.lower())] = Media(name, schema, value.get("encoding"), path + (name,))
    return media


def read_body(side: Side, value: Dict[str, Any], path: Path, form: List[Place], old: Optional[Place]) -> Optional[Body]:
    if old is not None:
        types = media_names(side, value, "consumes")
        schema = (Place(old.value["schema"], old.path + ("schema",), old.file),) if "schema" in old.value else ()
        return Body(old.value.get("required") is True,
                    {name: Media(name, schema, None, old.path) for name in types}, old.path)
    if form:
        return read_form_body(side, value, path, form)
    if "requestBody" not in value:
        return None
    place = side.resolve(Place(value["requestBody"], path + ("requestBody",)))
    given = place._replace(value=side.mapping(place.value, place.path))
    return Body(given.value.get("required") is True, read_media(side, given, "content"), place.path)


def read_form_body(side: Side, value: Dict[str, Any], path: Path, form: List[Place]) -> Body:
    """Return the form parameters of Swagger 2.0 as the body object that OpenAPI 3 makes of them."""
    named = {place.value["name"]: place for place in form if isinstance(place.value.get("name"), str)}
    required = [name for name, place in named.items() if place.value.get("required") is True]
    types = [name for name in media_names(side, value, "consumes") if name in FORM_TYPES]
    files = any(place.value.get("type") == "file" for place in form)
    schema = Place({"type": "object", FORM: named, "required": required}, path + ("parameters",))
    side.held.append(schema)
    return Body(bool(required), {name: Media(name, (schema,), None, path + ("parameters",))
                                 for name in types or [FORM_TYPES[1 if files else 0]]}, path + ("parameters",))


FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


def media_names(side: Side, value: Dict[str, Any], keyword: str) -> List[str]:
    """Return what consumes or produces says, of the operation or else of the document (Swagger 2.0)."""
    for owner in (value, side.value):
        if isinstance(owner.get(keyword), list):
            return [re.sub(r"\s", "", name.lower()) for name in owner[keyword] if isinstance(name, str)]
    return [JSON_TYPE]


def read_response(side: Side, place: Place, operation: Dict[str, Any]) -> Response:
    place = side.resolve(place)
    value = side.mapping(place.value, place.path)
    given = place._replace(value=value)
    media = read_media(side, given, "content")
    if "schema" in value and not media:  # Swagger 2.0
        schema = (Place(value["schema"], place.path + ("schema",), place.file),)
        media = {name: Media(name, schema, None, place.path) for name in media_names(side, operation, "produces")}
    headers = {}
    for name, entry in side.mapping(value.get("headers"), place.path + ("headers",)).items():
        header = side.resolve(Place(entry, place.path + ("headers", name), place.file))
        headers[name.lower()] = read_parameter(side, header, name, "header")
    links = {name: side.resolve(Place(entry, place.path + ("links", name), place.file))
             for name, entry in side.mapping(value.get("links"), place.path + ("links",)).items()}
    return Response(headers, media, links, place.path)


# == 43. API comparing: facts only ====================================================================
# In: two Sides. Out: Events of the document and Facts of its schemas. A pair of schemas is compared once for each
# direction, whoever refers to it; who is reached by its facts is found afterwards, along the links between the pairs.

JSON_VALUE, TEXT, HEADER, PARAMETER, EXPLODED, MIXED = "json", "text", "header", "parameter", "exploded", "mixed"
CHILD_MEDIUM = {PARAMETER: MIXED, EXPLODED: MIXED}  # how values below one are written; the others stay what they are
LOOSE = {  # what the keywords of an object or list mean in a URL or a header is left to the server: medium -> kinds
    medium: frozenset((*kinds, "schema_keyword_added", "schema_keyword_removed", "dependent_required_added",
                       "dependent_required_removed", "dependent_required_changed", "content_media_type_changed"))
    for medium, kinds in ((PARAMETER, ()), (EXPLODED, ()), *((medium, (
        "property_removed", "optional_property_removed", "required_property_added", "property_became_required",
        "property_became_optional", "required_property_revealed", "tuple_item_added", "tuple_item_removed"))
        for medium in (MIXED, HEADER)))}
REFERENCE = re.compile(r"""'\$ref': ("[^"]*"|'[^']*')""")  # '$ref': '#/components/schemas/User', as repr writes it
STOPS_BRIDGE = re.compile(  # keywords that change what a reference below them means
    r"'(?:readOnly|writeOnly)': True|'(?:allOf|not|if|x-form-parameters)':|'type': 'null'|'\$ref': \{").search
FORMAT_WITHIN = {  # format -> formats that allow all of it (OpenAPI format registry)
    "int32": {"int64", "bigint"}, "int64": {"bigint"}, "float": {"double"}, "date": {"date-time"},
    "time": {"date-time"}}
STABILITY = ("draft", "alpha", "beta", "stable")
MAX_TRIAL_STEPS = 200_000  # pairs looked at to find out which alternatives are equal; after that names decide
MAX_TRIAL_DEPTH = 20


class Pair(NamedTuple):
    """Two schemas that face each other, seen in one direction."""

    number: int
    old: Shape
    new: Shape
    old_place: Place
    new_place: Place
    direction: str
    medium: str


class Fact(NamedTuple):
    """One difference of two schemas; a side where the thing does not exist has no path."""

    kind: str
    old_path: Optional[Path]
    new_path: Optional[Path]
    old: Any = None
    new: Any = None
    words: Dict[str, Any] = {}
    is_loose: bool = False  # in a URL or header, where its meaning is not laid down


class Event(NamedTuple):
    """One difference of the documents outside their schemas; `rule` is the id of a rule."""

    rule: str
    description: str
    old_path: Optional[Path]
    new_path: Optional[Path]
    old: Any = None
    new: Any = None
    operations: Tuple[str, ...] = ()


class Notice(NamedTuple):
    """What the configuration promises about ends: days of notice, the threshold of stability, and what day it is."""

    today: str = ""
    stable_days: int = 0
    beta_days: int = 0
    threshold: str = "beta"


class Web:
    """The pairs of schemas that have met, what differs in each, and which pair leads to which.

    Most of two documents is the same text. A schema of the same text differs only in what it refers to, so that it
    is a bridge: a pair without facts that leads straight to those components that do differ.
    """

    def __init__(self, before: Side, after: Side, notice: Notice) -> None:
        self.before, self.after, self.notice = before, after, notice
        self.alike = before.version == after.version
        self.known = read_components(before, after) if self.alike else Components(frozenset(), {})
        self.numbers: Dict[Tuple[Any, ...], Optional[int]] = {}
        self.pairs: List[Optional[Pair]] = []  # None is a bridge
        self.directions: List[str] = []
        self.facts: List[Optional[List[Fact]]] = []
        self.links: List[List[int]] = []
        self.trials: Dict[int, bool] = {}
        self.trial_depth = 0
        self.trial_steps = 0
        self.crossings: Dict[int, Tuple[Tuple[str, ...], str]] = {}  # bridge -> references, how values are written

    def unchanged(self, old: Any, new: Any) -> bool:
        """Tell whether two values of the documents are the same, with everything that they refer to."""
        return self.alike and old == new and self.known.clean.issuperset(references(new))

    def enter(self, old: Places, new: Places, direction: str, medium: str) -> Optional[int]:
        """Return the number of a pair, or None where both sides are the same or one could not be found."""
        if len(old) != 1 or len(new) != 1 or not self.alike or old[0].file or new[0].file \
                or old[0].value != new[0].value:
            return self.enter_shapes(old, new, direction, medium)
        needed = references(new[0].value)
        if self.known.clean.issuperset(needed):
            return None
        key = (tuple(needed), len(new[0].value) > 1, direction, medium)
        if len(new[0].value) == 1 and key in self.numbers:  # a bare reference; others may hold words that matter
            return self.numbers[key]
        if len(new[0].value) == 1 and "$ref" in new[0].value:
            self.numbers[key] = self.enter_component(needed[0], old, new, direction, medium)
            return self.numbers[key]
        if medium not in (JSON_VALUE, TEXT) or STOPS_BRIDGE(repr(new[0].value)):
            return self.enter_shapes(old, new, direction, medium)
        return self.enter_bridge(needed, direction, medium)

    def enter_component(self, reference: str, old: Places, new: Places, direction: str, medium: str) -> Optional[int]:
        """Enter the pair of the components that both sides call by one name."""
        needed = self.known.bridges.get(reference)
        if needed is None or medium not in (JSON_VALUE, TEXT):
            return self.enter_shapes(old, new, direction, medium)
        return self.enter_bridge(needed, direction, medium)

    def enter_bridge(self, needed: Iterable[str], direction: str, medium: str) -> int:
        """Return the number of a bridge to some references; its links are laid when somebody crosses it."""
        dirty = tuple(sorted(set(needed) - self.known.clean))
        key = ("bridge", dirty, direction, medium)
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = self.add(None, direction)
            self.crossings[number] = (dirty, medium)
        return number

    def add(self, pair: Optional[Pair], direction: str) -> int:
        self.pairs.append(pair)
        self.directions.append(direction)
        self.facts.append(None)
        self.links.append([])
        return len(self.pairs) - 1

    def enter_shapes(self, old: Places, new: Places, direction: str, medium: str) -> Optional[int]:
        """Return the number of a pair of schemas that have to be compared keyword by keyword."""
        old_leaves, new_leaves = self.before.leaves(old), self.after.leaves(new)
        key = (tuple([id(leaf.value) for leaf in old_leaves]), tuple([id(leaf.value) for leaf in new_leaves]),
               direction, medium)
        if key in self.numbers:
            return self.numbers[key]
        if self.alike and len(old_leaves) == len(new_leaves) and all(
                self.unchanged(a.value, b.value) for a, b in zip(old_leaves, new_leaves)):
            self.numbers[key] = None
            return None
        old_shape, new_shape = self.before.shape(old_leaves), self.after.shape(new_leaves)
        if "x-unresolved" in old_shape.notes or "x-unresolved" in new_shape.notes:
            return None
        number = self.numbers[key] = self.add(None, direction)
        self.pairs[number] = Pair(number, old_shape, new_shape, old[0], new[0], direction, medium)
        return number

    def link(self, pair: Pair, old: Places, new: Places, medium: str = "") -> Optional[int]:
        """Let two schemas below a pair meet."""
        number = self.enter(old, new, pair.direction, medium or CHILD_MEDIUM.get(pair.medium, pair.medium))
        if number is not None:
            self.links[pair.number].append(number)
        return number

    def settle(self, number: int) -> List[Fact]:
        """Return the facts of one pair, comparing it when nobody has yet."""
        facts = self.facts[number]
        if facts is None:
            facts = self.facts[number] = []  # a ring of trials finds nothing here yet
            pair = self.pairs[number]
            if pair is None:
                self.cross(number)
            else:
                loose = LOOSE.get(pair.medium, ())
                facts.extend(item._replace(is_loose=True)
                             if item.kind in loose and item.words.get("part") not in ("not", "items") else item
                             for item in compare_shapes(self, pair))
        return facts

    def cross(self, number: int) -> None:
        """Lay the links of a bridge."""
        needed, medium = self.crossings[number]
        for reference in needed:
            target = self.after.target(reference, "")
            place = (Place({"$ref": reference}, target.path if target else ()),)
            child = self.enter(place, place, self.directions[number], medium)
            if child is not None:
                self.links[number].append(child)

    def explore(self, roots: Iterable[int]) -> List[int]:
        """Return every pair that the roots lead to, all of them compared."""
        seen: Dict[int, None] = dict.fromkeys(roots)
        waiting = list(seen)
        while waiting:
            number = waiting.pop()
            self.settle(number)
            fresh = [child for child in self.links[number] if child not in seen]
            seen.update(dict.fromkeys(fresh))
            waiting.extend(fresh)
        return list(seen)

    def equivalent(self, old: Places, new: Places, direction: str, medium: str) -> bool:
        """Tell whether two schemas allow the same, by comparing them until the first difference."""
        number = self.enter(old, new, direction, medium)
        if number is None:
            return True
        if number not in self.trials:
            if self.trial_depth >= MAX_TRIAL_DEPTH:
                return False
            self.trial_depth += 1
            self.trials[number] = self.is_quiet(number)
            self.trial_depth -= 1
        return self.trials[number]

    def is_quiet(self, number: int) -> bool:
        """Tell whether nothing differs in a pair and in all that it leads to; a quiet pair has quiet company."""
        seen, waiting = {number}, [number]
        while waiting:
            number = waiting.pop()
            self.trial_steps += 1
            if self.trials.get(number) is True:
                continue
            if self.trials.get(number) is False or self.trial_steps > MAX_TRIAL_STEPS or any(
                    KINDS[fact.kind].polarity != "neutral" for fact in self.settle(number)):
                return False
            fresh = set(self.links[number]) - seen
            seen |= fresh
            waiting.extend(fresh)
        self.trials.update(dict.fromkeys(seen, True))
        return True


class Components(NamedTuple):
    """What is known of the named parts of both documents before anything is compared."""

    clean: FrozenSet[str]  # references whose targets are the same, with everything that those refer to
    bridges: Dict[str, Tuple[str, ...]]  # reference -> references, for targets of the same text that are not clean


def references(value: Any) -> List[str]:
    """Return the references in a value; one with quotes in it becomes unknown, which is safe: it is followed."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("$ref"), str):
        return [value["$ref"]]
    text = repr(value)
    return [quoted[1:-1] for quoted in REFERENCE.findall(text)] if "'$ref'" in text else []


def read_components(before: Side, after: Side) -> Components:
    """Return which references lead to the same on both sides."""
    needs: Dict[str, List[str]] = {}
    is_bridge: Set[str] = set()
    for prefix, old, new in named_sections(before, after):
        for name in old.keys() & new.keys():
            if old[name] == new[name]:
                text = repr(new[name])
                reference = prefix + str(name).replace("~", "~0").replace("/", "~1")
                needs[reference] = [quoted[1:-1] for quoted in REFERENCE.findall(text)] if "'$ref'" in text else []
                if needs[reference] and not STOPS_BRIDGE(text):
                    is_bridge.add(reference)
    users: Dict[str, List[str]] = {}
    for reference, needed in needs.items():
        for target in needed:
            users.setdefault(target, []).append(reference)
    clean = set(needs)
    dirty = [target for target in users if target not in needs]
    for target in dirty:  # the list grows while it is read
        fresh = [user for user in users.get(target, ()) if user in clean]
        clean.difference_update(fresh)
        dirty.extend(fresh)
    return Components(frozenset(clean), {name: tuple(needs[name]) for name in is_bridge - clean})


def components(side: Side) -> Dict[str, Any]:
    return side.mapping(side.value.get("components"), ("components",))


def named_sections(before: Side, after: Side) -> Iterator[Tuple[str, Dict[str, Any], Dict[str, Any]]]:
    old_parts, new_parts = components(before), components(after)
    for name in NAMED_SECTIONS:
        yield f"#/components/{name}/", *(side.mapping(parts.get(name), ("components", name))
                                         for side, parts in ((before, old_parts), (after, new_parts)))
    for name in ("definitions", "parameters", "responses", "$defs"):
        yield f"#/{name}/", *(side.mapping(side.value.get(name), (name,)) for side in (before, after))


# Facts of one pair of schemas.


def origin(shape: Shape, keyword: str, place: Place) -> Path:
    """Return where a keyword of a merged schema stands, or the schema itself when it has none."""
    carriers = [leaf.path for leaf in shape.leaves if keyword in leaf.value] or [leaf.path for leaf in shape.leaves]
    return carriers[0] if carriers else place.path


def fact(pair: Pair, kind: str, keyword: str, old: Any = None, new: Any = None, **words: Any) -> Fact:
    return Fact(kind, origin(pair.old, keyword, pair.old_place), origin(pair.new, keyword, pair.new_place), old, new,
                words)


def compare_shapes(web: Web, pair: Pair) -> Iterator[Fact]:
    """Yield how two schemas differ; their sub-schemas meet as pairs of their own."""
    if (pair.new.read_only and pair.direction == REQUEST) or (pair.new.write_only and pair.direction == RESPONSE):
        return  # never sent this way, so nobody can be hurt
    old, new = pair.old, pair.new
    if old.notes != new.notes:
        yield from compare_notes(web, pair)
    if old.choices or new.choices:
        wrapped = list(compare_wrapping(web, pair))
        if wrapped:
            yield from (item for item in wrapped if item.kind)
            return
        yield from compare_choices(web, pair)
    change = type_change(web, pair)
    if change:
        yield fact(pair, change, "type", types_text(old), types_text(new), removed=types_text(old, new),
                   added=types_text(new, old))
    yield from compare_null(pair)
    if change != "type_changed":
        yield from compare_values(pair)
        if change != "text_type_changed":
            yield from compare_scalars(pair)
        yield from compare_properties(web, pair)
        yield from compare_inner(web, pair)


def types_text(shape: Shape, without: Shape = Shape()) -> Any:
    if shape.types is None:
        return "any"
    names = sorted(shape.types - (without.types or frozenset())) or sorted(shape.types)
    return names[0] if len(names) == 1 else names


def covers(wide: Optional[FrozenSet[str]], narrow: Optional[FrozenSet[str]]) -> bool:
    """Tell whether every value of the narrow types is one of the wide types; integer is within number."""
    if wide is None or narrow is None:
        return wide is None
    return all(name in wide or (name == "integer" and "number" in wide) for name in narrow)


def type_change(web: Web, pair: Pair) -> str:
    """Return the kind of change of the types, or an empty string.

    Values in JSON have their own types. In a URL, a header or a form all values are text, and text is what a
    receiver of strings takes. Inside an object in a URL, either may be true.
    """
    old, new = pair.old.types, pair.new.types
    wider, narrower = covers(new, old), covers(old, new)
    if wider and narrower:
        return ""
    strict = "type_widened" if wider else "type_narrowed" if narrower else "type_changed"
    if pair.medium == JSON_VALUE or pair.old.joined:
        return strict
    harmless = KINDS[strict].polarity == ("wider" if pair.direction == REQUEST else "narrower")
    if harmless or not is_same_text(web, pair):
        return strict
    return "text_type_unclear" if pair.medium == MIXED else "text_type_changed"


def is_same_text(web: Web, pair: Pair) -> bool:
    """Tell whether text that is valid for the sender stays valid for the receiver although the types differ."""
    sent, taken = (pair.old, pair.new) if pair.direction == REQUEST else (pair.new, pair.old)
    if taken.types is None or "string" in taken.types:
        return True
    if pair.medium == EXPLODED and taken.types == {"array"} and sent.types and not sent.types & {"array", "object"}:
        items = web.after.shape(web.after.leaves(taken.inner.get("items", ())))  # one value is a list of one
        bare = set(items.leaves[0].value if items.leaves else ()) <= {"type"}
        return bare and (covers(items.types, sent.types) or "string" in (items.types or ()))
    return False


def compare_null(pair: Pair) -> Iterator[Fact]:
    old, new = allows_null(pair.old), allows_null(pair.new)
    if old is False and new is True:
        yield fact(pair, "became_nullable", "nullable", False, True)
    if old is True and new is False:
        yield fact(pair, "became_not_nullable", "nullable", True, False)


def allows_null(shape: Shape) -> Optional[bool]:
    """Return whether null is allowed; None where the schema leaves everything open."""
    if shape.null is None and (shape.choices or shape.enum or shape.const):
        return False
    return shape.null


def compare_values(pair: Pair) -> Iterator[Fact]:
    """Yield the changes of const and enum; a const beside an enum is an enum of one value."""
    old, new = pair.old, pair.new
    if old.const is not None and new.const is not None:
        if old.const.keys() != new.const.keys():
            yield fact(pair, "const_changed", "const", *(list(const.values())[0] if const else None
                                                         for const in (old.const, new.const)))
    elif old.const is not None and new.enum is None:
        yield fact(pair, "const_removed", "const", next(iter(old.const.values()), None))
    elif new.const is not None and old.enum is None:
        yield fact(pair, "const_added", "const", None, next(iter(new.const.values()), None))
    else:
        yield from compare_enums(pair, old.enum if old.const is None else old.const,
                                 new.enum if new.const is None else new.const)
    yield from compare_extensible(pair)


def compare_enums(pair: Pair, old: Optional[Dict[str, Any]], new: Optional[Dict[str, Any]]) -> Iterator[Fact]:
    if old is None or new is None:
        if new is not None:
            yield fact(pair, "enum_added", "enum", None, list(new.values()))
        elif old is not None:
            yield fact(pair, "enum_removed", "enum", list(old.values()), None)
        return
    removed = [value for key, value in old.items() if key not in new]
    added = [value for key, value in new.items() if key not in old]
    values = (list(old.values()), list(new.values()))
    if removed:
        yield fact(pair, "enum_value_removed", "enum", *values, removed=removed)
    if added:
        named = (pair.new.notes.get("x-ms-enum") or {}) if isinstance(pair.new.notes.get("x-ms-enum"), dict) else {}
        kind = "extensible_value_added" if named.get("modelAsString") is True else "enum_value_added"
        yield fact(pair, kind, "enum", *values, added=added)


def compare_extensible(pair: Pair) -> Iterator[Fact]:
    keyword = "x-extensible-enum"
    old, new = pair.old.notes.get(keyword), pair.new.notes.get(keyword)
    if isinstance(old, list) and isinstance(new, list):
        for kind, one, other, word in (("extensible_value_removed", old, new, "removed"),
                                       ("extensible_value_added", new, old, "added")):
            values = [value for value in one if value not in other]
            if values:
                yield fact(pair, kind, keyword, old, new, **{word: values})


def compare_scalars(pair: Pair) -> Iterator[Fact]:
    """Yield the changes of formats, bounds, patterns and the like."""
    old, new = pair.old, pair.new
    if old.formats != new.formats:
        yield from compare_formats(pair)
    for facet in ("lower", "upper"):
        if getattr(old, facet) != getattr(new, facet):
            yield compare_bounds(pair, facet)
    if old.limits != new.limits:
        yield from compare_limits(pair)
    if old.multiples != new.multiples:
        yield fact(pair, multiple_change(old.multiples, new.multiples), "multipleOf", plain(old.multiples),
                   plain(new.multiples))
    if old.patterns != new.patterns:
        yield from compare_patterns(pair)
    if old.unique != new.unique:
        yield fact(pair, "unique_items_set" if new.unique else "unique_items_unset", "uniqueItems", old.unique,
                   new.unique)
    for keyword in ("contentMediaType", "contentEncoding"):
        if old.notes.get(keyword) != new.notes.get(keyword):
            yield fact(pair, "content_media_type_changed", keyword, old.notes.get(keyword), new.notes.get(keyword),
                       part=keyword)


def plain(values: FrozenSet[Any]) -> Any:
    """Return the only member of a set as itself, several as a list."""
    items = sorted(values, key=str)
    return items[0] if len(items) == 1 else items or None


def compare_formats(pair: Pair) -> Iterator[Fact]:
    old, new = plain(pair.old.formats), plain(pair.new.formats)
    if old is None or new is None:
        kind = "format_added" if old is None else "format_removed"
    elif isinstance(old, list) or isinstance(new, list):
        kind = "format_narrowed" if pair.new.formats > pair.old.formats else "format_changed"
    else:
        kind = "format_widened" if new in FORMAT_WITHIN.get(old, ()) else \
            "format_narrowed" if old in FORMAT_WITHIN.get(new, ()) else "format_changed"
    yield fact(pair, kind, "format", old, new)


def compare_bounds(pair: Pair, facet: str) -> Fact:
    name, raised = ("minimum", "increased") if facet == "lower" else ("maximum", "decreased")
    old, new = getattr(pair.old, facet), getattr(pair.new, facet)
    if old is None or new is None:
        change = "set" if old is None else "unset"
    else:
        tighter = tightness(facet, new) > tightness(facet, old)
        change = raised if tighter else {"increased": "decreased", "decreased": "increased"}[raised]
    return fact(pair, f"{name}_{change}", name, bound_text(old), bound_text(new))


def bound_text(bound: Optional[Tuple[float, bool]]) -> Any:
    return None if bound is None else f"{bound[0]} (excluded)" if bound[1] else bound[0]


def compare_limits(pair: Pair) -> Iterator[Fact]:
    for keyword, (name, missing) in LIMITS.items():
        old, new = pair.old.limits.get(keyword, missing), pair.new.limits.get(keyword, missing)
        if old != new:
            change = "set" if old is None else "unset" if new is None else "increased" if new > old else "decreased"
            yield fact(pair, f"{name}_{change}", keyword, old, new)


def multiple_change(old: FrozenSet[float], new: FrozenSet[float]) -> str:
    if old < new:
        return "multiple_of_narrowed" if old else "multiple_of_set"
    if new < old:
        return "multiple_of_widened" if new else "multiple_of_unset"
    if len(old) == len(new) == 1:
        from fractions import Fraction
        before, after = (Fraction(str(*values)) for values in (old, new))  # as written: 0.1 is a tenth
        if after % before == 0:
            return "multiple_of_narrowed"
        if before % after == 0:
            return "multiple_of_widened"
    return "multiple_of_changed"


def compare_patterns(pair: Pair) -> Iterator[Fact]:
    old, new = (frozenset(pattern for pattern in patterns if pattern not in ("", ".*", "^.*$"))  # match any text
                for patterns in (pair.old.patterns, pair.new.patterns))
    if old != new:
        kind = "pattern_added" if old < new else "pattern_removed" if new < old else "pattern_changed"
        yield fact(pair, kind, "pattern", plain(old) if old else None, plain(new) if new else None)


def compare_properties(web: Web, pair: Pair) -> Iterator[Fact]:
    """Yield properties that came, went, or changed their duty; common ones meet as pairs."""
    old, new = pair.old, pair.new
    if not (old.properties or new.properties) or not both_allow(pair, "object"):
        return
    for name, places in old.properties.items():
        if name not in new.properties:
            yield property_removed(web, pair, name, places)
    for name, places in new.properties.items():
        if name not in old.properties:
            yield property_added(web, pair, name, places)
            continue
        number = web.link(pair, old.properties[name], places)
        if (name in old.required) != (name in new.required):
            yield property_duty(web, pair, name)
        child = None if number is None else web.pairs[number]
        if child is not None:
            yield from compare_visibility(pair, child, name)


def both_allow(pair: Pair, name: str) -> bool:
    return not name or pair.old.types == pair.new.types or all(
        shape.types is None or name in shape.types for shape in (pair.old, pair.new))


def hidden_mark(shape: Shape, direction: str) -> str:
    """Return the flag that keeps a property out of this direction, or an empty string."""
    return "readOnly" if direction == REQUEST and shape.read_only else \
        "writeOnly" if direction == RESPONSE and shape.write_only else ""


def property_removed(web: Web, pair: Pair, name: str, places: Places) -> Fact:
    marked = hidden_mark(web.before.shape(web.before.leaves(places)), pair.direction)
    required = name in pair.old.required and name not in pair.new.required
    kind = "hidden_property_removed" if marked else "property_removed" if required else "optional_property_removed"
    return Fact(kind, places[0].path, None, places[0].value, None, {"name": name, "marked": marked})


def property_added(web: Web, pair: Pair, name: str, places: Places) -> Fact:
    required = name in pair.new.required and name not in pair.old.required
    if required and hidden_mark(web.after.shape(web.after.leaves(places)), pair.direction):
        required = False
    kind = "required_property_added" if required else "optional_property_added"
    return Fact(kind, None, places[0].path, None, places[0].value, {"name": name})


def property_duty(web: Web, pair: Pair, name: str) -> Fact:
    old, new = pair.old.properties[name], pair.new.properties[name]
    marked = hidden_mark(web.after.shape(web.after.leaves(new)), pair.direction)
    required = name in pair.new.required
    kind = "hidden_property_required_changed" if marked else \
        "property_became_required" if required else "property_became_optional"
    return Fact(kind, old[0].path, new[0].path, not required, required, {"name": name, "marked": marked})


def compare_visibility(pair: Pair, child: Pair, name: str) -> Iterator[Fact]:
    """Yield changes of readOnly and writeOnly of one property."""
    old, new = child.old, child.new
    if old.read_only != new.read_only:
        yield fact(child, "property_read_only_changed", "readOnly", old.read_only, new.read_only)
    if old.write_only != new.write_only:
        revealed = old.write_only and name in pair.old.required and pair.direction == RESPONSE
        yield fact(child, "required_property_revealed" if revealed else "property_write_only_changed", "writeOnly",
                   old.write_only, new.write_only)


def compare_inner(web: Web, pair: Pair) -> Iterator[Fact]:
    """Yield sub-schemas that came or went; common ones meet as pairs."""
    old, new = pair.old.inner, pair.new.inner
    for keyword in sorted(old.keys() | new.keys()):
        if not both_allow(pair, CONTAINER_OF.get(keyword.split(" ")[0], "")):
            continue
        if keyword in ("additionalProperties", "unevaluatedProperties"):
            yield from compare_openness(web, pair, keyword)
        elif keyword in ("not", "if"):
            yield from compare_excluded(web, pair, keyword)
        elif keyword in old and keyword in new:
            web.link(pair, old[keyword], new[keyword])
        elif web.before.leaves(old.get(keyword, ())) or web.after.leaves(new.get(keyword, ())):
            kind = "schema_keyword_added" if keyword in new else "schema_keyword_removed"
            yield fact(pair, kind, keyword.split(" ")[0], part=keyword)
    if both_allow(pair, "array"):
        yield from compare_tuples(web, pair)
    if both_allow(pair, "object"):
        yield from compare_dependent(pair)


CONTAINER_OF = {  # keyword -> the type that it speaks of
    "items": "array", "contains": "array", "unevaluatedItems": "array", "additionalProperties": "object",
    "unevaluatedProperties": "object", "patternProperties": "object", "propertyNames": "object"}


def openness(side: Side, places: Places) -> str:
    leaves = side.leaves(places)
    return "open" if not leaves else "closed" if any(leaf.value is NEVER for leaf in leaves) else "schema"


OPENNESS_KINDS = {("open", "closed"): "closed", ("schema", "closed"): "closed", ("closed", "open"): "opened",
                  ("closed", "schema"): "opened", ("open", "schema"): "restricted", ("schema", "open"): "unrestricted"}


def compare_openness(web: Web, pair: Pair, keyword: str) -> Iterator[Fact]:
    old, new = pair.old.inner.get(keyword, ()), pair.new.inner.get(keyword, ())
    states = openness(web.before, old), openness(web.after, new)
    if states in OPENNESS_KINDS:
        yield fact(pair, f"additional_properties_{OPENNESS_KINDS[states]}", keyword,
                   *(places[0].value if places else True for places in (old, new)))
    elif states == ("schema", "schema"):
        web.link(pair, old, new)


def compare_excluded(web: Web, pair: Pair, keyword: str) -> Iterator[Fact]:
    """Yield changes of not and if, whose sub-schemas count the other way round or neither way."""
    old, new = pair.old.inner.get(keyword), pair.new.inner.get(keyword)
    if old is None or new is None:
        if keyword == "not":
            yield fact(pair, "schema_keyword_added" if old is None else "schema_keyword_removed", keyword, part=keyword)
    elif not web.equivalent(old, new, pair.direction, CHILD_MEDIUM.get(pair.medium, pair.medium)):
        yield fact(pair, "not_changed", keyword, old[0].value, new[0].value)


def compare_tuples(web: Web, pair: Pair) -> Iterator[Fact]:
    old, new = pair.old.tuple_items, pair.new.tuple_items
    for old_places, new_places in zip(old, new):
        web.link(pair, old_places, new_places)
    for number in range(len(old), len(new)):
        yield Fact("tuple_item_added", None, new[number][0].path, None, new[number][0].value, {"name": number + 1})
    for number in range(len(new), len(old)):
        yield Fact("tuple_item_removed", old[number][0].path, None, old[number][0].value, None, {"name": number + 1})


def compare_dependent(pair: Pair) -> Iterator[Fact]:
    for name in sorted(pair.old.dependent.keys() | pair.new.dependent.keys()):
        old, new = pair.old.dependent.get(name, frozenset()), pair.new.dependent.get(name, frozenset())
        added, removed = sorted(new - old), sorted(old - new)
        if added or removed:
            change = "changed" if added and removed else "added" if added else "removed"
            yield fact(pair, f"dependent_required_{change}", "dependentRequired", sorted(old), sorted(new), name=name,
                       added=added, removed=removed)


# oneOf and anyOf.


def compare_choices(web: Web, pair: Pair) -> Iterator[Fact]:
    """Yield the alternatives that came or went; the others meet as pairs, matched by content before name."""
    old, new = list(pair.old.choices), list(pair.new.choices)
    while old and new:
        one = old.pop(0)
        other = next((choice for choice in new if choice.keyword == one.keyword), new[0])
        new.remove(other)
        if one.keyword != other.keyword:
            kind = "union_loosened" if other.keyword == "anyOf" else "union_tightened"
            yield Fact(kind, one.leaf.path, other.leaf.path, one.keyword, other.keyword)
        yield from compare_members(web, pair, one, other)
    for choice in old:
        yield Fact("union_removed", choice.leaf.path, pair.new_place.path, choice.keyword, None,
                   {"name": member_names(choice), "part": choice.keyword})
    for choice in new:
        yield Fact("union_added", pair.old_place.path, choice.leaf.path, None, choice.keyword,
                   {"name": member_names(choice), "part": choice.keyword})


def compare_members(web: Web, pair: Pair, one: Choice, other: Choice) -> Iterator[Fact]:
    matches, removed, added = match_members(web, pair, one.members, other.members)
    for old, new in matches:
        web.link(pair, (old,), (new,), pair.medium)
    yield from member_facts(one, other, removed, added)


def member_facts(one: Choice, other: Choice, removed: Sequence[Place], added: Sequence[Place]) -> Iterator[Fact]:
    """Yield which alternatives went and came, each in one fact for the whole oneOf or anyOf."""
    paths = one.leaf.path + (one.keyword,), other.leaf.path + (other.keyword,)
    names = member_names(one), member_names(other)
    if removed:
        yield Fact("union_member_removed", *paths, *names,
                   {"removed": [*map(member_name, removed)], "part": one.keyword})
    if added:
        yield Fact("union_member_added", *paths, *names, {"added": [*map(member_name, added)], "part": other.keyword})


def match_members(web: Web, pair: Pair, old: Places, new: Places) \
        -> Tuple[List[Tuple[Place, Place]], List[Place], List[Place]]:
    """Pair members that are the same, then equal in what they allow, then of one name, then the last inline ones."""
    stages: Tuple[Tuple[Callable[[Side, Place], Any], Callable[[Place, Place], bool]], ...] = (
        (lambda _, place: repr(place.value), lambda a, b: web.unchanged(a.value, b.value)),
        (lambda side, place: None if is_inline(place) else (member_name(place), look(side, place)), lambda a, b: True),
        (look, lambda a, b: web.equivalent((a,), (b,), pair.direction, pair.medium)),
        (lambda _, place: None if is_inline(place) else member_name(place), lambda a, b: True),
        (lambda _, place: title(place), lambda a, b: True),
        (lambda side, place: marks(side, place) or None, lambda a, b: True),
    )
    matches: List[Tuple[Place, Place]] = []
    lost, fresh = list(old), list(new)
    for key_of, accepts in stages:
        waiting: Dict[Any, List[Place]] = {}
        for b in fresh:
            waiting.setdefault(key_of(web.after, b), []).append(b)
        waiting.pop(None, None)
        found = list(meet_members(web.before, lost, waiting, key_of, accepts))
        matches += found
        taken = {id(place) for match in found for place in match}
        lost, fresh = ([place for place in places if id(place) not in taken] for places in (lost, fresh))
    if len(lost) == len(fresh) == 1 and all(is_inline(place) and not title(place) for place in lost + fresh):
        matches.append((lost.pop(), fresh.pop()))
    return matches, lost, fresh


def meet_members(side: Side, lost: Sequence[Place], waiting: Dict[Any, List[Place]],
                 key_of: Callable[[Side, Place], Any], accepts: Callable[[Place, Place], bool]) \
        -> Iterator[Tuple[Place, Place]]:
    """Yield each lost member with the first waiting one of the same key that is accepted."""
    for a in lost if waiting else ():
        candidates = waiting.get(key_of(side, a), [])
        partner = next((b for b in candidates if accepts(a, b)), None)
        if partner is not None:
            candidates.remove(partner)
            yield a, partner


def is_inline(member: Place) -> bool:
    return not (isinstance(member.value, dict) and "$ref" in member.value)


def title(member: Place) -> Optional[str]:
    found = member.value.get("title") if isinstance(member.value, dict) else None
    return found if isinstance(found, str) else None


def member_name(member: Place) -> str:
    """Return how people call an alternative: the name of its component, its title, or its number."""
    if not is_inline(member):
        return str(member.value["$ref"]).rsplit("/", 1)[-1]
    found = title(member) or (member.value.get("type") if isinstance(member.value, dict) else None)
    return found if isinstance(found, str) else f"number {member.path[-1]}"


def member_names(choice: Choice) -> List[str]:
    return [member_name(member) for member in choice.members]


def marks(side: Side, member: Place) -> FrozenSet[Tuple[str, str]]:
    """Return the properties that are fixed to one value: they tell which alternative an object is."""
    shape = side.shape(side.leaves((member,)))
    fixed = set()
    for name, places in shape.properties.items():
        inner = side.shape(side.leaves(places))
        values = inner.const or inner.enum or {}
        if len(values) == 1 and name in shape.required:
            fixed.add((name, next(iter(values))))
    return frozenset(fixed)


def look(side: Side, member: Place) -> Tuple[Any, ...]:
    """Return what can be seen of an alternative at a glance: equal ones look alike."""
    shape = side.shape(side.leaves((member,)))
    values = [None if listed is None else frozenset(listed) for listed in (shape.enum, shape.const)]
    return (shape.types, shape.null, shape.formats, shape.required, *values, frozenset(shape.limits.items()),
            len(shape.choices), frozenset(shape.properties))


def compare_wrapping(web: Web, pair: Pair) -> Iterator[Fact]:
    """Yield what happens where one side is a plain schema and the other a bare oneOf or anyOf.

    The plain schema counts as an alternative when it equals one. A Fact without a kind means that nothing is left
    to be compared.
    """
    old, new = pair.old, pair.new
    if bool(old.choices) == bool(new.choices) or not is_bare_choice(new if new.choices else old):
        return
    choice = (new if new.choices else old).choices[0]
    if not (old if new.choices else new).leaves:
        return  # anything was, or is, allowed
    plain_place = pair.old_place if new.choices else pair.new_place
    twin = next((member for member in choice.members if equal_member(web, pair, member, bool(new.choices))), None)
    if twin is None:
        kind = "wrapped_in_union" if new.choices else "unwrapped_from_union"
        yield Fact(kind, pair.old_place.path, pair.new_place.path,
                   member_names(choice) if old.choices else types_text(old),
                   member_names(choice) if new.choices else types_text(new),
                   {"name": member_names(choice), "part": choice.keyword})
        return
    yield Fact("", plain_place.path, None)
    yield from compare_null(pair)
    others = [member for member in choice.members if member is not twin]
    alone = choice._replace(members=(twin,), leaf=plain_place)
    yield from member_facts(alone, choice, (), others) if new.choices else member_facts(choice, alone, others, ())


def is_bare_choice(shape: Shape) -> bool:
    return len(shape.choices) == 1 and all(
        READERS.keys().isdisjoint(leaf.value.keys() - {"oneOf", "anyOf", "discriminator", "type",
                                                       "nullable"} - set(NOTES))
        for leaf in shape.leaves) and (shape.types is None or shape.types == {"object"})


def equal_member(web: Web, pair: Pair, member: Place, is_new: bool) -> bool:
    shape = pair.old if is_new else pair.new
    sides = (shape.leaves, (member,)) if is_new else ((member,), shape.leaves)
    return web.equivalent(sides[0], sides[1], pair.direction, pair.medium)


def compare_notes(web: Web, pair: Pair) -> Iterator[Fact]:
    """Yield changes of what a schema says about itself: default, discriminator, deprecation, stability."""
    old, new = pair.old.notes, pair.new.notes
    if old.get("default") != new.get("default") or ("default" in old) != ("default" in new):
        yield fact(pair, "default_changed", "default", old.get("default"), new.get("default"))
    texts = discriminator_text(old.get("discriminator")), discriminator_text(new.get("discriminator"))
    if texts[0] != texts[1]:
        yield fact(pair, "discriminator_changed", "discriminator", *texts)
    yield from compare_property_life(web.notice, pair)


def discriminator_text(value: Any) -> Optional[str]:
    """Return property and values of a discriminator; the names of the components behind the values do not matter."""
    if isinstance(value, dict):
        mapping = value.get("mapping") if isinstance(value.get("mapping"), dict) else {}
        return f"{value.get('propertyName')}" + (f": {', '.join(sorted(mapping))}" if mapping else "")
    return value if isinstance(value, str) else None


def compare_property_life(notice: Notice, pair: Pair) -> Iterator[Fact]:
    """Yield changes of deprecated, x-sunset and x-stability-level of a property."""
    old, new = pair.old.notes, pair.new.notes
    if (old.get("deprecated") is True) != (new.get("deprecated") is True):
        problem_found, days = sunset_problem(notice, new) if new.get("deprecated") is True else ("", 0)
        kind = f"property_sunset_{problem_found}" if problem_found else \
            "property_deprecated" if new.get("deprecated") is True else "property_undeprecated"
        yield fact(pair, kind, "deprecated", old.get("x-sunset"), new.get("x-sunset"), name=days)
    levels = old.get("x-stability-level"), new.get("x-stability-level")
    if levels[0] != levels[1]:
        kind = stability_change(notice, *levels)
        if kind:
            yield fact(pair, f"property_stability_{kind}", "x-stability-level", *levels)


def sunset_problem(notice: Notice, notes: Dict[str, Any]) -> Tuple[str, int]:
    """Return what is wrong with the sunset date of something that is newly deprecated, and the days of notice."""
    days = notice_days(notice, notes.get("x-stability-level"))
    given = notes.get("x-sunset")
    if given is None:
        return ("missing" if days > 0 else ""), days
    date = read_date(given)
    if date is None:
        return "invalid", days
    return ("too_soon" if date < later(notice.today, days) else ""), days


def notice_days(notice: Notice, level: Any) -> int:
    return {"draft": 0, "alpha": 0, "beta": notice.beta_days}.get(str(level), notice.stable_days)


def read_date(value: Any) -> Optional[str]:
    """Return the day of an RFC 3339 date or date-time as YYYY-MM-DD."""
    import datetime
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d))?", str(value))
    try:
        return str(datetime.date(*map(int, match.group(1).split("-")))) if match else None
    except ValueError:
        return None


def later(day: str, days: int) -> str:
    import datetime
    return str(datetime.date(*map(int, day.split("-"))) + datetime.timedelta(days=days))


def stability_change(notice: Notice, old: Any, new: Any) -> str:
    """Return raised, lowered, invalid or an empty string; no level means stable."""
    old, new = ("stable" if level is None else level for level in (old, new))
    if old not in STABILITY or new not in STABILITY:
        return "invalid"
    if STABILITY.index(old) < STABILITY.index(notice.threshold):
        return ""
    return "raised" if STABILITY.index(new) > STABILITY.index(old) else "lowered" if new != old else ""


# == 44. API comparing operations =====================================================================
# In: two Sides. Out: Events, and in the Web the pairs of schemas with what leads to them (Users).


class User(NamedTuple):
    """What leads to a pair of schemas: an operation, in one direction, by a body, a parameter or a header."""

    operation: str
    direction: str
    way: str  # the media type, or what else carries the value


class Meeting(NamedTuple):
    """One operation on both sides. `sends` is the direction of what the caller sends: clients read callbacks."""

    old: Operation
    new: Operation
    label: str
    sends: str = REQUEST

    @property
    def answers(self) -> str:
        return RESPONSE if self.sends == REQUEST else REQUEST


class Survey:
    """Collects what comparing two documents finds: the web of schemas, and who leads into it."""

    def __init__(self, before: Side, after: Side, notice: Notice) -> None:
        self.before, self.after, self.notice = before, after, notice
        self.web = Web(before, after, notice)
        self.users: Dict[User, int] = {}  # user -> its bit
        self.roots: Dict[int, int] = {}  # pair -> users as the bits of a number

    def meet(self, meeting: Meeting, old: Places, new: Places, direction: str, way: str, medium: str) -> None:
        """Let the schemas of a body, parameter or header meet on behalf of an operation."""
        if old and new:
            number = self.web.enter(old, new, direction, medium)
            if number is not None:
                bit = self.users.setdefault(User(meeting.label, direction, way), 1 << len(self.users))
                self.roots[number] = self.roots.get(number, 0) | bit


def check_api_settings(faults: Faults, settings: Any) -> None:
    """Note what is wrong in {"notice_days": {"stable": 90, "beta": 30}, "stability_threshold": "beta"}."""
    if faults.typed(settings, ("api",), dict, "an object") is None:
        return
    faults.keys(settings, ("api",), ("notice_days", "stability_threshold"))
    days = faults.typed(settings.get("notice_days", {}), ("api", "notice_days"), dict, "an object") or {}
    faults.keys(days, ("api", "notice_days"), ("stable", "beta"))
    for level in ("stable", "beta"):
        given = days.get(level, 0)
        if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= 36500:
            faults.add(("api", "notice_days", level), describe(given), "a number of days from 0 to 36500")
    if settings.get("stability_threshold", "beta") not in STABILITY:
        faults.add(("api", "stability_threshold"), describe(settings["stability_threshold"]),
                   "one of " + ", ".join(STABILITY))


def read_notice(options: Options) -> Notice:
    """Return what the configuration promises about ends."""
    settings = options.config.get("api", {})
    days = settings.get("notice_days", {})
    return Notice(now()[:10], days.get("stable", 0), days.get("beta", 0), settings.get("stability_threshold", "beta"))


def compare_documents(survey: Survey) -> Iterator[Event]:
    """Yield everything that differs outside the schemas."""
    before, after = survey.before, survey.after
    moved = routes_moved(before, after)
    if not moved:
        yield from compare_servers(before, after)
    same_frame = survey.web.alike and all(
        before.value.get(key) == after.value.get(key)
        for key in ("security", "servers", "host", "basePath", "consumes", "produces", "securityDefinitions")) and \
        components(before).get("securitySchemes") == components(after).get("securitySchemes")
    old_routes, new_routes = read_routes(before), read_routes(after)
    for old, new in match_routes(old_routes, new_routes, *(moved or ("", ""))):
        if old is None or new is None:
            yield from whole_route(survey, old or new, new is None)
        elif not same_frame or old.name != new.name or old.item.value != new.item.value or leads_to_parts(survey.web,
                                                                                                          new):
            yield from compare_route(survey, old, new)
        elif not survey.web.unchanged(old.item.value, new.item.value):
            for method in methods(new):
                yield from revisit(survey, read_operation(survey.after, new.item, method, label(new, method)))
    yield from compare_webhooks(survey)
    yield from compare_security_schemes(before, after)
    yield from compare_names(before, after)


# Paths and servers.


def routes_moved(before: Side, after: Side) -> Optional[Tuple[str, str]]:
    """Return both base paths when a prefix moved between servers and paths, so that the addresses are the same."""
    bases = base_path(servers(before)[0]), base_path(servers(after)[0])
    if bases[0] == bases[1]:
        return None
    old, new = ({route.key for route in read_routes(side).values()} for side in (before, after))
    full_old, full_new = {bases[0] + key for key in old}, {bases[1] + key for key in new}
    return bases if len(full_old & full_new) > len(old & new) else None


def match_routes(old: Dict[str, Route], new: Dict[str, Route], old_base: str, new_base: str) \
        -> Iterator[Tuple[Optional[Route], Optional[Route]]]:
    """Pair the paths of both sides by name, then by their form with blank parameter names."""
    fresh: Dict[str, List[Route]] = {}
    for route in new.values():
        if route.name not in old or old_base != new_base:
            fresh.setdefault(new_base + route.key, []).append(route)
    for route in old.values():
        if route.name in new and old_base == new_base:
            yield route, new[route.name]
            continue
        partners = fresh.get(old_base + route.key)
        yield route, partners.pop(0) if partners else None
    for routes in fresh.values():
        for route in routes:
            yield None, route


def compare_servers(before: Side, after: Side) -> Iterator[Event]:
    old, new = servers(before), servers(after)
    key = "host" if before.version == "2.0" else "servers"
    for url in old:
        if url and url not in new and "https:" + url not in new and url.replace("http:", "https:") not in new:
            yield Event("server_removed", f"The server {url} is no longer listed.", (key,), None, url, None)
    for url in new:
        if url and url not in old:
            yield Event("server_added", f"The server {url} is listed.", None,
                        ("host" if after.version == "2.0" else "servers",),
                        None, url)


def methods(route: Route) -> List[str]:
    return [method for method in METHODS if isinstance(route.item.value.get(method), dict)]


def label(route: Route, method: str) -> str:
    return f"{method.upper()} {route.name}"


def whole_route(survey: Survey, route: Route, removed: bool) -> Iterator[Event]:
    """Yield the end or the beginning of a path, in one event where its operations share their fate."""
    grouped: Dict[str, List[Event]] = {}
    for method in methods(route):
        event = operation_removed(survey, route, method) if removed else operation_added(survey, route, method)
        if event is not None:
            grouped.setdefault(event.rule, []).append(event)
    for rule, events in grouped.items():
        if len(events) > 1 or rule == "operation_removed":
            labels = tuple(operation for event in events for operation in event.operations)
            words = ", ".join(text.split(" ")[0] for text in labels)
            rest = events[0].description.split(" ", 2)[2]
            one = events[0]
            yield one._replace(
                rule="path_removed" if rule == "operation_removed" else rule,
                description=f"{words} {route.name} {rest}",
                old_path=one.old_path and one.old_path[:-1], new_path=one.new_path and one.new_path[:-1],
                operations=labels)
        else:
            yield from events


def leads_to_parts(web: Web, route: Route) -> bool:
    """Tell whether a path refers to parameters, bodies or responses that differ, or to other files."""
    return any(not name.startswith(("#/components/schemas/", "#/definitions/"))
               for name in set(references(route.item.value)) - web.known.clean) or bool(route.item.file)


def operation_added(survey: Survey, route: Route, method: str) -> Optional[Event]:
    name = label(route, method)
    if is_unstable(survey.notice, route.item.value[method]):
        return None
    return Event("operation_added", f"{name} added.", None, route.item.path + (method,), operations=(name,))


def is_unstable(notice: Notice, value: Dict[str, Any]) -> bool:
    """Tell whether an operation is below the threshold of stability: nothing is promised about it."""
    level = value.get("x-stability-level", "stable")
    return level in STABILITY and STABILITY.index(level) < STABILITY.index(notice.threshold)


def operation_removed(survey: Survey, route: Route, method: str) -> Event:
    """Return how an operation ended: without warning, before its date, or as announced."""
    name, value = label(route, method), route.item.value[method]
    path = route.item.path + (method,)
    rule, words = removal(survey.notice, value, "operation")
    if is_unstable(survey.notice, value):
        rule, words = "operation_removed_while_unstable", f" ({value['x-stability-level']})"
    elif value.get("x-stability-level", "stable") not in STABILITY:
        rule, words = "stability_invalid", f" with the unknown stability level {describe(value['x-stability-level'])}"
    return Event(rule, f"{name} removed{words}.", path, None, value.get("x-sunset"), None, (name,))


def removal(notice: Notice, value: Dict[str, Any], thing: str) -> Tuple[str, str]:
    """Return rule and words for the removal of something that may have been deprecated."""
    if value.get("deprecated") is not True:
        return f"{thing}_removed", ", which was not deprecated"
    if value.get("x-sunset") is None:
        return f"{thing}_removed_after_deprecation", " after it was deprecated"
    date = read_date(value["x-sunset"])
    if date is None:
        return "sunset_invalid", f", deprecated with the unreadable x-sunset {describe(value['x-sunset'])}"
    if date > notice.today:
        return f"{thing}_removed_before_sunset", f" before its sunset on {date}"
    end = "sunset" if thing == "operation" else "deprecation"
    return f"{thing}_removed_after_{end}", f" after its sunset on {date}"


def compare_route(survey: Survey, old: Route, new: Route) -> Iterator[Event]:
    """Yield what differs between the operations of two paths that belong together."""
    renamed = dict(zip(TEMPLATE.findall(old.name), TEMPLATE.findall(new.name)))
    for method in METHODS:
        is_old, is_new = (isinstance(route.item.value.get(method), dict) for route in (old, new))
        if is_old and not is_new:
            yield operation_removed(survey, old, method)
        elif is_new and not is_old:
            added = operation_added(survey, new, method)
            if added is not None:
                yield added
        elif is_old:
            name = label(old, method)  # clients of the old document know it by this name
            yield from compare_operation(survey, Meeting(
                rename_path_parameters(read_operation(survey.before, old.item, method, name), renamed),
                read_operation(survey.after, new.item, method, name), name))


def revisit(survey: Survey, operation: Operation) -> Iterator[Event]:
    """Compare what an operation of the same text refers to: read once, it stands for both sides."""
    meeting = Meeting(operation, operation, operation.label)
    if not is_unstable(survey.notice, operation.value):
        yield from compare_parameters(survey, meeting)
        yield from compare_bodies(survey, meeting)
        yield from compare_responses(survey, meeting)
        yield from compare_callbacks(survey, meeting)


def rename_path_parameters(operation: Operation, renamed: Dict[str, str]) -> Operation:
    """Give the path parameters of the old operation their new names, by their position in the path."""
    names = {one.strip("{}"): other.strip("{}") for one, other in renamed.items() if one != other}
    if not names:
        return operation
    parameters = {(where, names.get(name, name) if where == "path" else name): parameter
                  for (where, name), parameter in operation.parameters.items()}
    return operation._replace(parameters=parameters)


# One operation.


def compare_operation(survey: Survey, meeting: Meeting) -> Iterator[Event]:
    yield from compare_stability(survey.notice, meeting)
    if is_unstable(survey.notice, meeting.new.value):
        return
    yield from compare_life(survey.notice, meeting)
    yield from compare_labels(meeting)
    yield from compare_parameters(survey, meeting)
    yield from compare_bodies(survey, meeting)
    yield from compare_responses(survey, meeting)
    yield from compare_security(survey, meeting)
    yield from compare_callbacks(survey, meeting)


def event(meeting: Meeting, rule: str, text: str, old_path: Optional[Path], new_path: Optional[Path], old: Any = None,
          new: Any = None) -> Event:
    return Event(rule, text, old_path, new_path, old, new, (meeting.label,))


def compare_stability(notice: Notice, meeting: Meeting) -> Iterator[Event]:
    levels = [side.value.get("x-stability-level") for side in (meeting.old, meeting.new)]
    change = stability_change(notice, *levels)
    if change and (levels[0] != levels[1] or change == "invalid"):
        path = ("x-stability-level",)
        yield event(meeting, f"stability_{change}", f"{meeting.label}: x-stability-level is {describe(levels[1])}, "
                    f"it was {describe(levels[0])}.", meeting.old.path + path, meeting.new.path + path, *levels)


def compare_life(notice: Notice, meeting: Meeting) -> Iterator[Event]:
    """Yield changes of deprecation and sunset of an operation."""
    yield from compare_deprecation(notice, meeting, "operation", meeting.label, meeting.old.value, meeting.new.value,
                                   meeting.old.path, meeting.new.path)


def compare_deprecation(notice: Notice, meeting: Meeting, thing: str, name: str, old: Dict[str, Any],
                        new: Dict[str, Any],
                        old_path: Path, new_path: Path) -> Iterator[Event]:
    """Yield changes of deprecation and sunset of an operation or a parameter."""
    was, is_now = old.get("deprecated") is True, new.get("deprecated") is True
    dates = old.get("x-sunset"), new.get("x-sunset")
    level = meeting.new.value.get("x-stability-level")
    paths = old_path + ("x-sunset",), new_path + ("x-sunset",)
    if was and not is_now:
        yield event(meeting, f"{thing}_undeprecated", f"{name} is no longer deprecated.", old_path, new_path, *dates)
    elif is_now and not was:
        trouble, days = sunset_problem(notice, {**new, "x-stability-level": level})
        rule = f"sunset_{trouble}" if trouble else \
            f"{thing}_deprecated_with_sunset" if dates[1] and thing == "operation" else f"{thing}_deprecated"
        words = {"missing": f" without x-sunset; {days} days of notice are configured",
                 "invalid": f" with the unreadable x-sunset {describe(dates[1])}",
                 "too_soon": f" with x-sunset {dates[1]}, less than {days} days from {notice.today}" if days else
                             f" with x-sunset {dates[1]}, which has passed"}
        yield event(meeting, rule,
                    f"{name} is deprecated{words.get(trouble, f', x-sunset {dates[1]}' if dates[1] else '')}.",
                    old_path, new_path + ("deprecated",), *dates)
    elif was and dates[0] != dates[1]:
        yield from sunset_changed(notice, meeting, name, dates, paths)


def sunset_changed(notice: Notice, meeting: Meeting, name: str, dates: Tuple[Any, Any],
                   paths: Tuple[Path, Path]) -> Iterator[Event]:
    """Yield what is wrong with a sunset date that was changed or withdrawn."""
    if dates[1] is None:
        yield event(meeting, "sunset_removed", f"{name} stays deprecated, its x-sunset {dates[0]} is gone.", paths[0],
                    None, *dates)
        return
    if dates[0] is None:
        return
    old, new = (read_date(date) for date in dates)
    if old is None or new is None:
        bad = dates[0] if old is None else dates[1]
        yield event(meeting, "sunset_invalid", f"{name}: x-sunset {describe(bad)} is no date.", *paths, *dates)
        return
    days = notice_days(notice, meeting.new.value.get("x-stability-level"))
    if new < old and new < later(notice.today, days):
        why = f"less than {days} days from {notice.today}" if days else "which has passed"
        yield event(meeting, "sunset_moved_too_close", f"{name}: x-sunset moved from {old} to {new}, {why}.", *paths,
                    *dates)


def compare_labels(meeting: Meeting) -> Iterator[Event]:
    old, new = meeting.old, meeting.new
    ids = old.value.get("operationId"), new.value.get("operationId")
    if ids[0] != ids[1]:
        yield event(meeting, "operation_id_changed", f"{meeting.label}: operationId changed from {describe(ids[0])} to "
                    f"{describe(ids[1])}.", old.path + ("operationId",), new.path + ("operationId",), *ids)
    given = [side.value.get("tags") for side in (old, new)]
    tags = [sorted(tag for tag in listed if isinstance(tag, str)) if isinstance(listed,
                                                                                list) else [] for listed in given]
    if tags[0] != tags[1]:
        yield event(meeting, "operation_tags_changed",
                    f"{meeting.label}: tags changed from {', '.join(tags[0]) or 'none'} to "
                    f"{', '.join(tags[1]) or 'none'}.", old.path + ("tags",), new.path + ("tags",), *tags)


# Parameters.


def compare_parameters(survey: Survey, meeting: Meeting) -> Iterator[Event]:
    """Yield what differs in the parameters of an operation."""
    old, new = dict(meeting.old.parameters), dict(meeting.new.parameters)
    explode_objects(survey, old, new)
    explode_objects(survey, new, old)
    for key, parameter in old.items():
        if key in new:
            yield from compare_parameter(survey, meeting, parameter, new[key])
        else:
            yield parameter_removed(survey, meeting, parameter)
    for key, parameter in new.items():
        if key not in old:
            yield parameter_added(meeting, parameter)


def explode_objects(survey: Survey, plain_ones: Dict[Tuple[str, str], Parameter],
                    others: Dict[Tuple[str, str], Parameter]) -> None:
    """Take an exploded object apart where the other side has its properties as parameters: the URL is the same."""
    for key, parameter in list(others.items()):
        if key in plain_ones or parameter.style != "form" or not parameter.explode or not parameter.schema:
            continue
        side = survey.after if any(parameter is entry for entry in others.values()) else survey.before
        shape = side.shape(side.leaves(parameter.schema))
        keys = {(parameter.where, name): name for name in shape.properties}
        if keys and any(item in plain_ones and item not in others for item in keys):
            del others[key]
            for item, name in keys.items():
                others.setdefault(item, parameter._replace(
                    name=name, required=parameter.required and name in shape.required, schema=shape.properties[name],
                    path=shape.properties[name][0].path, notes={}))


def naming(meeting: Meeting, parameter: Parameter) -> str:
    return f"{meeting.label}: {parameter.where} parameter {json.dumps(parameter.name, ensure_ascii=False)}"


def parameter_removed(survey: Survey, meeting: Meeting, parameter: Parameter) -> Event:
    rule, words = removal(survey.notice, parameter.notes, "parameter")
    if rule == "parameter_removed":
        words = ", which was required" if parameter.required else ", which was optional"
    return event(meeting, rule, f"{naming(meeting, parameter)} removed{words}.", parameter.path, None, parameter.name,
                 None)


def parameter_added(meeting: Meeting, parameter: Parameter) -> Event:
    needed = parameter.required and meeting.sends == REQUEST
    return event(meeting, "required_parameter_added" if needed else "optional_parameter_added",
                 f"{naming(meeting, parameter)} added, {'required' if parameter.required else 'optional'}.",
                 None, parameter.path, None, parameter.name)


def compare_parameter(survey: Survey, meeting: Meeting, old: Parameter, new: Parameter) -> Iterator[Event]:
    name, paths = naming(meeting, new), (old.path, new.path)
    if old.required != new.required:
        duty = "required" if new.required == (meeting.sends == REQUEST) else "optional"
        words = "became required" if new.required else "became optional"
        yield event(meeting, f"parameter_became_{duty}", f"{name} {words}.", *paths, old.required, new.required)
    yield from compare_deprecation(survey.notice, meeting, "parameter", name, old.notes, new.notes, *paths)
    if bool(old.media) != bool(new.media):
        yield event(meeting, "parameter_content_changed",
                    f"{name} is now written as {carrier(new)}, it was {carrier(old)}.",
                    *paths, carrier(old), carrier(new))
    else:
        yield from compare_style(survey, meeting, old, new)
    medium = EXPLODED if new.style == "form" and new.explode else PARAMETER
    survey.meet(meeting, old.schema, new.schema, meeting.sends, f"{new.where} parameter", medium)
    for media, entry in old.media.items():
        if media in new.media:
            survey.meet(meeting, entry.schema, new.media[media].schema, meeting.sends, f"{new.where} parameter",
                        medium_of(media))


def carrier(parameter: Parameter) -> str:
    return ", ".join(entry.name for entry in parameter.media.values()) or f"style {parameter.style}"


def compare_style(survey: Survey, meeting: Meeting, old: Parameter, new: Parameter) -> Iterator[Event]:
    """Yield changes of how lists and objects are written; for single values the styles of one place are the same."""
    name, paths = naming(meeting, new), (old.path, new.path)
    styles = [f"style {parameter.style}, explode {str(parameter.explode).lower()}" for parameter in (old, new)]
    if styles[0] != styles[1] and (old.style != new.style or holds_many(survey.before, old) or holds_many(survey.after,
                                                                                                          new)):
        yield event(meeting, "parameter_style_changed", f"{name} changed from {styles[0]} to {styles[1]}.", *paths,
                    *styles)
    if old.reserved != new.reserved:
        rule = "parameter_reserved_forbidden" if old.reserved else "parameter_reserved_allowed"
        yield event(meeting, rule, f"{name}: allowReserved changed from {str(old.reserved).lower()} to "
                    f"{str(new.reserved).lower()}.", *paths, old.reserved, new.reserved)


def holds_many(side: Side, parameter: Parameter) -> bool:
    types = side.shape(side.leaves(parameter.schema)).types if parameter.schema else None
    return types is None or bool(types & {"array", "object"})


# Bodies and media types.


def medium_of(media: str) -> str:
    """Return how values are written in a media type: JSON keeps types, forms, text and XML do not."""
    base = media.split(";")[0]
    return JSON_VALUE if base.endswith(("/json", "+json", "*/*", "-json")) or "json" in base else TEXT


def match_media(old: Dict[str, Media], new: Dict[str, Media]) -> Iterator[Tuple[Optional[Media], Optional[Media]]]:
    """Pair media types by name, then without parameters, then a general one with a +suffix one."""
    lost, fresh = dict(old), dict(new)
    for name in old:
        if name in fresh:
            yield lost.pop(name), fresh.pop(name)
    for test in (lambda a, b: a.split(";")[0] == b.split(";")[0], lambda a, b: is_within(a, b) or is_within(b, a)):
        for name in list(lost):
            partner = next((other for other in fresh if test(name, other)), None)
            if partner is not None:
                yield lost.pop(name), fresh.pop(partner)
    yield from ((media, None) for media in lost.values())
    yield from ((None, media) for media in fresh.values())


def is_within(special: str, general: str) -> bool:
    """Tell whether application/problem+json is a kind of application/json."""
    special, general = special.split(";")[0], general.split(";")[0]
    kind, _, subtype = special.partition("/")
    return "+" in subtype and f"{kind}/{subtype.rsplit('+', 1)[1]}" == general


def compare_bodies(survey: Survey, meeting: Meeting) -> Iterator[Event]:
    """Yield what differs in the bodies that the caller sends."""
    old, new = meeting.old.body, meeting.new.body
    if old is None or new is None:
        if new is not None:
            needed = new.required and meeting.sends == REQUEST
            yield event(meeting, f"request_body_added_{'required' if needed else 'optional'}",
                        f"{meeting.label}: {'required' if new.required else 'optional'} request body added.", None,
                        new.path)
        elif old is not None:
            yield event(meeting, "request_body_removed", f"{meeting.label}: request body removed.", old.path, None)
        return
    if old.required != new.required:
        duty = "required" if new.required == (meeting.sends == REQUEST) else "optional"
        yield event(meeting, f"request_body_became_{duty}",
                    f"{meeting.label}: the request body became {'required' if new.required else 'optional'}.",
                    old.path, new.path, old.required, new.required)
    for one, other in match_media(old.media, new.media):
        if one is None or other is None:
            yield body_media(meeting, one or other, one is not None, meeting.sends, "request body")
        else:
            yield from compare_media(survey, meeting, one, other, meeting.sends, "request body")


def body_media(meeting: Meeting, media: Media, removed: bool, direction: str, what: str) -> Event:
    """Return the event of a media type that came or went."""
    words = "may no longer be" if removed else "may be"
    text = f"{meeting.label}: {what} {words} {media.name}."
    return event(meeting, f"{direction}_media_type_{'removed' if removed else 'added'}", text,
                 media.path if removed else None, None if removed else media.path,
                 media.name if removed else None, None if removed else media.name)


def compare_media(survey: Survey, meeting: Meeting, old: Media, new: Media, direction: str,
                  what: str) -> Iterator[Event]:
    """Yield what differs in one media type of a body; its schemas meet."""
    name, paths = f"{meeting.label}: {what} {new.name}", (old.path, new.path)
    if direction == RESPONSE:
        yield from media_renamed(meeting, old, new, what)
    if bool(old.schema) != bool(new.schema):
        yield event(meeting, f"{direction}_schema_{'added' if new.schema else 'removed'}",
                    f"{name} {'got a schema' if new.schema else 'lost its schema'}.", *paths)
    if old.encoding != new.encoding and encoding_matters(old.encoding, new.encoding):
        yield event(meeting, "encoding_changed", f"{name}: the encoding of its parts changed.", *paths, old.encoding,
                    new.encoding)
    survey.meet(meeting, old.schema, new.schema, direction, new.name, medium_of(new.name.lower()))


def encoding_matters(old: Any, new: Any) -> bool:
    """Tell whether parts that both sides know are encoded differently."""
    old, new = (value if isinstance(value, dict) else {} for value in (old, new))
    return any(old.get(name, new.get(name)) != new.get(name, old.get(name)) or (name in old) != (name in new)
               for name in old.keys() | new.keys())


def media_renamed(meeting: Meeting, old: Media, new: Media, what: str) -> Iterator[Event]:
    one, other = (re.sub(r"\s", "", media.name.lower()) for media in (old, new))
    if one != other:
        rule = "response_media_type_specialized" if is_within(other, one) else \
            "response_media_type_generalized" if is_within(one, other) else "response_media_type_renamed"
        yield event(meeting, rule, f"{meeting.label}: {what} changed from {old.name} to {new.name}.", old.path,
                    new.path,
                    old.name, new.name)


# Responses.


def compare_responses(survey: Survey, meeting: Meeting) -> Iterator[Event]:
    old, new = meeting.old.responses, meeting.new.responses
    for status, response in old.items():
        if status in new:
            yield from compare_response(survey, meeting, status, response, new[status])
        elif status[0] + "XX" in new and status != "default":
            yield from compare_response(survey, meeting, status, response, new[status[0] + "XX"])
        else:
            yield response_removed(meeting, status, response)
    for status, response in new.items():
        if status not in old:
            yield event(meeting, "response_added", f"{meeting.label}: response {status} added.", None, response.path,
                        None, status)


def response_removed(meeting: Meeting, status: str, response: Response) -> Event:
    replaced = status == "2XX" and any(other.startswith("2") for other in meeting.new.responses)
    rule = "default_response_removed" if status == "default" else \
        "response_removed" if status.startswith("2") and not replaced else "error_response_removed"
    return event(meeting, rule, f"{meeting.label}: response {status} removed.", response.path, None, status, None)


def compare_response(survey: Survey, meeting: Meeting, status: str, old: Response, new: Response) -> Iterator[Event]:
    """Yield what differs in one answer: headers, media types, links."""
    what = f"response {status}"
    for one, other in match_media(old.media, new.media):
        if one is None or other is None:
            yield body_media(meeting, one or other, one is not None, meeting.answers, what)
        else:
            yield from compare_media(survey, meeting, one, other, meeting.answers, what)
    yield from compare_headers(survey, meeting, what, old, new)
    for name in sorted(old.links.keys() | new.links.keys()):
        one, other = old.links.get(name), new.links.get(name)
        if one is None or other is None or one.value != other.value:
            rule = "added" if one is None else "removed" if other is None else "changed"
            yield event(meeting, f"link_{rule}", f"{meeting.label}: link {name} of {what} {rule}.", one and one.path,
                        other and other.path)


def compare_headers(survey: Survey, meeting: Meeting, what: str, old: Response, new: Response) -> Iterator[Event]:
    for key, header in old.headers.items():
        name = f"{meeting.label}: header {header.name} of {what}"
        if key not in new.headers:
            rule = "response_header_removed" if header.required else "optional_response_header_removed"
            yield event(meeting, rule, f"{name} removed.", header.path, None, header.name, None)
            continue
        other = new.headers[key]
        if header.required != other.required:
            change = "required" if other.required else "optional"
            yield event(meeting, f"response_header_became_{change}", f"{name} became {change}.", header.path,
                        other.path,
                        header.required, other.required)
        survey.meet(meeting, header.schema, other.schema, meeting.answers, "header", HEADER)
        for media, entry in header.media.items():
            if media in other.media:
                survey.meet(meeting, entry.schema, other.media[media].schema, meeting.answers, "header",
                            medium_of(media))
    for key, header in new.headers.items():
        if key not in old.headers:
            yield event(meeting, "response_header_added", f"{meeting.label}: header {header.name} of {what} added.",
                        None,
                        header.path, None, header.name)


# Callbacks and webhooks: the provider calls, so that what it sends is what clients read.


def compare_callbacks(survey: Survey, meeting: Meeting) -> Iterator[Event]:
    old, new = meeting.old.callbacks, meeting.new.callbacks
    for name in sorted(old.keys() | new.keys()):
        if name not in new or name not in old:
            gone = name not in new
            place = old[name] if gone else new[name]
            yield event(meeting, "callback_removed" if gone else "callback_added",
                        f"{meeting.label}: callback {name} {'removed' if gone else 'added'}.",
                        place.path if gone else None, None if gone else place.path)
            continue
        items = [{key: Place(item, place.path + (key,)) for key, item in place.value.items()}
                 for place in (old[name], new[name]) if isinstance(place.value, dict)]
        if len(items) == 2 and not survey.web.unchanged(old[name].value, new[name].value):
            yield from compare_called(survey, meeting, name, *items)


def compare_called(survey: Survey, meeting: Meeting, name: str, old: Dict[str, Place],
                   new: Dict[str, Place]) -> Iterator[Event]:
    """Yield what differs in the calls of one callback."""
    for expression, place in old.items():
        partner = new.get(expression) or (list(new.values())[0] if len(old) == len(new) == 1 else None)
        if partner is None:
            yield event(meeting, "callback_removed", f"{meeting.label}: callback {name} no longer calls {expression}.",
                        place.path, None)
        else:
            yield from compare_provider_calls(survey, place, partner, meeting.label, f"callback {name}")


def compare_provider_calls(survey: Survey, old: Place, new: Place, owner: str, what: str) -> Iterator[Event]:
    """Compare the operations that the provider calls, with the directions turned round."""
    old, new = survey.before.resolve(old), survey.after.resolve(new)
    for method in METHODS:
        is_old, is_new = (isinstance(place.value, dict) and isinstance(place.value.get(method),
                                                                       dict) for place in (old, new))
        if is_old and is_new:
            meeting = Meeting(read_operation(survey.before, old, method, owner),
                              read_operation(survey.after, new, method, owner), owner, RESPONSE)
            yield from compare_bodies(survey, meeting)
            yield from compare_responses(survey, meeting)
            yield from compare_parameters(survey, meeting)
        elif is_old:
            rule = "callback_removed" if what.startswith("callback") else "webhook_removed"
            yield Event(rule, f"{owner}: {what} no longer sends {method.upper()}.", old.path + (method,), None,
                        operations=(owner,))


def compare_webhooks(survey: Survey) -> Iterator[Event]:
    old, new = read_routes(survey.before, "webhooks"), read_routes(survey.after, "webhooks")
    for name in sorted(old.keys() | new.keys()):
        route = old.get(name) or new[name]
        labels = tuple(f"{method.upper()} webhook:{name}" for method in methods(route))
        if name not in new:
            yield Event("webhook_removed", f"Webhook {name} removed.", route.item.path, None, operations=labels)
        elif name not in old:
            yield Event("webhook_added", f"Webhook {name} added.", None, route.item.path, operations=labels)
        elif not survey.web.unchanged(old[name].item.value, new[name].item.value):
            for owner in labels[:1]:
                yield from compare_provider_calls(survey, old[name].item, new[name].item, owner, "webhook")


# Security and names.


def compare_security(survey: Survey, meeting: Meeting) -> Iterator[Event]:
    """Yield whether a caller who was let in before may be kept out now, or who else is let in."""
    old, new = (alternatives(side, operation) for side, operation in
                ((survey.before, meeting.old), (survey.after, meeting.new)))
    same = same_schemes(survey.before, survey.after)
    old = [{(same.get(scheme, scheme)): scopes for scheme, scopes in one.items()} for one in old]
    paths = meeting.old.security_path, meeting.new.security_path
    texts = requirement_text(old), requirement_text(new)
    if any(not any(admits(other, one) for other in new) for one in old):
        yield event(meeting, "security_tightened", f"{meeting.label}: needs {texts[1]}, it needed {texts[0]}.", *paths,
                    *texts)
    elif any(not any(admits(one, other) for one in old) for other in new):
        yield event(meeting, "security_loosened", f"{meeting.label}: needs {texts[1]}, it needed {texts[0]}.", *paths,
                    *texts)


def alternatives(side: Side, operation: Operation) -> List[Dict[str, FrozenSet[str]]]:
    """Return the ways to be let in, each as scheme -> scopes; {} is an anonymous call."""
    found = [{scheme: frozenset(scope for scope in scopes or () if isinstance(scope, str))
              for scheme, scopes in entry.items() if isinstance(scopes, (list, type(None)))}
             for entry in operation.security if isinstance(entry, dict)]
    return found or [{}]


def admits(needed: Dict[str, FrozenSet[str]], held: Dict[str, FrozenSet[str]]) -> bool:
    return all(scheme in held and scopes <= held[scheme] for scheme, scopes in needed.items())


def requirement_text(ways: List[Dict[str, FrozenSet[str]]]) -> str:
    texts = [" and ".join(scheme + (f" ({', '.join(sorted(scopes))})" if scopes else "") for scheme,
                          scopes in way.items())
             for way in ways]
    return " or ".join(text or "nothing" for text in texts)


def security_schemes(side: Side) -> Dict[str, Place]:
    section: Path = ("securityDefinitions",) if side.version == "2.0" else ("components", "securitySchemes")
    value = components(side).get("securitySchemes") if len(section) == 2 else side.value.get(section[0])
    return {name: side.resolve(Place(item, section + (name,))) for name, item in side.mapping(value, section).items()}


def credential(place: Place) -> Tuple[Any, ...]:
    """Return what a caller has to send for a scheme, in one form for both generations."""
    value = place.value if isinstance(place.value, dict) else {}
    kind = value.get("type")
    if kind == "apiKey":
        name = str(value.get("name"))
        return (kind, str(value.get("in")), name.lower() if value.get("in") == "header" else name)
    if kind in ("http", "basic"):
        return ("http", "basic" if kind == "basic" else str(value.get("scheme")).lower())
    return (str(kind),)


def same_schemes(before: Side, after: Side) -> Dict[str, str]:
    """Return old name -> new name of schemes that were renamed but take the same credential."""
    old, new = security_schemes(before), security_schemes(after)
    fresh = {credential(place): name for name, place in new.items() if name not in old}
    return {name: fresh[credential(place)] for name,
            place in old.items() if name not in new and credential(place) in fresh}


def compare_security_schemes(before: Side, after: Side) -> Iterator[Event]:
    """Yield changes of the schemes themselves, each for all operations that use it."""
    old, new = security_schemes(before), security_schemes(after)
    renamed = same_schemes(before, after)
    for name, place in old.items():
        if name in new:
            yield from compare_scheme(after, name, place, new[name])
        elif name not in renamed:
            yield Event("security_scheme_removed", f"Security scheme {name} removed.", place.path, None)
    for name, place in new.items():
        if name not in old and name not in renamed.values():
            yield Event("security_scheme_added", f"Security scheme {name} added.", None, place.path)


def compare_scheme(after: Side, name: str, old: Place, new: Place) -> Iterator[Event]:
    credentials = [" ".join(str(part) for part in credential(place)) for place in (old, new)]
    if credentials[0] != credentials[1]:
        yield Event("security_scheme_changed",
                    f"Security scheme {name} changed from {credentials[0]} to {credentials[1]}.",
                    old.path, new.path, *credentials, operations=tuple(operations_with(after, name)))
        return
    addresses = [oauth_words(place, lambda key: key.endswith("Url")) for place in (old, new)]
    if addresses[0] != addresses[1]:
        yield Event("security_scheme_address_changed", f"Security scheme {name}: {changed_words(*addresses)}.",
                    old.path,
                    new.path, *addresses, operations=tuple(operations_with(after, name)))
    scopes = [oauth_words(place, lambda key: key == "scopes") for place in (old, new)]
    if scopes[0] != scopes[1]:
        yield Event("security_scheme_scopes_changed", f"Security scheme {name}: {changed_words(*scopes)}.", old.path,
                    new.path,
                    *scopes, operations=tuple(operations_with(after, name)))


def oauth_words(place: Place, wanted: Callable[[str], bool]) -> Dict[str, Any]:
    """Return the addresses or scopes of an OAuth scheme by flow."""
    value = place.value if isinstance(place.value, dict) else {}
    flows = value.get("flows") if isinstance(value.get("flows"), dict) else {str(value.get("flow", "")): value}
    return {f"{flow} {key}".strip(): sorted(found) if isinstance(found, dict) else found
            for flow, entry in flows.items() if isinstance(entry, dict) for key, found in entry.items() if wanted(key)}


def changed_words(old: Dict[str, Any], new: Dict[str, Any]) -> str:
    return "; ".join(f"{key} changed from {flat(old.get(key))} to {flat(new.get(key))}"
                     for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))


def flat(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)


def operations_with(side: Side, scheme: str) -> Iterator[str]:
    """Yield the operations that a security scheme lets in."""
    everywhere = side.value.get("security")
    for route in read_routes(side).values():
        for method in methods(route):
            own = route.item.value[method].get("security", everywhere)
            if isinstance(own, list) and any(isinstance(way, dict) and scheme in way for way in own):
                yield label(route, method)


def compare_names(before: Side, after: Side) -> Iterator[Event]:
    """Yield named schemas that are gone: generated clients have a type for each."""
    path: Path = ("definitions",) if before.version == "2.0" else ("components", "schemas")
    old, new = (named_schemas(side) for side in (before, after))
    for name in old:
        if name not in new:
            yield Event("schema_removed", f"The named schema {name} is gone.", path + (name,), None)


def named_schemas(side: Side) -> Dict[str, Any]:
    if side.version == "2.0":
        return side.mapping(side.value.get("definitions"), ("definitions",))
    return side.mapping(components(side).get("schemas"), ("components", "schemas"))


# == 45. API judging ==================================================================================
# In: a Survey and its Events. Out: Findings, one for each cause, with all the operations that it reaches.


class Cause(NamedTuple):
    """One fact of the schemas with who is reached by it: direction -> users as the bits of a number."""

    fact: Fact
    reach: Dict[str, int]


def judge_documents(survey: Survey, events: Sequence[Event]) -> List[Finding]:
    return [*judge_events(events), *judge_schemas(survey)]


def judge_events(events: Sequence[Event]) -> Iterator[Finding]:
    """Yield a finding for each place and rule; operations that share a component share its finding."""
    grouped: Dict[Tuple[str, Optional[Path], Optional[Path]], List[Event]] = {}
    for event in events:
        grouped.setdefault((event.rule, event.old_path, event.new_path), []).append(event)
    for (rule, old_path, new_path), members in grouped.items():
        one = members[0]
        operations = sorted({operation for event in members for operation in event.operations})
        path = new_path if new_path is not None else old_path
        text = one.description
        if len(members) > 1 and one.operations and text.startswith(one.operations[0]):
            text = f"{len(operations)} operations" + text[len(one.operations[0]):]
        yield Finding(API_RULES[rule], path or (), text, one.old, one.new, tuple(operations),
                      extra=whereabouts(old_path, new_path, {}))


def whereabouts(old_path: Optional[Path], new_path: Optional[Path], more: Dict[str, Any]) -> Dict[str, Any]:
    return {"paths": (old_path, new_path), **more}


def judge_schemas(survey: Survey) -> Iterator[Finding]:
    causes: Dict[Tuple[Any, ...], Cause] = {}
    for number, users in spread(survey.web, survey.roots).items():
        direction = survey.web.directions[number]
        for item in survey.web.settle(number):
            key = (item.kind, item.is_loose, item.old_path, item.new_path,
                   str(item.words.get("name")) if item.kind in NAMED_KINDS else "")
            cause = causes.setdefault(key, Cause(item, {}))
            cause.reach[direction] = cause.reach.get(direction, 0) | users
    crowd = Crowd(survey)
    for cause in causes.values():
        yield judge_cause(crowd, cause)


class Crowd:
    """Turns the bits of users into their names, once for each set of them; knows what people call parameters."""

    def __init__(self, survey: Survey) -> None:
        self.users = list(survey.users)
        self.documents = [side.value for side in (survey.after, survey.before)]
        self.named: Dict[int, Tuple[Tuple[str, ...], List[str]]] = {}

    def names(self, bits: int) -> Tuple[Tuple[str, ...], List[str]]:
        """Return the operations and the ways of some users, sorted."""
        if bits not in self.named:
            users = [user for user, bit in zip(self.users, reversed(bin(bits)[2:])) if bit == "1"]
            self.named[bits] = (tuple(sorted({user.operation for user in users})), sorted({user.way for user in users}))
        return self.named[bits]

    def parameter_name(self, steps: Sequence[Union[str, int]]) -> str:
        """Return the name of the parameter that a path leads through, or an empty string."""
        ends = [end for end, step in enumerate(steps[:-1], 2) if step == "parameters" and end <= 5]
        for end in ends[:1]:
            for document in self.documents:
                path = tuple(steps[:end])
                value = at_path(document, path) if nearest(document, path) == path else None
                if isinstance(value, dict) and isinstance(value.get("name"), str):
                    return f"{value.get('in')} parameter {json.dumps(value['name'], ensure_ascii=False)}"
        return ""


NAMED_KINDS = ("dependent_required_added", "dependent_required_removed", "dependent_required_changed", "union_added",
               "union_removed")


def spread(web: Web, roots: Dict[int, int]) -> Dict[int, int]:
    """Return for every pair the users that lead to it; pairs that lead to each other share them."""
    users = dict.fromkeys(web.explore(roots), 0)
    users.update(roots)
    for ring in reversed(rings(web.links, list(users))):
        together = 0
        for number in ring:
            together |= users[number]
        for number in ring:
            users[number] = together
            for child in web.links[number]:
                users[child] |= together
    return users


def rings(links: List[List[int]], numbers: List[int]) -> List[List[int]]:
    """Return the groups of pairs that lead to each other, followers first (Tarjan's algorithm without recursion)."""
    order: Dict[int, int] = {}
    low: Dict[int, int] = {}
    path: List[int] = []
    on_path: Set[int] = set()
    found: List[List[int]] = []
    for start in numbers:
        work = [(start, 0)] if start not in order else []
        while work:
            number, step = work.pop()
            if step == 0:
                order[number] = low[number] = len(order)
                path.append(number)
                on_path.add(number)
            child = next_child(links[number], step, order, low, on_path, number)
            if child < len(links[number]):
                work += [(number, child + 1), (links[number][child], 0)]
                continue
            if low[number] == order[number]:
                found.append(cut_ring(path, on_path, number))
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[number])
    return found


def next_child(children: List[int], step: int, order: Dict[int, int], low: Dict[int, int], on_path: Set[int],
               number: int) -> int:
    """Return the position of the next child that nobody has seen, noting the known ones on the way."""
    while step < len(children) and children[step] in order:
        if children[step] in on_path:
            low[number] = min(low[number], order[children[step]])
        step += 1
    return step


def cut_ring(path: List[int], on_path: Set[int], number: int) -> List[int]:
    position = len(path) - 1
    while path[position] != number:
        position -= 1
    ring = path[position:]
    del path[position:]
    on_path.difference_update(ring)
    return ring


def judge_cause(crowd: Crowd, cause: Cause) -> Finding:
    """Return the finding of one cause: the worse direction names it, and its operations are those that are hurt."""
    kind = KINDS[cause.fact.kind]
    if cause.fact.is_loose:
        kind = kind._replace(id="object_in_text_changed", polarity="neutral")
    levels = SEVERITY_OF[kind.polarity]
    worst = min((levels[direction] for direction in cause.reach), key=SEVERITIES.index)
    hurt = [direction for direction in DIRECTIONS if direction in cause.reach and levels[direction] == worst]
    reach = 0
    for direction in hurt:
        reach |= cause.reach[direction]
    operations, ways = crowd.names(reach)
    alike = levels[REQUEST] == levels[RESPONSE]
    rule = API_RULES[kind.id if alike else f"{hurt[0]}_{kind.id}"]
    fact_words = cause.fact.words
    words = {key: spoken(value) for key, value in fact_words.items()}
    words.update(old=spoken(cause.fact.old), new=spoken(cause.fact.new), part=str(fact_words.get("part")),
                 marked=str(fact_words.get("marked")))
    path = cause.fact.new_path if cause.fact.new_path is not None else cause.fact.old_path
    whole, words["what"] = subject(path or (), cause.fact, crowd)
    impact, remedy = frame(kind, hurt[0], words)
    text = f"{whole}: {fill(kind.sentence, words)}"
    spared = [direction for direction in cause.reach if direction not in hurt]
    if spared:
        text += f" (harmless in {spared[0]}s)"
    return Finding(rule, path or (), text + ".", short(cause.fact.old), short(cause.fact.new),
                   operations, impact, remedy,
                   whereabouts(cause.fact.old_path, cause.fact.new_path,
                               {"directions": hurt, "harmless_in": spared, "carried_by": ways}))


def spoken(value: Any) -> str:
    """Return a value as it stands in a sentence, long lists cut."""
    if isinstance(value, list):
        shown = [spoken(item) for item in value[:6]]
        more = [f"{len(value) - 6} more"] if len(value) > 6 else []
        return " and ".join([", ".join(shown + more[:0])] + more) if shown else "nothing"
    if isinstance(value, dict):
        return "another schema"
    text = json.dumps(value, ensure_ascii=False) if value is not None else "none"
    return text if len(text) <= 80 else text[:77] + "..."


def short(value: Any) -> Any:
    """Return a value for the report; a sub-schema of a removed or added part is told by its type."""
    if isinstance(value, dict):
        return value.get("$ref") or value.get("type") or "schema"
    return value


def subject(path: Path, item: Fact, crowd: Crowd) -> Tuple[str, str]:
    """Return what a path points to, in full and in short: '"name" of schema User' and '"name"'."""
    steps = list(path)
    if item.kind in KINDS_OF_PARTS:
        steps = steps[:-2]  # the sentence names the part itself
    whole, rest = owner(steps)
    named = crowd.parameter_name(steps)
    if named:
        whole = named + whole[len("a parameter"):] if whole.startswith("a parameter") else named
    trail = ""
    while rest:
        step = rest.pop(0)
        if step in ("properties", "patternProperties", FORM) and rest:
            trail += f".{rest.pop(0)}"
        elif step == "items":
            trail += "[]"
        elif step in ("additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"):
            trail += f"({step})"
        elif step in ("oneOf", "anyOf", "prefixItems") and rest:
            trail += f"({step} {rest.pop(0)})"
        elif step == "allOf" and rest:
            rest.pop(0)
    trail = json.dumps(trail.lstrip("."), ensure_ascii=False) if trail else ""
    return (f"{trail} of {whole}", trail) if trail else (whole[:1].upper() + whole[1:], whole)


KINDS_OF_PARTS = frozenset(kind.id for kind in SCHEMA_KINDS if kind.sentence.startswith(
    ("property", "optional property", "required property", "whether", "item")))


def owner(steps: List[Union[str, int]]) -> Tuple[str, List[Union[str, int]]]:
    """Return what a path starts with, in words, and the steps below it."""
    if steps[:2] == ["components", "schemas"] and len(steps) > 2:
        return f"schema {steps[2]}", steps[3:]
    if steps[:1] in (["definitions"], ["$defs"]) and len(steps) > 1:
        return f"schema {steps[1]}", steps[2:]
    if steps[:1] == ["components"] and len(steps) > 2:
        return f"{str(steps[1])[:-1]} {steps[2]}", steps[3:]
    if steps[:1] in (["parameters"], ["responses"]) and len(steps) > 1:
        return f"{str(steps[0])[:-1]} {steps[1]}", steps[2:]
    if steps[:1] in (["paths"], ["webhooks"]) and len(steps) > 2:
        return part_of_operation(steps)
    return "the document", steps


def part_of_operation(steps: List[Union[str, int]]) -> Tuple[str, List[Union[str, int]]]:
    name, rest = f"{str(steps[2]).upper()} {steps[1]}", steps[3:]
    if steps[2] == "parameters":
        return f"a parameter of {steps[1]}", steps[4:]
    if rest[:1] == ["responses"] and len(rest) > 1:
        header = f"header {rest[3]} of " if rest[2:3] == ["headers"] and len(rest) > 3 else ""
        return f"{header}response {rest[1]} of {name}", rest[4 if header else 2:]
    if rest[:1] == ["requestBody"]:
        return f"the body of {name}", rest[1:]
    if rest[:1] == ["parameters"] and len(rest) > 1:
        return f"a parameter of {name}", rest[2:]
    return name, rest


# == 46. API locating =================================================================================
# In: Findings with the paths of both sides. Out: the same with lines and columns, without reading all of a big text.


def with_locations(findings: List[Finding], before: Document, after: Document) -> Iterator[Finding]:
    """Yield the findings with the place in both documents; a side without the thing shows what is around it."""
    wanted = [[nearest(document.value, finding.extra["paths"][side] or finding.extra["paths"][1 - side] or ())
               for finding in findings] for side, document in enumerate((before, after))]
    found = [find_places(document.text, set(paths)) for document, paths in zip((before, after), wanted)]
    for number, finding in enumerate(findings):
        locations = {}
        for side, (name, document) in enumerate((("before", before), ("after", after))):
            path = wanted[side][number]
            line, column = found[side].get(path, (1, 1))
            locations[name] = {"file": document.name, "path": show_path(path), "line": line, "column": column}
        extra = {key: value for key, value in finding.extra.items() if key != "paths"}
        yield finding._replace(extra={**extra, "locations": locations})


def nearest(value: Any, path: Path) -> Path:
    """Return the longest beginning of a path that a document has."""
    for depth, step in enumerate(path):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return path[:depth]
    return path


def find_places(text: str, paths: Set[Path]) -> Dict[Path, Tuple[int, int]]:
    """Return line and column of some values of a valid JSON text; what lies between them is skipped at C speed."""
    tree: Dict[Any, Any] = {}
    for path in paths:
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
    offsets: List[Tuple[Path, int]] = []
    seek(text, len(text) - len(text.lstrip()), tree, (), offsets)
    places: Dict[Path, Tuple[int, int]] = {}
    line, start = 1, 0
    for path, offset in offsets:
        line, start = line + text.count("\n", start, offset), max(start, text.rfind("\n", start, offset) + 1)
        places[path] = (line, offset - start + 1)
    return places


BLANKS = re.compile(r"[ \t\n\r]*").match
SKIP = json.JSONDecoder().raw_decode
READ_KEY = json.decoder.scanstring


def seek(text: str, at: int, tree: Dict[Any, Any], path: Path, offsets: List[Tuple[Path, int]],
         is_last: bool = True) -> int:
    """Note the offsets of the values of a tree of keys; return where this value ends, or -1 when all is found."""
    offsets.append((path, at))
    if not tree:
        return -1 if is_last else SKIP(text, at)[1]
    left, is_object, number = dict(tree), text[at] == "{", 0
    at = BLANKS(text, at + 1).end()
    while text[at] not in "}]":
        key: Union[str, int] = number
        if is_object:
            key, at = READ_KEY(text, at + 1)
            at = BLANKS(text, BLANKS(text, at).end() + 1).end()
        branch = left.pop(key, None)
        at = SKIP(text, at)[1] if branch is None else \
            seek(text, at, branch, path + (key,), offsets, is_last and not left)
        if at < 0:
            return at
        at = BLANKS(text, at).end()
        at = BLANKS(text, at + 1).end() if text[at] == "," else at
        number += 1
    return at + 1


# == 47. API advising =================================================================================
# In: the findings and both Sides. Out: a transition document as a JSON Patch (RFC 6902) with its undo, headers to
# send, and recommendations. Every value in them stands in one of the two documents; what nobody knows is {{named}}.

SUNSET = "{{sunset_date}}"
RESTORED = ("path_removed", "operation_removed", "operation_removed_before_sunset", "request_property_removed",
            "response_property_removed", "optional_property_removed")


class Patch(NamedTuple):
    """JSON Patches of the after document: `forward` brings back what was removed, `backward` takes it out again."""

    forward: List[Dict[str, Any]]
    backward: List[Dict[str, Any]]
    things: List[str]
    paths: List[Path]


def advise(survey: Survey, findings: Sequence[Finding]) -> Tuple[List[Step], List[str]]:
    """Return the steps that soften the breaks, and recommendations in words."""
    patch = transition(survey, findings)
    steps = list(transition_steps(patch)) if patch.things else []
    steps += sunset_headers(survey, findings, len(steps))
    return steps, list(recommendations(survey, findings))


def transition(survey: Survey, findings: Sequence[Finding]) -> Patch:
    """Return the patch of a document that serves old and new clients until the sunset date."""
    patch = Patch([], [], [], [])
    for finding in findings:
        old_path = finding.extra["paths"][0]
        if finding.rule.id in RESTORED and old_path and nearest(survey.before.value, old_path) == old_path \
                and nearest(survey.after.value, old_path) == old_path[:-1] and old_path not in patch.paths:
            restore(survey, patch, finding, old_path)
    return patch


def restore(survey: Survey, patch: Patch, finding: Finding, path: Path) -> None:
    """Add to the patch what brings one removed thing back, with the components that only it used."""
    value = at_path(survey.before.value, path)
    for name in missing_components(survey, value):
        target = survey.before.target(name, "")
        if target is not None and target.path not in patch.paths and nearest(survey.after.value,
                                                                             target.path) == target.path[:-1]:
            add_to_patch(patch, target.path, target.value)
    if finding.rule.id == "path_removed":
        value = {key: deprecated(item) if key in METHODS else item for key, item in value.items()}
    elif isinstance(value, dict) and "$ref" not in value:
        value = deprecated(value)
    add_to_patch(patch, path, value)
    if finding.rule.id == "response_property_removed" and not finding.extra["harmless_in"]:
        require_again(survey, patch, path)
    patch.things.append(finding.description.split(",")[0].split(" removed")[0])


def require_again(survey: Survey, patch: Patch, path: Path) -> None:
    """Add to the patch that responses promise a property again."""
    owner_path = path[:-2] + ("required",)
    listed = at_path(survey.after.value, path[:-2]).get("required")
    before = [entry for entry in patch.forward if entry["path"].startswith(json_pointer(owner_path))]
    if not isinstance(listed, list) and not before:
        patch.forward.append({"op": "add", "path": json_pointer(owner_path), "value": [path[-1]]})
        patch.backward.insert(0, {"op": "remove", "path": json_pointer(owner_path)})
        return
    place = len(listed or ()) + len(before)
    patch.forward.append({"op": "add", "path": json_pointer(owner_path + (place,)), "value": path[-1]})
    patch.backward.insert(0, {"op": "remove", "path": json_pointer(owner_path + (place,))})


def json_pointer(path: Path) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def deprecated(value: Any) -> Any:
    return {**value, "deprecated": True, "x-sunset": value.get("x-sunset", SUNSET)} if isinstance(value,
                                                                                                  dict) else value


def add_to_patch(patch: Patch, path: Path, value: Any) -> None:
    pointer = json_pointer(path)
    patch.forward.append({"op": "add", "path": pointer, "value": value})
    patch.backward.insert(0, {"op": "remove", "path": pointer})
    patch.paths.append(path)


def at_path(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def missing_components(survey: Survey, value: Any) -> List[str]:
    """Return the references below a value that the after document cannot follow, and those below their targets."""
    waiting, missing = references(value), []
    for name in waiting:  # the list grows while it is read
        if survey.after.target(name, "") is None and name not in missing:
            missing.append(name)
            target = survey.before.target(name, "")
            waiting.extend(references(target.value) if target else [])
    return missing


def transition_steps(patch: Patch) -> Iterator[Step]:
    things = f"{patch.things[0]}" if len(patch.things) == 1 else f"{len(patch.things)} things, {patch.things[0]} first"
    forward, backward = (json.dumps(side, indent=2, ensure_ascii=False) + "\n" for side in (patch.forward,
                                                                                            patch.backward))
    issues = tuple(patch.paths)
    yield Step("api-001", EXPAND, f"Publish the after document with this JSON Patch (RFC 6902), which brings back, "
               f"deprecated: {things}", forward, backward, "api", issues=issues)
    yield Step("api-002", CONTRACT, f"When {SUNSET} has passed, take out again what the transition kept", backward,
               forward,
               "api", ("api-001",), issues=issues)


def sunset_headers(survey: Survey, findings: Sequence[Finding], count: int) -> List[Step]:
    """Return a manual step for each operation whose end was announced: the header that tells clients (RFC 8594)."""
    steps = []
    for finding in findings:
        date = read_date(finding.new) if finding.rule.id == "operation_deprecated_with_sunset" else None
        if date is not None:
            name = ", ".join(finding.operations)
            header = f"Sunset: {http_date(date)}"
            steps.append(Step(f"api-{count + len(steps) + 1:03}", EXPAND,
                              f"Announce the end of {name} in its responses",
                              f"Send with every response of {name}:\n{header}\n",
                              f"Stop sending with the responses of {name}:\n{header}\n", "manual",
                              issues=(finding.path,)))
    return steps


def http_date(day: str) -> str:
    """Return the start of a day as headers write it: Tue, 31 Dec 2030 00:00:00 GMT."""
    import datetime
    date = datetime.date(*map(int, day.split("-")))
    weekday = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[date.weekday()]  # in English whatever the locale
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[date.month - 1]
    return f"{weekday}, {date.day:02} {month} {date.year} 00:00:00 GMT"


SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:[-+].*)?")  # 1.4.2


def versions(survey: Survey) -> Optional[Tuple[Tuple[int, ...], Tuple[int, ...]]]:
    """Return info.version of both sides as numbers, when both are semantic versions."""
    found = []
    for side in (survey.before, survey.after):
        match = SEMVER.fullmatch(str(side.mapping(side.value.get("info"), ("info",)).get("version")))
        if match is None:
            return None
        found.append(tuple(map(int, match.groups())))
    return found[0], found[1]


def compare_version(survey: Survey, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Yield a finding when something breaks and the version hides it; below 1.0.0 the minor number may tell it."""
    numbers = versions(survey)
    if numbers is None or not any(finding.rule.severity == BREAKING for finding in findings):
        return
    old, new = numbers
    says_so = new[0] > old[0] or (old[0] == new[0] == 0 and new[1] > old[1])
    if not says_so:
        path = ("info", "version")
        words = [".".join(map(str, number)) for number in numbers]
        text = f"info.version stays {words[0]}" if old == new else f"info.version goes from {words[0]} to {words[1]}"
        yield Finding(API_RULES["version_not_raised"], path, f"{text} although clients break.", *words,
                      extra=whereabouts(path, path, {}))


def recommendations(survey: Survey, findings: Sequence[Finding]) -> Iterator[str]:
    numbers = versions(survey)
    for finding in findings:
        if finding.rule.id == "version_not_raised" and numbers is not None:
            old = numbers[0]
            wanted = f"{old[0] + 1}.0.0" if old[0] else f"0.{old[1] + 1}.0"
            yield f"Publish the after document as version {wanted} or higher."
    yield from moved_operations(survey, findings)


def moved_operations(survey: Survey, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield where a removed operation went, as its operationId tells."""
    added = {name for finding in findings if finding.rule.id == "operation_added" for name in finding.operations}
    ids = {operation_id(survey.after, name): name for name in sorted(added)}
    for finding in findings:
        for name in finding.operations if finding.rule.id in RESTORED[:3] else ():
            target = ids.get(operation_id(survey.before, name)) if operation_id(survey.before, name) else None
            if target and target.split(" ")[0] == name.split(" ")[0]:
                yield (f"{name} went to {target} (same operationId): answer the old address with 308 Permanent "
                       f"Redirect to {target.split(' ', 1)[1]} until the clients have moved.")


def operation_id(side: Side, name: str) -> Any:
    method, route = name.split(" ", 1)
    item = side.mapping(side.value.get("paths"), ("paths",)).get(route)
    operation = item.get(method.lower()) if isinstance(item, dict) else None
    found = operation.get("operationId") if isinstance(operation, dict) else None
    return found if isinstance(found, str) else None


def compare_apis(before: Document, after: Document, options: Options) -> Comparison:
    """Compare two API documents, or two JSON Schema documents, as contracts."""
    if len(before.text) + len(after.text) > 1_000_000:
        import gc
        gc.freeze()  # both documents stay whole: looking through them for garbage again and again finds nothing
    old, new = read_side(before), read_side(after)
    survey = Survey(old, new, read_notice(options))
    if is_schema_document(old) or is_schema_document(new):
        findings = judge_documents(survey, compare_schema_documents(survey, options.direction))
    else:
        findings = judge_documents(survey, list(compare_documents(survey)))
        findings += compare_version(survey, findings)
    findings.sort(key=rank)
    steps, advice = advise(survey, findings)
    return Comparison(tuple(with_locations(findings, before, after)), tuple(steps), recommendations=tuple(advice),
                      not_compared=tuple(unread(old) + unread(new)))


def compare_schema_documents(survey: Survey, direction: str) -> List[Event]:
    """Let two JSON Schema documents meet as a whole: written by clients, read by clients, or both."""
    if not (is_schema_document(survey.before) and is_schema_document(survey.after)):
        raise InputError("--before and --after: found a JSON Schema and an API document, expected two of one kind")
    root: Path = ()
    operation = Operation("document", {}, root, {}, None, {}, [], root, {})
    for one in DIRECTIONS if direction == "both" else (direction,):
        meeting = Meeting(operation, operation, "write" if one == REQUEST else "read")
        survey.meet(meeting, (Place(survey.before.value, root),), (Place(survey.after.value, root),), one, "JSON",
                    JSON_VALUE)
    return []


def unread(side: Side) -> List[Dict[str, Any]]:
    """Return what of a document could not be read and so was not compared."""
    return [{"kind": line, "count": 1} for line in side.faults.lines()]


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
        **finding.extra,
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
    parser.add_argument("--config", metavar="FILE", help="settings as JSON: assets/schemas/checker_config.schema.json")
    parser.add_argument("--direction", choices=[*DIRECTIONS, "both"], default="both",
                        help="of JSON Schema documents: what clients send, what they read, or both (default)")
    parser.add_argument("-o", "--output", metavar="FILE", help="where the report goes (default: standard output)")
    parser.add_argument("-f", "--format", choices=sorted([*RENDERERS, "both"]), default="both",
                        help="both: JSON to the output, text beside it (default)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages on standard error")
    parser.add_argument("--version", action="version", version=f"{TOOL} (migration-architect) {VERSION}")
    return parser


LOOKS_LIKE_YAML = re.compile(r'found "(?:---|%YAML|openapi\s*:|swagger\s*:|tables\s*:)')  # in a message of load


def load_document(path: str) -> Document:
    """Read one JSON document; who gave YAML is told how to convert it."""
    try:
        return load(path)
    except InputError as error:
        if not (path.endswith((".yaml", ".yml")) or LOOKS_LIKE_YAML.search(str(error.args[0]))):
            raise
        import shlex
        command = "python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)'"
        name = "document.yaml" if path == "-" else path
        target = os.path.splitext(name)[0] + ".json"
        raise InputError(*error.args, f"this looks like YAML; convert it to JSON first (with PyYAML): {command}"
                                      f" < {shlex.quote(name)} > {shlex.quote(target)}")


def read_config(document: Document) -> Dict[str, Any]:
    """Return the settings of a --config file; raises InputError with all that is wrong in it."""
    faults = Faults(document)
    config = faults.typed(document.value, (), dict, "an object") or {}
    check_api_settings(faults, config.get("api", {}))
    faults.finish()
    return config


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = build_parser().parse_args(argv)
    if args.before == args.after == "-":
        raise InputError("--before and --after: standard input can be only one of them")
    inputs = [args.before, args.after] + ([args.config] if args.config else [])
    refuse_inputs_as_outputs(output_paths(args.output, args.format), inputs)
    before, after = load_document(args.before), load_document(args.after)
    config = read_config(load_document(args.config)) if args.config else {}
    options = Options(dialect=args.dialect, config=config, direction=args.direction)
    comparison = COMPARERS[args.type](before, after, options)
    report = assemble(args.type, comparison, (before, after))
    render = {name: lambda name=name: RENDERERS[name](report) for name in RENDERERS}
    emit(args.output, args.format, render, args.quiet)
    return exit_code(report)


def command_line() -> int:
    """Entry point of the installed command."""
    return run(TOOL, main)


if __name__ == "__main__":
    raise SystemExit(command_line())
