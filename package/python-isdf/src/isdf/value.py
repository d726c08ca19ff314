"""Values with named fields: as much of the standard library's `dataclasses` as a router can pay for.

`dataclass`, `field`, `replace` and `asdict` mean what they mean there. The original brings `inspect`, `ast` and `dis`
and writes each class's methods anew, which is 1.5 MB of the agent's memory; here all classes share a few methods.
Always with slots.
"""

from __future__ import annotations

_NONE = object()


class _Field:
    """What stands in the class where a field has more than a default."""

    __slots__ = ("factory", "repr")

    def __init__(self, factory: object, repr: bool) -> None:
        self.factory, self.repr = factory, repr


def field(*, default_factory: object = None, repr: bool = True) -> _Field:
    """A field whose default `default_factory()` makes for each value; without `repr` it is not shown."""
    return _Field(default_factory, repr)


def dataclass(*, frozen: bool = False, slots: bool = True, kw_only: bool = False, repr: bool = True):
    """A class of values with the fields that it annotates, the given ones first in their order."""

    def make(cls: type) -> type:
        names = tuple(cls.__annotations__)
        body = {key: value for key, value in vars(cls).items() if key not in (*names, "__dict__", "__weakref__")}
        given = {name: vars(cls).get(name, _NONE) for name in names}
        shown = [name for name in names if not isinstance(given[name], _Field) or given[name].repr]
        common = {
            "__slots__": names,
            "__match_args__": () if kw_only else names,
            "_defaults": {name: value for name, value in given.items() if _is_default(value)},
            "_shown": tuple(shown) if repr else (),
            "__init__": _init,
            "__repr__": _repr,
            "__eq__": _eq,
            "__hash__": _hash if frozen else None,
        }
        if frozen:
            common |= {"__setattr__": _refuse, "__delattr__": _refuse}
        # What the class itself defines goes before what all have.
        return type(cls)(cls.__name__, cls.__bases__, common | body)

    return make


def replace(value, /, **changes):
    """A copy of `value` with other values of the fields in `changes`."""
    return type(value)(**{name: getattr(value, name) for name in value.__slots__} | changes)


def asdict(value) -> dict:
    """The fields of `value` by name; values, dictionaries and lists in them are copied likewise."""
    return {name: _plain(getattr(value, name)) for name in value.__slots__}


def _is_default(value: object) -> bool:
    return value is not _NONE and (not isinstance(value, _Field) or value.factory is not None)


def _plain(value):
    if hasattr(value, "_defaults"):
        return asdict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value


def _init(self, *positional, **named) -> None:
    names = self.__slots__
    if len(positional) > len(self.__match_args__):
        raise TypeError(f"{type(self).__name__} takes {len(self.__match_args__)} values by position")
    for name, value in zip(names, positional, strict=False):
        if name in named:
            raise TypeError(f"{type(self).__name__} has two values for {name!r}")
        object.__setattr__(self, name, value)
    for name in names[len(positional) :]:
        value = named.pop(name, _NONE)
        if value is _NONE:
            value = self._defaults.get(name, _NONE)
            if value is _NONE:
                raise TypeError(f"{type(self).__name__} lacks {name!r}")
            if isinstance(value, _Field):
                value = value.factory()
        object.__setattr__(self, name, value)
    if named:
        raise TypeError(f"{type(self).__name__} has no field {next(iter(named))!r}")
    if check := getattr(self, "__post_init__", None):
        check()


def _repr(self) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._shown)})"


def _key(self) -> tuple:
    return tuple(getattr(self, name) for name in self.__slots__)


def _eq(self, other: object):
    return _key(self) == _key(other) if type(other) is type(self) else NotImplemented


def _hash(self) -> int:
    return hash(_key(self))


def _refuse(self, name: str, *_: object) -> None:
    raise AttributeError(f"{type(self).__name__} is a value; {name!r} cannot be changed")
