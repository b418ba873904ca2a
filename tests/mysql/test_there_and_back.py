"""Every kind of change on a live MariaDB: its rule, forward to the wanted schema, and back with every row."""

from typing import Any, Dict, NamedTuple, Optional

import pytest

from my_live import different, everything

pytestmark = pytest.mark.live

P = "CREATE TABLE p (id int PRIMARY KEY AUTO_INCREMENT, name varchar(50) NOT NULL, n int, k char(3));"
PS = r"INSERT INTO p VALUES (1, 'it''s \\ \"ü\"', 5, 'a'), (7, '12', NULL, NULL), (9, '', -1, 'b');"
C = (
    "CREATE TABLE c (id int PRIMARY KEY, p int, note text, CONSTRAINT c_p FOREIGN KEY (p) REFERENCES p "
    "(id) ON DELETE CASCADE);"
)
CS = "INSERT INTO c VALUES (1, 1, 'x'), (2, 7, NULL), (3, 7, 'y'), (4, NULL, 'z');"
LOOSE = "CREATE TABLE l (a varchar(20), b int);"
LS = "INSERT INTO l VALUES ('1', 1), ('1', 1), (NULL, 2), ('x', NULL);"


class Case(NamedTuple):
    live: str
    wanted: str
    rules: str
    hints: Optional[Dict[str, Dict[str, Any]]] = None


def column(text: str, instead: str = "n int,") -> str:
    return P.replace(instead, text)


CASES = {
    "a table comes": Case(
        P + PS,
        P + "CREATE TABLE t (a int, b varchar(9) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'x', d "
        "datetime(3) DEFAULT now(3) ON UPDATE"
        " now(3), PRIMARY KEY (a, b), KEY k (b(2) DESC), CONSTRAINT pos CHECK (a > 0), FULLTEXT KEY f (b),"
        " CONSTRAINT up FOREIGN KEY (a) REFERENCES p (id)) COMMENT='a ''new'' one';"
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a + 1;",
        "table_added",
    ),
    "a table goes with its children's keys and its trigger": Case(
        P + C + PS + CS + "CREATE TRIGGER g BEFORE UPDATE ON p FOR EACH ROW SET NEW.n = 0;",
        "CREATE TABLE c (id int PRIMARY KEY, p int, note text, KEY c_p (p));",
        "foreign_key_removed table_removed",
    ),
    "columns come": Case(
        P + PS,
        P.replace(
            "n int,",
            "n int, a int NOT NULL DEFAULT 3 COMMENT 'b''c', z datetime DEFAULT current_timestamp() ON UPDATE "
            "current_timestamp(),"
            " v int AS (n * 2) VIRTUAL, e enum('x','y') NOT NULL DEFAULT 'y' INVISIBLE,",
        ),
        "column_added generated_column_added",
    ),
    "a column with a value of its own in each row comes": Case(
        P + PS,
        column("n int, u char(36) NOT NULL DEFAULT uuid(), UNIQUE KEY uu (u),"),
        "column_added unique_index_added",
    ),
    "a stored generated column comes": Case(
        P + PS, column("n int, s int AS (n + 1) STORED, KEY s (s),"), "generated_column_added index_added"
    ),
    "a required column comes with a backfill": Case(
        P + PS,
        column("n int, code varchar(60) NOT NULL,"),
        "required_column_added",
        {"p.code": {"backfill": "concat('p-', id)"}},
    ),
    "a column that numbers itself comes": Case(
        LOOSE + LS,
        "CREATE TABLE l (a varchar(20), b int, id int PRIMARY KEY AUTO_INCREMENT);",
        "column_added primary_key_added",
    ),
    "columns go": Case(
        P.replace("n int,", "n int, v int AS (n * 2) VIRTUAL, KEY both_ (n, k), UNIQUE KEY uk (k),")
        + PS.replace("p VALUES", "p (id, name, n, k) VALUES"),
        "CREATE TABLE p (id int PRIMARY KEY AUTO_INCREMENT, k char(3));",
        "column_removed index_removed unique_index_removed",
    ),
    "a column of a table without a key goes": Case(LOOSE + LS, "CREATE TABLE l (b int);", "column_removed"),
    "text becomes shorter": Case(P + PS, P.replace("(50)", "(20)"), "column_length_reduced"),
    "text becomes longer": Case(P + PS, P.replace("(50)", "(500)"), "column_length_increased"),
    "text becomes a number": Case(
        P + PS.replace("''s", "").replace("'it \\\\ \\\"ü\\\"'", "' 7'").replace("'', -1", "'-3', -1"),
        P.replace("name varchar(50)", "name int"),
        "column_type_changed",
    ),
    "the key becomes wider, with its children": Case(
        P + C + PS + CS,
        P.replace("id int", "id bigint") + C.replace("p int", "p bigint"),
        "column_type_widened",
    ),
    "a number loses digits": Case(
        P.replace("n int", "n decimal(8,3)") + PS.replace("5,", "5.125,"),
        P.replace("n int", "n decimal(8,1)"),
        "column_type_narrowed",
    ),
    "an enum gains and loses labels": Case(
        P.replace("char(3)", "enum('a','b','c')") + PS,
        P.replace("char(3)", "enum('b','x','a')"),
        "enum_value_added enum_value_removed enum_values_reordered",
    ),
    "another character set": Case(
        P + PS, P.replace("k char(3)", "k char(3) CHARACTER SET latin1"), "column_collation_changed"
    ),
    "text becomes JSON": Case(
        P.replace("n int", "n text") + "INSERT INTO p (name, n) VALUES ('a', '{\"b\":  1}'), ('b', NULL);",
        P.replace("n int", "n json"),
        "column_type_changed",
    ),
    "NOT NULL comes and goes": Case(
        P + PS.replace("NULL, NULL", "8, 'x'"),
        P.replace("n int", "n int NOT NULL").replace("varchar(50) NOT NULL", "varchar(50)"),
        "column_made_nullable column_made_required",
    ),
    "defaults, comments and ON UPDATE change": Case(
        P.replace("n int", "n int DEFAULT 4, t timestamp NOT NULL DEFAULT '2020-01-01 00:00:00'")
        + PS.replace("p VALUES", "p (id, name, n, k) VALUES"),
        P.replace(
            "n int", "n int COMMENT 'x', t timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp()"
        ).replace("k char(3)", "k char(3) DEFAULT 'q'"),
        "column_default_added column_default_changed column_default_removed column_on_update_changed comment_changed",
    ),
    "a plain column becomes generated": Case(
        P + PS, column("n int AS (length(name)) STORED,"), "column_made_generated"
    ),
    "a column becomes invisible": Case(P + PS, column("n int INVISIBLE,"), "column_visibility_changed"),
    "a column gets another name": Case(
        P.replace("n int,", "n int, KEY nk (n),") + PS,
        P.replace("n int,", "num int, KEY nk (num),"),
        "column_renamed",
        {"p.num": {"renamed_from": "n"}},
    ),
    "a column that a generated column and a trigger read gets another name": Case(
        P.replace("n int,", "n int, twice int AS (n * 2) STORED, CHECK (n < 9),")
        + "INSERT INTO p (name, n) VALUES ('a', 5), ('b', NULL); "
        + "CREATE TRIGGER seen BEFORE INSERT ON p FOR EACH ROW SET NEW.n = NEW.n + 1;",
        P.replace("n int,", "num int, twice int AS (num * 2) STORED, CHECK (num < 9),")
        + "CREATE TRIGGER seen BEFORE INSERT ON p FOR EACH ROW SET NEW.num = NEW.num + 1;",
        "column_renamed trigger_changed",
        {"p.num": {"renamed_from": "n"}},
    ),
    "a table gets another name": Case(
        P + PS, P.replace("TABLE p", "TABLE person"), "table_renamed", {"person": {"renamed_from": "p"}}
    ),
    "indexes of every kind come, change and go": Case(
        P.replace(
            "n int,", "n int, g point NOT NULL, KEY gone (n), KEY other (name), KEY hid (k), KEY old_name (k, n),"
        )
        + "INSERT INTO p (id, name, g) VALUES (1, 'a', point(1, 2)), (2, 'b', point(3, 4));",
        P.replace(
            "n int,",
            "n int, g point NOT NULL, KEY other (name(5) DESC, n), KEY hid (k) IGNORED, KEY new_name (k, n), "
            "UNIQUE KEY one (name),"
            " FULLTEXT KEY words (name), SPATIAL KEY g (g),",
        ),
        "index_added index_changed index_removed index_renamed unique_index_added",
    ),
    "checks come, change and go": Case(
        P.replace("n int,", "n int CHECK (n > -5), CONSTRAINT gone CHECK (n < 99), CONSTRAINT other CHECK (n <> 3),")
        + PS,
        P.replace(
            "n int,",
            "n int, m int DEFAULT 1 CHECK (m > 0), CONSTRAINT other CHECK (n <> 4), CONSTRAINT come CHECK (k <> ''),",
        ),
        "check_added check_changed check_removed column_added",
    ),
    "a foreign key comes": Case(
        P + C.split(", CONSTRAINT")[0] + ");" + PS + CS, P + C, "foreign_key_added index_added"
    ),
    "a foreign key goes": Case(
        P + C + PS + CS, P + C.split(", CONSTRAINT")[0] + ");", "foreign_key_removed index_removed"
    ),
    "a foreign key acts otherwise": Case(P + C + PS + CS, P + C.replace("CASCADE", "SET NULL"), "foreign_key_changed"),
    "another primary key": Case(
        P + PS,
        P.replace("PRIMARY KEY AUTO_INCREMENT", "NOT NULL UNIQUE AUTO_INCREMENT").replace(
            "k char(3)", "k char(3), PRIMARY KEY (name)"
        ),
        "primary_key_changed unique_index_added",
    ),
    "numbers no longer come from the server": Case(P + PS, P.replace(" AUTO_INCREMENT", ""), "identity_removed"),
    "options of a table": Case(
        P + PS,
        P.replace(");", ") COMMENT='x' ROW_FORMAT=COMPRESSED COLLATE=utf8mb4_bin;")
        .replace("varchar(50)", "varchar(50) COLLATE utf8mb4_general_ci")
        .replace("char(3)", "char(3) COLLATE utf8mb4_general_ci"),
        "comment_changed table_option_changed",
    ),
    "partitions": Case(
        "CREATE TABLE m (a int, b int) PARTITION BY RANGE (a) (PARTITION x VALUES LESS THAN (10));INSERT "
        "INTO m VALUES (1, 1), (2, NULL);",
        "CREATE TABLE m (a int, b int) PARTITION BY RANGE (a) (PARTITION x VALUES LESS THAN (10), "
        "PARTITION y VALUES LESS THAN MAXVALUE);",
        "partition_bound_changed",
    ),
    "views that read each other": Case(
        P + PS + "CREATE VIEW a AS SELECT id, name FROM p; CREATE VIEW b AS SELECT id FROM a; CREATE VIEW gone AS "
        "SELECT 1 AS x;",
        P + "CREATE VIEW a AS SELECT id FROM p WHERE id > 1; CREATE SQL SECURITY INVOKER VIEW b AS SELECT id, "
        "id + 1 AS next FROM a; CREATE VIEW z AS SELECT * FROM b;",
        "view_added view_changed view_column_added view_column_removed view_removed",
    ),
    "triggers, routines and events": Case(
        P + PS + "CREATE TRIGGER g BEFORE INSERT ON p FOR EACH ROW SET NEW.n = 1; CREATE TRIGGER h AFTER DELETE ON "
        "p FOR EACH ROW SET @a = 'x;y';"
        "CREATE FUNCTION f(a int(11)) RETURNS int(11) DETERMINISTIC RETURN a + 1; CREATE PROCEDURE q() SELECT 1;"
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' DISABLE DO SET @x = 1;",
        P + "CREATE TRIGGER g BEFORE INSERT ON p FOR EACH ROW SET NEW.n = 2; CREATE TRIGGER i BEFORE INSERT ON "
        "p FOR EACH ROW FOLLOWS g SET NEW.k = 'z';"
        "CREATE FUNCTION f(a int(11)) RETURNS int(11) DETERMINISTIC RETURN a + 2; CREATE PROCEDURE q(IN b "
        "int(11)) SELECT b;"
        "CREATE EVENT e ON SCHEDULE EVERY 2 DAY STARTS '2035-01-01 00:00:00' DISABLE DO SET @x = 1;",
        "event_changed function_changed function_signature_changed trigger_added trigger_changed trigger_removed",
    ),
    "sequences": Case(
        "CREATE SEQUENCE s START WITH 5; CREATE SEQUENCE gone START WITH 3; SELECT nextval(gone);",
        "CREATE SEQUENCE s START WITH 5 INCREMENT BY 2 CYCLE; CREATE SEQUENCE t START WITH 9 MAXVALUE 99;",
        "sequence_added sequence_changed sequence_removed",
    ),
    "names that need quotes": Case(
        "CREATE TABLE `o``d;d 'n'` (`a b` int PRIMARY KEY, `select` int, `q\"` varchar(9), KEY `k``y` (`select`));"
        "INSERT INTO `o``d;d 'n'` VALUES (1, 2, 'x'), (2, NULL, '');",
        "CREATE TABLE `o``d;d 'n'` (`a b` int PRIMARY KEY, `q\"` varchar(5) NOT NULL, `// $$` int DEFAULT "
        "3, KEY `k``y` (`// $$`));",
        "column_added column_length_reduced column_made_required column_removed index_changed",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_there_and_back(bench, case):
    migration = bench.migration(case.live, case.wanted, case.hints)
    before = everything(migration.live)
    assert migration.rules == case.rules.split()
    assert [script["description"] for script in migration.scripts if script["reversibility"] != "lossless"] == []
    migration.apply()
    again = migration.check_again()
    assert (again["issues"], again["migration_scripts"]) == ([], [])
    migration.undo()
    assert different(before, everything(migration.live)) == {}
