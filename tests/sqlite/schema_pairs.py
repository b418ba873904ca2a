"""Makes pairs of SQLite schemas from a seed: a base with every kind of object, and the same after a few changes."""

import copy
import json
import random
import sqlite3
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

NAMES = ["Order", "a b", 'q"q', "größe", "it's", "select", "x.y", "Kind", "val", "note", "n1", "group", "tag", "[w]"]
TYPES = ["INT", "INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "", "VARCHAR(20)", "DECIMAL(8,2)", "BOOLEAN", "DATETIME"]
STRICT_TYPES = ["INT", "INTEGER", "TEXT", "REAL", "BLOB", "ANY"]
CONSTANTS = ["0", "-1.5", "'x'", "''", "'it''s'", "NULL", "x'00ff'", "7"]
DEFAULTS = [*CONSTANTS, "(1 + 1)", "CURRENT_TIMESTAMP", "(lower('ABC'))"]
ANSWERS = ["", " ON CONFLICT IGNORE", " ON CONFLICT REPLACE", " ON CONFLICT ABORT"]
ACTIONS = ["", " ON DELETE CASCADE", " ON DELETE SET NULL ON UPDATE CASCADE", " ON DELETE RESTRICT"]
DEFERRALS = ["", " DEFERRABLE INITIALLY DEFERRED", " NOT DEFERRABLE"]
VALUES = [None, 0, 1, -3, 2.5, "x", "it's", "007", " 8 ", "1e2", "", "ü", b"\x00\xff", 10**12, "Tag", "TAG"]

Schema = Dict[str, Any]  # tables: name -> table; views, triggers: name -> (object they belong to, text)


class Pair(NamedTuple):
    before: str
    after: str
    rows: List[Tuple[str, List[Any]]]
    hints: Dict[str, Dict[str, str]]  # "table.column" or "table" -> members of the wanted document
    said: List[str]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def column(rng: random.Random, table: Dict[str, Any], name: str) -> Dict[str, Any]:
    """Return a new column; what is None stays out of its text."""
    kinds = STRICT_TYPES if table["strict"] else TYPES
    made: Dict[str, Any] = {"type": rng.choice(kinds), "null": None, "default": None, "collate": None}
    made.update(check=None, unique=None, references=None, generated=None)
    for clause in rng.sample(sorted(CLAUSES), rng.choice([0, 0, 1, 1, 2])):
        CLAUSES[clause](rng, table, made, name)
    if made["null"] and made["default"] in (None, "NULL") and not made["generated"]:
        made["default"] = rng.choice(["0", "'y'"])
    return made


def set_generated(rng: random.Random, table: Dict[str, Any], made: Dict[str, Any], name: str) -> None:
    source = rng.choice([key for key, other in table["columns"].items() if key != name and not other["generated"]])
    words = rng.choice(["{0} || '!'", "coalesce({0}, 1)", "length({0}) * 2"]).format(quoted(source))
    made.update(generated=f"({words}) {rng.choice(['STORED', 'VIRTUAL'])}", default=None, references=None)


def clause(member: str, choices: Callable[[str], List[Any]]) -> Callable[..., None]:
    def put(rng: random.Random, table: Dict[str, Any], made: Dict[str, Any], name: str) -> None:
        if member not in ("default", "references") or not made["generated"]:
            made[member] = rng.choice(choices(quoted(name)))

    return put


CLAUSES = {
    "null": clause("null", lambda name: ["NOT NULL", "NOT NULL ON CONFLICT REPLACE"]),
    "default": clause("default", lambda name: DEFAULTS),
    "collate": clause("collate", lambda name: ["NOCASE", "RTRIM", "BINARY"]),
    "check": clause("check", lambda name: [f"{name} <> 'bad'", f"length({name}) < 50", f"typeof({name}) <> 'none'"]),
    "unique": clause("unique", lambda name: [answer for answer in ANSWERS]),
    "references": clause(
        "references",
        lambda name: [f'"p" ("id"){action}{when}' for action in ACTIONS for when in DEFERRALS] + ['"p"', "P (id)"],
    ),
    "generated": set_generated,
}


def column_text(name: str, made: Dict[str, Any]) -> str:
    words = [quoted(name), made["type"], made["null"] or ""]
    words.append(f"DEFAULT {made['default']}" if made["default"] else "")
    words.append(f"COLLATE {made['collate']}" if made["collate"] else "")
    words.append(f"CHECK ({made['check']})" if made["check"] else "")
    words.append(f"UNIQUE{made['unique']}" if made["unique"] is not None else "")
    words.append(f"REFERENCES {made['references']}" if made["references"] else "")
    words.append(f"GENERATED ALWAYS AS {made['generated']}" if made["generated"] else "")
    return " ".join(word for word in words if word)


def new_table(rng: random.Random, name: str, *, plain: bool = False) -> Dict[str, Any]:
    strict = not plain and rng.random() < 0.25
    table: Dict[str, Any] = {"name": name, "columns": {}, "constraints": [], "indexes": {}, "strict": strict}
    table["key"] = "rowid" if plain else rng.choice(["rowid", "rowid", "counted", "text", "pair", "none"])
    table["without_rowid"] = table["key"] in ("text", "pair") and rng.random() < 0.4
    first = {"rowid": "INTEGER", "counted": "INTEGER"}.get(table["key"], "TEXT")
    table["columns"]["id"] = {**dict.fromkeys(("null", "default", "collate", "check", "unique")), "type": first}
    table["columns"]["id"].update(references=None, generated=None)
    for key in rng.sample(NAMES, rng.choice([2, 3, 4])):
        table["columns"][key] = column(rng, table, key)
    return table


def table_text(table: Dict[str, Any]) -> str:
    lines = []
    for name, made in table["columns"].items():
        key = {"rowid": " PRIMARY KEY", "counted": " PRIMARY KEY AUTOINCREMENT", "text": " PRIMARY KEY"}
        lines.append(column_text(name, made) + (key.get(table["key"], "") if name == "id" else ""))
    if table["key"] == "pair":
        plain = [name for name, made in table["columns"].items() if not made["generated"]]
        lines.append(f"PRIMARY KEY ({', '.join(map(quoted, reversed(plain[:2])))})")
    lines += table["constraints"]
    tail = ", ".join(["STRICT"] * table["strict"] + ["WITHOUT ROWID"] * table["without_rowid"])
    return f"CREATE TABLE {quoted(table['name'])} (" + ", ".join(lines) + f") {tail};\n"


def schema_text(schema: Schema) -> str:
    text = "".join(table_text(table) for table in schema["tables"].values())
    for table in schema["tables"].values():
        text += "".join(f"CREATE {body};\n" for body in table["indexes"].values())
    text += "".join(f"CREATE VIEW {quoted(name)} AS {body};\n" for name, body in schema["views"].items())
    return text + "".join(f"CREATE TRIGGER {quoted(name)} {body};\n" for name, body in schema["triggers"].items())


def some_table(rng: random.Random, schema: Schema) -> Dict[str, Any]:
    return schema["tables"][rng.choice(sorted(schema["tables"]))]


def some_column(rng: random.Random, table: Dict[str, Any]) -> str:
    return rng.choice([name for name in table["columns"] if name != "id"] or ["id"])


def put_index(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = rng.choice(["i1", "i 2", "i3", "I4"])
    if any(name in other["indexes"] for other in schema["tables"].values() if other is not table):
        return ""
    one, two = quoted(some_column(rng, table)), quoted(some_column(rng, table))
    terms = rng.choice([one, f"{one} DESC", f"{one}, {two}", f"lower({one})", f"{one} COLLATE NOCASE, {two} DESC"])
    where = rng.choice(["", "", f" WHERE {one} IS NOT NULL", f" WHERE {two} > 'a' OR {one} = 1"])
    unique = "UNIQUE " if rng.random() < 0.2 else ""
    table["indexes"][name] = f"{unique}INDEX {quoted(name)} ON {quoted(table['name'])} ({terms}){where}"
    return f"index {name}"


def drop_index(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    return f"no index {table['indexes'].popitem()[0]}" if table["indexes"] else ""


def put_view(rng: random.Random, schema: Schema) -> str:
    name, table = rng.choice(["v1", "v 2", "v3"]), some_table(rng, schema)
    source = rng.choice([table["name"], *(view for view in schema["views"] if view < name)])
    shown = quoted(some_column(rng, table)) if source == table["name"] else "*"
    schema["views"][name] = f"SELECT {shown} FROM {quoted(source)} AS s"
    return f"view {name}"


def drop_view(rng: random.Random, schema: Schema) -> str:
    return f"no view {schema['views'].popitem()[0]}" if schema["views"] else ""


def put_trigger(rng: random.Random, schema: Schema) -> str:
    name, table = rng.choice(["g1", "g 2", "g3"]), some_table(rng, schema)
    key = quoted(some_column(rng, table))
    event = rng.choice(["AFTER INSERT", "BEFORE DELETE", f"AFTER UPDATE OF {key}"])
    row = "new" if "INSERT" in event else "old"
    body = f'BEGIN INSERT INTO "log" VALUES (\'{name};\' || {row}.{key}); END'
    schema["triggers"][name] = f"{event} ON {quoted(table['name'])} {body}"
    if schema["views"] and rng.random() < 0.4:
        view = rng.choice(sorted(schema["views"]))
        schema["triggers"][name] = f"INSTEAD OF DELETE ON {quoted(view)} BEGIN DELETE FROM \"log\" WHERE 0; END"
    return f"trigger {name}"


def drop_trigger(rng: random.Random, schema: Schema) -> str:
    return f"no trigger {schema['triggers'].popitem()[0]}" if schema["triggers"] else ""


def put_constraint(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    one, two = quoted(some_column(rng, table)), quoted(some_column(rng, table))
    name = rng.choice(["", 'CONSTRAINT "few of" ', "CONSTRAINT c1 "])
    body = rng.choice(
        [f"CHECK ({one} IS NOT 'bad' AND {two} IS NOT 'bad')", f"UNIQUE ({one}, {two}){rng.choice(ANSWERS)}"]
        + [f'FOREIGN KEY ({one}) REFERENCES "p" ("id"){rng.choice(ACTIONS)}{rng.choice(DEFERRALS)}']
    )
    table["constraints"].append(name + body)
    return f"constraint of {table['name']}"


def drop_constraint(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    if table["constraints"]:
        table["constraints"].pop(rng.randrange(len(table["constraints"])))
        return f"no constraint of {table['name']}"
    return ""


def put_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = rng.choice([key for key in NAMES if key not in table["columns"]])
    table["columns"][name] = column(rng, table, name)
    return f"column {table['name']}.{name}"


def mentions(name: str, text: str) -> bool:
    return quoted(name) in text


def drop_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = some_column(rng, table)
    del table["columns"][name]
    table["constraints"] = [text for text in table["constraints"] if not mentions(name, text)]
    table["indexes"] = {key: text for key, text in table["indexes"].items() if not mentions(name, text)}
    return f"no column {table['name']}.{name}"


def change_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = some_column(rng, table)
    made, member = table["columns"][name], rng.choice(["type", "type", *sorted(CLAUSES)])
    if member == "type":
        made["type"] = rng.choice(STRICT_TYPES if table["strict"] else TYPES)
    elif made[member] is not None and rng.random() < 0.5:
        made[member] = None
    else:
        CLAUSES[member](rng, table, made, name)
    return f"{member} of {table['name']}.{name}"


def move_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = some_column(rng, table)
    table["columns"][name] = table["columns"].pop(name)
    return f"place of {table['name']}.{name}"


def change_table(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    member = rng.choice(["strict", "without_rowid", "key"])
    table[member] = not table[member] if member != "key" else rng.choice(["rowid", "counted", "text", "pair", "none"])
    return f"{member} of {table['name']}"


def put_table(rng: random.Random, schema: Schema) -> str:
    name = rng.choice(["new one", "index", "Zz"])
    if name not in schema["tables"]:
        schema["tables"][name] = new_table(rng, name)
    return f"table {name}"


def drop_table(rng: random.Random, schema: Schema) -> str:
    name = rng.choice(sorted(schema["tables"])[1:] or ["p"])
    if len(schema["tables"]) == 1:
        return ""
    del schema["tables"][name]
    schema["views"] = {key: text for key, text in schema["views"].items() if not mentions(name, text)}
    schema["triggers"] = {key: text for key, text in schema["triggers"].items() if f" ON {quoted(name)}" not in text}
    return f"no table {name}"


CHANGES: List[Callable[[random.Random, Schema], str]] = [
    put_index, drop_index, put_view, drop_view, put_trigger, drop_trigger, put_constraint, drop_constraint,
    put_column, put_column, drop_column, change_column, change_column, change_column, move_column, change_table,
    put_table, drop_table,
]  # fmt: skip


def is_valid(schema: Schema) -> bool:
    """Tell whether SQLite takes a schema, and each of its views and triggers can be used."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema_text(schema))
        for name in schema["views"]:
            connection.execute(f"SELECT * FROM {quoted(name)}")
        for table in schema["tables"].values():
            connection.execute(f"EXPLAIN DELETE FROM {quoted(table['name'])}")
            connection.execute(f"EXPLAIN UPDATE {quoted(table['name'])} SET id = id")
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    return True


def changed(rng: random.Random, schema: Schema, count: int) -> Tuple[Schema, List[str]]:
    said: List[str] = []
    for _ in range(count * 8):
        wanted = copy.deepcopy(schema)
        words = rng.choice(CHANGES)(rng, wanted)
        if words and wanted != schema and is_valid(wanted):
            schema, said = wanted, [*said, words]
        if len(said) == count:
            break
    return schema, said


def bare(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def rename(rng: random.Random, schema: Schema, live: Schema, hints: Dict[str, Dict[str, str]]) -> List[str]:
    """Rename a column or a table whose name means one thing only, wherever it stands, and say so in the hints."""
    name = rng.choice(sorted(set(schema["tables"]) & set(live["tables"]) - {"p"}) or [""])
    if not name:
        return []
    table, new, old = schema["tables"][name], "re named", name
    others = [key for other in schema["tables"].values() if other is not table for key in other["columns"]]
    kept = [key for key in table["columns"] if key in live["tables"][name]["columns"] and key not in others]
    column_first = kept and rng.random() < 0.7
    old = rng.choice(kept) if column_first else name
    text = json.dumps(schema, ensure_ascii=False).replace(bare(quoted(old)), bare(quoted(new)))
    text = text.replace(f'"{bare(old)}": {{', f'"{new}": {{').replace(f'"name": "{bare(old)}"', f'"name": "{new}"')
    schema.clear()
    schema.update(json.loads(text))
    hints[f"{name}.{new}" if column_first else new] = {"renamed_from": old}
    return [f"{old} is {new}"]


def rows_of(rng: random.Random, schema: Schema) -> List[Tuple[str, List[Any]]]:
    """Return INSERT statements for every table, parents first; what the schema refuses is left out."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(schema_text(schema))
    connection.execute("PRAGMA foreign_keys = ON")
    kept = []
    for name in sorted(schema["tables"], key=lambda name: name != "p"):
        table = schema["tables"][name]
        plain = [key for key, made in table["columns"].items() if not made["generated"]]
        marks = ", ".join("?" * len(plain))
        statement = f"INSERT INTO {quoted(name)} ({', '.join(map(quoted, plain))}) VALUES ({marks})"
        for _ in range(12):
            numbered = table["key"] in ("rowid", "counted")
            given = [rng.choice([1, 2, 5, 90]) if table["columns"][key]["references"] else rng.choice(VALUES)
                     for key in plain]  # fmt: skip
            given[0] = rng.choice([1, 2, 5, 7, 90, 91]) if numbered else given[0]
            try:
                connection.execute(statement, given)
                kept.append((statement, given))
            except sqlite3.Error:
                pass
    connection.close()
    return kept


def make_pair(seed: int) -> Pair:
    rng = random.Random(seed)
    schema: Schema = {"tables": {}, "views": {}, "triggers": {}}
    schema["tables"]["p"] = new_table(rng, "p", plain=True)
    for name in rng.sample(["Child", "log book", "t", "my.table"], 2):
        schema["tables"][name] = new_table(rng, name)
        while not is_valid(schema):
            schema["tables"][name] = new_table(rng, name)
    live, _ = changed(rng, schema, rng.randint(3, 9))
    wanted, said = changed(rng, copy.deepcopy(live), rng.randint(1, 6))
    hints: Dict[str, Dict[str, str]] = {}
    renamed = copy.deepcopy(wanted)
    if rng.random() < 0.3:
        words = rename(rng, renamed, live, hints)
        if words and is_valid(renamed):
            wanted, said = renamed, said + words
        else:
            hints.clear()
    log = "CREATE TABLE log (t TEXT);\n"
    spelled = log + schema_text(live), log + schema_text(wanted)
    return Pair(*spelled, rows_of(rng, live), hints, said)

