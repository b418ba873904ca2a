"""Schemas that nobody wrote: a seed makes a pair, and the scripts go there and back, or stop and leave no trace."""

import random
import re
from pathlib import Path

import pytest

from my_live import Migration, check, different, everything, export
from my_pairs import make_pair
from running import execute

pytestmark = pytest.mark.live

# The only good reasons to stop: rows that the wanted schema does not admit (1644 is what the scripts raise themselves).
ROWS_IN_THE_WAY = re.compile(r"ERROR (1644|1062|4025|1265|1300|1366|1406|1264|1292|1452|1048|1138) ")
ENDS = re.compile(r"DELIMITER ;\n")


def run_all(migration: Migration) -> int:
    """Apply the scripts, each proven by its query; return how many ran."""
    for number, script in enumerate(migration.scripts):
        proof = script["validation_query"]
        assert not proof or migration.live.query(proof) == "0", script["description"]
        done = migration.forward(script)
        if done.code:
            assert ROWS_IN_THE_WAY.search(done.err), f"{script['description']}: {done.err}"
            return number + 1  # the undo of a script that stopped half-way must do as well
        assert not proof or migration.live.query(proof) == "1", script["description"]
    assert migration.check_again()["migration_scripts"] == []
    return len(migration.scripts)


def stop_inside(migration: Migration, number: int, rng: random.Random) -> None:
    """Apply the first scripts, and of the one at `number` only what stands before the end of one of its statements."""
    for script in migration.scripts[:number]:
        assert migration.forward(script).code == 0, script["description"]
    text = migration.scripts[number]["script_content"]
    places = [match.end() for match in ENDS.finditer(text)]
    migration.live.apply(text[: rng.choice([0, *places])])


@pytest.mark.parametrize("seed", range(8))
def test_a_random_pair_goes_there_and_back(new_mariadb, tmp_path: Path, seed):
    scratch, live, wanted = new_mariadb(), new_mariadb(), new_mariadb()

    def takes(sql: str) -> bool:
        fresh = f"DROP DATABASE {scratch.name}; CREATE DATABASE {scratch.name} CHARACTER SET utf8mb4; "
        return scratch.apply(f"{fresh}USE {scratch.name}; SET NAMES utf8mb4;\n{sql}").code == 0

    pair = make_pair(seed, takes)
    assert live.apply("SET NAMES utf8mb4;" + pair.before).code == 0
    assert wanted.apply("SET NAMES utf8mb4;" + pair.after).code == 0
    rows = "\n".join(["SET NAMES utf8mb4;", *pair.rows])
    execute([*live.client, "--force"], stdin=rows)  # some of them do not fit: the seed knows no constraint
    migration = Migration(live, wanted, check(tmp_path, export(live), export(wanted)), tmp_path)
    if any(script["script_type"] == "manual" for script in migration.scripts):
        return
    start, rng = everything(live), random.Random(seed)
    count = run_all(migration)
    migration.undo(count)
    assert different(start, everything(live)) == {}, pair.said
    if count:
        number = rng.randrange(count)
        stop_inside(migration, number, rng)
        migration.undo(number + 1)
        assert different(start, everything(live)) == {}, pair.said
