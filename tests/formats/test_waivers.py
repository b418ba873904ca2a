"""Waivers, --fail-on and what --config may hold."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from made_reports import report, schema

import compatibility_checker as checker
from json_schema import fits, problems, read_schema
from running import Done

BEFORE = schema("orders", note={"type": "text"}, code={"type": "text"})
AFTER = schema("orders", code={"type": "text", "nullable": False}, extra={"type": "text"})
NOTE = {"rule": "column_removed", "path": "tables.orders.columns.note", "reason": "unused", "expires": "2026-06-30"}


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")  # 2026-01-01


def made(*waivers: Dict[str, str]) -> Dict[str, Any]:
    return report(BEFORE, AFTER, config={"waivers": list(waivers)})


def types(issues: List[Dict[str, Any]]) -> List[str]:
    return [issue["type"] for issue in issues]


def test_waived_issue_stays_listed_and_counts_no_more() -> None:
    without, waived = made(), made(NOTE)
    assert types(waived["suppressed"]) == ["column_removed"] and "column_removed" not in types(waived["issues"])
    assert waived["suppressed"][0]["waiver"] == {"reason": "unused", "expires": "2026-06-30"}
    assert waived["breaking_changes_count"] == without["breaking_changes_count"] - 1
    assert waived["migration_scripts"] == without["migration_scripts"]
    assert list(problems(waived, read_schema("compatibility_report"))) == []
    assert "1 suppressed" in checker.render_text(waived) and "unused (until 2026-06-30)" in checker.render_text(waived)


@pytest.mark.parametrize("change, state", [
    pytest.param({"expires": "2026-01-01"}, "used", id="last day"),
    pytest.param({"expires": "2025-12-31"}, "expired", id="day after the last"),
    pytest.param({"path": "tables.*"}, "used", id="star"),
    pytest.param({"path": "tables.orders.columns.not?"}, "unused", id="question mark is itself"),
    pytest.param({"path": "tables.orders"}, "unused", id="path that only begins alike"),
    pytest.param({"rule": "column_renamed"}, "unused", id="another rule"),
])
def test_waiver_fits_by_rule_path_and_day(change: Dict[str, str], state: str) -> None:
    waived = made({**NOTE, **change})
    assert waived["waivers"][0]["state"] == state
    assert len(waived["suppressed"]) == (state == "used")


def test_waiver_of_a_fingerprint_fits_that_issue_only() -> None:
    mark = next(issue["fingerprint"] for issue in made()["issues"] if issue["type"] == "column_made_required")
    waived = made({"fingerprint": mark, "reason": "filled", "expires": "2026-06-30"})
    assert types(waived["suppressed"]) == ["column_made_required"]


def test_expired_waiver_is_said_everywhere() -> None:
    late = made({**NOTE, "expires": "2025-12-31"})
    for render in (checker.render_text, checker.render_markdown):
        assert "EXPIRED, its issues count again" in " ".join(render(late).split())
    assert 'compatibility_checker_waivers{schema_type="database",dialect="postgresql",state="expired"} 1' in (
        checker.render_metrics(late))


def test_skipped_test_case_gives_the_reason() -> None:
    assert '<skipped message="unused" />' in checker.render_junit(made(NOTE))


@pytest.fixture
def check(run: Callable[..., Done], tmp_path: Path) -> Callable[..., Done]:
    """Return check(config, *args): the checker's command on the two documents."""
    for name, document in (("before", BEFORE), ("after", AFTER)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")

    def start(config: Optional[Any], *args: str) -> Done:
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        given = [] if config is None else ["--config", "config.json"]
        return run("compatibility_checker", "--before", "before.json", "--after", "after.json", *given, *args,
                   cwd=tmp_path)

    return start


ALL_BREAKING = [{**NOTE, "rule": rule, "path": "*"} for rule in ("column_removed", "column_made_required")]


@pytest.mark.parametrize("config, args, code", [
    pytest.param(None, [], 2, id="default"),
    pytest.param(None, ["--fail-on", "never"], 0, id="never"),
    pytest.param(None, ["--fail-on", "breaking"], 2, id="breaking"),
    pytest.param({"waivers": ALL_BREAKING}, [], 0, id="all breaking ones waived"),
    pytest.param({"waivers": ALL_BREAKING}, ["--fail-on", "additive"], 1, id="additive fails"),
    pytest.param({"fail_on": "never"}, [], 0, id="configured"),
    pytest.param({"fail_on": "never"}, ["--fail-on", "breaking"], 2, id="command line before configuration"),
])
def test_exit_code_follows_fail_on(check: Callable[..., Done], config: Any, args: List[str], code: int) -> None:
    done = check(config, "-f", "json", *args)
    assert done.code == code, done.err
    assert checker.verdict_line(done.json).endswith(f"-> exit {code}")


def test_expired_waiver_is_a_message(check: Callable[..., Done]) -> None:
    late = {"waivers": [{**NOTE, "expires": "2025-12-31"}]}
    assert "waiver expired: column_removed at tables.orders.columns.note (unused, until 2025-12-31)" in (
        check(late, "-f", "json").err)
    assert check(late, "-f", "json", "-q").err == ""


FAULTS = [
    pytest.param({"waiver": []}, "unknown key \"waiver\"", "did you mean 'waivers'?", id="key"),
    pytest.param({"colour": 1}, "unknown key \"colour\"", "expected one of api, fail_on, reconciliation, waivers", id="strange key"),
    pytest.param({"fail_on": "warn"}, "fail_on: found \"warn\"", "expected one of breaking", id="fail_on"),
    pytest.param({"waivers": {}}, "waivers: found an object", "expected a list", id="no list"),
    pytest.param({"waivers": [3]}, "waivers[0]: found 3", "expected an object", id="no object"),
    pytest.param({"waivers": [{**NOTE, "reson": "x"}]}, "waivers[0].reson", "did you mean 'reason'?", id="waiver key"),
    pytest.param({"waivers": [{**NOTE, "rule": "colum_removed"}]}, "waivers[0].rule", "'column_removed'?", id="rule"),
    pytest.param({"waivers": [{**NOTE, "expires": "2026-02-30"}]}, "waivers[0].expires", "a day", id="no such day"),
    pytest.param({"waivers": [{**NOTE, "expires": "20260228"}]}, "waivers[0].expires", "a day", id="form of the day"),
    pytest.param({"waivers": [{**NOTE, "reason": " "}]}, "waivers[0].reason", "expected a text", id="blank reason"),
    pytest.param({"waivers": [{"rule": "column_removed", "reason": "x", "expires": "2026-02-03"}]},
                 "waivers[0]: found no path", "rule and path", id="rule alone"),
    pytest.param({"waivers": [{**NOTE, "fingerprint": "ab"}]}, "fingerprint beside rule", "either", id="both"),
]


@pytest.mark.parametrize("config, found, expected", FAULTS)
def test_fault_of_the_configuration_is_named(check: Callable[..., Done], config: Any, found: str,
                                             expected: str) -> None:
    done = check(config)
    assert (done.code, done.out) == (3, "")
    assert "config.json:1:" in done.err and found in done.err and expected in done.err


@pytest.mark.parametrize("config, valid", [(case.values[0], False) for case in FAULTS if case.id not in (
    "rule", "no such day")] + [({"waivers": [NOTE], "fail_on": "never"}, True),
                               ({"waivers": [{"fingerprint": "ab", "reason": "x", "expires": "2026-02-03"}]}, True)])
def test_schema_of_the_configuration_agrees(config: Any, valid: bool) -> None:
    assert fits(config, read_schema("checker_config")) is valid
