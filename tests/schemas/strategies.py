"""Answers as a published schema allows them: every branch, null where it may be, list and object."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

LINKS = st.integers(0, 9999).map(lambda number: f"https://cdn.example.com/{number}.mp4?Signature=a%2Bb")
LETTERS = st.characters(exclude_categories=("Cs",))
"""All that UTF-8 has, as texts have by default. Told so it takes a second less to find out, in each process."""
TEXTS = st.text(st.characters(codec="ascii", categories=("L", "N", "Pd")), min_size=1, max_size=12)


def answers(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for the values that a JSON Schema of the published kind allows."""
    if "anyOf" in schema:
        return st.one_of([answers(option) for option in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = {
        "object": lambda: _objects(schema),
        "array": lambda: st.lists(answers(schema.get("items", {})), min_size=1, max_size=3),
        "string": lambda: LINKS if schema.get("format") == "uri" else TEXTS,
        "integer": lambda: st.integers(schema.get("minimum", 0), schema.get("maximum", 10**9)),
        "number": lambda: st.floats(0, 1e6, allow_nan=False),
        "boolean": st.booleans,
        "null": st.none,
    }
    return kinds[schema.get("type", "null")]()


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: answers(field) for name, field in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )
