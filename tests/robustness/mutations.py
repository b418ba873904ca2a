"""Seeded mutations of JSON documents that keep most of their structure, so that they reach deep into the scripts."""

import copy
import json
import pickle
import random
import re
from typing import Any, List, Tuple

HOSTILE: List[Any] = [
    None, True, False, 0, -0.0, -1, 1e308, 10**40, 3.5, "", " ", "x" * 300, "null", "select", "O'Brien", "a;--b",
    "a\nb\r", "a\"b",
    "$(touch canary)", "`id`", "{{x}}", "%s%n", "\x1b[31mred", "\u202egnp", "\u0000", "é" * 40,
    "..", "/etc/passwd", "::error::x",
    "<script>alert(1)</script>", "|", "*", "--help", "1970-01-01", "99999-99-99",
    "varchar(", "numeric(1,", "users(", "users.", ".x", "order", "n" * 64, "é" * 32 + "x", "'; DROP TABLE users; --",
    "\u200f", "\u2028", "]]>", "\\", "--", "/*", "a b", "-0", "1e999", "<!--", "```", "%0A", 2**63, -(2**31), 1e-320,
    [], {}, [[]], [{}], {"": ""}, {"a": None}, [None], ["a", "a"],
    {"$ref": "#"}, {"$ref": "#/x/y"}, {"expression": "now()"},
]  # fmt: skip
TEXT_FAULTS: List[str] = [  # what a JSON writer does not write: put in place of one value
    "[" * 10000 + "]" * 10000, '{"a":' * 10000 + "1" + "}" * 10000, r'"\ud800"', r'{"\udfff": 1}', "1e308",
    "-0", "1e999",
    "NaN", "-Infinity", "9" * 5000,
    '{"type": 1, "type": 2}', '"' + "x" * 1000000 + '"', "", "01", "'a'", '"\x07"', "//",
]  # fmt: skip
Spot = Tuple[Any, Any]  # a container and the key or index of one of its values


def spots(value: Any) -> List[Spot]:
    """Return every place of a document that holds a value."""
    found: List[Spot] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        pairs = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
        for key, child in pairs:
            found.append((here, key))
            waiting.append(child)
    return found


def mutate(document: Any, chance: random.Random) -> Any:
    """Return a copy of a document with one to four places changed."""
    made = pickle.loads(pickle.dumps(document))  # a fifth of the time of copy.deepcopy
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        found = spots(made)
        if found:
            change_one(chance.choice(found), found, chance)
    return made


def change_one(spot: Spot, found: List[Spot], chance: random.Random) -> None:
    container, key = spot
    action = chance.randrange(7)
    if action <= 2:
        container[key] = copy.deepcopy(chance.choice(HOSTILE))
    elif action == 3:
        del container[key]
    elif action == 4:
        other, name = chance.choice(found)
        container[key] = json.loads(json.dumps(other[name]))
    elif action == 5 and isinstance(container, dict):
        container[str(chance.choice(HOSTILE))] = container.pop(key)
    elif isinstance(container, list):
        container.append(copy.deepcopy(container[key]))
    else:
        container[key] = [container[key]]


def written(document: Any, chance: random.Random) -> bytes:
    """Return a document as a file; one in thirty holds what is no JSON, or only just, or ends too early."""
    if chance.randrange(30):
        return json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    text = json.dumps(document)
    kind = chance.randrange(8)
    if kind == 0:
        return text.encode()[: chance.randrange(len(text))]
    if kind == 1:
        return b"\xef\xbb\xbf" + text.encode().replace(b"e", bytes([chance.randrange(256)]), 1)
    value = chance.choice(re.findall(r'(?<=: )(?:"(?:[^"\\]|\\.)*"|[-\w.]+)', text) or [text])
    return text.replace(value, chance.choice(TEXT_FAULTS), 1).encode()
