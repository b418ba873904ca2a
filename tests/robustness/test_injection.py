"""Names and texts that try to be code stay data: in SQL on the servers, in bash, in a browser, in Prometheus."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from undo_live import exported

from running import ASSETS, EPOCH, SCRIPTS, Done, execute, program

NAMES = [
    'a"b', "a'b", "a`b", "x; DROP TABLE canary; --", "x'); DROP TABLE canary; --", 'x"; DROP TABLE canary; --',
    "x`; DROP TABLE canary; --", "$(rm canary)", "`rm canary`", "{{x}}", "%s%n", "select", "a\\b", "a b", "é" * 20,
    "--x", "/*x", "\u202egnp", "a\nb", "a\n\\! rm canary", ":x", "@x", "?", "$$", "A|B>canary",
]  # fmt: skip
ENGINES = {"postgresql": "t", "mysql": "1", "sqlite": "1"}  # what a validation query prints
MARKUP = "</td></title></script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
each_engine = pytest.mark.parametrize("engine", ENGINES)


def table(columns: List[str], default: Any = None) -> Dict[str, Any]:
    made: Dict[str, Any] = {"id": {"type": "integer", "nullable": False, "primary_key": True}}
    for name in columns:
        made[name] = {"type": "varchar(90)", **({"default": default} if default else {})}
    return {"columns": made}


def documents(engine: str) -> List[Dict[str, Any]]:
    """Return nothing, a schema full of hostile names, and that schema changed in all the usual ways."""
    half = len(NAMES) // 2
    before = {**{name: table(["plain"]) for name in NAMES}, "texts": table(NAMES)}
    after = {**{name: table(["plain", name + "+"]) for name in NAMES[half:]},
             "texts": table([*NAMES[:half], *(name + "+" for name in NAMES)])}
    for name in NAMES:
        after["texts"]["columns"][name + "+"].update(default=name)
        if engine != "sqlite":
            after["texts"]["columns"][name + "+"].update(comment=name)
    after["texts"]["indexes"] = [{"name": f"i{name}", "columns": [name]} for name in NAMES[:half]]
    return [{"dialect": engine, "tables": tables} for tables in ({}, before, after)]


def report(folder: Path, before: Any, after: Any, *more: Any) -> Dict[str, Any]:
    for name, document in (("before", before), ("after", after)):
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    sides = ["--before", folder / "before.json", "--after", folder / "after.json", "-q", "-f", "json", *more]
    done = execute([sys.executable, SCRIPTS / "compatibility_checker.py", *sides, "-o", folder / "report.json"])
    assert done.code in (0, 1, 2), done.err
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def export(database: Any, engine: str) -> Any:
    """Return the live schema without the statistics, and without the text that SQLite respells at a rename."""
    document = json.loads(database.query((ASSETS / f"export_schema_{engine}.sql").read_text(encoding="utf-8")))
    return {name: {key: value for key, value in body.items() if key not in ("row_count", "size_mb", "sql")}
            for name, body in document["tables"].items()}


@pytest.mark.live
@each_engine
def test_hostile_names_and_texts_go_there_and_back(engine: str, tmp_path: Path, request: Any) -> None:
    database = request.getfixturevalue("mariadb" if engine == "mysql" else engine)
    database.apply("CREATE TABLE canary (id integer); INSERT INTO canary VALUES (7);")
    nothing, before, after = documents(engine)

    def run(scripts: List[Dict[str, Any]], part: str) -> None:
        for script in scripts:
            assert script["script_type"] == "sql", script["description"]
            done = database.apply(script[part])
            assert done.code == 0, f"{script[part]}\n{done.err}"
            if part == "script_content" and script["validation_query"]:
                assert database.query(script["validation_query"]) == ENGINES[engine], script["validation_query"]

    run(report(tmp_path, nothing, before)["migration_scripts"], "script_content")
    was = export(database, engine)
    assert set(NAMES) <= set(was)
    scripts = report(tmp_path, before, after)["migration_scripts"]
    run(scripts, "script_content")
    database.apply("INSERT INTO texts (id) VALUES (1);")
    now = export(database, engine)["texts"]["columns"]
    assert {name + "+" for name in NAMES} <= set(now)
    if engine != "sqlite":
        assert {now[name + "+"]["comment"] for name in NAMES} == set(NAMES)
    run(scripts[::-1], "rollback_script")
    assert export(database, engine) == was
    assert database.query("SELECT id FROM canary;") == "7"


@pytest.mark.live
def test_exported_programs_run_no_name_of_the_input(tmp_path: Path, new_sqlite: Callable[[], Any]) -> None:
    database, kit, home = new_sqlite(), tmp_path / "kit", tmp_path / "home"
    home.mkdir()
    (home / "canary").write_text("alive")
    nothing, before, _ = documents("sqlite")
    report(tmp_path, nothing, before, "--export", kit)
    database.apply("CREATE TABLE canary (id integer);")
    for name in ("apply.sh", "rollback.sh"):
        done = execute([kit / name, database.name], cwd=home, env={"JOURNAL": str(tmp_path / "journal")})
        assert done.code == 0, done.err
        assert [path.name for path in home.iterdir()] == ["canary"]
        there = database.query("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE '%canary%';")
        assert (int(there) > 1) is (name == "apply.sh")
        if shutil.which("shellcheck"):
            assert execute(["shellcheck", kit / name]).out == ""


def poisoned(value: Any, word: str) -> Any:
    """Return a document with a word behind every text that is a name or a description."""
    if isinstance(value, dict):
        return {key: poisoned(item, word) if key not in ("type", "pattern", "role") else item
                for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, word) for item in value]
    free = isinstance(value, str) and (" " in value or re.fullmatch(r"[a-z]+(?:_[a-z]+)*", value))
    return f"{value} {word}" if free else value


def page(script: str, document: Any, tmp_path: Path, *more: Any) -> Done:
    (tmp_path / "in.json").write_text(json.dumps(document), encoding="utf-8")
    return execute([sys.executable, SCRIPTS / f"{script}.py", "-i", tmp_path / "in.json", "-q", *more],
                   env={"SOURCE_DATE_EPOCH": EPOCH})


@pytest.mark.live
def test_chromium_runs_nothing_of_the_pages(tmp_path: Path) -> None:
    spec = json.loads((ASSETS / "examples" / "a_small_schema_change.json").read_text(encoding="utf-8"))
    for text in ("source", "target"):
        spec[text] = f"PostgreSQL 15 {MARKUP}"
    planned = page("migration_planner", spec, tmp_path, "-f", "json", "--simulations", "100")
    assert planned.code == 0, planned.err
    pages = [page("migration_planner", spec, tmp_path, "-f", "html", "--simulations", "100"),
             page("rollback_generator", poisoned(planned.json, MARKUP), tmp_path, "-f", "html")]
    for number, done in enumerate(pages):
        assert done.code == 0 and "document.title=" in done.out, done.err
        (tmp_path / f"{number}.html").write_text(done.out, encoding="utf-8")
        command = [program("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                   f"--user-data-dir={tmp_path}/profile", f"file://{tmp_path}/{number}.html"]
        drawn = execute(command, timeout=240)
        assert "</html>" in drawn.out, drawn.err
        assert "<title>pwned" not in drawn.out and "<script>document" not in drawn.out and "<img" not in drawn.out


@pytest.mark.live
def test_prometheus_takes_rules_of_a_hostile_plan(tmp_path: Path) -> None:
    plan = page("migration_planner", json.loads((ASSETS / "sample_service_migration.json").read_text("utf-8")), tmp_path,
                "-f", "json", "--simulations", "100").json
    kit = exported(tmp_path / "kit", poisoned(plan, "\"} or vector(1) {{ .Labels.x }} $(rm canary) \\ '"))
    done = execute([program("promtool"), "check", "rules", "prometheus.rules.json"], cwd=kit.folder)
    assert done.code == 0, done.out + done.err
