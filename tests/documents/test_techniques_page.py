"""The page of techniques has for each of them what an engineer needs."""

import re

import pytest

from running import ROOT

TEXT = (ROOT / "references" / "zero_downtime_techniques.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", TEXT, re.MULTILINE))
TOLD_OTHERWISE = {"Contents", "The lock queue: why an instant change can stop a table", "Sources",
                  "The scripts that the checker writes", "PostgreSQL: what each change locks",
                  "Old sessions: prepared statements and pools", "What it costs: measured"}


@pytest.mark.parametrize("name", [name for name in SECTIONS if name not in TOLD_OTHERWISE])
def test_technique_says_when_what_must_hold_and_how_back(name: str) -> None:
    for part in ("**When**", "**Go on when**", "**Undo**", "**Pitfalls**", "**Sources**"):
        assert part in SECTIONS[name]


def test_contents_lists_every_section() -> None:
    assert re.findall(r"^- \[(.+?)\]", SECTIONS["Contents"], re.MULTILINE) == [
        name for name in SECTIONS if name != "Contents"]
