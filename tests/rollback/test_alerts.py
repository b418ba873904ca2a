"""The exported alert files, loaded by promtool and amtool, and what the unit tests of the rules catch."""

import functools
import json
import re
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import pytest
import rollback_generator as rollback
from running import ASSETS, Done, execute, program
from undo_live import Kit, exported, make

INVENTORY = {
    "metric_selector": 'job="user-api",release="2"',
    "executor_url": "http://127.0.0.1:9/rollback",
    "runbook_url": "http://127.0.0.1:9/runbook",
    "slack_channel": "#user-migration",
    "scrape_interval_seconds": 5,
}
SAMPLES = ("database", "service", "infrastructure")


@functools.lru_cache(maxsize=None)
def plan_text(name: str) -> str:
    done = make("migration_planner", "-i", ASSETS / f"sample_{name}_migration.json", "-q", "-f", "json")
    assert done.code == 0, done.err
    return done.out


def planned(name: str) -> Dict[str, Any]:
    return json.loads(plan_text(name))


def kit(folder: Path, name: str, inventory: Optional[Dict[str, Any]] = None, **changes: Any) -> Kit:
    """Export the undo of a sample whose specification is changed."""
    plan = planned(name)
    plan["specification"].update(changes)
    if inventory is None:
        return exported(folder, plan)
    (folder / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    return exported(folder, plan, "--inventory", str(folder / "inventory.json"))


def read(kit: Kit, name: str) -> Any:
    return json.loads((kit.folder / name).read_text(encoding="utf-8"))


def rules(kit: Kit) -> Dict[str, Dict[str, Any]]:
    groups = read(kit, "prometheus.rules.json")["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def triggers(kit: Kit) -> Dict[str, Dict[str, Any]]:
    """Return the triggers by metric; the specification's own stands first."""
    found: Dict[str, Dict[str, Any]] = {}
    for trigger in read(kit, "runbook.json")["trigger_conditions"]:
        found.setdefault(trigger["name"], trigger)
    return found


def promtool(kit: Kit, *words: str) -> Done:
    return execute([program("promtool"), *words], cwd=kit.folder)


@pytest.mark.live
@pytest.mark.parametrize("inventory", [None, INVENTORY], ids=["no inventory", "inventory"])
@pytest.mark.parametrize("name", SAMPLES)
def test_real_tools_load_every_file(tmp_path: Path, name: str, inventory: Any) -> None:
    made = kit(tmp_path, name, inventory)
    for words in (("check", "rules", "--lint=all", "--lint-fatal", "prometheus.rules.json"),):
        done = promtool(made, *words)
        assert done.code == 0 and "FAILED" not in done.out, done
    done = promtool(made, "test", "rules", "prometheus.rules.test.json")
    assert done.code == 0 and "SUCCESS" in done.out + done.err, done
    metrics = (made.folder / "migration.prom").read_text(encoding="utf-8")
    checked = execute([program("promtool"), "check", "metrics"], stdin=metrics)
    assert (checked.code, checked.out + checked.err) == (0, "")
    assert execute([program("amtool"), "check-config", made.folder / "alertmanager.json"]).code == 0


@pytest.mark.live
def test_alert_reaches_who_has_to_act(tmp_path: Path) -> None:
    made = kit(tmp_path, "service", INVENTORY)
    mine = f"migration_id={made.plan['migration_id']}"
    wanted = {
        ("severity=critical", "action=automatic_rollback"): "rollback-executor,migration-pagerduty,migration-slack",
        ("severity=critical", "action=page"): "migration-pagerduty,migration-slack",
        ("severity=warning", "action=alert_team"): "migration-slack",
    }
    for labels, receivers in wanted.items():
        command = [program("amtool"), "config", "routes", "test", "--config.file", made.folder / "alertmanager.json"]
        assert execute([*command, mine, *labels]).out.strip() == receivers


def change_rule(find: str, put: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert find in text, find
        return text.replace(find, put)

    return change


BROKEN_RULES = [
    pytest.param(change_rule("> 0.0144", ">= 0.0144"), id="fires at the threshold"),
    pytest.param(change_rule("> 0.0144", "> 1.44"), id="threshold in percent"),
    pytest.param(change_rule("> 0.45", "> 450"), id="milliseconds for seconds"),
    pytest.param(change_rule('"for": "5m"', '"for": "1m"'), id="waits too short"),
    pytest.param(change_rule('"for": "10m"', '"for": "30m"'), id="waits too long"),
    pytest.param(change_rule('code=~\\"5..\\"', 'code=~\\"4..\\"'), id="wrong status codes"),
    pytest.param(change_rule(">= 50", ">= 0"), id="no guard against few requests"),
    pytest.param(lambda text: re.sub(r'"absent\(.*?\)"', '"vector(0) > 1"', text), id="blind to missing telemetry"),
    pytest.param(change_rule("histogram_quantile(0.95", "histogram_quantile(0.5"), id="wrong quantile"),
    pytest.param(change_rule('cohort=\\"new\\"', 'cohort=\\"old\\"'), id="watches the old cohort"),
]


@pytest.mark.live
@pytest.mark.parametrize("change", BROKEN_RULES)
def test_unit_tests_of_the_rules_catch(tmp_path: Path, change: Callable[[str], str]) -> None:
    made = kit(tmp_path, "service")
    path = made.folder / "prometheus.rules.json"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert promtool(made, "test", "rules", "prometheus.rules.test.json").code == 1


@pytest.mark.parametrize("name", SAMPLES)
def test_alert_outlives_the_telemetry_that_raised_it(tmp_path: Path, name: str) -> None:
    """Every trigger keeps firing when its series end, and something tells that they ended."""
    made = kit(tmp_path, name)
    found = rules(made)
    for rule in found.values():
        missing = rule["labels"].get("telemetry") == "missing"
        assert missing or rule["keep_firing_for"] == "5m", rule
    assert any(rule["labels"].get("telemetry") == "missing" for rule in found.values())
    inhibited = read(made, "alertmanager.json")["inhibit_rules"][0]
    assert (
        'telemetry!="missing"' in inhibited["source_matchers"]
        and 'severity="warning"' in inhibited["target_matchers"][1]
    )


def test_milliseconds_become_seconds(tmp_path: Path) -> None:
    assert triggers(kit(tmp_path, "service"))["response_time_p95"]["promql"].endswith("> 0.45")


def test_selector_of_the_inventory_is_used(tmp_path: Path) -> None:
    assert (
        'http_requests_total{job="user-api",release="2"}'
        in triggers(kit(tmp_path, "service", INVENTORY))["error_rate"]["promql"]
    )


def test_blindness_is_counted_for_each_stage(tmp_path: Path) -> None:
    """1.44 % of all requests can never be reached by 1 % of them; 620 requests/s make 372 in the window there."""
    seen = triggers(kit(tmp_path, "service"))["error_rate"]["blindness"]
    assert [(row["flag"], row["percentage"]) for row in seen][:2] == [
        ("route_reads_to_v2", 1),
        ("route_reads_to_v2", 5),
    ]
    assert seen[0]["on_all_traffic"] == "blind: needs 144% in the new cohort"
    assert seen[0]["on_new_cohort"] == "372 requests in 60 s: sees"
    load = planned("service")["specification"]["service_details"]
    load["legacy_service"]["current_load"]["requests_per_second"] = 5
    quiet = triggers(kit(tmp_path, "service", service_details=load))["error_rate"]["blindness"]
    assert quiet[0]["on_new_cohort"] == "3 requests in 60 s: blind"


def test_error_budget_is_watched_only_with_an_objective(tmp_path: Path) -> None:
    burning = [name for name in rules(kit(tmp_path, "service")) if "Burn" in name]
    assert burning == ["MigrationErrorBudgetBurn1h", "MigrationErrorBudgetBurn6h", "MigrationErrorBudgetBurn72h"]
    assert "> 0.0144 and" in rules(kit(tmp_path, "service"))["MigrationErrorBudgetBurn1h"]["expr"]  # 14.4 x 0.1 %
    assert not [name for name in rules(kit(tmp_path, "service", slo={})) if "Burn" in name]


def test_no_person_is_left_out_without_a_reason(tmp_path: Path) -> None:
    """The specification wants an automatic rollback of a phase that changes the schema: that stays with a person."""
    plan = {
        "migration_id": "abc",
        "phases": [{"name": "expand", "scripts": [{"id": "001", "rollback_script": "DROP TABLE t;"}]}],
        "specification": {
            "rollback_triggers": [{"metric": "error_rate", "threshold": 0.1, "action": "automatic_rollback"}]
        },
    }
    (tmp_path / "inventory.json").write_text(json.dumps(INVENTORY), encoding="utf-8")
    made = exported(tmp_path, plan, "--inventory", str(tmp_path / "inventory.json"))
    trigger = triggers(made)["error_rate"]
    assert (trigger["auto_execute"], trigger["auto_execute_reason"]) == (
        False,
        "the rollback of expand holds rb-expand-01, which changes schema or data",
    )
    assert rules(made)["MigrationErrorRateT01"]["labels"]["action"] == "page"


def test_no_secret_is_written(tmp_path: Path) -> None:
    text = (kit(tmp_path, "service", INVENTORY).folder / "alertmanager.json").read_text(encoding="utf-8")
    assert set(re.findall(r'"(\w+_file)": "([^"]+)"', text)) == {
        ("api_url_file", "/etc/alertmanager/secrets/slack_url"),
        ("routing_key_file", "/etc/alertmanager/secrets/pagerduty_key"),
        ("credentials_file", "/etc/alertmanager/secrets/executor_token"),
    }


def test_message_stays_a_template_until_its_blanks_are_filled(tmp_path: Path) -> None:
    made = kit(tmp_path, "service")
    assert (made.folder / "slack" / "start.template.json").exists()
    ready = exported(
        tmp_path / "ready", made.plan, "--fill", "incident_commander=Ann", "--fill", "next_update_utc=03:00"
    )
    message = json.loads((ready.folder / "slack" / "start.json").read_text(encoding="utf-8"))
    assert "{{" not in json.dumps(message)
    assert len(message["blocks"][0]["text"]["text"]) <= 150


def test_names_from_the_plan_cannot_break_a_template(tmp_path: Path) -> None:
    plan = {"migration_id": "a{{ .Bad }}", "source_system": "{{nope}} \U0001f680 \x7f", "phases": [{"name": "one"}]}
    plan["specification"] = {"rollback_triggers": [{"metric": "error_rate", "threshold": 0.1}]}
    made = exported(tmp_path, plan)
    done = promtool(made, "check", "rules", "--lint=all", "--lint-fatal", "prometheus.rules.json")
    assert done.code == 0, done
    assert promtool(made, "test", "rules", "prometheus.rules.test.json").code == 0


def test_dashboard_panels_do_not_overlap(tmp_path: Path) -> None:
    board = read(kit(tmp_path, "service"), "grafana-dashboard.json")
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places) > 3
    assert {panel["type"] for panel in board["panels"]} == {"timeseries"}


def test_sentence_is_no_trigger() -> None:
    assert rollback.parse_trigger("Critical system failure") is None
    assert rollback.parse_trigger("mismatching_rows >= 1 rows: stop").value == 1.0
