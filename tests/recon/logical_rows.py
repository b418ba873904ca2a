"""One table of every type that the three engines share, its edge values, and how each engine writes them."""

import datetime
import random
import uuid
from typing import Any, Dict, List, NamedTuple, Sequence

ENGINES = ("postgresql", "mysql", "sqlite")


class Kind(NamedTuple):
    """A logical column: its type in each engine and the values that are hard."""

    postgresql: str
    mysql: str
    sqlite: str
    edges: Sequence[Any]


MOMENTS = ("1970-01-01 00:00:00.000000", "1969-12-31 23:59:59.999999", "2024-02-29 12:34:56.000001",
           "9999-12-31 23:59:59.999999", "1582-10-15 00:00:00.500000", "2038-01-19 03:14:07.100000")
INSTANTS = ("1970-01-01 00:00:01.000000", "2024-02-29 12:34:56.000001", "2038-01-19 03:14:07.100000",
            "2021-03-28 01:30:00.000000", "2021-10-31 01:30:00.999999")
TEXTS = ("", " ", "a", "~", "=", ";", "a;b", "=1:a", "é", "e\u0301", "日本語", "🎉", "tab\there", "line\nbreak", "it's",
         'quote"d', "back\\slash", "trailing  ", "NULL", "0", "ß", "%s", ":'salt'", "x" * 200)
KINDS: Dict[str, Kind] = {
    "small_no": Kind("smallint", "smallint", "INTEGER", (0, 1, -1, 32767, -32768)),
    "whole": Kind("integer", "int", "INTEGER", (0, -1, 2147483647, -2147483648)),
    "large": Kind("bigint", "bigint", "INTEGER", (0, 9223372036854775807, -9223372036854775808, 2**53 + 1)),
    "unsigned_no": Kind("numeric(20,0)", "bigint unsigned", "TEXT", (0, 18446744073709551615, 2**63)),
    "price": Kind("numeric(20,4)", "decimal(20,4)", "TEXT", ("0.0000", "-0.0001", "1234567890123456.7891", "0.1000")),
    "narrow": Kind("numeric(8,3)", "decimal(8,3)", "DECIMAL(8,3)", ("0.000", "99999.999", "-0.001", "1.500")),
    "coefficient": Kind("double precision", "double", "REAL", (0.0, -0.0, 0.1, 1e-9, -2.5, 123456789.125, 1e17, 1 / 3)),
    "single_no": Kind("real", "float", "REAL", (0.0, 0.5, -1.25, 1024.125)),
    "name": Kind("varchar(300)", "varchar(300)", "VARCHAR(300)", TEXTS),
    "remark": Kind("text", "text", "TEXT", TEXTS),
    "code": Kind("char(6)", "char(6)", "CHAR(6)", ("", "ab", "abcdef", "é")),
    "flag": Kind("boolean", "tinyint(1)", "BOOLEAN", (True, False)),
    "day": Kind("date", "date", "DATE", ("1970-01-01", "1969-12-31", "2024-02-29", "9999-12-31", "1582-10-15")),
    "clock": Kind("time(6)", "time(6)", "TIME", ("00:00:00.000000", "23:59:59.999999", "12:00:00.500000")),
    "local_at": Kind("timestamp(6)", "datetime(6)", "DATETIME", MOMENTS),
    "seen_at": Kind("timestamptz(6)", "timestamp(6) NULL", "TIMESTAMPTZ", INSTANTS),
    "token": Kind("uuid", "binary(16)", "UUID", tuple(str(uuid.UUID(int=n)) for n in (0, 1, 2**128 - 1, 0xABCDEF))),
    "token_text": Kind("uuid", "char(36)", "TEXT", (str(uuid.UUID(int=77)),)),
    "blob_data": Kind("bytea", "blob", "BLOB", (b"", b"\x00", b"\xff\xfe", bytes(range(256)))),
    "state": Kind("text", "enum('new','paid','gone')", "TEXT", ("new", "paid", "gone")),
    "numbers": Kind("integer[]", "json", "JSON", ([], [1], [-1, 0, 2147483647])),
    "document": Kind("jsonb", "json", "JSON", ('{"a": 1}', "[]", '{"k": "v", "n": null}')),
    "mask": Kind("bit(5)", "bit(5)", "TEXT", ("00000", "10101", "11111")),
    "founded": Kind("integer", "year", "INTEGER", (1901, 2024, 2155)),
}
INSTANT_COLUMNS, BYTE_COLUMNS = ("seen_at",), ("blob_data",)


def edge_rows() -> List[Dict[str, Any]]:
    """Return one row for each edge value of each kind, the others taken in turn, and a row of NULLs."""
    rows = []
    for name, kind in KINDS.items():
        for value in (*kind.edges, None):
            no = len(rows)
            row = {other: each.edges[no % len(each.edges)] for other, each in KINDS.items()}
            rows.append({**row, name: value})
    return [*rows, {name: None for name in KINDS}]


def text_literal(engine: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\") if engine == "mysql" else value
    return "'" + escaped.replace("'", "''") + "'"


def moment_literal(engine: str, value: str) -> str:
    return {"postgresql": f"'{value}+00'", "mysql": f"'{value}'", "sqlite": f"'{value}Z'"}[engine]


def literal(engine: str, name: str, value: Any) -> str:
    """Return a logical value as its engine's SQL."""
    kind = getattr(KINDS[name], engine)
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return {"postgresql": str(value).lower()}.get(engine, str(int(value)))
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'" if engine == "postgresql" else f"X'{value.hex()}'"
    if isinstance(value, list):
        inner = ",".join(map(str, value))
        return f"'{{{inner}}}'" if engine == "postgresql" else f"'[{inner}]'"
    if name in INSTANT_COLUMNS:
        return moment_literal(engine, value)
    if kind == "binary(16)":
        return f"X'{uuid.UUID(value).hex}'"
    if name == "mask" and engine != "sqlite":
        return f"B'{value}'" if engine == "postgresql" else f"b'{value}'"
    if isinstance(value, (int, float)):
        return f"'{value}'" if kind == "TEXT" else repr(value)
    return text_literal(engine, value)


def create_sql(engine: str, table: str, names: Sequence[str], key: str = "id integer PRIMARY KEY") -> str:
    columns = ", ".join(f"{name} {getattr(KINDS[name], engine)}" for name in names)
    tail = " CHARACTER SET utf8mb4" if engine == "mysql" else ""
    return f"CREATE TABLE {table} ({key}, {columns}){tail};\n"


def insert_sql(engine: str, table: str, rows: Sequence[Dict[str, Any]], first: int = -20) -> str:
    """Return the INSERT of rows numbered from `first`, so that keys below zero occur."""
    names = list(rows[0])
    before = "SET NAMES utf8mb4; SET time_zone='+00:00'; SET sql_mode='NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES';\n"
    lines = [f"({number},{','.join(literal(engine, name, row[name]) for name in names)})"
             for number, row in enumerate(rows, first)]
    return (before if engine == "mysql" else "") + (
        f"INSERT INTO {table} (id,{','.join(names)}) VALUES\n" + ",\n".join(lines) + ";\n")


def random_text(rng: random.Random, longest: int) -> str:
    """Return a text of any Unicode characters but NUL, surrogates, and CR, which clients change when they read SQL."""
    planes = ((0x20, 0x7F), (0xA0, 0x250), (0x300, 0x500), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF), (1, 0x20))
    text = "".join(chr(rng.randrange(*rng.choice(planes))) for _ in range(rng.randrange(longest + 1)))
    return text.replace("\r", "")


def random_moment(rng: random.Random, first: int, last: int) -> str:
    days = rng.randrange(datetime.date(first, 1, 2).toordinal(), datetime.date(last, 1, 1).toordinal())
    clock = datetime.timedelta(microseconds=rng.randrange(86400 * 10**6))
    moment = datetime.datetime.combine(datetime.date.fromordinal(days), datetime.time()) + clock
    return moment.isoformat(" ", "microseconds").zfill(26)


def random_value(rng: random.Random, name: str) -> Any:
    """Return any value that the column can hold; now and then an edge value or NULL."""
    kind = KINDS[name]
    if rng.random() < 0.15:
        return rng.choice([None, *kind.edges])
    whole = {"small_no": 2**15, "whole": 2**31, "large": 2**63}
    makers = {
        "unsigned_no": lambda: rng.randrange(2**64),
        "price": lambda: f"{rng.randrange(-10**15, 10**15)}.{rng.randrange(10**4):04}",
        "narrow": lambda: f"{rng.randrange(-10**5, 10**5)}.{rng.randrange(10**3):03}",
        "coefficient": lambda: rng.choice([rng.uniform(-1e6, 1e6), rng.gauss(0, 1), rng.uniform(-1e17, 1e17)]),
        "single_no": lambda: rng.randrange(-(2**20), 2**20) / 64,
        "code": lambda: rng.choice(["", "a", "zz9", "äöü"]),
        "flag": lambda: rng.random() < 0.5,
        "day": lambda: random_moment(rng, 1000, 9999)[:10],
        "clock": lambda: random_moment(rng, 2000, 2001)[11:],
        "local_at": lambda: random_moment(rng, 1000, 9999),
        "seen_at": lambda: random_moment(rng, 1971, 2037),
        "blob_data": lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(40))),
        "state": lambda: rng.choice(kind.edges),
        "numbers": lambda: [rng.randrange(-1000, 1000) for _ in range(rng.randrange(5))],
        "document": lambda: rng.choice(kind.edges),
        "mask": lambda: f"{rng.randrange(32):05b}",
        "founded": lambda: rng.randrange(1901, 2156),
    }
    if name in whole:
        return rng.randrange(-whole[name], whole[name])
    if name.startswith("token"):
        return str(uuid.UUID(int=rng.randrange(2**128)))
    return makers[name]() if name in makers else random_text(rng, 60)
