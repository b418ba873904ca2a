"""The outputs of the shipped samples, byte for byte; `python3 -m pytest --regold` rewrites them for review."""

import json
import re
import sys
from pathlib import Path
from typing import Any, Callable, List, NamedTuple

import pytest

import documents_page
from json_schema import problems, read_schema
from running import ASSETS, EPOCH, ROOT, SCRIPTS, Done, copy_product, execute, interpreters
from test_schemas import parts

EXPECTED = ASSETS / "expected"


class Golden(NamedTuple):
    """One command on the samples; its JSON and text stand in assets/expected/NAME.json and NAME.txt."""

    name: str
    schema: str
    code: int
    script: str
    arguments: List[str]


GOLDENS = [  # in the order of the workflow: later commands read what earlier ones wrote
    Golden(
        "database_compatibility",
        "compatibility_report",
        2,
        "compatibility_checker",
        [
            "--before",
            "assets/database_schema_before.json",
            "--after",
            "assets/database_schema_after.json",
            "--type",
            "database",
        ],
    ),
    Golden(
        "api_compatibility",
        "compatibility_report",
        2,
        "compatibility_checker",
        ["--before", "assets/api_before.json", "--after", "assets/api_after.json", "--type", "api"],
    ),
    Golden(
        "database_plan",
        "migration_plan",
        0,
        "migration_planner",
        [
            "-i",
            "assets/sample_database_migration.json",
            "--compatibility",
            "assets/expected/database_compatibility.json",
        ],
    ),
    Golden("service_plan", "migration_plan", 0, "migration_planner", ["-i", "assets/sample_service_migration.json"]),
    Golden(
        "infrastructure_plan",
        "migration_plan",
        0,
        "migration_planner",
        ["-i", "assets/sample_infrastructure_migration.json"],
    ),
    Golden(
        "database_runbook", "rollback_runbook", 0, "rollback_generator", ["-i", "assets/expected/database_plan.json"]
    ),
    Golden("service_runbook", "rollback_runbook", 0, "rollback_generator", ["-i", "assets/expected/service_plan.json"]),
    Golden(
        "infrastructure_runbook",
        "rollback_runbook",
        0,
        "rollback_generator",
        ["-i", "assets/expected/infrastructure_plan.json"],
    ),
]
each_golden = pytest.mark.parametrize("case", GOLDENS, ids=[case.name for case in GOLDENS])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds only copies of scripts/ and assets/, as a user would make it."""
    path = tmp_path_factory.mktemp("samples")
    copy_product(path)
    return path


def start(folder: Path, case: Golden, chosen: str, python: str = sys.executable) -> Done:
    return execute(
        [python, f"scripts/{case.script}.py", *case.arguments, "-q", "-f", chosen],
        cwd=folder,
        env={"SOURCE_DATE_EPOCH": EPOCH},
    )


@each_golden
@pytest.mark.parametrize("chosen, suffix", [("json", "json"), ("text", "txt")])
def test_sample_gives_what_is_expected(
    folder: Path, golden: Callable[[Path, str], None], case: Golden, chosen: str, suffix: str
) -> None:
    done = start(folder, case, chosen)
    assert (done.code, done.err) == (case.code, "")
    golden(EXPECTED / f"{case.name}.{suffix}", done.out)
    (folder / "assets" / "expected").mkdir(exist_ok=True)
    (folder / "assets" / "expected" / f"{case.name}.{suffix}").write_text(done.out, encoding="utf-8")


@each_golden
def test_output_is_valid_against_its_schema(folder: Path, case: Golden) -> None:
    done = start(folder, case, "json")
    assert [str(problem) for problem in problems(done.json, read_schema(case.schema))] == []


@each_golden
@pytest.mark.parametrize("python", sorted({interpreters()[0], interpreters()[-1]}))
def test_oldest_and_newest_python_agree_with_the_goldens(folder: Path, case: Golden, python: str) -> None:
    done = start(folder, case, "json", python)
    assert done.out == (EXPECTED / f"{case.name}.json").read_text(encoding="utf-8"), done.err


def test_goldens_are_all_made_by_a_command() -> None:
    made = {f"{case.name}.{suffix}" for case in GOLDENS for suffix in ("json", "txt")}
    assert {path.name for path in EXPECTED.iterdir()} == made


# Pages of references/ that are written from what the scripts and schemas say


def rule_catalogue() -> str:
    return execute([sys.executable, SCRIPTS / "compatibility_checker.py", "--list-rules", "-f", "markdown"]).out


@pytest.mark.parametrize(
    "page, write",
    [
        pytest.param("rule_catalogue.md", rule_catalogue, id="rules"),
        pytest.param("json_documents.md", documents_page.page, id="documents"),
    ],
)
def test_generated_page_is_current(golden: Callable[[Path, str], None], page: str, write: Callable[[], str]) -> None:
    golden(ROOT / "references" / page, write())


def test_every_schema_has_its_section() -> None:
    names = {path.name.replace(".schema.json", "") for path in (ASSETS / "schemas").iterdir()}
    assert set(documents_page.ORDER) == names


@pytest.mark.parametrize("name", sorted(documents_page.ORDER))
def test_every_key_of_a_document_is_told(name: str) -> None:
    """No key of a schema is missing from its section, however deep it stands."""
    text = documents_page.section(name)
    schema = json.loads((ASSETS / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    keys = {key for rules in parts(schema) if isinstance(rules, dict) for key in rules.get("properties", {})}
    assert sorted(key for key in keys if not re.search(rf"`(?:[^`|]*\.)?{re.escape(key)}`", text)) == []


# The quick start of the product: three commands, one after the other, nothing else given


def test_quick_start_runs_from_an_empty_folder(tmp_path: Path) -> None:
    copy_product(tmp_path)
    commands = [
        (
            0,
            "scripts/migration_planner.py --input assets/sample_database_migration.json --output migration_plan.json"
            " --format both",
        ),
        (
            2,
            "scripts/compatibility_checker.py --before assets/database_schema_before.json"
            " --after assets/database_schema_after.json"
            " --type database --output compatibility_report.json --format both",
        ),
        (0, "scripts/rollback_generator.py --input migration_plan.json --output rollback_runbook.json --format both"),
    ]
    for code, command in commands:
        done = execute([sys.executable, *command.split()], cwd=tmp_path)
        assert done.code == code, done.err
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert written == {
        f"{stem}.{suffix}"
        for stem in ("migration_plan", "compatibility_report", "rollback_runbook")
        for suffix in ("json", "txt")
    }


CODE = ("script_content", "rollback_script", "validation_query", "query", "specification", "promql")
LEAK = re.compile(r"\bNone\b(?! needed)|\bTrue\b|\bFalse\b|NoneType|<\w+ object|%[sd]\b|\bTODO\b|\bFIXME\b|\bnan\b")


def strings(value: Any) -> List[str]:
    """Return every text of a document that is written for people."""
    if isinstance(value, dict):
        return [text for key, item in value.items() if key not in CODE for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@each_golden
def test_output_has_no_loose_ends(folder: Path, case: Golden) -> None:
    """No Python values or unfilled templates leak into the words."""
    assert [text[:120] for text in strings(start(folder, case, "json").json) if LEAK.search(text)] == []


@each_golden
def test_placeholders_are_listed(folder: Path, case: Golden) -> None:
    """What the input did not say is a {{placeholder}}, and each one is listed with the way to find its value."""
    value = start(folder, case, "json").json
    used = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(value)))
    listed = json.dumps(value.get("placeholders", []))
    assert [name for name in sorted(used) if not re.search(rf"\b{name}\b", listed)] == []
