"""Each format as its reader takes it: a pull request, code scanning, a test report, a job log, Prometheus, a person."""

import html
import json
import re
from typing import Any, Callable, Dict, List
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from made_reports import hostile, huge, report, sample, schema

import compatibility_checker as checker
from json_schema import Schema, problems, read_schema
from running import ASSETS, Done, execute, program

CLEAN = schema("orders")
FORMATS = sorted(checker.RENDERERS)


@pytest.fixture(scope="module", params=["sample", "api", "hostile", "huge", "clean"])
def made(request: pytest.FixtureRequest) -> Dict[str, Any]:
    makers: Dict[str, Callable[[], Dict[str, Any]]] = {
        "sample": sample, "api": lambda: sample("api"), "hostile": hostile, "huge": huge,
        "clean": lambda: report(CLEAN, CLEAN)}
    return makers[request.param]()


def test_report_fits_its_schema(made: Dict[str, Any]) -> None:
    assert [str(problem) for problem in problems(made, read_schema("compatibility_report"))][:3] == []


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_lets_control_characters_out(name: str) -> None:
    text = checker.RENDERERS[name](hostile())
    assert set(re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ufeff]", text)) == set()


# Markdown


def blocks(text: str) -> str:
    """Return a comment without its fenced blocks and code spans."""
    text = re.sub(r"^(`{3,})\w*\n.*?\n\1\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)


def test_comment_stays_below_what_github_takes(made: Dict[str, Any]) -> None:
    text = checker.render_markdown(made)
    assert len(text) < 65536 and blocks(text).count("<details>") == blocks(text).count("</details>")
    assert text.splitlines()[1] == "## " + checker.VERDICTS[made["overall_compatibility"]]


def test_comment_lists_the_worst_first_with_their_sql() -> None:
    text = checker.render_markdown(sample())
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")][1:]
    order = [checker.SEVERITY_WORDS[severity] for severity in checker.SEVERITIES]
    assert len(rows) == 36 and rows == sorted(rows, key=lambda row: order.index(row.strip("| ")))
    first = text[text.index("<details>"):text.index("</details>")]
    assert "password_reset_tokens" in first and "```sql\n" in first and "SET SCHEMA" in first


def test_markup_in_names_stays_text() -> None:
    plain = blocks(checker.render_markdown(hostile()))
    assert set(re.findall(r"<[^>]*>", plain.split("\n", 1)[1])) == {
        f"<{slash}{tag}>" for slash in ("", "/") for tag in ("details", "summary", "b")}
    assert plain.count("<b>") == len(hostile()["issues"])
    assert not re.search(r"@team|https?://|\]\(|(?<!\*)\*(?!\*)", plain)
    for row in re.findall(r"^\| .*$", checker.render_markdown(hostile()), re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row


# SARIF: the parts of the OASIS schema 2.1.0 and of GitHub's page on SARIF that our output uses


def strict(required: List[str], **members: Any) -> Dict[str, Any]:
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


TEXT, NUMBER = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}
SHORT = strict(["text"], text={"type": "string", "minLength": 1, "maxLength": 1024})
LEVEL = {"enum": ["none", "note", "warning", "error"]}
REGION = strict(["startLine", "startColumn", "endLine", "endColumn"],
                startLine=NUMBER, startColumn=NUMBER, endLine=NUMBER, endColumn=NUMBER)
PLACE = strict(["artifactLocation", "region"], artifactLocation=strict(["uri"], uri={
    "type": "string", "pattern": r"^[A-Za-z0-9_.~!$&'()*+,;=:@/%-]+$"}), region=REGION)
RULE = strict(["id", "shortDescription", "fullDescription", "help"], id=TEXT, name=TEXT, shortDescription=SHORT,
              fullDescription=SHORT, help=strict(["text"], text=TEXT, markdown=TEXT),
              defaultConfiguration=strict(["level"], level=LEVEL),
              properties=strict([], tags={"type": "array", "items": TEXT, "maxItems": 10, "uniqueItems": True},
                                precision={"enum": ["very-high", "high", "medium", "low"]},
                                **{"problem.severity": {"enum": ["error", "warning", "recommendation"]}}))
RESULT = strict(["ruleId", "message", "locations", "partialFingerprints"], ruleId=TEXT, level=LEVEL,
                ruleIndex={"type": "integer", "minimum": 0}, message=strict(["text"], text=TEXT),
                locations={"type": "array", "minItems": 1, "items": strict(
                    ["physicalLocation"], physicalLocation=PLACE, logicalLocations={
                        "type": "array", "items": strict(["fullyQualifiedName"], fullyQualifiedName=TEXT)})},
                relatedLocations={"type": "array", "items": strict(
                    ["physicalLocation"], id=NUMBER, message=strict(["text"], text=TEXT), physicalLocation=PLACE)},
                partialFingerprints={"type": "object", "additionalProperties": TEXT,
                                     "required": ["primaryLocationLineHash"]})
RUN = strict(["tool", "results"], results={"type": "array", "items": RESULT, "maxItems": 5000}, tool=strict(
    ["driver"], driver=strict(["name", "rules"], name=TEXT, version=TEXT, semanticVersion=TEXT,
                              rules={"type": "array", "items": RULE, "uniqueItems": True})),
             automationDetails=strict(["id"], id={"type": "string", "pattern": "/$"}),
             columnKind={"enum": ["unicodeCodePoints", "utf16CodeUnits"]},
             invocations={"type": "array", "items": strict(
                 ["executionSuccessful"], executionSuccessful={"type": "boolean"},
                 endTimeUtc={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                 toolExecutionNotifications={"type": "array", "items": strict(
                     ["message"], level=LEVEL, message=strict(["text"], text=TEXT))})})
SARIF = strict(["$schema", "version", "runs"], version={"const": "2.1.0"},
               runs={"type": "array", "minItems": 1, "maxItems": 20, "items": RUN}, **{"$schema": TEXT})


def test_sarif_has_every_field_that_code_scanning_needs(made: Dict[str, Any]) -> None:
    value = json.loads(checker.render_sarif(made))
    assert [str(problem) for problem in problems(value, Schema(SARIF, SARIF))][:3] == []
    run = value["runs"][0]
    assert len(run["results"]) == len(made["issues"])
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


@pytest.mark.parametrize("kind, rule, words", [
    pytest.param("database", "column_type_changed", '"birth_date": {', id="changed column"),
    pytest.param("database", "table_removed", '"tables": {', id="removed table: what is around it"),
    pytest.param("database", "column_renamed", '"display_name": {', id="renamed column"),
    pytest.param("api", "path_removed", '"paths": {', id="removed path"),
])
def test_sarif_points_at_the_line_of_the_after_document(kind: str, rule: str, words: str) -> None:
    results = json.loads(checker.render_sarif(sample(kind)))["runs"][0]["results"]
    place = next(result for result in results if result["ruleId"] == rule)["locations"][0]["physicalLocation"]
    lines = json.dumps(json.loads((ASSETS.parent / place["artifactLocation"]["uri"]).read_text("utf-8")),
                       indent=1).split("\n")
    line, column = lines[place["region"]["startLine"] - 1], place["region"]["startColumn"]
    assert words in line and line[column - 1] == "{"


def test_sarif_addresses_are_escaped_and_relative() -> None:
    value = json.loads(checker.render_sarif(hostile()))
    assert {unquote(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
            for result in value["runs"][0]["results"]} == {"dir/a::b%,=.json"}
    assert checker.uri_of("dir/a b%.json") == "dir/a%20b%25.json"
    assert checker.uri_of("/tmp/x.json") == "file:///tmp/x.json" and checker.uri_of("./x.json") == "x.json"


# JUnit: the rules of the XSD that Jenkins publishes (jenkins-junit.xsd)

ATTRIBUTES = {"testsuites": {"name", "tests", "failures", "errors", "time"},
              "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
              "testcase": {"name", "classname", "time"}, "failure": {"message", "type"}, "skipped": {"message"},
              "system-out": set()}
CHILDREN = {"testsuites": {"testsuite"}, "testsuite": {"testcase"}, "testcase": {"failure", "skipped", "system-out"}}


def test_junit_is_what_its_readers_take(made: Dict[str, Any]) -> None:
    root = ElementTree.fromstring(checker.render_junit(made).encode("utf-8"))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    (suite,) = root
    assert int(suite.get("tests")) == len(suite) == max(1, len(made["issues"]))
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) == int(root.get("failures"))
    bad = made["breaking_changes_count"] + made["potentially_breaking_count"]
    assert int(suite.get("failures")) == bad


def test_junit_keeps_names_that_are_no_xml() -> None:
    names = [case.get("name") for case in ElementTree.fromstring(checker.render_junit(hostile())).iter("testcase")]
    assert any("a]]>b" in name for name in names) and any("</details><b>" in name for name in names)


# Annotations


def runner_reads(text: str) -> List[Dict[str, Any]]:
    """Return the commands that the runner of GitHub Actions obeys (actions/runner, ActionCommand.cs)."""
    found, stopped = [], None
    for line in text.split("\n"):
        match = re.match(r"\s*::([\w-]+)(?: ([^:]*(?::(?!:)[^:]*)*))?::(.*)$", line)
        if stopped is not None:
            stopped = None if line.strip() == f"::{stopped}::" else stopped
        elif match and match.group(1) == "stop-commands":
            stopped = match.group(3)
        elif match:
            properties = dict(pair.split("=", 1) for pair in (match.group(2) or "").split(",") if pair)
            unescape = lambda part: (part.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":")
                                     .replace("%2C", ",").replace("%25", "%"))
            found.append({"command": match.group(1), "message": unescape(match.group(3)),
                          **{key: unescape(value) for key, value in properties.items()}})
    assert stopped is None
    return found


def test_annotations_are_one_for_each_issue_the_worst_first(made: Dict[str, Any]) -> None:
    commands = runner_reads(checker.render_github(made))
    assert [command["command"] for command in commands] == [checker.ANNOTATIONS[issue["severity"]]
                                                            for issue in made["issues"]]
    for command, issue in zip(commands, made["issues"]):
        place = issue["locations"]["after"]
        assert (command["file"], command["line"], command["col"]) == (place["file"], str(place["line"]),
                                                                      str(place["column"]))
        assert command["message"].startswith(checker.clean(issue["description"]))


def test_log_of_a_hostile_document_holds_no_command() -> None:
    text = checker.render_github(hostile())
    assert {command["command"] for command in runner_reads(text)} <= {"error", "warning", "notice"}
    assert len(runner_reads(text)) == len(hostile()["issues"])


# Prometheus


def test_metrics_are_the_text_format_of_prometheus(made: Dict[str, Any]) -> None:
    checked = execute([program("promtool"), "check", "metrics"], stdin=checker.render_metrics(made))
    assert (checked.code, checked.out + checked.err) == (0, "")


def test_metrics_hold_the_counts() -> None:
    text = checker.render_metrics(sample())
    labels = '{schema_type="database",dialect="postgresql"'
    assert f'compatibility_checker_issues{labels},severity="breaking"}} 9\n' in text
    assert f"compatibility_checker_exit_code{labels}}} 2\n" in text


def test_metrics_file_is_written_beside_the_report(run: Callable[..., Done], tmp_path: Any) -> None:
    sides = ["--before", ASSETS / "database_schema_before.json", "--after", ASSETS / "database_schema_after.json"]
    done = run("compatibility_checker", *sides, "-q", "-f", "json", "--metrics", tmp_path / "out.prom")
    assert done.code == 2 and (tmp_path / "out.prom").read_text("utf-8") == checker.render_metrics(done.json)
    refused = run("compatibility_checker", *sides, "--metrics", sides[1])
    assert refused.code == 3 and "is an input of this run" in refused.err


# Text


def test_text_says_the_verdict_first_and_last(made: Dict[str, Any]) -> None:
    lines = checker.render_text(made).splitlines()
    assert lines[1] == lines[-2] == checker.VERDICTS[made["overall_compatibility"]]
    assert lines[2] == lines[-1] == checker.verdict_line(made)


def test_text_groups_by_severity_and_ends_with_commands() -> None:
    text = checker.render_text(sample())
    heads = re.findall(r"^([A-Z-]+(?: [A-Z]+)*) (?:\(|to look|-)", text, re.MULTILINE)
    assert heads == ["BREAKING", "POTENTIALLY BREAKING", "NON-BREAKING", "ADDITIVE", "SCRIPTS", "ROWS", "ADVICE",
                     "NEXT"]
    assert "\n      migration/apply.sh --phase expand DATABASE\n" in text


def test_text_is_bounded_and_says_where_the_rest_is() -> None:
    text = checker.render_text(huge())
    assert len(text) < 200_000
    assert "and 2799 more breaking issues: -f json shows all" in text and "--export DIR writes every script" in text


@pytest.mark.parametrize("width", [40, 72, 140])
def test_text_keeps_to_the_width_but_for_what_is_pasted(width: int) -> None:
    text = checker.render_text(sample(), checker.Screen(width))
    prose = re.findall(r"^ +\S+ .*", text[:text.index("SCRIPTS (")], re.MULTILINE)
    words = re.compile(r"at: |do: \S+$").match  # a path is never broken
    assert max(len(line) for line in prose if not words(line.strip())) <= width


def test_sql_of_the_text_is_short() -> None:
    """What stands around every statement is left out; a body that only PL/pgSQL understands stays whole."""
    text = checker.render_text(sample())
    assert "_deadline" not in text and "ALTER TABLE public.audit_log ADD COLUMN IF NOT EXISTS request_id uuid;" in text
    loop = next(script["script_content"] for script in sample()["migration_scripts"] if "_deadline" in
                script["script_content"])
    assert "_deadline" in checker.short_sql(re.sub("ALTER TABLE.*", "PERFORM 1;", loop))


@pytest.mark.live
def test_short_sql_does_the_same(postgresql: Any) -> None:
    before = json.loads((ASSETS / "database_schema_before.json").read_text(encoding="utf-8"))
    for script in report({"tables": {}}, before)["migration_scripts"]:
        assert postgresql.apply(script["script_content"]).code == 0
    for script in sample()["migration_scripts"]:
        done = postgresql.apply(checker.short_sql(script["script_content"]))
        assert done.code == 0, (script["id"], done.err)
    assert {postgresql.query(script["validation_query"]) for script in sample()["migration_scripts"]
            if script["validation_query"] and script["phase"] == "contract"} == {"t"}


def test_colour_is_for_terminals_only() -> None:
    made = sample()
    assert "\x1b" not in checker.render_text(made)
    coloured = checker.render_text(made, checker.Screen(100, True))
    assert re.sub("\x1b\\[[0-9]+m", "", coloured) == checker.render_text(made)
    assert "\x1b[31mcolumn_removed\x1b[0m" in coloured


def in_terminal(args: List[Any], **env: str) -> str:
    """Return what a command prints into a terminal of its own."""
    import os
    import pty
    import sys
    import termios

    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 60)) if hasattr(termios, "tcsetwinsize") else None
    child = os.fork()
    if not child:
        os.login_tty(slave) if hasattr(os, "login_tty") else [os.dup2(slave, fd) for fd in (0, 1, 2)]
        os.environ.pop("NO_COLOR", None)
        os.environ.update({"TERM": "xterm", **env})
        os.execv(sys.executable, [sys.executable, *map(str, args)])
    os.close(slave)
    data = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not block:
            break
        data += block
    os.waitpid(child, 0)
    os.close(master)
    return data.decode("utf-8")


@pytest.mark.parametrize("env, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
                         ids=["terminal", "NO_COLOR", "dumb"])
def test_terminal_shows_colours_unless_it_is_told_not_to(env: Dict[str, str], coloured: bool) -> None:
    sides = ["--before", ASSETS / "database_schema_before.json", "--after", ASSETS / "database_schema_after.json"]
    for chosen in ("text", "both"):
        shown = in_terminal([checker.__file__, *sides, "-f", chosen], **env)
        assert ("\x1b[31mBREAKING" in shown) is coloured, chosen
        assert "\\x1b" not in shown


def test_quotes_of_html_reach_nobody() -> None:
    assert html.unescape(checker.md_text("<a href='x'>&amp;")) == "<a href='x'>&amp;"
