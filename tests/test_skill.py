"""SKILL.md against the Agent Skills specification, and the content rules that make a skill usable."""

import re
from typing import Dict, List

import pytest

from running import ROOT

SKILL = ROOT / "SKILL.md"
ALLOWED_KEYS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
REFERENCES = sorted((ROOT / "references").glob("*.md"))


def split_skill() -> List[str]:
    """Return the front matter and the body of SKILL.md."""
    match = re.match(r"---\n(.*?\n)---\n(.*)", SKILL.read_text(encoding="utf-8"), re.DOTALL)
    assert match, "SKILL.md starts with front matter between two lines of ---"
    return list(match.groups())


def front_matter() -> Dict[str, str]:
    """Return the top-level keys; ours uses plain values, >- folding and one level of indentation, no more."""
    fields: Dict[str, str] = {}
    key = ""
    for line in split_skill()[0].splitlines():
        match = re.match(r"([\w-]+):(?: (.*))?$", line)
        if match:
            key = match.group(1)
            fields[key] = "" if match.group(2) in (None, ">-") else match.group(2)
        else:
            assert line.startswith("  ") and key, f"not understood: {line!r}"
            fields[key] = f"{fields[key]} {line.strip()}".strip()
    return fields


def test_file_is_plain_utf8_without_byte_order_mark() -> None:
    data = SKILL.read_bytes()
    assert not data.startswith(b"\xef\xbb\xbf") and b"\r" not in data
    data.decode("utf-8")


def test_front_matter_has_the_allowed_keys_only() -> None:
    assert {"name", "description", "license"} <= set(front_matter()) <= ALLOWED_KEYS


def test_name_is_that_of_the_skill() -> None:
    name = front_matter()["name"]
    assert name == "migration-architect"
    assert len(name) <= 64 and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


def test_description_says_what_and_when_within_its_limit() -> None:
    description = front_matter()["description"]
    assert 200 <= len(description) <= 1024
    assert "Use when" in description or "Use this" in description
    assert not re.search(r"[<>]", description)
    assert ">-" in split_skill()[0] or ": " not in description


def test_compatibility_fits() -> None:
    assert 1 <= len(front_matter().get("compatibility", "-")) <= 500


def test_version_of_the_metadata_is_that_of_the_scripts() -> None:
    version = re.search(
        r'^VERSION = "(.+)"', (ROOT / "scripts" / "migration_planner.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert f'version: "{version.group(1)}"' in front_matter()["metadata"]


def test_body_is_short_enough_to_be_read_whole() -> None:
    """The specification allows 500 lines and 5,000 tokens; a token is about four characters of English."""
    body = split_skill()[1]
    assert len(body.splitlines()) <= 250
    assert len(body) / 4 <= 5000


def test_every_reference_is_named_with_the_time_to_read_it() -> None:
    body = split_skill()[1]
    assert [path.name for path in REFERENCES if f"references/{path.name}" not in body] == []


def test_paths_that_the_body_names_exist() -> None:
    named = re.findall(r"(?<![\w/.])((?:scripts|references|assets)/[\w./-]+\w)", split_skill()[1])
    assert named and [path for path in named if not (ROOT / path).exists()] == []


def test_references_stay_one_level_deep() -> None:
    """A reference never sends its reader to another reference."""
    assert [
        path.name for path in REFERENCES if re.search(r"\]\((?!https?:|#)[^)]*\.md", path.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.name)
def test_reference_starts_with_its_contents(path) -> None:
    """The contents list stands before the first section and names every section."""
    text = path.read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    start = text.split("\n## ", 1)[0] if sections[:1] != ["Contents"] else text.split("\n## ", 2)[1]
    assert [title for title in sections if title != "Contents" and f"[{title}]" not in start] == []


def test_exit_codes_and_gotchas_are_in_the_body() -> None:
    body = split_skill()[1]
    assert re.search(r"^#+ .*[Ee]xit codes", body, re.MULTILINE)
    assert re.search(r"^#+ .*Gotchas", body, re.MULTILINE)
