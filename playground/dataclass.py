"""Dataclasses whose methods are made when the first instance is made.

`dataclasses.dataclass` compiles six methods of each class while its module is imported: 0.8 ms a class with Python
3.11, a quarter of the window's start. Type checkers see that decorator; `replace`, `fields` and `asdict` work as with
it. A subclass of such a class must use this decorator too.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable
from reprlib import recursive_repr
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass"]

_FACTS = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")


class _Later:
    """An attribute of a class that is made when it is first used."""

    def __init__(self, template: type) -> None:
        self._template = template

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object, _owner: type | None = None) -> Any:
        owner: Any = self._owner
        if self._name in _SOURCES:
            made = _compiled(owner, self._name, *_SOURCES[self._name](owner))
            setattr(owner, self._name, made)
            return made if instance is None else made.__get__(instance)
        if owner is self._template:
            for name in _FACTS:
                delattr(owner, name)  # the standard library leaves attributes that are present
        template: Any = dataclasses.dataclass(init=False, repr=False, eq=False)(self._template)
        for name in _FACTS:
            setattr(owner, name, getattr(template, name))
        return getattr(owner, self._name)


def _compiled(cls: type, name: str, parameters: Iterable[str], body: Iterable[str], names: dict[str, Any]) -> Any:
    exec(f"def {name}({', '.join(parameters)}):\n " + "\n ".join(body), names)
    method = names[name]
    method.__qualname__, method.__module__ = f"{cls.__qualname__}.{name}", cls.__module__
    return method


def _init(cls: Any) -> tuple[list[str], list[str], dict[str, Any]]:
    names: dict[str, Any] = {"_MISSING": dataclasses.MISSING, "_set": object.__setattr__}
    parameters, body = ["self"], ["pass"]
    for name in cls._dataclass_names:
        value = parameter = name
        default = cls._dataclass_defaults.get(name, dataclasses.MISSING)
        init, factory = True, dataclasses.MISSING
        if isinstance(default, dataclasses.Field):
            default, factory, init = default.default, default.default_factory, default.init
        if factory is not dataclasses.MISSING:
            names[f"_new_{name}"] = factory
            parameter, value = f"{name}=_MISSING", f"_new_{name}() if {name} is _MISSING else {name}"
        elif default is not dataclasses.MISSING:
            names[f"_default_{name}"] = default
            parameter = f"{name}=_default_{name}"
        if init:
            parameters.append(parameter)
        elif parameter == name:
            continue
        else:
            body.append(parameter)
        if not cls._dataclass_frozen:
            body.append(f"self.{name} = {value}")
        elif isinstance(slot := getattr(cls, name, None), MemberDescriptorType):
            names[f"_set_{name}"] = slot.__set__  # faster than `object.__setattr__`
            body.append(f"_set_{name}(self, {value})")
        else:
            body.append(f"_set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    return parameters, body, names


def _values(cls: Any, instance: str) -> str:
    return f"({''.join(f'{instance}.{name}, ' for name in cls._dataclass_names)})"


def _eq(cls: Any) -> tuple[list[str], list[str], dict[str, Any]]:
    same = f"{_values(cls, 'self')} == {_values(cls, 'other')}"
    return ["self", "other"], [f"return {same} if other.__class__ is self.__class__ else NotImplemented"], {}


def _hash(cls: Any) -> tuple[list[str], list[str], dict[str, Any]]:
    return ["self"], [f"return hash({_values(cls, 'self')})"], {}


_SOURCES = {"__init__": _init, "__eq__": _eq, "__hash__": _hash}
"""Parameters, lines and global names of the methods that are compiled for each class."""


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (field.name for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _set_frozen(_self: object, name: str, _value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete_frozen(_self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _get_state(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self._dataclass_names)


def _set_state(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self._dataclass_names, state, strict=True):
        object.__setattr__(self, name, value)


def _dataclass(cls: Any = None, /, *, frozen: bool = False, slots: bool = False, eq: bool = True) -> Any:
    """Make a class a dataclass. The options are those of `dataclasses.dataclass`; fields are not kw_only or InitVar."""
    if cls is None:
        return lambda cls: _dataclass(cls, frozen=frozen, slots=slots, eq=eq)
    own = [name for name, kind in inspect.get_annotations(cls).items() if not kind.startswith("ClassVar")]
    inherited = [name for base in reversed(cls.__mro__[1:]) for name in base.__dict__.get("_dataclass_names", ())]
    names = tuple(dict.fromkeys([*inherited, *own]))
    attributes = dict(cls.__dict__)
    defaults = {name: value for name, value in getattr(cls, "_dataclass_defaults", {}).items() if name not in own}
    defaults |= {name: attributes[name] for name in own if name in attributes}
    methods: dict[str, Any] = {"__repr__": _repr, "_dataclass_names": names, "_dataclass_frozen": frozen}
    methods["_dataclass_defaults"] = defaults
    if eq:
        methods |= {"__eq__": _Later(cls), "__hash__": _Later(cls) if frozen else None}
    if attributes.get("__hash__", cls) is None and "__eq__" in attributes:
        del attributes["__hash__"]  # Python set it because of the class's own `__eq__`
    if frozen:
        methods |= {"__setattr__": _set_frozen, "__delattr__": _delete_frozen}
    if frozen and slots:
        methods |= {"__getstate__": _get_state, "__setstate__": _set_state}
    methods |= {name: _Later(cls) for name in ("__init__", *_FACTS)}
    if not slots:
        for name in methods.keys() - attributes.keys():
            setattr(cls, name, methods[name])
            if isinstance(methods[name], _Later):
                methods[name].__set_name__(cls, name)
        return cls
    for name in (*own, "__dict__", "__weakref__"):
        attributes.pop(name, None)
    attributes["__slots__"] = tuple(name for name in own if name not in inherited)
    made = type(cls)(cls.__name__, cls.__bases__, {**methods, **attributes})
    made.__qualname__ = cls.__qualname__
    return made


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass
