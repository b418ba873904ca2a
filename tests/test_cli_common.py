"""What every script promises at its edges (contracts, section 1), tried over the three at once."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

import pytest

from running import EPOCH, SCRIPTS, Done, execute, interpreters

PLACES = re.compile(r'"line": \d+,\s+"column": \d+')  # where a fact stands is the spelling itself
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class Tool(NamedTuple):
    """One script and its shortest command line: the options that name inputs, and the sample inputs."""

    name: str
    options: Sequence[str]
    samples: Sequence[str]
    done: int  # exit code on the samples
    near_miss: str  # a misspelled option or, after a space, a misspelled choice
    meant: str

    def arguments(self, first: str = "") -> List[str]:
        """Return the arguments, with another path for the first input if one is given."""
        paths = [first or self.samples[0], *self.samples[1:]]
        return [word for pair in zip(self.options, paths) for word in pair]


TOOLS = (
    Tool("migration_planner", ["-i"], ["assets/sample_database_migration.json"], 0, "--fromat json", "--format"),
    Tool(
        "compatibility_checker",
        ["--before", "--after"],
        ["assets/database_schema_before.json", "assets/database_schema_after.json"],
        2,
        "--type databse",
        "database",
    ),
    Tool("rollback_generator", ["-i"], ["plan.json"], 0, "--format jsno", "json"),
)


@pytest.fixture(params=TOOLS, ids=[tool.name for tool in TOOLS])
def tool(request: pytest.FixtureRequest) -> Tool:
    return request.param


@pytest.fixture
def here(workspace: Path, tmp_path: Path) -> Path:
    """Return a folder of the test's own with everything that the samples need."""
    shutil.copytree(workspace / "assets", tmp_path / "assets")
    shutil.copy(workspace / "plan.json", tmp_path / "plan.json")
    return tmp_path


@pytest.fixture
def call(run: Callable[..., Done], tool: Tool, here: Path) -> Callable[..., Done]:
    """Return call(*args): the tool's script, started in the test's folder."""
    return lambda *args, **more: run(tool.name, *args, cwd=here, **more)


def files(folder: Path) -> Dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_refused(done: Done, *words: str) -> None:
    """Exit 3, nothing on standard output, one line or more on standard error, and no traceback."""
    assert done.code == 3, done.err
    assert done.out == ""
    assert "Traceback" not in done.err and "internal error" not in done.err
    for word in words:
        assert word in done.err


# Reading


def test_sample_is_done(call: Callable[..., Done], tool: Tool) -> None:
    done = call(*tool.arguments(), "-f", "json")
    assert done.code == tool.done, done.err
    assert done.json["provenance"]["tool"] == tool.name


def test_standard_input_is_the_file(call: Callable[..., Done], tool: Tool, here: Path) -> None:
    from_file = call(*tool.arguments(), "-f", "json")
    from_pipe = call(*tool.arguments("-"), "-f", "json", stdin=(here / tool.samples[0]).read_bytes())
    assert from_pipe.code == tool.done, from_pipe.err
    assert from_pipe.json["provenance"]["inputs"][0]["path"] == "<stdin>"
    assert from_pipe.out.replace("<stdin>", tool.samples[0]) == from_file.out


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda data: b"\xef\xbb\xbf" + data, id="with a byte order mark"),
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="with CRLF line ends"),
        pytest.param(lambda data: json.dumps(json.loads(data)).encode("ascii"), id="on one line in ASCII"),
    ],
)
def test_spelling_of_the_file_changes_no_fact(
    call: Callable[..., Done], tool: Tool, here: Path, spelling: Callable[[bytes], bytes]
) -> None:
    first = here / tool.samples[0]
    plain = call(*tool.arguments(), "-f", "json")
    old = hashlib.sha256(first.read_bytes()).hexdigest()
    first.write_bytes(spelling(first.read_bytes()))
    spelled = call(*tool.arguments(), "-f", "json")
    assert spelled.code == tool.done, spelled.err
    same = spelled.out.replace(hashlib.sha256(first.read_bytes()).hexdigest(), old)
    assert PLACES.sub("", same) == PLACES.sub("", plain.out)


BAD_DOCUMENTS = [
    pytest.param(b"", ":1:1: $: found an empty file", id="empty"),
    pytest.param(b" \n\t\n", ":1:1: $: found an empty file", id="white space only"),
    pytest.param(b"\xef\xbb\xbf", ":1:1: $: found an empty file", id="byte order mark only"),
    pytest.param(b'{"a": 1,\n "b": ', ":2:7: $: found the end of the file", id="cut off"),
    pytest.param(b'{"a": 1}\n{"b": 2}', ":2:1: $: found", id="two documents"),
    pytest.param(b'{"a": 1,}', ":1:9: $: found", id="trailing comma"),
    pytest.param(b"{'a': 1}", ":1:2: $: found", id="single quotes"),
    pytest.param(b'{"a": 1} // note', ":1:10: $: found", id="comment"),
    pytest.param(b"plain words", ":1:1: $: found", id="not JSON"),
    pytest.param(b'{"a": {"b": 1,\n  "b": 2}}', ":2:3: a.b: found the key a second time", id="duplicate key"),
    pytest.param(b'{"a":\n [1, NaN]}', ":2:6: a[1]: found NaN", id="NaN"),
    pytest.param(b'{"a": -Infinity}', ":1:7: a: found -Infinity", id="minus infinity"),
    pytest.param(b'{"a": 1e999}', ":1:7: a: found 1e999", id="number beyond the range"),
    pytest.param(b'{"a": "\\ud800"}', ":1:7: a: found an unpaired surrogate", id="half of a surrogate pair"),
    pytest.param(b'{"\\udc00": 1}', ": found a key with an unpaired surrogate", id="half of a surrogate pair in a key"),
    pytest.param(b'{"a":\n "\xff"}', ":2:3: $: found the byte 0xff", id="not UTF-8"),
    pytest.param('{"a": 1}'.encode("utf-16"), ":1:1: $: found the byte 0xff", id="UTF-16"),
    pytest.param(b'{"a": "tab\there"}', ":1:11: $: found", id="raw control character"),
    pytest.param(b"[" * 200_000, "nested too deeply", id="nested 200000 lists deep"),
    pytest.param(b'{"a":' * 100_000, "nested too deeply", id="nested 100000 objects deep"),
    pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "", id="nested 5000 objects deep"),
    pytest.param(b'{"a": ' + b"9" * 50_000 + b"}", "", id="integer of 50000 digits"),
]


@pytest.mark.parametrize("content, message", BAD_DOCUMENTS)
def test_bad_document_is_refused_with_its_place(
    call: Callable[..., Done], tool: Tool, here: Path, content: bytes, message: str
) -> None:
    (here / "bad.json").write_bytes(content)
    done = call(*tool.arguments("bad.json"), "-o", "out.json")
    if message:
        assert_refused(done, f"{tool.name}: bad.json", message)
    assert done.code in (1, 3) and "Traceback" not in done.err and "internal error" not in done.err
    assert not (here / "out.json").exists()


@pytest.mark.parametrize(
    "value", ["[]", "[{}]", '"text"', "17", "null", "true", "{}", '{"tables": []}', '{"type": {}, "phases": 3}']
)
def test_wrong_shape_is_an_input_error(call: Callable[..., Done], tool: Tool, here: Path, value: str) -> None:
    """The checker cannot compare it (3); planner and rollback have read it and call it not valid (1)."""
    (here / "bad.json").write_text(value)
    done = call(*tool.arguments("bad.json"), "-f", "json")
    if tool.name == "compatibility_checker" and value.startswith("{") and '"tables": [' not in value:
        assert done.code in (0, 1, 2, 3)  # a document without tables is an empty database
    else:
        assert done.code == (3 if tool.name == "compatibility_checker" else 1), done.err
        assert done.out == ""
        assert re.match(rf"{tool.name}: bad\.json:\d+:\d+: \S+: found .+, expected .+", done.err), done.err
    assert "Traceback" not in done.err and "internal error" not in done.err


@pytest.mark.parametrize(
    "path, message",
    [
        pytest.param("missing.json", "missing.json: cannot be read: No such file or directory", id="missing"),
        pytest.param("assets", "assets: cannot be read: Is a directory", id="directory"),
        pytest.param("/proc/self/mem", "/proc/self/mem: cannot be read: ", id="unreadable for everybody"),
        pytest.param("plan.json/more", "plan.json/more: cannot be read: Not a directory", id="path through a file"),
        pytest.param("x" * 300, "cannot be read: File name too long", id="name too long"),
        pytest.param("bad\x1b[31m\n.json", "bad\\x1b[31m", id="escape sequence in the name"),
    ],
)
def test_unreadable_input_is_refused(call: Callable[..., Done], tool: Tool, path: str, message: str) -> None:
    done = call(*tool.arguments(path), "-o", "out.json")
    assert_refused(done, f"{tool.name}: ", message)
    assert not CONTROL.search(done.err)


def test_name_that_is_not_utf8_is_a_name(tool: Tool, here: Path) -> None:
    shutil.copy(here / tool.samples[0], os.fsencode(here) + b"/\xff.json")
    arguments = [os.fsencode(word) for word in tool.arguments("PATH")]
    command = (
        [os.fsencode(word) for word in (sys.executable, str(SCRIPTS / f"{tool.name}.py"))]
        + arguments
        + [b"-f", b"json"]
    )
    done = subprocess.run(
        [b"\xff.json" if word == b"PATH" else word for word in command], cwd=here, capture_output=True, timeout=60
    )
    assert b"internal error" not in done.stderr and b"Traceback" not in done.stderr
    assert done.returncode in (tool.done, 3)


def test_closed_standard_input_is_refused(tool: Tool, here: Path) -> None:
    assert_refused(shell(here, tool, tool.arguments("-"), "<&-"), "<stdin>: cannot be read")


# Writing


def test_both_without_output_gives_json_on_stdout_and_text_on_stderr(call: Callable[..., Done], tool: Tool) -> None:
    both, text = call(*tool.arguments()), call(*tool.arguments(), "-f", "text")
    assert both.code == text.code == tool.done
    assert both.json["provenance"]["tool"] == tool.name
    assert both.err.strip() == text.out.strip() != ""


@pytest.mark.parametrize(
    "output, beside",
    [
        ("out.json", "out.txt"),
        ("out", "out.txt"),
        ("out.report", "out.report.txt"),
        ("out.json.json", "out.json.txt"),
        ("a b'$(x).json", "a b'$(x).txt"),
    ],
)
def test_both_with_output_writes_json_and_text_beside_it(
    call: Callable[..., Done], tool: Tool, here: Path, output: str, beside: str
) -> None:
    before = files(here)
    done = call(*tool.arguments(), "-o", output)
    assert (done.code, done.out) == (tool.done, "")
    assert f"wrote {output}" in done.err and f"wrote {beside}" in done.err
    assert set(files(here)) - set(before) == {output, beside}
    assert call(*tool.arguments(), "-f", "json").out.encode() == files(here)[output]
    assert call(*tool.arguments(), "-f", "text").out.encode() == files(here)[beside]


@pytest.mark.parametrize("chosen", ["json", "text"])
def test_one_format_writes_that_one_document(call: Callable[..., Done], tool: Tool, here: Path, chosen: str) -> None:
    before = files(here)
    done = call(*tool.arguments(), "-f", chosen, "--output", "out.json")
    assert (done.code, done.out) == (tool.done, "")
    assert set(files(here)) - set(before) == {"out.json"}
    assert files(here)["out.json"].decode() == call(*tool.arguments(), "-f", chosen).out


def test_dash_as_output_is_standard_output(call: Callable[..., Done], tool: Tool, here: Path) -> None:
    before = files(here)
    assert call(*tool.arguments(), "-f", "json", "-o", "-").out == call(*tool.arguments(), "-f", "json").out
    assert files(here) == before


@pytest.mark.parametrize(
    "more",
    [["-q"], ["--quiet", "-o", "out.json"], ["-q", "-f", "json"], ["-q", "-f", "text"]],
    ids=["both", "both to files", "json", "text"],
)
def test_quiet_keeps_standard_error_empty(call: Callable[..., Done], tool: Tool, more: List[str]) -> None:
    done = call(*tool.arguments(), *more)
    assert (done.code, done.err) == (tool.done, "")


def test_json_is_laid_out_for_people_and_diffs(call: Callable[..., Done], tool: Tool) -> None:
    out = call(*tool.arguments(), "-f", "json").out
    assert out == json.dumps(json.loads(out), indent=2, ensure_ascii=False) + "\n"


def test_provenance_can_be_checked_with_sha256sum(call: Callable[..., Done], tool: Tool, here: Path) -> None:
    seen = call(*tool.arguments(), "-f", "json").json["provenance"]
    assert list(seen) == ["tool", "version", "generated_at", "inputs"]
    assert [entry["path"] for entry in seen["inputs"]] == list(tool.samples)
    assert [entry["sha256"] for entry in seen["inputs"]] == [
        hashlib.sha256((here / path).read_bytes()).hexdigest() for path in tool.samples
    ]


@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["same path", "symbolic link", "other spelling"])
def test_output_that_is_an_input_is_refused(call: Callable[..., Done], tool: Tool, here: Path, link: Any) -> None:
    before = files(here)
    target = tool.samples[-1]
    if link is os.symlink:
        os.symlink(here / target, here / "link.json")
        target = "link.json"
    elif link is os.link:
        target = f"./assets/../{target}"
    done = call(*tool.arguments(), "-o", target)
    assert_refused(done, "is an input of this run")
    assert {path: data for path, data in files(here).items() if path in before} == before


def test_text_beside_the_json_may_not_be_an_input_either(call: Callable[..., Done], tool: Tool, here: Path) -> None:
    shutil.copy(here / tool.samples[0], here / "input.txt")
    before = files(here)
    assert_refused(call(*tool.arguments("input.txt"), "-o", "input.json"), "input.txt: is an input of this run")
    assert files(here) == before


@pytest.mark.parametrize(
    "output, message",
    [
        pytest.param(
            "missing/out.json", "missing/out.json: cannot be written: No such file or directory", id="folder missing"
        ),
        pytest.param("plan.json/out.json", "cannot be written: Not a directory", id="folder is a file"),
        pytest.param("assets", "assets: cannot be written: Is a directory", id="output is a folder"),
        pytest.param("/dev/full", "/dev/full: cannot be written: No space left on device", id="full disk"),
        pytest.param("/proc/out.json", "/proc/out.json: cannot be written: ", id="folder that takes no files"),
        pytest.param("x" * 300, "cannot be written: File name too long", id="name too long"),
    ],
)
def test_output_that_cannot_be_written_is_refused(
    call: Callable[..., Done], tool: Tool, here: Path, output: str, message: str
) -> None:
    before = files(here)
    assert_refused(call(*tool.arguments(), "-f", "json", "-o", output), f"{tool.name}: ", message)
    assert files(here) == before


def test_full_disk_leaves_the_old_file_whole(tool: Tool, here: Path) -> None:
    """A limit on the size of files stands for a disk that is full after the first bytes."""
    (here / "out.json").write_text("old content")
    before = files(here)
    command = [sys.executable, SCRIPTS / f"{tool.name}.py", *tool.arguments(), "-o", "out.json"]
    done = subprocess.run(
        command,
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "out.json: cannot be written: File too large" in done.stderr
    assert files(here) == before


def test_who_reads_the_old_file_keeps_the_old_content(call: Callable[..., Done], tool: Tool, here: Path) -> None:
    """The new file takes the old one's place; it is not written into it. A second link stands for an open reader."""
    (here / "out.json").write_text("old content")
    os.link(here / "out.json", here / "reader")
    assert call(*tool.arguments(), "-f", "json", "-o", "out.json").code == tool.done
    assert (here / "reader").read_text() == "old content" != (here / "out.json").read_text()


@pytest.mark.parametrize("sign, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_run_writes_nothing(tool: Tool, here: Path, sign: signal.Signals, code: int) -> None:
    (here / "out.json").write_text("old content")
    before = files(here)
    command = [sys.executable, SCRIPTS / f"{tool.name}.py", *tool.arguments("-"), "-o", "out.json"]
    process = subprocess.Popen(command, cwd=here, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(sign, signal.SIG_DFL))  # a job behind & ignores Ctrl-C
    wait_until_it_reads(process)
    process.send_signal(sign)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert files(here) == before


def wait_until_it_reads(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the process waits for its standard input, which it opens only after start-up is over."""
    for _ in range(300):
        if "pipe" in Path(f"/proc/{process.pid}/wchan").read_text() or Path(
            f"/proc/{process.pid}/syscall"
        ).read_text().startswith("0 0x0 "):
            return
        time.sleep(0.02)


def test_output_keeps_the_mode_that_the_user_set(tool: Tool, here: Path) -> None:
    script = f"umask 027; exec '{sys.executable}' '{SCRIPTS}/{tool.name}.py' \"$@\""
    execute(["sh", "-c", script, "sh", *tool.arguments(), "-q", "-f", "json", "-o", "out.json"], cwd=here)
    assert (here / "out.json").stat().st_mode & 0o777 == 0o640


# Streams


def shell(folder: Path, tool: Tool, arguments: Sequence[str], redirection: str) -> Done:
    """Run the script under a shell redirection that subprocess cannot express."""
    script = f"exec '{sys.executable}' '{SCRIPTS}/{tool.name}.py' \"$@\" {redirection}"
    return execute(["sh", "-c", script, "sh", *arguments], cwd=folder, env={"SOURCE_DATE_EPOCH": EPOCH})


@pytest.mark.parametrize("more", [["-f", "json"], ["-f", "text"], []], ids=["json", "text", "both"])
def test_reader_that_goes_away_does_not_change_the_verdict(tool: Tool, here: Path, more: List[str]) -> None:
    script = f"{{ '{sys.executable}' '{SCRIPTS}/{tool.name}.py' \"$@\" 2>err; echo $? >code; }} | true"
    execute(["bash", "-c", f"{script}; wait", "bash", *tool.arguments(), *more], cwd=here)
    assert (here / "code").read_text() == f"{tool.done}\n"
    assert "Error" not in (here / "err").read_text() and "error" not in (here / "err").read_text().split("\n")[0]


@pytest.mark.parametrize("more", [["-f", "json"], ["--help"], ["--version"]], ids=["result", "help", "version"])
@pytest.mark.parametrize(
    "redirection, message",
    [
        pytest.param(">&-", "standard output: cannot be written", id="closed"),
        pytest.param(">/dev/full", "standard output: cannot be written: No space left on device", id="full"),
    ],
)
def test_lost_result_is_an_error(tool: Tool, here: Path, more: List[str], redirection: str, message: str) -> None:
    arguments = tool.arguments() + more if more[0] == "-f" else more
    assert_refused(shell(here, tool, arguments, redirection), message)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"], ids=["closed", "full"])
def test_lost_messages_are_no_error(tool: Tool, here: Path, redirection: str) -> None:
    done = shell(here, tool, tool.arguments(), redirection)
    assert done.code == tool.done
    assert done.json["provenance"]["tool"] == tool.name


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "<&- 2>&-"], ids=["all three", "input and messages"])
def test_closed_streams_write_files_all_the_same(tool: Tool, here: Path, redirection: str) -> None:
    done = shell(here, tool, [*tool.arguments(), "-o", "out.json"], redirection)
    assert done.code == tool.done
    assert json.loads((here / "out.json").read_text())["provenance"]["tool"] == tool.name
    assert (here / "out.txt").read_text()


# Sameness


@pytest.fixture(scope="module")
def reference(workspace: Path) -> Dict[str, List[str]]:
    """Return what each script prints on its samples in the plainest surroundings."""
    return {tool.name: outputs(workspace, tool, sys.executable) for tool in TOOLS}


def outputs(folder: Path, tool: Tool, python: str, *switches: str, **env: str) -> List[str]:
    done = [
        execute(
            [python, *switches, SCRIPTS / f"{tool.name}.py", *tool.arguments(), "-f", chosen],
            cwd=folder,
            env={"SOURCE_DATE_EPOCH": EPOCH, **env},
        )
        for chosen in ("json", "text")
    ]
    assert [one.code for one in done] == [tool.done] * 2, done[0].err
    assert [one.err for one in done] == [""] * 2
    return [one.out for one in done]


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"PYTHONHASHSEED": "0"}, id="hash seed 0"),
        pytest.param({"PYTHONHASHSEED": "1"}, id="hash seed 1"),
        pytest.param({"PYTHONHASHSEED": "4294967295"}, id="largest hash seed"),
        pytest.param({"TZ": "Asia/Kolkata"}, id="time zone east"),
        pytest.param({"TZ": "America/St_Johns"}, id="time zone west"),
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="C locale without UTF-8"),
        pytest.param({"LC_ALL": "C.UTF-8"}, id="C.UTF-8 locale"),
        pytest.param({"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}, id="Turkish locale"),
        pytest.param({"PYTHONIOENCODING": "cp1252"}, id="Windows code page"),
        pytest.param({"PYTHONIOENCODING": "ascii:strict"}, id="ASCII streams"),
        pytest.param({"COLUMNS": "20", "NO_COLOR": "1"}, id="narrow terminal"),
        pytest.param({"PYTHONOPTIMIZE": "2"}, id="without docstrings and asserts"),
        pytest.param({"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"}, id="warnings are errors"),
    ],
)
def test_surroundings_change_no_byte(
    workspace: Path, tool: Tool, reference: Dict[str, List[str]], env: Dict[str, str]
) -> None:
    assert outputs(workspace, tool, sys.executable, **env) == reference[tool.name]


each_python = pytest.mark.parametrize(
    "python", interpreters(), ids=lambda path: path.replace(os.path.expanduser("~"), "~")
)


@each_python
def test_every_python_from_39_writes_the_same_bytes(
    workspace: Path, tool: Tool, reference: Dict[str, List[str]], python: str
) -> None:
    assert outputs(workspace, tool, python, "-W", "error") == reference[tool.name]


@each_python
def test_every_python_from_39_refuses_alike(tool: Tool, here: Path, run: Callable[..., Done], python: str) -> None:
    (here / "bad.json").write_bytes(b'{"a": 1,\n "a": [NaN]}')
    assert run(tool.name, *tool.arguments("bad.json"), cwd=here, python=python) == run(
        tool.name, *tool.arguments("bad.json"), cwd=here
    )


def test_script_works_when_copied_away_alone(
    workspace: Path, tool: Tool, reference: Dict[str, List[str]], tmp_path: Path
) -> None:
    shutil.copy(SCRIPTS / f"{tool.name}.py", tmp_path / "moved.py")
    done = execute(
        [sys.executable, "-I", "-S", tmp_path / "moved.py", *tool.arguments(), "-f", "json"],
        cwd=workspace,
        env={"SOURCE_DATE_EPOCH": EPOCH},
    )
    assert (done.code, done.out) == (tool.done, reference[tool.name][0]), done.err


def times_of(value: Any) -> List[str]:
    """Return every "when this was made" of a document."""
    if isinstance(value, dict):
        own = [value[key] for key in ("generated_at", "created_at", "analysis_date") if key in value]
        return own + [text for key, item in value.items() if key != "specification" for text in times_of(item)]
    return [text for item in value for text in times_of(item)] if isinstance(value, list) else []


def test_source_date_epoch_is_the_time_of_the_run(call: Callable[..., Done], tool: Tool) -> None:
    seen = times_of(call(*tool.arguments(), "-f", "json", env={"SOURCE_DATE_EPOCH": "86400"}).json)
    assert len(seen) >= 2 and set(seen) == {"1970-01-02T00:00:00Z"}


def test_without_source_date_epoch_the_time_is_now_in_utc(call: Callable[..., Done], tool: Tool) -> None:
    first = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    seen = times_of(call(*tool.arguments(), "-f", "json", env={"SOURCE_DATE_EPOCH": None, "TZ": "Asia/Tokyo"}).json)
    assert all(first <= stamp <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) for stamp in seen) and seen


@pytest.mark.parametrize("epoch", ["yesterday", "", "1.5", "9" * 30, "nan"])
def test_source_date_epoch_that_is_no_number_is_refused(call: Callable[..., Done], tool: Tool, epoch: str) -> None:
    assert_refused(call(*tool.arguments(), "-f", "json", env={"SOURCE_DATE_EPOCH": epoch}), "SOURCE_DATE_EPOCH: found")


# Usage


def test_version_names_the_tool_last_the_number(call: Callable[..., Done], tool: Tool) -> None:
    done = call("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(rf"{tool.name} \(migration-architect\) \d+\.\d+\.\d+\n", done.out)


def test_help_shows_examples_and_exit_codes(call: Callable[..., Done], tool: Tool) -> None:
    long, short = call("--help"), call("-h")
    assert long == short and (long.code, long.err) == (0, "")
    for word in (
        *tool.options,
        "--output",
        "--format",
        "--quiet",
        "--version",
        "exit codes:",
        "example",
        f"{tool.name}.py",
    ):
        assert word in long.out
    assert re.search(r"^ +3 ", long.out, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments, message",
    [
        pytest.param([], "the following arguments are required", id="nothing given"),
        pytest.param(["--no-such-option"], "", id="unknown option"),
        pytest.param(["SAMPLES", "surplus"], "unrecognized arguments: surplus", id="surplus word"),
        pytest.param(["SAMPLES", "--form", "json"], "unrecognized arguments: --form", id="abbreviated option"),
        pytest.param(["SAMPLES", "-f", "jason"], "did you mean 'json'?", id="misspelled format"),
        pytest.param(["SAMPLES", "-f", "xlsx"], "invalid choice: 'xlsx'", id="unknown format"),
        pytest.param(["SAMPLES", "-o"], "expected one argument", id="option without its value"),
        pytest.param(["SAMPLES", "--qiet"], "did you mean '--quiet'?", id="misspelled option"),
        pytest.param(["SAMPLES", "\x1b[31m"], "\\x1b[31m", id="escape sequence"),
    ],
)
def test_wrong_usage_exits_3_with_advice(
    call: Callable[..., Done], tool: Tool, arguments: List[str], message: str
) -> None:
    given = tool.arguments() + arguments[1:] if arguments[:1] == ["SAMPLES"] else arguments
    done = call(*given)
    assert_refused(done, f"{tool.name}: ", message, f"see {tool.name} --help")
    assert len(done.err.splitlines()) == 1 and not CONTROL.search(done.err)


def test_near_miss_names_what_was_meant(call: Callable[..., Done], tool: Tool) -> None:
    assert_refused(call(*tool.arguments(), *tool.near_miss.split()), f"did you mean '{tool.meant}'?")


# Hostile content


def with_text(value: Any, text: str) -> Any:
    """Return a copy of a document in which every free text (a description, a comment) is `text`."""
    if isinstance(value, dict):
        return {
            key: text if key in FREE_TEXTS and isinstance(item, str) else with_text(item, text)
            for key, item in value.items()
        }
    return [with_text(item, text) for item in value] if isinstance(value, list) else value


FREE_TEXTS = ("description", "comment", "source", "target", "source_system", "target_system")


@pytest.mark.parametrize("chosen", ["json", "text", "both"])
def test_control_characters_of_the_input_never_reach_the_terminal(
    call: Callable[..., Done], tool: Tool, here: Path, chosen: str
) -> None:
    hostile = "\x1b[2J\x07\x9b31m\u202eevil\u2066\x7f\r"
    first = here / tool.samples[-1]
    first.write_text(json.dumps(with_text(json.loads(first.read_text()), hostile)))
    done = call(*tool.arguments(), "-f", chosen)
    assert done.code in (0, 1, 2), done.err
    assert not CONTROL.search(done.out) and not CONTROL.search(done.err)


def test_problems_show_hostile_names_as_escapes(call: Callable[..., Done], tool: Tool, here: Path) -> None:
    (here / "bad.json").write_text(
        json.dumps({"tables": {"\x1b[2J\u202e": 3}, "type": "\x1b[2J", "phases": [{"name": "\x1b]0;x"}, 3]})
    )
    done = call(*tool.arguments("bad.json"))
    assert done.code in (1, 3)
    assert "internal error" not in done.err and not CONTROL.search(done.err)
