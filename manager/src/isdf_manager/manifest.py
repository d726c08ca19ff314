"""service.yaml: what a service is, may do and takes as its configuration (docs/reference/service-yaml.md).

A manifest is the table that the file holds, checked; it travels to the router as service.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from isdf.errors import InvalidError
from isdf.model import parse_service

from . import plain_yaml, schema

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


def parse(text: str) -> dict:
    """The manifest in `text`; `InvalidError` says which key is wrong and what it takes."""
    manifest = plain_yaml.load(text)
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
