"""JSON Schema for what people write: sentences instead of paths, and formats of our own (`rate`, `host`, ...).

Used for service.yaml and for a service's configuration. Reference: JSON Schema draft 2020-12.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import jsonschema
from jsonschema import Draft202012Validator, FormatChecker

from isdf.errors import InvalidError
from isdf.model import parse_address, parse_host, parse_rate

from .clock import parse_length

_FORMATS = FormatChecker(formats=("date", "ipv4", "ipv6", "regex"))
# Keywords that hold a schema, a list of schemas and a table of schemas.
_SCHEMA = {
    "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties",
}  # fmt: skip
_LIST = {"allOf", "anyOf", "oneOf", "prefixItems"}
_TABLE = {"$defs", "dependentSchemas", "patternProperties", "properties"}
_OURS = {"rate": parse_rate, "host": parse_host, "address": parse_address, "length": parse_length}
for _name, _parse in _OURS.items():
    _FORMATS.checks(_name, raises=InvalidError)(lambda value, parse=_parse: bool(parse(value)))
FORMATS = tuple(_FORMATS.checkers)
_CHECKED = f"there are {', '.join(FORMATS)}"


def check(value: object, schema: dict, what: str) -> None:
    """`InvalidError` with one sentence about the first (outermost) thing in `value` that `schema` does not allow.

    `what` names the value where the fault is not in one of its keys.
    """
    errors = sorted(Draft202012Validator(schema, format_checker=_FORMATS).iter_errors(value), key=_rank)
    if errors:
        raise InvalidError(sentence(errors[0], what))


def check_schema(schema: object, what: str) -> None:
    """`InvalidError` unless `schema` is a JSON Schema for a table of named values.

    A format that nothing checks and a default that its schema does not take would be found when the service is sold.
    """
    try:
        Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = _path(error.absolute_path)
        raise InvalidError(f"{what}{'.' + where if where else ''} is no JSON Schema: {_short(error.message)}") from None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise InvalidError(f"{what} describes no table of named values; it begins with 'type: object'")
    if "$ref" in json.dumps(schema):
        raise InvalidError(f"{what} uses $ref, which nothing here follows; write the schema out")
    for path, part in _parts(schema, what):
        if "format" in part and part["format"] not in FORMATS:
            raise InvalidError(f"{path} has the format {part['format']!r}, which nothing checks; {_CHECKED}")
        if "default" in part:
            try:
                check(part["default"], part, "it")
            except InvalidError as error:
                raise InvalidError(f"{path} does not take its own default: {error}") from None


def _parts(schema: object, path: str) -> Iterator[tuple[str, dict]]:
    """Where each schema in `schema` is, and the schema: itself first."""
    if not isinstance(schema, dict):
        return  # true or false
    yield path, schema
    for keyword, value in schema.items():
        if keyword in _SCHEMA:
            yield from _parts(value, f"{path}.{keyword}")
        elif keyword in _LIST:
            for index, part in enumerate(value):
                yield from _parts(part, f"{path}.{keyword}[{index}]")
        elif keyword in _TABLE:
            for name, part in value.items():
                yield from _parts(part, f"{path}.{keyword}.{name}")


def sentence(error: jsonschema.ValidationError, what: str) -> str:
    """What is wrong and what is allowed, with the name of the key."""
    key = _path(error.absolute_path)
    subject = f"'{key}'" if key else what
    schema = error.schema if isinstance(error.schema, dict) else {}
    match error.validator:
        case "required":
            missing = next(k for k in error.validator_value if k not in error.instance)
            whole = f"{key}.{missing}" if key else missing
            return f"'{whole}' is missing{_allowed(schema.get('properties', {}).get(missing), ': it takes ')}"
        case "additionalProperties":
            known = schema.get("properties", {})
            extra = next(k for k in error.instance if k not in known)
            return f"{subject} has no key '{extra}'; it has {', '.join(known) or 'none'}"
        case "format":
            reason = error.cause or f"is no {error.validator_value}"
            return f"{subject}: {reason}"
        case "type" | "enum" | "const" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "pattern":
            return f"{subject} is {_short(repr(error.instance))}; it takes {_allowed(schema) or 'something else'}"
        case "minItems" | "maxItems":
            return f"{subject} has {len(error.instance)} items; it takes {_allowed(schema)}"
        case "minLength" | "maxLength":
            return f"{subject} has {len(error.instance)} characters; it takes {_allowed(schema)}"
        case "uniqueItems":
            return f"{subject} names something twice"
    return f"{subject}: {_short(error.message)}"


def _allowed(schema: object, before: str = "") -> str:
    """What a schema takes, in words; empty where it does not say."""
    if not isinstance(schema, dict):
        return ""
    if "const" in schema:
        return f"{before}{schema['const']!r}"
    if "enum" in schema:
        return before + "one of " + ", ".join(map(str, schema["enum"]))
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    words = [_TYPES.get(t, t) for t in types]
    if schema.get("format") in _FORMAT_WORDS:
        words = [_FORMAT_WORDS[schema["format"]]]
    text = " or ".join(words)
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        text += f" (each {_allowed(schema['items'])})" if _allowed(schema["items"]) else ""
    limits = [words.format(schema[k]) for k, words in _LIMITS.items() if k in schema]
    text = " ".join(filter(None, (text, " and ".join(limits))))
    return before + text if text else ""


_TYPES = {
    "string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
    "array": "a list", "object": "a table", "null": "nothing",
}  # fmt: skip
_FORMAT_WORDS = {
    "rate": "a rate such as '200kBps' or '1600kbit'", "host": "a domain name", "address": "an address or prefix",
    "length": "a time such as '2h' or '14d'",
}  # fmt: skip
_LIMITS = {
    "minimum": "from {}", "maximum": "up to {}", "exclusiveMinimum": "above {}", "exclusiveMaximum": "below {}",
    "minItems": "with at least {}", "maxItems": "with at most {}", "minLength": "of {} characters or more",
    "maxLength": "of {} characters at most", "pattern": "of the form {}",
}  # fmt: skip


def _rank(error: jsonschema.ValidationError) -> tuple:
    # A wrong type or an unknown key explains more than what follows from it.
    return len(error.absolute_path), error.validator not in ("type", "additionalProperties"), str(error.absolute_path)


def _path(path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
