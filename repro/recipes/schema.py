"""The JSON Schema of recipe files, for editors: `python -m repro.recipes.schema > repro/recipes/schema.json`."""

from __future__ import annotations

import ast
import inspect
import json
from typing import Any

import msgspec

from repro.recipes.entries import About, Document, Entry, Given, GivenNumbers
from repro.recipes.recipe import Recipe
from repro.recipes.source import Source


def schema() -> str:
    """Return the schema as JSON text, with the docstrings of the attributes as descriptions of the keys."""
    whole: dict[str, Any] = msgspec.json.schema(Document[Entry])  # type: ignore[valid-type]
    said = {**described(Source), **described(Given), **described(GivenNumbers)}
    for name, definition in whole["$defs"].items():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
        texts = {**described(Recipe), **described(About)} if name == "Entry" else said
        for key, content in definition.get("properties", {}).items():
            spelled = "kind" if key == "source" else key
            if spelled in texts:
                content["description"] = texts[spelled]
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def described(form: type) -> dict[str, str]:
    """Return the docstrings of a class's attributes by name, each in one line."""
    (body,) = ast.parse(inspect.getsource(form)).body
    assert isinstance(body, ast.ClassDef)
    return {
        named.target.id: " ".join(said.value.value.split())
        for named, said in zip(body.body, body.body[1:], strict=False)
        if isinstance(named, ast.AnnAssign) and isinstance(named.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant) and isinstance(said.value.value, str)
    }


if __name__ == "__main__":
    print(schema(), end="")
