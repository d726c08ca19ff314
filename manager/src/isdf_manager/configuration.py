"""A service's configuration as the operator types it: `key=value` words, checked against the service's schema.

rate=200kBps          text where the schema says text, otherwise as YAML reads it (5, true, null)
sites=a.example,b     a list: commas between its items, or YAML's own form: sites=[a.example, b]
limits.night=2        a key inside a table
up=                   takes the key away
"""

from __future__ import annotations

import copy
import json

import yaml

from isdf.errors import FormatError, InvalidError
from isdf.formats import statement

from . import schema


def change(config: dict, words: list[str], described: dict) -> dict:
    """`config` with the changes in `words`, checked against the JSON Schema `described`; else `InvalidError`."""
    config = copy.deepcopy(config)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise InvalidError(f"{word!r} is not of the form key=value")
        _set(config, key, text, described)
    config = filled(config, described)
    schema.check(config, described, "the configuration")
    return config


def filled(config: dict, described: dict) -> dict:
    """`config` with the defaults of `described` (its properties at the top) for the keys that it has not.

    `InvalidError` for what no router's bus carries.
    """
    properties = described.get("properties", {}).items()
    defaults = {key: prop["default"] for key, prop in properties if isinstance(prop, dict) and "default" in prop}
    found = copy.deepcopy(defaults | config)
    try:
        statement.configuration(found, "the configuration")
    except FormatError as error:
        raise InvalidError(str(error)) from None
    return found


def _set(table: dict, key: str, text: str, described: dict) -> None:
    path = key.split(".")
    for part in path[:-1]:
        described = _property(described, part)
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise InvalidError(f"'{key}' is inside '{part}', which is no table")
    if text:
        table[path[-1]] = _value(key, text, _property(described, path[-1]))
    else:
        table.pop(path[-1], None)


def _property(described: dict, key: str) -> dict:
    found = described.get("properties", {}).get(key, {})
    return found if isinstance(found, dict) else {}


def _value(key: str, text: str, described: dict) -> object:
    types = described.get("type", [])
    types = [types] if isinstance(types, str) else types
    if "array" in types and not text.startswith("["):
        items = described.get("items")
        return [_value(key, item.strip(), items if isinstance(items, dict) else {}) for item in text.split(",")]
    if types == ["string"]:
        return text
    try:
        value = yaml.safe_load(text)
        return json.loads(json.dumps(value, allow_nan=False))
    except (yaml.YAMLError, TypeError, ValueError):
        raise InvalidError(f"'{key}' is {text!r}, which cannot be read; put text such as dates into quotes") from None
