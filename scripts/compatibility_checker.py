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
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

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


# == 3. Database: records, dialects, comparing, judging, scripting (in work) ==========================

DIALECTS: Dict[str, Any] = {"mysql": None, "postgresql": None, "sqlite": None}


def compare_databases(before: Document, after: Document, options: Options) -> Comparison:
    return Comparison(dialect=options.dialect or "postgresql")


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


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = build_parser().parse_args(argv)
    if args.before == args.after == "-":
        raise InputError("--before and --after: standard input can be only one of them")
    refuse_inputs_as_outputs(output_paths(args.output, args.format), (args.before, args.after))
    before, after = load(args.before), load(args.after)
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
