"""Tools from pasted Python: the hints' schemas, the docstrings' words, and nothing is ever run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.prompt.field_errors import InputError
from playground.tools.arguments import check_arguments
from playground.tools.schema import check_parameters
from playground.tools.signatures import Pasted, from_python

TWO = [{"type": "integer"}, {"type": "string"}]
FIELD = {"type": "integer", "minimum": 1, "maximum": 9, "description": "n"}


def function(pasted: Pasted, index: int = 0) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(pasted.tools[index].json_text)["function"]
    assert check_parameters(made["parameters"]) == ()
    return made


def test_a_whole_function() -> None:
    made = function(
        from_python(
            '''
            async def get_balance(account: str, months: int = 3, *, currency: Literal["INR", "USD"] = "INR") -> dict:
                """Look up what is still to be paid.

                Asked for often.

                Args:
                    account: The account's number,
                        as printed on the bill.
                    months (int): How far back.
                    currency: In which money.

                Returns:
                    dict: the balance
                """
                return bank.read(account)
            '''
        )
    )
    assert made == {
        "name": "get_balance",
        "description": "Look up what is still to be paid. Asked for often.",
        "parameters": {
            "type": "object",
            "properties": {
                "account": {"type": "string", "description": "The account's number, as printed on the bill."},
                "months": {"type": "integer", "default": 3, "description": "How far back."},
                "currency": {
                    "type": "string",
                    "enum": ["INR", "USD"],
                    "default": "INR",
                    "description": "In which money.",
                },
            },
            "required": ["account"],
        },
    }


@pytest.mark.parametrize(
    "text",
    [
        "def f(a: int)",
        "def f(a: int) -> str:",
        "def f(a: int): ...",
        "    def f(self, a: int):\n        return a",
        "async def f(a: int)",
    ],
)
def test_a_bare_signature_will_do(text: str) -> None:
    made = function(from_python(text))
    assert (made["name"], made["parameters"]["properties"]) == ("f", {"a": {"type": "integer"}})


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        ("str", {"type": "string"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("typing.List[str]", {"type": "array", "items": {"type": "string"}}),
        (
            "Sequence[dict[str, float]]",
            {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "number"}}},
        ),
        ("set[str]", {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        ("tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        (
            "tuple[int, str]",
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        ("dict", {"type": "object"}),
        ("str | None", {"type": ["string", "null"]}),
        ("Optional[list[str]]", {"type": ["array", "null"], "items": {"type": "string"}}),
        ("Union[int, str]", {"type": ["integer", "string"]}),
        ("int | list[int]", {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
        ("Literal[1, 2]", {"type": "integer", "enum": [1, 2]}),
        ('Literal["a", None]', {"enum": ["a", None]}),
        ('Optional[Literal["a"]]', {"type": ["string", "null"], "enum": ["a", None]}),
        ("Any", {}),
        ("str | Any", {}),
        ("datetime.date", {"type": "string", "format": "date"}),
        ("'int | None'", {"type": ["integer", "null"]}),
        ('Annotated[int, "How many"]', {"type": "integer", "description": "How many"}),
        (
            'Annotated[int, Field(ge=1, le=9, description="n")]',
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "n"},
        ),
    ],
)
def test_hints(hint: str, schema: dict[str, Any]) -> None:
    pasted = from_python(f"def f(a: {hint}): ...")
    assert function(pasted)["parameters"]["properties"]["a"] == schema
    assert pasted.notes == ()


def test_classes_of_the_same_text() -> None:
    text = '''
from enum import Enum

class Plan(Enum):
    BASIC = "basic"
    PLUS = "plus"

@dataclass
class Address:
    """Where.

    Attributes:
        street: With its number.
    """
    street: str
    code: int = 0
    parent: "Address | None" = None

class Options(TypedDict, total=False):
    quick: bool

class Order(BaseModel):
    plan: Plan = Field(..., description="Which one")
    to: Address
    tags: list[str] = Field(default_factory=list)

Money = float

class Shop:
    def order(self, what: Order, options: Options, price: Money): ...
    def _hidden(self): ...
'''
    pasted = from_python(text)
    assert len(pasted.tools) == 1
    made = function(pasted)["parameters"]
    assert made["required"] == ["what", "options", "price"]
    assert made["properties"]["price"] == {"type": "number"}
    assert made["properties"]["options"] == {"type": "object", "properties": {"quick": {"type": "boolean"}}}
    order = made["properties"]["what"]
    assert order["required"] == ["plan", "to"]
    assert order["properties"]["plan"] == {"type": "string", "enum": ["basic", "plus"], "description": "Which one"}
    address = order["properties"]["to"]
    assert address["required"] == ["street"]
    assert address["properties"]["parent"] == {"type": ["object", "null"]}
    assert check_arguments('{"what": {"plan": "gold"}, "options": {}, "price": 1}', made)


NUMPY = '''
def f(a: int, b: str, c: str):
    """Do it.

    Parameters
    ----------
    a : int
        The first.
    b, c : str
        The others.

    Returns
    -------
    int
    """
'''
REST = '''
def f(a: int, b: str, c: str):
    """Do it.

    :param int a: The first.
    :param b: The
        others.
    :param c: The others.
    :returns: nothing: really
    """
'''


@pytest.mark.parametrize("text", [NUMPY, REST])
def test_other_styles_of_docstrings(text: str) -> None:
    made = function(from_python(text))
    assert made["description"] == "Do it."
    described = {name: schema["description"] for name, schema in made["parameters"]["properties"].items()}
    assert described == {"a": "The first.", "b": "The others.", "c": "The others."}


def test_what_cannot_be_taken_over_is_said() -> None:
    pasted = from_python("def f(a, b: Strange, *rest: int, c: int = compute(), **more): ...")
    made = function(pasted)["parameters"]
    assert made["properties"] == {"a": {}, "b": {}, "c": {"type": "integer"}}
    assert made["required"] == ["a", "b"]
    assert [note.split(" ")[0] for note in pasted.notes] == ["f(a)", "f(b):", "*rest", "**more"]


def test_several_functions_are_several_tools() -> None:
    pasted = from_python("def a(): ...\ndef b(x: int): ...")
    assert [tool.name for tool in pasted.tools] == ["a", "b"]
    assert function(pasted)["parameters"] == {"type": "object", "properties": {}}


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    text = f"{code}\n@({code})\ndef f(a: ({code}) = {code}, b: '{'list[int]'}' = 1):\n    {code}\n"
    function(from_python(text))
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "def",
        "def f(:",
        "class A: pass",
        "\0",
        "def f(a: " + "(" * 5000,
        "x" * 300_000,
        "def f(a=" + "-" * 9000 + "1): ...",
    ],
)
def test_what_is_no_function_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        from_python(text)


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    for tried in (text, f"def f(a: {text}): ...", f'def f(a):\n    """{text}"""'):
        try:
            for tool in from_python(tried).tools:
                assert tool.name
        except InputError:
            pass
