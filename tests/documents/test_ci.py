"""The CI files: the commands of their steps are run in a repository, as the service would run them."""

import json
import re
import shutil
from pathlib import Path
from typing import Dict, List, NamedTuple

import pytest

from running import ASSETS, ROOT, Done, execute, program

STEP = re.compile(r"^      - name: (.+)\n((?:(?:        .*)?\n)*)", re.MULTILINE)
SIDES = {"schema.json": "database_schema", "openapi.json": "api"}


class Step(NamedTuple):
    """One step of a workflow that runs commands."""

    name: str
    commands: str


def steps() -> List[Step]:
    """Return the steps of the GitHub workflow that hold `run`, with their commands without the YAML's indentation."""
    found = []
    for name, body in STEP.findall((ASSETS / "ci" / "github_actions.yml").read_text(encoding="utf-8")):
        run = re.search(r"^        run: (\|\n)?((?:.*\n)+)", body, re.MULTILINE)
        if run:
            found.append(Step(name, re.sub(r"^          ", "", run.group(2), flags=re.MULTILINE)))
    return found


def git(folder: Path, *arguments: str) -> Done:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    done = execute([program("git"), *identity, *arguments], cwd=folder)
    assert done.code == 0, done.err
    return done


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a clone of a repository whose main branch holds the before side of the samples; gh is a recorder."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "-q")
    shutil.copytree(ROOT / "scripts", origin / "tools" / "migration-architect" / "scripts")
    for file, sample in SIDES.items():
        shutil.copy(ASSETS / f"{sample}_before.json", origin / file)
    git(origin, "add", "-A")
    git(origin, "commit", "-q", "-m", "main")
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    (tmp_path / "bin").mkdir()
    recorder = tmp_path / "bin" / "gh"
    recorder.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/gh.txt\ncp comment.md {tmp_path}/posted.md\n')
    recorder.chmod(0o755)
    return clone


def run_workflow(clone: Path) -> Dict[str, Done]:
    """Run the steps one after the other, as a runner does: bash -e, later steps not after a failure."""
    home = clone.parent
    env = {"SCRIPTS": "tools/migration-architect/scripts", "GITHUB_BASE_REF": "main", "PULL_REQUEST": "7",
           "GITHUB_OUTPUT": str(home / "output"), "GITHUB_STEP_SUMMARY": str(home / "summary"),
           "PATH": f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin:{Path(shutil.which('python3') or '').parent}"}
    done: Dict[str, Done] = {}
    for step in steps():
        code = (home / "output").read_text().strip().partition("=")[2] if (home / "output").exists() else ""
        done[step.name] = execute(["bash", "-e", "-c", step.commands], cwd=clone, env={**env, "CODE": code})
        if done[step.name].code:
            break
    return done


def change(clone: Path, side: str) -> None:
    for file, sample in SIDES.items():
        shutil.copy(ASSETS / f"{sample}_{side}.json", clone / file)


def test_breaking_pull_request_is_told_everywhere_and_stopped(repository: Path) -> None:
    change(repository, "after")
    done = run_workflow(repository)
    assert {name: step.code for name, step in done.items()} == {
        "Validate the migration plan": 0, "Compare with the branch that it goes to": 0, "Comment": 0, "Gate": 2}
    log = done["Compare with the branch that it goes to"].out
    assert "::error file=schema.json,line=" in log and "::error file=openapi.json,line=" in log
    posted = (repository.parent / "posted.md").read_text(encoding="utf-8")
    assert posted.count("## BREAKING") == 2 and len(posted) < 65536
    assert posted == (repository.parent / "summary").read_text(encoding="utf-8")
    assert (repository.parent / "gh.txt").read_text().startswith("pr comment 7 --body-file comment.md")
    runs = [json.loads(path.read_text(encoding="utf-8"))["runs"][0] for path in sorted(
        (repository / "reports").glob("*.sarif"))]
    uris = {place["physicalLocation"]["artifactLocation"]["uri"]
            for run in runs for result in run["results"] for place in result["locations"]}
    assert uris == {"schema.json", "openapi.json"}
    assert len({run["automationDetails"]["id"] for run in runs}) == 2  # code scanning refuses two runs of one category


def test_pull_request_that_changes_nothing_passes(repository: Path) -> None:
    done = run_workflow(repository)
    assert [step.code for step in done.values()] == [0, 0, 0, 0]


def test_document_that_main_does_not_have_is_no_failure(repository: Path) -> None:
    (repository.parent / "origin" / "openapi.json").unlink()
    git(repository.parent / "origin", "commit", "-q", "-a", "-m", "no API")
    git(repository, "fetch", "-q")
    done = run_workflow(repository)
    assert [step.code for step in done.values()] == [0, 0, 0, 0]
    assert "main has no openapi.json" in done["Compare with the branch that it goes to"].out


def test_unreadable_document_stops_with_its_own_code(repository: Path) -> None:
    (repository / "openapi.json").write_text("{", encoding="utf-8")
    done = run_workflow(repository)
    assert done["Gate"].code == 3
    assert "openapi.json:1:2" in done["Compare with the branch that it goes to"].err


def test_invalid_specification_stops_first(repository: Path) -> None:
    (repository / "migration_spec.json").write_text('{"type": "database"}', encoding="utf-8")
    done = run_workflow(repository)
    assert [step.code for step in done.values()] == [1]


@pytest.mark.parametrize("side, code", [("before", 0), ("after", 2)])
def test_gitlab_job_ends_with_the_verdict(repository: Path, side: str, code: int) -> None:
    change(repository, side)
    text = (ASSETS / "ci" / "gitlab.yml").read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"^    - (\S.*)$", text[text.index("  script:"):text.index("  allow_failure:")],
                                  re.MULTILINE))
    done = execute(["bash", "-e", "-c", script], cwd=repository, env={"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"})
    assert done.code == code, done.err
    assert (repository / "report.xml").read_text(encoding="utf-8").startswith("<?xml")
