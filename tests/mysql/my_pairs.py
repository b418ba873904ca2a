"""Makes pairs of MariaDB schemas from a seed: a base with every kind of object, and the same after a few changes."""

import copy
import random
from typing import Any, Callable, Dict, List, NamedTuple

from random_schemas import NAMES, Changer, Schema, changed, drop_item, some_column, some_table

TYPES = {
    "int": ["5", "-3", "0", "77"],
    "int unsigned": ["5", "0", "4000000"],
    "bigint": ["5", "-3", "9000"],
    "smallint": ["5", "-3"],
    "tinyint(1)": ["0", "1"],
    "decimal(8,3)": ["5.125", "-3.5", "7"],
    "decimal(6,1)": ["5.1", "-3"],
    "double": ["0.5", "-1e9"],
    "varchar(20)": ["'x'", "'it''s'", "'12'", "'ü'", "''"],
    "varchar(70)": ["'x'", "'Tag'", "'12'"],
    "varchar(300)": ["'x'", "'12'", "' 7 '"],
    "char(5)": ["'x'", "'12'"],
    "text": ["'x'", "'it''s'", "'5'"],
    "mediumtext": ["'x'", "'5'"],
    "datetime": ["'2020-01-02 03:04:05'", "'2021-12-31 00:00:00'"],
    "datetime(3)": ["'2020-01-02 03:04:05.678'"],
    "timestamp": ["'2020-01-02 03:04:05'"],
    "date": ["'2020-01-02'", "'1999-12-31'"],
    "time": ["'11:12:13'"],
    "enum('a','b','c')": ["'a'", "'b'"],
    "enum('b','x','a')": ["'a'", "'b'"],
    "enum('a','b','c','d')": ["'a'", "'b'"],
    "set('a','b','c')": ["'a'", "'a,b'", "''"],
    "set('b','a')": ["'a'", "'a,b'"],
    "json": ["'{\"a\": 1}'", "'[1,  2]'"],
    "varbinary(20)": ["x'00ff'", "'x'"],
    "blob": ["x'00ff'", "'x'"],
    "bit(4)": ["b'101'"],
    "uuid": ["'00000000-0000-0000-0000-00000000000a'"],
}
TEXTS = ("varchar", "char", "text", "mediumtext", "enum", "set")
LONG = ("text", "mediumtext", "blob", "json")
ACTIONS = ["", " ON DELETE CASCADE", " ON DELETE SET NULL ON UPDATE CASCADE", " ON DELETE RESTRICT"]
COLLATIONS = ["utf8mb4_bin", "latin1_swedish_ci", "utf8mb4_unicode_ci", "utf8mb3_general_ci"]


class Pair(NamedTuple):
    before: str
    after: str
    rows: List[str]
    hints: Dict[str, Dict[str, str]]
    said: List[str]


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def is_text(kind: str) -> bool:
    return kind.startswith(TEXTS)


def column(rng: random.Random, table: Dict[str, Any], name: str) -> Dict[str, Any]:
    made: Dict[str, Any] = {"type": rng.choice(sorted(TYPES)), "clauses": {}}
    for clause in rng.sample(sorted(CLAUSES), rng.choice([0, 1, 1, 2])):
        CLAUSES[clause](rng, table, made, name)
    if "null" in made["clauses"] and "generated" not in made["clauses"]:
        made["clauses"].setdefault("default", "DEFAULT " + rng.choice(TYPES[made["type"]]))
    return made


def set_default(rng: random.Random, table: Dict[str, Any], made: Dict[str, Any], name: str) -> None:
    value = rng.choice(TYPES[made["type"]])
    if made["type"].startswith(("datetime", "timestamp")) and rng.random() < 0.6:
        digits = made["type"][8:] if made["type"].startswith("datetime") else ""
        value = f"current_timestamp{digits}{rng.choice(['', f' ON UPDATE current_timestamp{digits}'])}"
    elif made["type"] == "varchar(70)":
        value = rng.choice([value, "(uuid())", "(concat('a', 'b'))"])
    made["clauses"]["default"] = f"DEFAULT {value}"


def set_collate(rng: random.Random, table: Dict[str, Any], made: Dict[str, Any], name: str) -> None:
    if is_text(made["type"]):
        made["clauses"]["collate"] = f"COLLATE {rng.choice(COLLATIONS)}"


def set_generated(rng: random.Random, table: Dict[str, Any], made: Dict[str, Any], name: str) -> None:
    plain = [key for key, other in table["columns"].items() if key != name and "generated" not in other["clauses"]]
    source, made["type"] = rng.choice([key for key in plain if key != "id"] or ["id"]), "varchar(70)"
    words = rng.choice([f"concat('<', left({quoted(source)}, 9))", f"left(hex({quoted(source)}), 30)"])
    if source != "id":
        made["clauses"] = {"generated": f"AS ({words}) {rng.choice(['STORED', 'VIRTUAL'])}"}


def clause(name: str, choices: Callable[[str], List[str]]) -> Callable[..., None]:
    def put(rng: random.Random, table: Dict[str, Any], made: Dict[str, Any], key: str) -> None:
        if "generated" not in made["clauses"] or name in ("comment", "invisible"):
            made["clauses"][name] = rng.choice(choices(quoted(key)))

    return put


CLAUSES: Dict[str, Callable[..., None]] = {
    "null": clause("null", lambda name: ["NOT NULL"]),
    "default": lambda *args: None if "generated" in args[2]["clauses"] else set_default(*args),
    "collate": lambda *args: None if "generated" in args[2]["clauses"] else set_collate(*args),
    "comment": clause("comment", lambda name: ["COMMENT 'it''s'", "COMMENT 'ü \\\\ x'"]),
    "invisible": clause("invisible", lambda name: ["INVISIBLE"]),
    "check": clause("check", lambda name: [f"CHECK ({name} <> '2001-01-01')", f"CHECK (length({name}) < 90)"]),
    "generated": set_generated,
}
ORDER = ("collate", "generated", "null", "default", "invisible", "comment", "check")


def column_text(name: str, made: Dict[str, Any]) -> str:
    words = [made["clauses"].get(key, "") for key in ORDER]
    if made["type"] == "timestamp" and "null" not in made["clauses"]:
        words.insert(0, "NULL")
    return " ".join([quoted(name), made["type"], *(word for word in words if word)])


def new_table(rng: random.Random, name: str, key: str) -> Dict[str, Any]:
    table: Dict[str, Any] = {"name": name, "key": key, "columns": {}, "indexes": {}, "constraints": {}, "options": {}}
    table["columns"]["id"] = {"type": "int", "clauses": {"null": "NOT NULL"}}
    table["columns"]["ref"] = {"type": "int", "clauses": {}}
    for other in rng.sample(NAMES, rng.choice([3, 4, 5])):
        table["columns"][other] = column(rng, table, other)
    return table


KEYS = {
    "counted": "PRIMARY KEY (`id`)",
    "plain": "PRIMARY KEY (`id`)",
    "unique": "UNIQUE KEY `id_key` (`id`)",
    "pair": "PRIMARY KEY (`ref`, `id`)",
    "none": "",
}


def table_text(table: Dict[str, Any]) -> str:
    lines = []
    for name, made in table["columns"].items():
        counted = " AUTO_INCREMENT" if name == "id" and table["key"] == "counted" else ""
        required = " NOT NULL" if name == "ref" and table["key"] == "pair" and not made["clauses"] else ""
        lines.append(column_text(name, made) + required + counted)
    lines += [KEYS[table["key"]]] if KEYS[table["key"]] else []
    lines += [f"{text}" for text in table["indexes"].values()]
    lines += [f"CONSTRAINT {quoted(name)} {text}" for name, text in table["constraints"].items()]
    options = " ".join(table["options"].values())
    return f"CREATE TABLE {quoted(table['name'])} (" + ", ".join(lines) + f") {options};\n"


def schema_text(schema: Schema) -> str:
    text = "".join(f"CREATE SEQUENCE {quoted(name)} {body};\n" for name, body in schema["sequences"].items())
    text += "".join(table_text(table) for _, table in sorted(schema["tables"].items(), key=lambda pair: pair[0] != "p"))
    for section, word in (("routines", ""), ("views", "VIEW"), ("triggers", "TRIGGER"), ("events", "EVENT")):
        for name, body in schema[section].items():
            text += f"CREATE {word or body[0]} {quoted(name)} {body if word else body[1]};\n"
    return text


def put_index(rng: random.Random, schema: Schema) -> str:
    table, name = some_table(rng, schema), rng.choice(["i1", "i 2", "i3"])
    one, two = some_column(rng, table), some_column(rng, table)

    def term(key: str) -> str:
        kind = table["columns"][key]["type"]
        long = kind.split("(")[0] in LONG or kind in ("varchar(300)", "varchar(70)")
        prefix = f"({rng.choice([4, 9])})" if long and kind != "varchar(70)" else rng.choice(["", " DESC"])
        return quoted(key) + prefix

    kind = rng.choice(["KEY", "KEY", "UNIQUE KEY", "FULLTEXT KEY"])
    if kind == "FULLTEXT KEY":
        if not table["columns"][one]["type"].startswith(("varchar", "char", "text", "mediumtext")):
            return ""
        table["indexes"][name] = f"FULLTEXT KEY {quoted(name)} ({quoted(one)})"
    else:
        terms = term(one) if one == two or rng.random() < 0.5 else f"{term(one)}, {term(two)}"
        ignored = rng.choice(["", "", "", " IGNORED", " COMMENT 'c'"])
        table["indexes"][name] = f"{kind} {quoted(name)} ({terms}){ignored}"
    return f"index {name} of {table['name']}"


def put_constraint(rng: random.Random, schema: Schema) -> str:
    table, name = some_table(rng, schema), rng.choice(["c1", "c 2"])
    name = f"{name} {table['name']}"
    one, two = quoted(some_column(rng, table)), quoted(some_column(rng, table))
    table["constraints"][name] = f"CHECK (length({one}) < 80 or {two} is null)"
    if table["name"] != "p" and rng.random() < 0.6:
        table["constraints"][name] = f"FOREIGN KEY (`ref`) REFERENCES `p` (`id`){rng.choice(ACTIONS)}"
    return f"constraint {name}"


def put_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = rng.choice([key for key in NAMES if key not in table["columns"]])
    made, place = column(rng, table, name), rng.randint(0, len(table["columns"]))
    items = list(table["columns"].items())
    table["columns"] = dict([*items[:place], (name, made), *items[place:]])
    return f"column {table['name']}.{name}"


def drop_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = some_column(rng, table)
    del table["columns"][name]
    for section in ("indexes", "constraints"):
        table[section] = {key: text for key, text in table[section].items() if quoted(name) not in text}
    return f"no column {table['name']}.{name}"


def change_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = some_column(rng, table)
    made, member = table["columns"][name], rng.choice(["type", "type", "type", *sorted(CLAUSES)])
    if member == "type":
        family = [kind for kind in TYPES if kind[:3] == made["type"][:3] or kind.startswith(("varchar", "text"))]
        made["type"] = rng.choice(family if rng.random() < 0.8 else sorted(TYPES))
        if not is_text(made["type"]):
            made["clauses"].pop("collate", None)
    elif member in made["clauses"] and rng.random() < 0.5:
        del made["clauses"][member]
    else:
        CLAUSES[member](rng, table, made, name)
    return f"{member} of {table['name']}.{name}"


def move_column(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    name = some_column(rng, table)
    table["columns"][name] = table["columns"].pop(name)
    return f"place of {table['name']}.{name}"


def change_key(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    table["key"] = rng.choice([key for key in KEYS if table["name"] != "p" or key not in ("none", "pair")])
    return f"key of {table['name']}"


def change_reference(rng: random.Random, schema: Schema) -> str:
    kind = rng.choice(["int", "bigint", "int unsigned"])
    schema["tables"]["p"]["columns"]["id"]["type"] = kind
    for table in schema["tables"].values():
        table["columns"]["ref"]["type"] = kind
    return f"{kind} as key of p and its children"


OPTIONS = [
    ("comment", "COMMENT='it''s new'"),
    ("collate", "COLLATE=utf8mb4_unicode_ci"),
    ("collate", "DEFAULT CHARSET=latin1"),
    ("row", "ROW_FORMAT=COMPRESSED"),
    ("row", "ROW_FORMAT=DYNAMIC"),
    ("stats", "STATS_PERSISTENT=1"),
]


def change_options(rng: random.Random, schema: Schema) -> str:
    table = some_table(rng, schema)
    member, text = rng.choice(OPTIONS)
    if member in table["options"] and rng.random() < 0.5:
        del table["options"][member]
    else:
        table["options"][member] = text
    return f"{member} of {table['name']}"


def put_table(rng: random.Random, schema: Schema) -> str:
    name = rng.choice(["new one", "index", "Zz"])
    if name in schema["tables"]:
        return ""
    schema["tables"][name] = new_table(rng, name, rng.choice(sorted(KEYS)))
    schema["tables"][name]["columns"]["ref"]["type"] = schema["tables"]["p"]["columns"]["id"]["type"]
    return f"table {name}"


def drop_table(rng: random.Random, schema: Schema) -> str:
    name = rng.choice(sorted(set(schema["tables"]) - {"p"}) or [""])
    if not name:
        return ""
    del schema["tables"][name]
    for section in ("views", "triggers"):
        schema[section] = {key: text for key, text in schema[section].items() if quoted(name) not in text}
    return f"no table {name}"


def put_view(rng: random.Random, schema: Schema) -> str:
    name, table = rng.choice(["v1", "v 2", "v3"]), some_table(rng, schema)
    source = rng.choice([table["name"], *(view for view in schema["views"] if view < name)])
    shown = quoted(some_column(rng, table)) if source == table["name"] else "*"
    schema["views"][name] = f"AS SELECT {shown} FROM {quoted(source)} AS s"
    return f"view {name}"


def put_trigger(rng: random.Random, schema: Schema) -> str:
    name, table = rng.choice(["g1", "g 2", "g3"]), some_table(rng, schema)
    event = rng.choice(["AFTER INSERT", "BEFORE DELETE", "AFTER UPDATE"])
    row = "NEW" if "INSERT" in event else "OLD"
    body = f"INSERT INTO log VALUES (concat('{name};', {row}.{quoted(some_column(rng, table))}))"
    schema["triggers"][name] = f"{event} ON {quoted(table['name'])} FOR EACH ROW {body}"
    return f"trigger {name}"


def put_program(rng: random.Random, schema: Schema) -> str:
    number = rng.randint(1, 9)
    if rng.random() < 0.5:
        schema["routines"]["f 1"] = ("FUNCTION", f"(`a` int(11)) RETURNS int(11) DETERMINISTIC RETURN a + {number}")
        return "function"
    if rng.random() < 0.5:
        schema["sequences"]["s 1"] = f"START WITH {number} INCREMENT BY 3"
        return "sequence"
    schema["events"]["e 1"] = f"ON SCHEDULE EVERY {number} DAY DISABLE COMMENT 'x' DO DELETE FROM log WHERE 0"
    return "event"


CHANGES: List[Changer] = [
    put_index, put_index, drop_item("indexes"), put_constraint, put_constraint, drop_item("constraints"),
    put_column, put_column, drop_column, *[change_column] * 5, move_column, change_key, change_reference,
    change_options, put_table, drop_table, put_view, put_trigger, put_program, drop_item("views"),
    drop_item("triggers"), drop_item("routines"), drop_item("sequences"), drop_item("events"),
]  # fmt: skip


LOG = "CREATE TABLE log (t text);\n"


def rows_of(rng: random.Random, schema: Schema) -> List[str]:
    """Return INSERT statements, the table that others refer to first; the server may refuse some of them."""
    made = []
    for name in sorted(schema["tables"], key=lambda name: name != "p"):
        table = schema["tables"][name]
        plain = [key for key, body in table["columns"].items() if "generated" not in body["clauses"]]
        for number in range(1, 9):
            values = []
            for key in plain:
                may_be_null = "null" not in table["columns"][key]["clauses"] and rng.random() < 0.3
                given = rng.choice(TYPES[table["columns"][key]["type"]])
                given = str(number) if key == "id" else str(rng.randint(1, 5)) if key == "ref" else given
                values.append("NULL" if may_be_null else given)
            made.append(f"INSERT INTO {quoted(name)} ({', '.join(map(quoted, plain))}) VALUES ({', '.join(values)});")
    return made


def make_pair(seed: int, takes: Callable[[str], bool]) -> Pair:

    def fits(schema: Schema) -> bool:
        return takes(LOG + schema_text(schema))

    rng = random.Random(seed)
    schema: Schema = {"tables": {}, "views": {}, "triggers": {}, "routines": {}, "sequences": {}, "events": {}}
    for name in ["p", *rng.sample(["Child", "log book", "t", "my.table"], 2)]:
        while name not in schema["tables"] or not takes(table_text(schema["tables"][name])):
            key = "counted" if name == "p" else rng.choice(sorted(KEYS))
            schema["tables"][name] = new_table(rng, name, key)
    live, _ = changed(rng, schema, rng.randint(3, 8), CHANGES, fits)
    wanted, said = changed(rng, copy.deepcopy(live), rng.randint(1, 6), CHANGES, fits)
    return Pair(LOG + schema_text(live), LOG + schema_text(wanted), rows_of(rng, live), {}, said)
