"""JavaScript and TypeScript as the nodes that the reader of programs knows. Nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report
from playground.prompt.import_formats.call_values import Values, words
from playground.prompt.import_formats.sdk_calls import ParsedProgram, Shape, tree

if TYPE_CHECKING:
    from tree_sitter import Node as Syntax

_KINDS = {
    **dict.fromkeys(["program", "statement_block"], "block"),
    **dict.fromkeys(["class_declaration", "class", "abstract_class_declaration"], "class"),
    **dict.fromkeys(["function_declaration", "generator_function_declaration"], "function"),
    **dict.fromkeys(["function_expression", "generator_function", "arrow_function", "method_definition"], "function"),
    **dict.fromkeys(["for_statement", "for_in_statement", "while_statement", "do_statement"], "loop"),
    **dict.fromkeys(["return_statement", "throw_statement", "break_statement", "continue_statement"], "end"),
    "await_expression": "await",
    "if_statement": "if",
    "catch_clause": "scope",
    "new_expression": "call",
    "array": "list",
    "spread_element": "spread",
    "expression_statement": "expression",
}
_PASSED = words(
    "parenthesized_expression as_expression satisfies_expression non_null_expression export_statement "
    "ambient_declaration computed_property_name"
)
"""Syntax that is its first part."""
_CALLS = ("call_expression", "new_expression")
_SKIPPED = words(
    "comment type_annotation type_arguments type_parameters interface_declaration type_alias_declaration "
    "accessibility_modifier override_modifier property_identifier private_property_identifier statement_identifier "
    "asserts_annotation type_predicate_annotation function_signature method_signature abstract_method_signature "
    "implements_clause optional_chain hash_bang_line empty_statement string_fragment escape_sequence"
)
_ESCAPE = re.compile(
    r"\\(?:u\{([\da-fA-F]{1,6})\}|u([\da-fA-F]{4})|x([\da-fA-F]{2})|([0-3][0-7]{0,2}|[4-7][0-7]?)|(\r\n|.))", re.DOTALL
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPES |= dict.fromkeys(("\n", "\r\n", "\r", "\u2028", "\u2029"), "")


def javascript_fields(text: str, values: Values, report: Report, line: int) -> dict[str, Json]:
    """Return the arguments of the first SDK call as a request body. Raises InputError.

    `line`: that of the first error in it as a program of Python.
    """
    import tree_sitter_typescript  # 30 ms at the start otherwise
    from tree_sitter import Language, Parser

    data = text.encode("utf-8", "replace")
    lines = [line]
    for language in (tree_sitter_typescript.language_typescript(), tree_sitter_typescript.language_tsx()):
        root = Parser(Language(language)).parse(data).root_node
        if not root.has_error:
            return values.body(ParsedProgram(tree(root, _shape), values, report, _source, is_python=False).fields())
        lines.append(_error_line(root))
    raise InputError.of((), f"the snippet cannot be read: line {max(lines)} is not understood.", "Copy the call whole.")


def _error_line(root: Syntax) -> int:
    """Return the line of the first error in a tree."""
    node: Syntax | None = root
    while node is not None and not (node.is_error or node.is_missing):
        root, node = node, next((one for one in node.children if one.has_error or one.is_missing), None)
    return (node or root).start_point[0] + 1


def _shape(native: object) -> Shape:  # noqa: C901 - one case per kind of syntax
    """Return kind, name or value, line, source and parts of a piece of syntax."""
    if isinstance(native, tuple):
        kind, name, given = native
        if kind == "target":
            return _target(given)
        return _declarator(name, given) if kind == "declarator" else (kind, name, 0, None, given)
    node: Syntax = native  # type: ignore[assignment]
    while node.type in _PASSED or (node.type == "await_expression" and getattr(node.parent, "type", "") in _CALLS):
        inner = [one for one in node.named_children if one.type not in _SKIPPED and one.type != "decorator"]
        if not inner:
            return "other", "", node.start_point[0] + 1, node, ()
        node = inner[0]
    line = node.start_point[0] + 1
    parts: list[object] = [one for one in node.named_children if one.type not in _SKIPPED]

    def field(name: str) -> Syntax | None:
        return node.child_by_field_name(name)

    match node.type:
        case "string":
            return "const", _text(_source(node)[1:-1]), line, node, ()
        case "number" | "unary_expression" if (number := _number(_source(node))) is not None:
            return "const", number, line, node, ()
        case "with_statement":
            return "name", "with", line, node, ()
        case "true" | "false" | "null":
            return "const", {"true": True, "false": False, "null": None}[node.type], line, node, ()
        case "identifier" | "this" | "super" | "shorthand_property_identifier" | "undefined" | "import":
            return "name", _source(node), line, node, ()
        case "template_string":
            return "template", "", line, node, [*_template(node)]
        case "array" if not re.search(r"[\[,],", "".join(one.type for one in node.children)):
            return "list", "", line, node, parts
        case "array":
            return "other", "", line, node, parts
        case "object":
            return _object(node, line)
        case "member_expression":
            return "member", _source(field("property")), line, node, [field("object")]
        case "subscript_expression":
            place = field("index")
            name = _text(_source(place)[1:-1]) if place is not None and place.type == "string" else ""
            return ("member" if name else "index"), name, line, node, [field("object"), place]
        case "binary_expression" if _is_sum(node):
            terms, left = [field("right")], field("left")
            while left is not None and _is_sum(left):
                terms.append(left.child_by_field_name("right"))
                left = left.child_by_field_name("left")
            return "sum", "", line, node, [left, *reversed(terms)]
        case "call_expression" if (given := field("arguments")) is not None and given.type == "arguments":
            return "call", "", line, node, [field("function"), *_named(given)]
        case "call_expression" if given is not None:  # a tagged template
            pieces = [one for one in _template(given) if not isinstance(one, tuple)]
            return "other", "", line, node, [field("function"), *pieces]
        case "new_expression":
            given = field("arguments")
            return "call", "new", line, node, [field("constructor"), *(_named(given) if given is not None else ())]
        case "lexical_declaration" | "variable_declaration":
            kind = "let" if node.type == "lexical_declaration" else "var"
            return "other", "", line, node, [("declarator", kind, one) for one in parts]
        case "assignment_expression":
            left, right = field("left"), field("right")
            if left is not None and left.type == "member_expression" and _source(left).startswith("this."):
                return "set", _source(left.child_by_field_name("property")), line, node, [("name", "this", ()), right]
            return "other", "", line, node, [("target", "", left), right]
        case "augmented_assignment_expression" | "for_in_statement":
            rest = [one for one in node.named_children if one != field("left") and one.type not in _SKIPPED]
            kind = "loop" if node.type == "for_in_statement" else "other"
            return kind, "", line, node, [("target", "", field("left")), *rest]
        case "update_expression":
            return "other", "", line, node, [("target", "", field("argument"))]
        case "unary_expression" if _source(node).startswith("delete"):
            return "other", "", line, node, [("target", "", field("argument"))]
        case "import_statement":
            return "other", "", line, node, [*_imports(node)]
        case "public_field_definition" if (value := field("value")) is not None:
            return "set", _source(field("name")), line, node, [("name", "this", ()), value]
        case "required_parameter" | "optional_parameter" | "rest_pattern" | "object_pattern" | "array_pattern":
            return _target(node)
        case "enum_declaration" | "internal_module" | "module" | "import_alias":
            return "other", "", line, node, [("bind", _source(field("name") or node.named_children[0]), ()), *parts]
    kind = _KINDS.get(node.type, "other")
    name = ""
    if kind in ("function", "class") and (named := field("name")) is not None:
        parts = [one for one in parts if one != named]
        name = "" if node.type == "method_definition" else _source(named)
    if node.type == "catch_clause" or node.type == "arrow_function":
        bound = field("parameter")
        parts = [("target", "", one) if one == bound else one for one in parts]
    return kind, name, line, node, parts


def _target(native: object) -> Shape:
    """Return what an assignment, a declaration or a parameter sets."""
    node: Syntax = native  # type: ignore[assignment]
    line = node.start_point[0] + 1
    while node.type in _PASSED:
        node = node.named_children[0]
    if node.type in ("identifier", "shorthand_property_identifier_pattern", "this"):
        return "bind", _source(node), line, node, ()
    if node.type in ("member_expression", "subscript_expression"):
        _, name, _, _, parts = _shape(node)
        return "set", name, line, node, parts
    if node.type == "pair_pattern":
        parts = [("target", "", node.child_by_field_name("value")), node.child_by_field_name("key")]
        return "other", "", line, node, [one for one in parts if getattr(one, "type", "") not in _SKIPPED]
    default = node.child_by_field_name("right") or node.child_by_field_name("value")
    found = [one for one in node.named_children if one.type not in _SKIPPED]
    return "other", "", line, node, [one if one == default else ("target", "", one) for one in found]


def _object(node: Syntax, line: int) -> Shape:
    parts: list[object] = []
    has_code = False
    for one in _named(node):
        key, value = one.child_by_field_name("key"), one.child_by_field_name("value")
        if one.type == "pair" and key is not None:
            name = _text(_source(key)[1:-1]) if key.type == "string" else _source(key)
            has_code = has_code or name == "__proto__"
            known = key.type in ("property_identifier", "string", "number")
            if known and value is not None and value.type == "undefined":
                continue  # JSON leaves it out
            parts.append(("pair", "", (("const", name, ()) if known else key, value)))
        elif one.type == "shorthand_property_identifier":
            parts.append(("pair", "", (("const", _source(one), ()), one)))
        else:
            has_code = has_code or one.type != "spread_element"
            parts.append(one)
    return ("other" if has_code else "dict"), "", line, node, parts


def _imports(node: Syntax) -> Iterator[object]:
    source = node.child_by_field_name("source")
    module = _source(source)[1:-1] if source is not None else ""
    for part in node.named_children:
        for one in part.named_children if part.type == "import_clause" else ():
            if one.type == "identifier":
                yield "import", (_source(one), f"{module}.default"), ()
            elif one.type == "namespace_import":
                yield "import", (_source(one.named_children[0]), module), ()
            for name in one.named_children if one.type == "named_imports" else ():
                used = name.child_by_field_name("alias") or name.child_by_field_name("name")
                yield "import", (_source(used), f"{module}.{_source(name.child_by_field_name('name'))}"), ()


def _named(node: Syntax) -> list[Syntax]:
    return [one for one in node.named_children if one.type != "comment"]


def _source(node: object) -> str:
    return (getattr(node, "text", b"") or b"").decode("utf-8")


def _declarator(kind: str, node: Syntax) -> Shape:
    line, name, value = node.start_point[0] + 1, node.child_by_field_name("name"), node.child_by_field_name("value")
    required = re.match(
        r"(?:\(?\s*await\s+import|require)\s*\(\s*['\"`]([^'\"`]+)['\"`]\s*\)+(?:\.(\w+))?\s*\Z", _source(value)
    )
    if name is None or value is None or name.type != "identifier":
        if required and name is not None:
            names = re.findall(r"([\w$]+)\s*(?::\s*([\w$]+))?", _source(name))
            parts = [("import", (used or one, f"{required[1]}.{one}"), ()) for one, used in names]
        else:
            parts = [("target", "", name), *([value] if value is not None else ())]  # type: ignore[list-item]
        return "other", "", line, node, parts
    if required:
        return "import", (_source(name), f"{required[1]}.{required[2] or 'default'}"), line, node, ()
    return kind, _source(name), line, node, (value,)


def _template(node: Syntax) -> Iterator[object]:
    data, start = node.text or b"", node.start_byte
    at = start + 1
    for one in node.named_children:
        if one.type == "template_substitution":
            yield "const", _text(data[at - start : one.start_byte - start].decode("utf-8"), is_template=True), ()
            yield _named(one)[0]
            at = one.end_byte
    yield "const", _text(data[at - start : -1].decode("utf-8"), is_template=True), ()


def _is_sum(node: Syntax) -> bool:
    operator = node.child_by_field_name("operator") if node.type == "binary_expression" else None
    return operator is not None and operator.type == "+"


def _number(text: str) -> int | float | None:
    """Return a number, also with a minus before it; None for others."""
    text = text.replace("_", "")
    if text.endswith("n") or not re.fullmatch(
        r"-?\s*(?:0[xXoObB][\da-fA-F]+|(?!0\d)(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)", text
    ):
        return None
    if text.startswith("-"):
        number = _number(text[1:].strip())
        return number and -number
    number = float(int(text, 0)) if re.match(r"0[xXoObB]", text) else float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number if abs(number) < 1e300 else None


def _text(source: str, *, is_template: bool = False) -> str:
    """Return a text with its escapes replaced."""

    def replaced(match: re.Match[str]) -> str:
        if code := match[1] or match[2] or match[3]:
            return chr(int(code, 16)) if int(code, 16) < 0x110000 else "\ufffd"
        return chr(int(match[4], 8)) if match[4] else _ESCAPES.get(match[5], match[5])

    source = re.sub(r"\r\n?", "\n", source) if is_template else source
    return _ESCAPE.sub(replaced, source).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
