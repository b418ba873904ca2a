"""The ```sh blocks of README.md and SKILL.md: their commands are run as they stand, on live databases, in one story."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from running import ASSETS, ROOT, Done, copy_product, execute, program

PAGES = ("README.md", "SKILL.md")
APART = {  # commands that no test can run from here: who does
    "python3 -m pytest": "this run",
    "DB=shop rollback/rollback.sh --from-phase migrate": "the tests of the rollback's export, with the blanks filled",
}


def lines() -> List[str]:
    """Return the commands of all blocks, without their comments, each once."""
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in found if line not in APART))


class Story:
    """A folder with the product and the databases; remembers which commands of the documents it has run."""

    def __init__(self, folder: Path, names: Dict[str, str], env: Dict[str, str]) -> None:
        self.folder, self.names, self.env = folder, names, env
        self.left = lines()

    def run(self, part: str, codes: Tuple[int, ...] = (0,)) -> Done:
        """Run the first command that is left and holds this part, with the real names of the databases in it."""
        line = next(line for line in self.left if part in line)
        self.left.remove(line)
        command = line
        for word, name in self.names.items():
            command = re.sub(rf"(?<![\w/]){word}(?![\w=])", name, command)
        done = execute(["bash", "-o", "pipefail", "-c", command], cwd=self.folder, env=self.env, timeout=300)
        assert done.code in codes, f"$ {line}\n{done.out}{done.err}"
        return done

    def document(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@pytest.fixture
def story(tmp_path: Path, postgresql: Any, mariadb: Any) -> Story:
    copy_product(tmp_path)
    execute([program("sqlite3"), tmp_path / "file.db", "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"])
    assert postgresql.apply("CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50), fax text);"
                            "INSERT INTO users SELECT g, 'n' || g, 'f' || g FROM generate_series(1, 100) g").code == 0
    assert mariadb.apply("CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50))").code == 0
    shutil.copy(ASSETS / "sample_inventory.json", tmp_path / "inventory.json")
    user = postgresql.client[postgresql.client.index("-U") + 1]
    return Story(tmp_path, {"mariadb": "mariadb", "DB": postgresql.name, "FILE": "file.db", "shop": postgresql.name},
                 {"PGUSER": user})


@pytest.mark.live
def test_commands_of_the_documents_work(story: Story, postgresql: Any, mariadb: Any) -> None:
    own, story.names = story.names, {**story.names, "DB": mariadb.name}
    story.run("mariadb -N -B -r DB")
    assert story.document("before.json")["dialect"] == "mysql"
    story.names = own
    story.run("sqlite3 FILE")
    assert story.document("before.json")["dialect"] == "sqlite"
    story.run("psql -X -qAt -d DB")
    after = story.document("before.json")
    columns = after["tables"]["users"]["columns"]
    del columns["fax"]
    columns["full_name"] = {**columns.pop("name"), "renamed_from": "name"}
    (story.folder / "after.json").write_text(json.dumps(after), encoding="utf-8")

    story.run("compatibility_checker.py --before before.json", codes=(2,))
    story.run("apply.sh --phase expand")
    story.run("jq -r")  # a script may be run again
    story.run("apply.sh --phase migrate")
    story.run("apply.sh --phase contract")
    assert postgresql.query("SELECT min(full_name) FROM users") == "n1"

    story.run("migration_planner.py --input assets/sample_database_migration.json")
    story.run("--export rollback -q")
    assert "rb-preparation-01" in story.run("--from-phase migrate --dry-run").out
    story.run("--strict -o runbook.json", codes=(1,))  # the sample's inventory leaves blanks: --strict says so
    for part in ("promtool check rules", "promtool test rules", "amtool check-config"):
        program(part.split()[0])
        story.run(part)

    story.run("migration/rollback.sh DB")
    assert postgresql.query("SELECT count(*), min(name), min(fax) FROM users") == "100|n1|f1"
    assert story.left == []
