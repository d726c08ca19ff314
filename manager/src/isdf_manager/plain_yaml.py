"""YAML as people mean it: a table in which no key is there twice, and nothing that JSON cannot hold."""

from __future__ import annotations

import json

import yaml

from isdf.errors import InvalidError


class _Loader(yaml.SafeLoader):
    """Of a key that is there twice in one table the first would be lost without a word."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is not text", key.start_mark)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{name}' is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def load(text: str) -> dict:
    """The table in `text`, empty where there is nothing; `InvalidError` says in which line it is none."""
    try:
        table = yaml.load(text, _Loader)
        json.dumps(table, allow_nan=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InvalidError(f"is not YAML{where}: {getattr(error, 'problem', None) or error}") from None
    except (TypeError, ValueError, RecursionError):
        raise InvalidError("has a value that JSON cannot hold (a date? put it into quotes)") from None
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise InvalidError("is not a table of keys and values")
    return table
