"""Every ```sql block of the references is run, in the order of its page, by the client of the dialect that it names."""

import re
from typing import List, Tuple

import pytest

from running import ROOT

BLOCK = re.compile(r"^```sql *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIALECTS = ("postgresql", "mariadb", "sqlite")
PAGES = sorted((ROOT / "references").glob("*.md"))


def blocks(name: str) -> List[Tuple[str, int, str]]:
    """Return dialect, line and SQL of each block of a page."""
    text = (ROOT / "references" / name).read_text(encoding="utf-8")
    return [(found.group(1), text.count("\n", 0, found.start()) + 1, found.group(2)) for found in BLOCK.finditer(text)]


PAGES_WITH_SQL = [
    (path.name, dialect)
    for path in PAGES
    for dialect in DIALECTS
    if any(dialect == block[0] for block in blocks(path.name))
]


@pytest.mark.live
@pytest.mark.parametrize("page, dialect", PAGES_WITH_SQL)
def test_sql_of_a_page_works_in_its_order(request: pytest.FixtureRequest, page: str, dialect: str) -> None:
    database = request.getfixturevalue(dialect)
    for language, line, sql in blocks(page):
        if language == dialect:
            done = database.apply(sql)
            assert done.code == 0 and "ERROR" not in done.err, f"{page}:{line}: {done.err}"


def test_sql_blocks_name_their_dialect() -> None:
    """A block without one would never be run; what cannot run alone is shown without a language."""
    assert [
        (path.name, line) for path in PAGES for language, line, _ in blocks(path.name) if language not in DIALECTS
    ] == []
