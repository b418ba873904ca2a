"""What the makers of random schemas for MariaDB and PostgreSQL share: names, choices, and changes one after another."""

import copy
import random
from typing import Any, Callable, Dict, List, Tuple

NAMES = ["Order", "a b", "größe", "it's", "select", "x.y", "val", "note", "n1", "group", "tag"]

Schema = Dict[str, Any]
Changer = Callable[[random.Random, Schema], str]  # returns what it changed in words; nothing where it could not


def some_table(rng: random.Random, schema: Schema) -> Dict[str, Any]:
    return schema["tables"][rng.choice(sorted(schema["tables"]))]


def some_column(rng: random.Random, table: Dict[str, Any]) -> str:
    return rng.choice([name for name in table["columns"] if name not in ("id", "ref")] or ["ref"])


def drop_item(section: str) -> Callable[[random.Random, Schema], str]:
    def drop(rng: random.Random, schema: Schema) -> str:
        place = schema[section] if section in schema else some_table(rng, schema)[section]
        return f"no {section} {place.popitem()[0]}" if place else ""

    return drop


def changed(
    rng: random.Random, schema: Schema, count: int, changes: List[Changer], takes: Callable[[Schema], bool]
) -> Tuple[Schema, List[str]]:
    """Return the schema after a number of changes that the server takes, and what was changed."""
    said: List[str] = []
    for _ in range(count * 4):
        wanted = copy.deepcopy(schema)
        words = rng.choice(changes)(rng, wanted)
        if words and wanted != schema and takes(wanted):
            schema, said = wanted, [*said, words]
        if len(said) == count:
            break
    return schema, said
