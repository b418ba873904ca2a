"""--list-rules, --explain and the catalogue: every rule, with an example that is true."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any, Callable, Tuple

import pytest
from rule_examples import filled, rules_found

import compatibility_checker as checker
from running import ASSETS, Done

ALL = [(kind, name) for kind in sorted(checker.RULES) for name in checker.RULES[kind]]
NEVER_FOUND = {  # rules that no pair of documents can meet
    ("api", "request_required_property_revealed"): "a request never gets a property that it did not carry",
    ("database", "extension_changed"): "versions of extensions are not compared",
}
SHOWN = [rule for rule in ALL if rule[0] != "data"]  # the examples of data are rows and profiles, compared below
each_rule = pytest.mark.parametrize("rule", ALL, ids=[f"{kind}-{name}" for kind, name in ALL])


@pytest.mark.parametrize("rule", SHOWN, ids=[f"{kind}-{name}" for kind, name in SHOWN])
def test_example_is_found_as_its_rule_and_silenced_as_told(rule: Tuple[str, str]) -> None:
    kind, name = rule
    example = checker.example_of(kind, name)
    assert (name in rules_found(kind, example)) is (rule not in NEVER_FOUND)
    if rule in NEVER_FOUND:
        return
    told = checker.explain_text(kind, checker.RULES[kind][name])
    waiver = checker.Waiver(**json.loads(told.strip().splitlines()[-1])["waivers"][0])
    text = [json.dumps(filled(kind, example, value)) for value in (example.before, example.after)]
    sides = [checker.Document("x.json", part, json.loads(part), "") for part in text]
    options = checker.Options(dialect=example.dialect or None, config={"api": example.config} if example.config else {})
    issues = [checker.issue_json(finding) for finding in checker.COMPARERS[kind](*sides, options).findings]
    places = [issue["field_path"] for issue in issues if issue["type"] == name]
    assert any(checker.waives(waiver, issue) for issue in issues), (waiver.path, places)


BESIDE = {"unverified_table": {"excluded_column"}}  # what the same example shows as well
WITHOUT = {"unverified_change", "unverified_stale"}  # two documents of each side, of different moments


def side_of_data(folder: Path, side: str, shown: Any) -> Path:
    """Write what an example of --type data shows of one side: rows, a table, a schema's dialect, keys of a profile."""
    if isinstance(shown, str):
        path = folder / f"{side}.json"
        path.write_text(json.dumps({"dialect": shown, "tables": {"orders": {"columns": {"id": {"type": "integer"}}}}}))
        return path
    if isinstance(shown, dict) and "columns" not in shown:
        profile = json.loads((ASSETS / "data_profile_source.json").read_text(encoding="utf-8"))
        path = folder / f"{side}.json"
        path.write_text(json.dumps({**profile, "side": {"before": "source", "after": "target"}[side], **shown}))
        return path
    with contextlib.closing(sqlite3.connect(str(folder / f"{side}.db"))) as database, database:
        database.execute("CREATE TABLE other (id INTEGER PRIMARY KEY)")
        if shown is not None:
            table = shown if isinstance(shown, dict) else {"columns": "id INTEGER PRIMARY KEY, name TEXT", "rows": shown}
            database.execute(f"CREATE TABLE orders ({table['columns']})")
            marks = ", ".join("?" * len(table["columns"].split(", ")))
            database.executemany(f"INSERT INTO orders VALUES ({marks})", table["rows"])
    return folder / f"{side}.db"


@pytest.mark.parametrize("name", sorted({*checker.RULES["data"]} - WITHOUT))
def test_example_of_data_is_found_by_a_real_run_and_silenced_as_told(run: Callable[..., Done], tmp_path: Path,
                                                                      name: str) -> None:
    example = checker.example_of("data", name)
    sides = [side_of_data(tmp_path, side, shown) for side, shown in (("before", example.before),
                                                                     ("after", example.after))]
    settings = {"reconciliation": example.config} if example.config else {}
    waivers = json.loads(checker.explain_text("data", checker.RULES["data"][name]).strip().splitlines()[-1])
    for file, value in (("plain", settings), ("waived", {**settings, **waivers})):
        (tmp_path / f"{file}.json").write_text(json.dumps(value))
    kind = "database" if name == "other_system" else "data"
    found = [run("compatibility_checker", "--type", kind, "--before", sides[0], "--after", sides[1], "--config",
                 tmp_path / f"{file}.json", "-f", "json", "-q") for file in ("plain", "waived")]
    assert {issue["type"] for issue in found[0].json["issues"]} == {name} | BESIDE.get(name, set())
    assert name not in {issue["type"] for issue in found[1].json["issues"] if not issue.get("waiver")}


@each_rule
def test_rule_is_told_whole(rule: Tuple[str, str]) -> None:
    kind, name = rule
    row = checker.RULES[kind][name]
    text = " ".join(checker.explain_text(kind, row).split())
    examples = ("before:", "after:") if rule[0] != "data" or name not in WITHOUT else ()
    for part in (row.severity, row.title, row.impact, row.remedy, *examples, "silence it"):
        assert " ".join(part.split()) in text


def test_list_holds_every_rule(run: Callable[..., Done]) -> None:
    done = run("compatibility_checker", "--list-rules", "-f", "json")
    assert (done.code, [(row["schema_type"], row["rule"]) for row in done.json]) == (0, sorted(
        ALL, key=lambda rule: (rule[0], checker.SEVERITIES.index(checker.RULES[rule[0]][rule[1]].severity), rule[1])))
    table = run("compatibility_checker", "--list-rules").out
    assert all(f"  {name} " in table for _, name in ALL)


def test_unknown_rule_is_answered_with_the_nearest(run: Callable[..., Done]) -> None:
    done = run("compatibility_checker", "--explain", "colum_removed")
    assert (done.code, done.out) == (3, "") and "did you mean 'column_removed'?" in done.err


def test_rules_are_told_as_a_list_and_in_no_format_that_holds_none(run: Callable[..., Done]) -> None:
    done = run("compatibility_checker", "--explain", "schema_removed", "-f", "json")
    assert [row["schema_type"] for row in done.json] == ["database"]
    assert run("compatibility_checker", "--explain", "column_removed", "-f", "sarif").code == 3


def test_what_is_missing_is_said_when_nothing_is_to_be_listed(run: Callable[..., Done]) -> None:
    done = run("compatibility_checker", "--after", "x.json")
    assert done.code == 3 and "the following arguments are required: --before" in done.err
