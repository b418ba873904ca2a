"""Rewritings of an API document that change nothing for any client."""
import copy
from typing import Any, Callable, Dict

PREFIX = "#/components/schemas/"


def rewrite(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy with `change` applied to every object, innermost first."""
    if isinstance(value, dict):
        return change({key: rewrite(item, change) for key, item in value.items()})
    return [rewrite(item, change) for item in value] if isinstance(value, list) else value


def reordered(document: Dict[str, Any]) -> Dict[str, Any]:
    return rewrite(document, lambda item: dict(sorted(item.items(), reverse=True)))


def renamed(document: Dict[str, Any]) -> Dict[str, Any]:
    """Give every schema component another name."""
    def rename(item: Dict[str, Any]) -> Dict[str, Any]:
        reference = item.get("$ref")
        if isinstance(reference, str) and reference.startswith(PREFIX):
            return {**item, "$ref": reference + "Renamed"}
        if isinstance(item.get("discriminator"), dict) and "mapping" in item["discriminator"]:
            mapping = {key: name + "Renamed" for key, name in item["discriminator"]["mapping"].items()}
            return {**item, "discriminator": {**item["discriminator"], "mapping": mapping}}
        return item

    result = rewrite(document, rename)
    schemas = result.get("components", {}).get("schemas", {})
    if schemas:
        result["components"]["schemas"] = {name + "Renamed": schema for name, schema in schemas.items()}
    return result


def inlined(document: Dict[str, Any]) -> Dict[str, Any]:
    """Put the schemas themselves where references to them stand, unless they refer to themselves."""
    schemas = document.get("components", {}).get("schemas", {})

    def inline(value: Any, open_names: tuple) -> Any:
        if isinstance(value, list):
            return [inline(item, open_names) for item in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(PREFIX):
            name = reference[len(PREFIX):]
            if name in schemas and name not in open_names and len(open_names) < 4:
                return inline(schemas[name], open_names + (name,))
        return {key: inline(item, open_names) for key, item in value.items()}

    return {**document, "paths": inline(document.get("paths", {}), ())}


def parts_inlined(document: Dict[str, Any]) -> Dict[str, Any]:
    """Put shared parameters, responses, bodies, headers, links and callbacks where references to them stand."""
    parts = {f"#/components/{section}/{name}": part for section, named in document.get("components", {}).items()
             if section not in ("schemas", "securitySchemes") for name, part in named.items()}

    def inline(value: Any, depth: int = 0) -> Any:
        if isinstance(value, list):
            return [inline(item, depth) for item in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str) and reference in parts and depth < 8:
            return inline(parts[reference], depth + 1)
        return {key: inline(item, depth) for key, item in value.items()}

    return {**document, "paths": inline(document.get("paths", {}))}


LISTS = ("required", "enum", "oneOf", "anyOf", "allOf", "type", "parameters", "security", "tags", "examples")


def lists_reversed(document: Dict[str, Any]) -> Dict[str, Any]:
    """Turn round the lists whose order says nothing."""
    return rewrite(document, lambda item: {key: value[::-1] if key in LISTS and isinstance(value, list) else value
                                           for key, value in item.items()})


def wrapped(document: Dict[str, Any]) -> Dict[str, Any]:
    """Wrap every reference to a schema in an allOf of its own."""
    return rewrite(document, lambda item: {"allOf": [item]} if str(item.get("$ref", "")).startswith(PREFIX) else item)


def lowered(document: Dict[str, Any]) -> Dict[str, Any]:
    """Move the parameters of paths into their operations."""
    result = copy.deepcopy(document)
    for item in result.get("paths", {}).values():
        shared = item.pop("parameters", [])
        for method, operation in item.items():
            if method in ("get", "put", "post", "delete", "patch") and shared:
                own = operation.get("parameters", [])
                names = {(entry.get("in"), entry.get("name")) for entry in own}
                operation["parameters"] = [entry for entry in shared if (entry.get("in"),
                                                                         entry.get("name")) not in names] + own
    return result


def upgraded(document: Dict[str, Any]) -> Dict[str, Any]:
    """Write an OpenAPI 3.0 document as 3.1."""
    def modern(item: Dict[str, Any]) -> Dict[str, Any]:
        is_reference = isinstance(item.get("$ref"), str)
        item = {"$ref": item["$ref"]} if is_reference else dict(item)  # 3.0 reads nothing beside a reference
        if item.get("nullable") is True and isinstance(item.get("type"), str):
            item["type"] = [item["type"], "null"]
            if isinstance(item.get("enum"), list) and None not in item["enum"]:
                item["enum"] = item["enum"] + [None]
            del item["nullable"]
        for bound in ("minimum", "maximum"):
            flag = "exclusive" + bound.capitalize()
            if item.get(flag) is True and bound in item:
                item[flag] = item.pop(bound)
            elif item.get(flag) is False:
                del item[flag]
        return item

    return {**rewrite(document, modern), "openapi": "3.1.0"}


def without_words(document: Dict[str, Any]) -> Dict[str, Any]:
    """Drop what only people read."""
    def silent(item: Dict[str, Any]) -> Dict[str, Any]:
        return {key: value for key, value in item.items()
                if not (key in ("description", "summary", "example", "externalDocs") and not isinstance(value, dict))}

    return rewrite(document, silent)


REWRITINGS: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
    "itself": copy.deepcopy, "keys in another order": reordered, "components renamed": renamed,
    "references inlined": inlined, "shared parts inlined": parts_inlined, "lists in another order": lists_reversed,
    "references wrapped in allOf": wrapped, "parameters moved to the operations": lowered,
    "3.0 written as 3.1": upgraded,
    "documentation dropped": without_words,
}
