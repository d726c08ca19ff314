"""What the signed statements share: their one form, canonical JSON, and checks of their fields.

Canonical (RFC 8259): keys sorted, no blanks, UTF-8, a newline at the end, and two more where `usign.pad` wants them.
What is not byte for byte what `dump` writes is no statement, so that its hash is its identity.
"""

from __future__ import annotations

import json
import re

from ..errors import FormatError, InvalidError
from ..model import parse_name, parse_service
from . import usign

MAX_NAME = 255  # bytes of a configuration's key; a router's bus has room for more, and nobody has use for it
MAX_INT = 2**53 - 1  # what every reader of JSON takes exactly


def dump(document: dict, max_size: int) -> bytes:
    """The bytes of `document`; `FormatError` if it is not JSON, or longer than `max_size` bytes."""
    what = document["type"]
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        data = usign.pad(text.encode() + b"\n")
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"the {what} cannot be written as JSON: {str(error)[:100]}") from None
    if len(data) > max_size:
        raise FormatError(f"the {what} has {len(data)} bytes; {max_size} are allowed")
    return data


def load(data: bytes, what: str, form: int, max_size: int) -> dict:
    """The table in `data`, a `what` of the format `form`; its fields and its form are the caller's to check."""
    if len(data) > max_size:
        raise FormatError(f"the {what} has at most {max_size} bytes, not {len(data)}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the {what} is not JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict) or document.get("type") != what or type(document.get("format")) is not int:
        raise FormatError(f"the data is no {what}")
    if document["format"] != form:
        raise FormatError(f"the {what} is of another format than {form}")
    return document


def name(value: object, what: str) -> None:
    """`FormatError` unless `value` is a name; where `what` is "service", one of a service."""
    try:
        if what == "service":
            parse_service(value)
        else:
            parse_name(value, what)
    except InvalidError as error:
        raise FormatError(str(error)) from None


def match(pattern: re.Pattern, value: object, what: str) -> None:
    """`FormatError` unless `value` is text of the form `pattern`."""
    if not isinstance(value, str) or not pattern.match(value):
        raise FormatError(f"{what} is {str(value)[:80]!r}, which it cannot be")


def configuration(value: object, what: str, levels: int = 16) -> None:
    """`FormatError` unless a router's bus carries `value` to a service: JSON without NUL characters, whole numbers of
    64 bits, tables and lists in each other not deeper than `levels`."""
    if levels < 0:
        raise FormatError(f"{what} nests tables and lists deeper than a router's bus carries them")
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and len(key.encode(errors="surrogatepass")) > MAX_NAME:
                raise FormatError(f"{what} has a key of over {MAX_NAME} bytes, which a router's bus does not carry")
            configuration(key, what, levels)
            configuration(item, what, levels - 1)
    elif isinstance(value, list):
        for item in value:
            configuration(item, what, levels - 1)
    elif isinstance(value, str):
        if "\0" in value:
            raise FormatError(f"{what} has a text with a NUL character, which a router's bus does not carry")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise FormatError(f"{what} has a number of more than 64 bits, which a router's bus does not carry")


def integer(value: object, what: str, low: int = 0, high: int = MAX_INT) -> None:
    """`FormatError` unless `value` is a whole number from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{what} is {str(value)[:40]!r}, not a whole number from {low} to {high}")
