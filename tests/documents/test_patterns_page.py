"""The catalogue of patterns tells the phases that the planner makes, and for each pattern what an engineer needs."""

import re

import pytest

import migration_planner as planner
from running import ROOT

TEXT = (ROOT / "references" / "migration_patterns_catalog.md").read_text(encoding="utf-8")
SECTIONS = {re.search(r"^`(\w+)`", body, re.MULTILINE).group(1): body
            for body in re.split(r"^## ", TEXT, flags=re.MULTILINE) if re.search(r"^`(\w+)`, for ", body, re.MULTILINE)}


def test_every_pattern_has_its_section() -> None:
    assert set(SECTIONS) == set(planner.PATTERNS)


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_section_tells_the_phases_of_the_plan_in_their_order(name: str) -> None:
    told = re.findall(r"^\| (\w+) \|", SECTIONS[name], re.MULTILINE)[1:]
    assert told == [phase.name for phase in planner.PATTERNS[name].phases]


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_section_says_when_how_back_and_from_where(name: str) -> None:
    for part in ("**When**", "**Undo**", "**Pitfalls**", "**Sources**", "oint of no return"):
        assert part in SECTIONS[name]
