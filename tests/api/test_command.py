"""`--type api` as a user calls it: exit codes, settings, YAML, the same bytes for the same input."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.documents import api, operation, query, returning, sending, taking

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts" / "compatibility_checker.py"
TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


@pytest.fixture
def check(tmp_path):
    """Return check(before, after, *arguments): both documents are written to files, the report is JSON."""
    def run(before, after, *arguments, seed="0"):
        for name, value in (("before", before), ("after", after)):
            (tmp_path / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value),
                                                   encoding="utf-8")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600", "PYTHONHASHSEED": seed}
        return subprocess.run([sys.executable, str(SCRIPT), "--type", "api", "--before", "before.json", "--after",
                               "after.json",
                               "-f", "json", *arguments], cwd=tmp_path, env=environment, capture_output=True,
                               timeout=60)

    return run


@pytest.mark.parametrize("before, after, code", [
    pytest.param(sending(TEXT), sending(TEXT), 0, id="nothing changes"),
    pytest.param(taking(), taking(query(TEXT)), 0, id="something is added"),
    pytest.param(taking(query(TEXT)), taking(), 1, id="the document cannot tell"),
    pytest.param(returning(TEXT), returning(NUMBER), 2, id="something breaks"),
    pytest.param(sending(TEXT), [], 3, id="no API document"),
    pytest.param(sending(TEXT), "{", 3, id="no JSON"),
])
def test_exit_code_is_the_verdict(check, before, after, code):
    done = check(before, after)
    assert done.returncode == code
    assert bool(done.stderr) == (code == 3)


def test_yaml_is_refused_with_the_way_to_convert_it(check):
    done = check("openapi: 3.0.3\npaths: {}\n", api())
    assert done.returncode == 3
    assert b"looks like YAML" in done.stderr and b"< before.json > before.json" in done.stderr


def test_settings_are_read(check, tmp_path):
    ending = api({"/orders": {"get": operation(deprecated=True)}})
    settings = tmp_path / "settings.json"
    settings.write_text('{"api": {"notice_days": {"stable": 30}}}')
    assert check(api({"/orders": {"get": operation()}}), ending).returncode == 0
    assert check(api({"/orders": {"get": operation()}}), ending, "--config", str(settings)).returncode == 2


@pytest.mark.parametrize("text, words", [
    pytest.param('{"api": {"notice_day": {}}}', "did you mean 'notice_days'", id="misspelled"),
    pytest.param('{"api": {"notice_days": {"stable": -1}}}', "found -1, expected a number of days", id="negative"),
    pytest.param('{"api": {"stability_threshold": "solid"}}', "one of draft, alpha, beta, stable", id="unknown level"),
    pytest.param('[]', "found a list, expected an object", id="no object"),
])
def test_wrong_settings_are_told(check, tmp_path, text, words):
    (tmp_path / "settings.json").write_text(text)
    done = check(api(), api(), "--config", "settings.json")
    assert done.returncode == 3 and words in done.stderr.decode()


def test_direction_of_a_schema_document(check):
    before = {"$schema": "x", "type": "object", "properties": {"a": TEXT}}
    after = {**before, "required": ["a"]}
    assert check(before, after, "--direction", "request").returncode == 2
    assert check(before, after, "--direction", "response").returncode == 0


def test_same_input_gives_the_same_bytes(check):
    properties = {name: {"type": "object", "properties": {"x": TEXT}} for name in "abcdefgh"}
    before = sending({"type": "object", "properties": properties, "required": list("abcdefgh")})
    after = returning({"type": "object", "properties": dict(reversed(list(properties.items())))})
    assert check(before, after, seed="1").stdout == check(before, after, seed="2").stdout


def test_settings_of_the_schema_are_those_of_the_script(check, tmp_path):
    schema = json.loads((ROOT / "assets" / "schemas" / "checker_config.schema.json").read_text(encoding="utf-8"))
    part = schema["properties"]["api"]["properties"]
    settings = {"api": {"notice_days": {level: entry["maximum"] for level,
                                        entry in part["notice_days"]["properties"].items()},
                        "stability_threshold": part["stability_threshold"]["enum"][0]}}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert check(api(), api(), "--config", "settings.json").returncode == 0
