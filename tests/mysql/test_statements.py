"""What the scripts say to MariaDB and MySQL: read from the text, no server needed."""

import re

import pytest

from my_live import check

MARIADB, MYSQL = "10.11.6-MariaDB", "8.0.36"
ALTER = re.compile(r"ALTER TABLE (?:[^;']|'(?:[^']|'')*')*")


def document(version, rows=20, **columns):
    """Return a schema of one table `t` with a number as its key."""
    table = {
        "columns": {"id": {"type": "int", "nullable": False, "auto_increment": True}, **columns},
        "constraints": {"primary_key": ["id"]},
        "row_count": rows,
    }
    return {"schema_version": "1.0", "dialect": "mysql", "server_version": version, "tables": {"t": table}}


@pytest.fixture
def scripts(tmp_path):
    """Return the scripts from some columns to others."""

    def make(old, new, version=MARIADB, **more):
        before, after = document(version, **more, **old), document(version, **new)
        return check(tmp_path, before, after)["migration_scripts"]

    return make


TEXT, NUMBER = {"type": "varchar(40)"}, {"type": "int"}
CHANGES = {
    "a column comes": ({}, {"a": NUMBER}),
    "a column goes": ({"a": NUMBER}, {}),
    "NOT NULL comes": ({"a": NUMBER}, {"a": {"type": "int", "nullable": False}}),
    "a type changes": ({"a": TEXT}, {"a": NUMBER}),
    "a stored column comes": (
        {"a": NUMBER},
        {"a": NUMBER, "b": {"type": "int", "generated": "a + 1", "generated_kind": "stored"}},
    ),
}


@pytest.mark.parametrize("version", [MARIADB, MYSQL])
@pytest.mark.parametrize("old, new", CHANGES.values(), ids=CHANGES.keys())
def test_every_alter_says_how_much_it_may_block(scripts, old, new, version):
    found = scripts(old, new, version)
    assert found and {script["script_type"] for script in found} == {"sql"}
    for script in found:
        for text in ALTER.findall(script["script_content"] + script["rollback_script"]):
            quiet = "_migration_archive_" in text or re.search(r"(ADD|DROP) FOREIGN KEY", text)
            assert quiet or re.search(r"ALGORITHM=(INSTANT|NOCOPY|INPLACE|COPY)|LOCK=(NONE|SHARED)", text), text


@pytest.mark.parametrize("old, new", CHANGES.values(), ids=CHANGES.keys())
def test_one_change_of_a_table_a_script(scripts, old, new):
    for script in scripts(old, new):
        altered = {text.split()[2] for text in ALTER.findall(script["script_content"])}
        assert len(altered) <= 1 and script["transactional"] is False


@pytest.mark.parametrize("old, new", CHANGES.values(), ids=CHANGES.keys())
def test_mysql_gets_nothing_that_only_mariadb_knows(scripts, old, new):
    text = "".join(script["script_content"] + script["rollback_script"] for script in scripts(old, new, MYSQL))
    assert not re.search(
        r"NOT ATOMIC|EXECUTE IMMEDIATE|ALGORITHM=NOCOPY|(COLUMN|INDEX|CONSTRAINT) IF (NOT )?EXISTS|OR REPLACE TRIGGER",
        text,
    )
    assert "lock_wait_timeout = 0" not in text


ON_MYSQL = {
    "another collation copies the table": (
        {"a": {**TEXT, "collation": "utf8mb4_bin"}},
        {"a": {**TEXT, "collation": "utf8mb4_general_ci"}},
        "COLLATE utf8mb4_general_ci NULL, ALGORITHM=COPY",
    ),
    "a generated column may be NOT NULL": (
        {},
        {"a": {"type": "int", "generated": "id + 1", "generated_kind": "virtual", "nullable": False}},
        "GENERATED ALWAYS AS (id + 1) VIRTUAL NOT NULL, ALGORITHM=INSTANT",
    ),
    "a default that is an expression stands in parentheses": (
        {},
        {"a": {**TEXT, "default": {"expression": "uuid()"}}},
        "DEFAULT (uuid())",
    ),
}


@pytest.mark.parametrize("old, new, said", ON_MYSQL.values(), ids=ON_MYSQL.keys())
def test_mysql_is_told_what_it_needs(scripts, old, new, said):
    assert said in "".join(script["script_content"] for script in scripts(old, new, MYSQL))


@pytest.mark.parametrize("place", ["script_content", "rollback_script"])
def test_on_mysql_what_only_changes_is_not_taken_for_done(scripts, place):
    """information_schema shows the default 'x' as x there: a block that compared it would skip the statement."""
    old, new = ({"a": {"type": "varchar(9)", "default": value, "comment": "c"}} for value in ("x", "it's"))
    (script,) = scripts(old, new, MYSQL)
    assert "ALTER COLUMN `a` SET DEFAULT" in script[place] and "IF NOT (" not in script[place]
    assert "x.column_default = 'it''s'" in script["validation_query"]


@pytest.mark.parametrize("old, new", CHANGES.values(), ids=CHANGES.keys())
def test_on_mysql_a_block_looks_before_it_repeats_what_has_no_if_exists(scripts, old, new):
    for script in scripts(old, new, MYSQL):
        for part in ("script_content", "rollback_script"):
            for place in re.finditer(r"ALTER TABLE `t` (ADD|DROP) COLUMN", script[part]):
                assert "IF NOT (" in script[part][: place.start()], script[part]


@pytest.mark.parametrize("size", [{"row_count": 5_000_000}, {"size_mb": 40_000.0}], ids=["rows", "megabytes"])
def test_a_large_table_gets_the_command_of_an_online_tool(tmp_path, size):
    """A stored generated column has no staged form: the server copies the table while its writers wait."""
    old, new = CHANGES["a stored column comes"]
    before, after = document(MARIADB, **old), document(MARIADB, **new)
    before["tables"]["t"].update(size)
    (script,) = check(tmp_path, before, after)["migration_scripts"]
    assert script["script_type"] == "manual" and script["rollback_script"] == ""
    for command in ("gh-ost --database={{database}}", "pt-online-schema-change --alter"):
        assert command in script["script_content"]
    assert "GENERATED ALWAYS AS (a + 1) STORED" in script["script_content"]
    assert "IF NOT EXISTS" not in script["script_content"], "MySQL's own parser reads it"


def test_the_commands_suit_the_table(tmp_path):
    """gh-ost refuses foreign keys and triggers; the other tool has to be told what to do with them."""
    old, new = CHANGES["a stored column comes"]
    before, after = document(MARIADB, 5_000_000, **old), document(MARIADB, 5_000_000, **new)
    for side in (before, after):
        side["tables"]["t"]["triggers"] = {
            "g": {"definition": "CREATE TRIGGER `g` BEFORE INSERT ON `t` FOR EACH ROW SET NEW.a = 1"}
        }
        key = {"name": "up", "columns": ["t"], "references": "t(id)"}
        side["tables"]["c"] = {"columns": {"t": NUMBER}, "constraints": {"foreign_key": [key]}}
    (script,) = check(tmp_path, before, after)["migration_scripts"]
    there, back = script["script_content"].split("To undo it")
    for text, action in ((there, "ADD COLUMN"), (back, "DROP COLUMN")):
        assert "gh-ost" not in text and action in text
        assert " --alter-foreign-keys-method=auto --preserve-triggers D={{database}},t=t,h={{host}}" in text


def test_a_large_table_with_a_number_as_key_is_converted_in_stages(scripts):
    """A new column beside the old one, triggers, batches, and an instant exchange."""
    found = scripts({"a": TEXT}, {"a": NUMBER}, rows=5_000_000)
    assert {script["script_type"] for script in found} == {"sql"}
    assert [script["phase"] for script in found] == sorted(
        (s["phase"] for s in found), key=["expand", "migrate", "contract"].index
    )
    text = "".join(script["script_content"] for script in found)
    assert "ALGORITHM=COPY" not in text, [script["description"] for script in found]
    assert "LIMIT _size" in text and "LOCK TABLES" in text


def test_a_changed_column_repeats_all_that_it_has(scripts):
    full = {"type": "varchar(9)", "nullable": False, "default": "x'y", "comment": "it's", "collation": "latin1_bin"}
    found = scripts({"a": full}, {"a": {**full, "comment": "new"}})
    text = "".join(script["script_content"] for script in found)
    assert "COLLATE latin1_bin NOT NULL DEFAULT 'x''y' COMMENT 'new'" in text
    assert "COLLATE latin1_bin NOT NULL DEFAULT 'x''y' COMMENT 'it''s'" in "".join(s["rollback_script"] for s in found)


def test_a_column_that_numbers_itself_is_keyed_at_every_moment(tmp_path):
    before, after = document(MARIADB, n=NUMBER), document(MARIADB, n=NUMBER)
    after["tables"]["t"]["constraints"] = {"primary_key": ["n"], "unique": ["id"]}
    after["tables"]["t"]["columns"]["n"] = {"type": "int", "nullable": False}
    for script in check(tmp_path, before, after)["migration_scripts"]:
        for part in ("script_content", "rollback_script"):
            for text in ALTER.findall(script[part]):
                assert "DROP PRIMARY KEY" not in text or "ADD PRIMARY KEY" in text, text
