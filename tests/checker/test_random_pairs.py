"""Schemas that nobody wrote: a seed makes a pair, and the scripts go there and back, or stop and leave no trace."""

import json
import random
import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from pg_live import check, export, rows
from pg_pairs import make_pair
from test_postgresql_live import NOT_REPEATABLE
from running import execute

pytestmark = pytest.mark.live

# The only good reasons to stop: rows that the wanted schema does not admit.
ROWS_IN_THE_WAY = re.compile(
    "nothing was changed|invalid input|out of range|too long|overflow|malformed|"
    "null values|could not create unique index|invalid byte sequence"
)


def state(live: Any) -> Dict[str, Any]:
    """Return the schema, every row, and every sequence's position."""
    document = export(live)
    tables = [f'"{key}"' for key in document["tables"]]
    sequences = "sequencename || ' ' || coalesce(last_value, 0)"
    positions = live.query(f"SELECT string_agg({sequences}, ',' ORDER BY sequencename) FROM pg_sequences;")
    return {"schema": json.dumps(document, sort_keys=True), "rows": rows(live, tables), "positions": positions}


def undo(live: Any, scripts: List[Dict[str, Any]]) -> None:
    for script in scripts[::-1]:
        done = live.apply(script["rollback_script"])
        assert done.code == 0, f"{script['id']}: {done.err}\n{script['rollback_script']}"


def run_all(live: Any, scripts: List[Dict[str, Any]]) -> Tuple[int, bool]:
    """Apply the scripts, each proven by its query; return how many ran, and whether the last came to its end."""
    for number, script in enumerate(scripts, 1):
        before = export(live)
        done = live.apply(script["script_content"])
        if done.code:
            assert "nothing was changed" not in done.err or export(live) == before, f"{script['id']}: {done.err}"
            assert ROWS_IN_THE_WAY.search(done.err), f"{script['id']}: {done.err}\n{script['script_content']}"
            return number, False  # the undo of a script that stopped half-way must do as well
        assert not script["validation_query"] or live.query(script["validation_query"]) == "t", script["id"]
    return len(scripts), True


@pytest.mark.parametrize("seed", range(12))
def test_a_random_pair_goes_there_and_back(new_postgresql: Any, tmp_path: Path, seed: int) -> None:
    scratch, live, wanted = new_postgresql(), new_postgresql(), new_postgresql()

    def takes(sql: str) -> bool:
        return scratch.apply(f"BEGIN;\n{sql}ROLLBACK;").code == 0

    pair = make_pair(seed, takes)
    assert live.apply(pair.before).code == wanted.apply(pair.after).code == 0
    keep_on = ["-v", "ON_ERROR_STOP=0"]
    execute([*live.client, *keep_on], stdin="\n".join(pair.rows))  # some do not fit: the seed knows no constraint
    target = export(wanted)
    scripts = check(tmp_path, export(live), target)["migration_scripts"]
    if any(script["script_type"] == "manual" for script in scripts):
        return
    start = state(live)
    count, complete = run_all(live, scripts)
    if complete:
        assert check(tmp_path, export(live), target)["migration_scripts"] == [], pair.said
    undo(live, scripts[:count])
    assert state(live) == start, pair.said
    if count:
        number = random.Random(seed).randrange(count)
        run_all(live, scripts[:number])
        again = not scripts[number]["transactional"] and not re.search(NOT_REPEATABLE, scripts[number]["id"])
        undo(live, scripts[: number + again])  # of the last one nothing ran
        assert state(live) == start, pair.said
