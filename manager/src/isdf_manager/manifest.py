"""service.yaml: what a service is, may do and takes as its configuration (docs/reference/service-yaml.md).

A manifest is the table that the file holds, checked; it travels to the router as service.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from isdf.errors import InvalidError
from isdf.model import parse_service

from . import schema

VERSION = r"^[0-9]+(\.[0-9]+){0,3}(_(alpha|beta|pre|rc)[0-9]*)?$"  # what opkg and apk both sort
_COUNT = {"type": "integer", "minimum": 1, "maximum": 100000}
_TEXT = {"type": "string", "minLength": 1}

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "version", "title", "description", "may", "configuration"],
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "title": _TEXT | {"maxLength": 80},
        "description": _TEXT | {"maxLength": 2000},
        "price": {
            "type": "object",
            "additionalProperties": False,
            "required": ["amount", "currency", "per"],
            "properties": {
                "amount": {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,4})?$"},
                "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                "per": {"enum": ["minute", "hour", "day", "week", "month", "once"]},
            },
        },
        "may": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "add_class": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["max"],
                    "properties": {"max": _COUNT, "rate": {"type": ["string", "integer"], "format": "rate"}},
                },
                "add_class_member": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["max"],
                    "properties": {"max": _COUNT},
                },
            },
        },
        "hears": {"type": "object", "additionalProperties": {"type": "object"}},
        "configuration": {"type": "object"},
        "offline_grace": {"type": "string", "format": "length"},
        "memory_mb": {"type": "number", "exclusiveMinimum": 0, "maximum": 1024},
    },
}


class _Loader(yaml.SafeLoader):
    """YAML without a key twice in one table: the first would be lost without a word."""

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


def parse(text: str) -> dict:
    """The manifest in `text`; `InvalidError` says which key is wrong and what it takes."""
    try:
        manifest = yaml.load(text, _Loader)
        json.dumps(manifest, allow_nan=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InvalidError(f"is not YAML{where}: {getattr(error, 'problem', None) or error}") from None
    except (TypeError, ValueError):
        raise InvalidError("has a value that JSON cannot hold (a date? put it into quotes)") from None
    if not isinstance(manifest, dict):
        raise InvalidError("is not a table of keys and values")
    if isinstance(manifest.get("version"), int | float):
        raise InvalidError(f"'version' is the number {manifest['version']}; put it into quotes: \"1.0.0\"")
    schema.check(manifest, SCHEMA, "it")
    try:
        parse_service(manifest["name"])
    except InvalidError as error:
        raise InvalidError(f"'name': {error}") from None
    if not re.match(VERSION, manifest["version"]):
        raise InvalidError(f"'version' is {manifest['version'][:60]!r}; it takes a form such as '1.2.3' or '1.2.3_rc1'")
    schema.check_schema(manifest["configuration"], "'configuration'")
    return manifest


def load(folder: Path) -> dict:
    """The manifest of the service in `folder`; `InvalidError` where it is no service."""
    path = folder / "service.yaml"
    if not folder.is_dir():
        raise InvalidError(f"{folder} is no folder; give the folder of a service, with service.yaml and service.py")
    for name in ("service.yaml", "service.py"):
        if not (folder / name).is_file():
            raise InvalidError(f"{folder} is no service: it has no {name}")
    try:
        return parse(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from None
    except InvalidError as error:
        raise InvalidError(f"{path}: {error}") from None


def as_json(manifest: dict) -> bytes:
    """service.json, the same bytes for the same manifest."""
    return (json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def version_key(version: str) -> tuple:
    """Versions in the order in which opkg and apk see them: `1.2_rc1` before `1.2` before `1.2.1`."""
    number, _, suffix = version.partition("_")
    match = re.match(r"([a-z]+)([0-9]*)", suffix)
    rank = (-1, match[1], int(match[2] or 0)) if match else (0, "", 0)
    return tuple(map(int, number.split("."))), rank
