"""Generated inputs of any size; run as a program it writes one kind into a folder and ends.

The measuring program starts this one for each kind, because the peak memory of a child process counts what its
parent held when it was started.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

Pair = Tuple[Any, Any]


def schemas(tables: int, every: int) -> Pair:
    """Return two database schemas of as many tables; one table of `every` differs, in turn in five ways."""
    before = {"dialect": "postgresql", "tables": {f"table_{number}": table(number) for number in range(tables)}}
    after = json.loads(json.dumps(before))
    for turn, number in enumerate(range(0, tables, every)):
        change_table(after["tables"], f"table_{number}", turn % 5)
    return before, after


def table(number: int) -> Dict[str, Any]:
    columns: Dict[str, Any] = {
        "id": {"type": "bigint", "identity": "always", "nullable": False},
        "parent_id": {"type": "bigint"},
        "email": {"type": "varchar", "length": 255, "nullable": False},
        "note": {"type": "text", "comment": "What the customer wrote."},
        "amount": {"type": "numeric", "precision": 12, "scale": 2, "default": 0},
        "created_at": {"type": "timestamptz", "nullable": False, "default": "now()"},
    }
    columns.update({f"field_{place}": {"type": "varchar", "length": 40 + place} for place in range(6)})
    constraints: Dict[str, Any] = {
        "primary_key": {"name": f"table_{number}_pkey", "columns": ["id"]},
        "check": [{"name": f"table_{number}_amount", "expression": "amount >= 0"}],
    }
    if number:
        constraints["foreign_key"] = [{"name": f"table_{number}_parent", "columns": ["parent_id"],
                                       "references": f"table_{number // 2}(id)", "on_delete": "CASCADE"}]
    return {"columns": columns, "constraints": constraints, "row_count": 1000 + number,
            "indexes": [{"name": f"table_{number}_email", "columns": ["email"], "unique": False}]}


def change_table(tables: Dict[str, Any], name: str, turn: int) -> None:
    columns = tables[name]["columns"]
    if turn == 0:
        columns["region"] = {"type": "varchar", "length": 20}
    elif turn == 1:
        columns["email"]["length"] = 100
    elif turn == 2:
        del columns["field_3"]
    elif turn == 3:
        columns["note"]["nullable"] = False
    else:
        tables[name]["indexes"].append({"name": f"{name}_note", "columns": ["created_at"]})


def clustered(components: int, every: int) -> Pair:
    """Return two OpenAPI documents whose components refer to each other within clusters of twenty."""
    return apis(components // 2, components, every, 20)


def recursive(components: int, every: int) -> Pair:
    """Return two OpenAPI documents in which nearly every component reaches every other one."""
    return apis(components * 2 // 3, components, every, components)


def apis(operations: int, components: int, every: int, cluster: int) -> Pair:
    dice = random.Random(1)
    parts = {f"C{number}": component(number // cluster * cluster, cluster, dice) for number in range(components)}
    paths = {f"/c{number}": {
        "get": {"responses": {"200": answer(number % components)}},
        "post": {"requestBody": answer(number * 7 % components), "responses": {"204": {"description": "stored"}}}}
        for number in range(operations)}
    before = {"openapi": "3.0.3", "info": {"title": "Shop", "version": "1"}, "paths": paths,
              "components": {"schemas": parts}}
    after = json.loads(json.dumps(before))
    for number in range(0, components, every):
        after["components"]["schemas"][f"C{number}"]["properties"]["v2"] = {"type": "integer"}
    return before, after


def component(first: int, cluster: int, dice: random.Random) -> Dict[str, Any]:
    properties: Dict[str, Any] = {f"v{number}": {"type": "string", "maxLength": 50, "description": "Words. " * 8}
                                  for number in range(8)}
    for number in range(4):
        properties[f"r{number}"] = reference(first + dice.randrange(cluster))
    return {"type": "object", "properties": properties, "required": ["v0"]}


def reference(number: int) -> Dict[str, Any]:
    return {"$ref": f"#/components/schemas/C{number}"}


def answer(number: int) -> Dict[str, Any]:
    return {"description": "ok", "content": {"application/json": {"schema": reference(number)}}}


def database_move(tables: int, _: int) -> Any:
    """Return the specification of a database migration with as many tables."""
    names = [f"table_{number}" for number in range(tables)]
    return {
        "type": "database", "source": "PostgreSQL 13", "target": "PostgreSQL 17",
        "constraints": {"max_downtime_minutes": 30, "data_volume_gb": tables, "dependencies": ["web", "billing"]},
        "tables_to_migrate": [
            {"name": name, "row_count": 1000 * (number + 1), "size_mb": 5, "critical": number % 7 == 0,
             "columns": [{"name": "id", "type": "bigint"}, {"name": "email", "type": "varchar(255)"}]}
            for number, name in enumerate(names)],
        "schema_changes": [
            {"table": name, "changes": [{"type": "add_column", "column": "region", "data_type": "varchar(20)"},
                                        {"type": "drop_column", "column": "note"}]} for name in names[::5]],
    }


def service_move(endpoints: int, _: int) -> Any:
    """Return the specification of a service migration with as many endpoints."""
    old = [f"GET /api/v1/things_{number}/{{id}}" for number in range(endpoints)]
    new = [f"GET /api/v2/things_{number}/{{id}}" for number in range(endpoints) if number % 9]
    return {
        "type": "service", "source": "Legacy shop", "target": "Shop 2", "pattern": "strangler_fig",
        "constraints": {"max_downtime_minutes": 0, "dependencies": ["web", "billing"]},
        "service_details": {"legacy_service": {"endpoints": old, "current_load": {"requests_per_second": 90}},
                            "new_service": {"endpoints": new}},
    }


KINDS = {make.__name__: make for make in (schemas, clustered, recursive, database_move, service_move)}


def main() -> int:
    kind, size, every, *paths = sys.argv[1:]
    made = KINDS[kind](int(size), int(every))
    for path, document in zip(paths, made if len(paths) > 1 else (made,)):
        Path(path).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
