"""Dataclasses made at the first instance behave as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import sys
from types import ModuleType
from typing import Any

import pytest

from playground.dataclass import dataclass

SOURCE = """
from __future__ import annotations
from dataclasses import field
from functools import cached_property
from typing import ClassVar

class Plain:
    def shout(self):
        return "!"

@dataclass({options})
class Base(Plain):
    a: int
    b: str = "b"
    limit: ClassVar[int] = 3

@dataclass({options})
class Derived(Base):
    c: list[int] = field(default_factory=list)
    d: str = field(default="secret", repr=False)
    e: float = field(init=False, default=2.5)

    @property
    def twice(self):
        return self.a * 2

@dataclass({options})
class Empty:
    pass

@dataclass({options})
class One:
    value: object

    def __post_init__(self):
        if self.value is None:
            raise ValueError("none")

@dataclass({options})
class OwnMethods:
    a: int = 1

    def __eq__(self, other):
        return True

    def __repr__(self):
        return "own"
"""
OPTIONS = ("frozen=True, slots=True", "slots=True", "frozen=True", "", "eq=False")


def classes(options: str, decorator: Any) -> Any:
    """Return a module with the classes, decorated."""
    module = ModuleType("classes_of_test_dataclass")
    sys.modules[module.__name__] = module  # `dataclasses` looks for the module of a class there
    vars(module)["dataclass"] = decorator
    exec(SOURCE.replace("{options}", options), vars(module))
    return module


def outcome(step: Any) -> object:
    """Return the text of what a step returns, or the kind of its exception."""
    try:
        return repr(step())
    except Exception as error:
        return type(error)


def own_part(one: Any) -> object:
    """Return an instance that contains itself."""
    parts: list[object] = []
    parts.append(one(parts))
    return parts[0]


STEPS: dict[str, Any] = {
    "values": lambda m: [m.Derived(1), m.Derived(1, "x", [2], "y"), m.Base(b="q", a=2), m.Empty(), m.OwnMethods()],
    "missing argument": lambda m: m.Base(),
    "argument of a field without init": lambda m: m.Derived(1, e=2.0),
    "own list for each": lambda m: m.Derived(1).c is m.Derived(1).c,
    "post init": lambda m: m.One(None),
    "hidden field": lambda m: m.Derived(1).d,
    "equal": lambda m: (m.Derived(1) == m.Derived(1), m.Base(1) == m.Derived(1), m.One(1) == m.One(2), m.One(1) == 1),
    "own equality": lambda m: m.OwnMethods(1) == m.OwnMethods(2),
    "empty equal": lambda m: (m.Empty() == m.Empty(), m.Empty() != m.Empty()),
    "hash": lambda m: hash(m.Base(1)) == hash(m.Base(1)),
    "hash of a field without hash": lambda m: isinstance(hash(m.Derived(1)), int),
    "hash beside own equality": lambda m: isinstance(hash(m.OwnMethods(1)), int),
    "set": lambda m: setattr(m.Base(1), "a", 2),
    "delete": lambda m: delattr(m.Base(1), "a"),
    "replace": lambda m: dataclasses.replace(m.Derived(1), a=5, c=[1]),
    "replace before an instance": lambda m: [field.name for field in dataclasses.fields(m.Derived)],
    "as dict": lambda m: dataclasses.asdict(m.Derived(1)),
    "match arguments": lambda m: (m.Derived.__match_args__, m.Empty.__match_args__),
    "class attributes": lambda m: (m.Derived.limit, m.Derived(3).twice, m.Derived(1).shout()),
    "qualified names": lambda m: (m.Derived.__init__.__qualname__, m.Derived.__qualname__, m.Derived.__module__),
    "copies": lambda m: (copy.copy(m.Derived(1)), copy.deepcopy(m.Derived(1, c=[4]))),
    "recursion": lambda m: own_part(m.One),
    "is a dataclass": lambda m: (dataclasses.is_dataclass(m.Base), dataclasses.is_dataclass(m.Base(1))),
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", STEPS)
def test_dataclass_step_has_the_outcome_of_the_standard_library(name: str, options: str) -> None:
    step = STEPS[name]
    own, standard = classes(options, dataclass), classes(options, dataclasses.dataclass)
    if options == "eq=False" and name == "hash":
        pytest.skip("the hash of an address is equal by chance")
    assert outcome(lambda: step(own)) == outcome(lambda: step(standard))


def test_dataclass_before_an_instance_has_compiled_nothing() -> None:
    made = classes("frozen=True, slots=True", dataclass).Derived
    later = [name for name, value in vars(made).items() if type(value).__name__ == "_Later"]
    assert {"__init__", "__eq__", "__hash__", "__dataclass_fields__"} <= set(later)
    made(1)
    later = {name for name, value in vars(made).items() if type(value).__name__ == "_Later"}
    assert later & {"__init__", "__eq__", "__hash__"} == {"__eq__", "__hash__"}


def test_dataclass_instance_with_slots_has_no_dictionary() -> None:
    assert not hasattr(classes("slots=True", dataclass).One(1), "__dict__")


def test_dataclass_with_an_unknown_option_raises_type_error() -> None:
    with pytest.raises(TypeError):
        classes("order=True", dataclass)
