"""Somebody who did not write the plan must be able to do each task: who, what to run, how to see that it worked."""

import itertools
import re
from typing import Any, Dict, List

import pytest

import migration_planner as planner
from planning import example, make, read, text_of
from running import ASSETS

PLANS = {letter: make(example(letter)) for letter in "ABCDE"}
SAMPLES = {path.stem: make(read(path)) for path in sorted(ASSETS.glob("sample_*_migration.json"))}
EVERY = {**PLANS, **SAMPLES}
each_plan = pytest.mark.parametrize("name", EVERY)
MEASURABLE = re.compile(
    r"\d|returns|exit code|green|equal|signed|in the evidence store|arrived|acknowledged|answers|written reason|"
    r"certificate|no finding|no open|both succeed|nothing|one event|written into the specification"
)


def tasks(name: str) -> List[Dict[str, Any]]:
    return [item for phase in EVERY[name].document["phases"] for item in phase["task_details"]]


@each_plan
def test_task_says_who_what_and_how_to_know(name: str) -> None:
    for item in tasks(name):
        assert item["owner"] in planner.ROLES.values()
        assert len(item["action"]) >= 20, item
        assert MEASURABLE.search(item["done_when"]), item["done_when"]
        assert not re.search(r"\b(etc|as needed|appropriate|properly|ensure|various|if necessary)\b", str(item),
                             re.IGNORECASE)


@each_plan
def test_no_two_tasks_read_the_same(name: str) -> None:
    titles = [item["title"] for item in tasks(name)]
    assert [title for title in titles if titles.count(title) > 1] == []
    pairs = [(item["action"], item["done_when"]) for item in tasks(name) if not item["title"].startswith("Decide")]
    assert [pair for pair in pairs if pairs.count(pair) > 1] == []


@pytest.mark.parametrize("one, two", list(itertools.combinations(EVERY, 2)))
def test_plans_of_different_systems_share_few_words(one: str, two: str) -> None:
    """What stands in both plans would stand in any: few actions, unless both move the same thing of the same team."""
    shared = {item["action"] for item in tasks(one)} & {item["action"] for item in tasks(two)}
    kinds = {EVERY[name].document["migration_type"] for name in (one, two)}
    assert len(shared) <= len(tasks(one)) / (15 if len(kinds) == 2 else 3), sorted(shared)


@each_plan
def test_every_task_stands_in_the_text(name: str) -> None:
    """As it is, or, where neighbours say the same of three consumers or more, once for all of them, each named."""
    flat = re.sub(r"\s+", "", text_of(EVERY[name]))
    consumers = {planner.show_path(row.path): (row.name, row.owner) for row in EVERY[name].plan.work.facts.dependencies}
    for item in tasks(name):
        texts = [item[key] for key in ("title", "action", "done_when")]
        if re.sub(r"\s+", "", texts[0]) not in flat:
            texts = [*planner.in_general(item, consumers)[:3], " ".join(consumers[item["source"]][:1])]
        for text in texts:
            assert re.sub(r"\s+", "", text) in flat, text


def test_new_table_is_proven_by_its_name() -> None:
    item = next(row for row in tasks("sample_database_migration") if row["title"] == "Create table user_consents")
    assert item["action"].startswith('CREATE TABLE '
                                     '"user_consents"') and "to_regclass('user_consents')" in item["done_when"]


def test_swapped_column_is_proven_under_its_own_name() -> None:
    item = [row for row in tasks("sample_database_migration") if "users.login_count" in row["title"]][-1]
    assert 'RENAME COLUMN "login_count_new" TO "login_count"' in item["action"]
    assert "column_name = 'login_count' returns bigint" in item["done_when"]


def test_replicas_beyond_the_maximum_are_not_just_asked_for() -> None:
    actions = [item["action"] for item in tasks("C") if "--replicas=23" in item["action"]]
    assert actions and "raise max_replicas from 10 to 23" in actions[0]
