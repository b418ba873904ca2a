"""What --export writes: names, modes, whole scripts, nothing of the input in a shell, nothing stale."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from made_reports import HOSTILE, document, hostile, report, sample, schema

import compatibility_checker as checker
from running import ASSETS, Done, execute, program

SIDES = ["--before", ASSETS / "database_schema_before.json", "--after", ASSETS / "database_schema_after.json"]
NAME = re.compile(r"\d{3,}_(?:expand|migrate|contract)_[a-z0-9_]{1,60}(?:\.rollback|\.check)?\.(?:sql|txt)"
                  r"|reconcile/(?:source|target)/\d{3,}_[a-z0-9_]+\.(?:postgresql|mysql|sqlite|sparksql)\.(?:sql|py)"
                  r"|reconcile/(?:source|target)\.sh")
DIALECTS = ("postgresql", "mysql", "sqlite")


def many(dialect: str) -> Dict[str, Any]:
    """Return a hostile report of a dialect; SQLite's and MariaDB's scripts need simpler names."""
    return hostile(dialect) if dialect == "postgresql" else sample(dialect=dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_names_are_plain_and_programs_hold_no_name_of_the_input(dialect: str) -> None:
    made = many(dialect)
    files = checker.export_files(made)
    odd = [name for name in files if not NAME.fullmatch(name) and name not in ("apply.sh", "rollback.sh", "SHA256SUMS")]
    assert odd == []
    for name in ("apply.sh", "rollback.sh"):
        rows = re.search(r'^scripts="\\\n(.*?)"$', files[name], re.MULTILINE | re.DOTALL).group(1)
        assert all(re.fullmatch(r"[a-z0-9_]+ [a-z]+ (sql|manual) (lossless|lossy|nothing)", row)
                   for row in rows.splitlines())
        assert len(rows.splitlines()) == len(made["migration_scripts"])
        assert not any(part in files[name] for part in HOSTILE if len(part) > 4 and part != "select")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_programs_are_clean_for_shellcheck(dialect: str, tmp_path: Path) -> None:
    checker.write_export(str(tmp_path), checker.export_files(many(dialect)))
    checked = execute([program("shellcheck"), *sorted(tmp_path.rglob("*.sh"))])
    assert (checked.code, checked.out) == (0, "")
    assert os.access(tmp_path / "apply.sh", os.X_OK) and not os.access(tmp_path / "SHA256SUMS", os.X_OK)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_files_hold_the_scripts_whole(dialect: str) -> None:
    made = many(dialect)
    files = checker.export_files(made)
    for name, script in zip(checker.export_names(made["migration_scripts"]), made["migration_scripts"]):
        if script["script_type"] == "manual":
            assert script["script_content"].strip() in files[f"{name}.txt"] and f"{name}.sql" not in files
            continue
        for part, suffix in (("script_content", ".sql"), ("rollback_script", ".rollback.sql")):
            head, _, body = files[name + suffix].partition(script[part].rstrip("\n") or "\0")
            assert all(line.startswith("-- ") for line in (head or files[name + suffix]).strip().splitlines())
            assert body.strip() == ""
        assert (f"{name}.check.sql" in files) is bool(script["validation_query"])


def test_folder_is_written_and_can_be_checked(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run("compatibility_checker", *SIDES, "-f", "json", "--export", tmp_path / "deep" / "out")
    assert done.code == 2 and "apply.sh runs the scripts" in done.err
    checked = execute([program("sha256sum"), "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path / "deep" / "out")
    assert (checked.code, checked.out + checked.err) == (0, "")


def test_second_export_takes_away_what_the_first_has_written(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    checker.write_export(str(tmp_path), checker.export_files(sample()))
    checker.write_export(str(tmp_path), checker.export_files(report(schema("a"), schema("a", "b"))))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"notes.txt", "apply.sh", "rollback.sh", "SHA256SUMS", "reconcile", "001_expand_table_b.sql",
                    "001_expand_table_b.rollback.sql", "001_expand_table_b.check.sql"}


def test_list_of_an_earlier_export_cannot_reach_outside(tmp_path: Path) -> None:
    outside, folder = tmp_path / "precious", tmp_path / "out"
    folder.mkdir()
    outside.write_text("x", encoding="utf-8")
    rows = [f"{'0' * 64}  {name}\n" for name in ("../precious", str(outside), "reconcile/../../precious")]
    (folder / "SHA256SUMS").write_text("".join(rows), encoding="utf-8")
    checker.write_export(str(folder), checker.export_files(report(schema("a"), schema("a", "b"))))
    assert outside.exists()


def test_reconciliation_queries_find_their_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(checker.EXPORT_FOLDERS, checker.RECONCILE_FOLDER,
                        lambda made: {"001_rows.sql": f"SELECT {len(made['issues'])};\n"})
    made = report(schema("a"), schema("a", "b"))
    checker.write_export(str(tmp_path), checker.export_files(made))
    assert (tmp_path / "reconcile" / "001_rows.sql").read_text("utf-8") == "SELECT 1;\n"
    assert "  reconcile/001_rows.sql\n" in (tmp_path / "SHA256SUMS").read_text("utf-8")


@pytest.mark.parametrize("args, words", [
    pytest.param(["--type", "api", "--export", "out"], "expected database", id="api"),
    pytest.param(["--export", "/proc/nothing"], "cannot be written", id="folder that cannot be made"),
])
def test_export_that_cannot_be_is_refused(run: Callable[..., Done], tmp_path: Path, args: Any, words: str) -> None:
    sides = ["--before", ASSETS / "api_before.json", "--after", ASSETS / "api_after.json"] if "api" in args else SIDES
    done = run("compatibility_checker", *sides, *args, cwd=tmp_path)
    assert (done.code, done.out) == (3, "") and words in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("args, words", [
    pytest.param([], "no database is given", id="no database"),
    pytest.param(["--phase", "expnd", "x"], "--phase: found 'expnd'", id="phase"),
    pytest.param(["--tries", "0", "x"], "--tries: found '0'", id="tries"),
    pytest.param(["--trust", "me", "x"], "--trust: found 'me'", id="trust"),
    pytest.param(["--what", "x"], "unknown option --what", id="option"),
    pytest.param(["x", "y"], "two databases", id="two databases"),
    pytest.param(["--phase"], "lacks its value", id="no value"),
])
def test_wrong_usage_of_a_program_is_named(tmp_path: Path, args: Any, words: str) -> None:
    checker.write_export(str(tmp_path), checker.export_files(sample(dialect="mysql")))
    done = execute([tmp_path / "apply.sh", *args], env={"PGDATABASE": None})
    assert done.code == 3 and words in done.err and "--help" in done.err
    assert execute([tmp_path / "apply.sh", "--help"]).out.startswith("usage: apply.sh [--phase ")


def test_module_names_are_defined_once() -> None:
    """A second definition of a name replaces the first for all sections: it has happened."""
    text = Path(checker.__file__).read_text("utf-8")
    names = re.findall(r"^(?:def |class )(\w+)|^([A-Z][A-Z_]+)(?=[:,]| =)", text, re.MULTILINE)
    flat = [one or other for one, other in names]
    assert [name for name in sorted(set(flat)) if flat.count(name) > 1] == []


def test_digest_list_is_the_last_and_complete() -> None:
    files = checker.export_files(sample())
    rows = dict(line.split("  ")[::-1] for line in files.pop("SHA256SUMS").splitlines())
    assert rows == {name: hashlib.sha256(text.encode("utf-8")).hexdigest() for name, text in files.items()}
    assert json.loads(document({}, "x").text) == {}
