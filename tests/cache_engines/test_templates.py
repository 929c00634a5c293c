"""Chat templates: exact prompts of short requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.cache_engines import templates
from tests.cache_engines.templates import Piece, Special, TemplateConfig, answer_pieces, prompt_pieces, tokens_of

pytestmark = pytest.mark.exhaustive

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
}
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "Wait.",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
}
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "U1"},
    {"role": "assistant", "content": "A1"},
    {"role": "user", "content": "U2"},
]


def text(pieces: list[Piece]) -> str:
    return "".join(piece.name if isinstance(piece, Special) else piece for piece in pieces)


def prompt(config: TemplateConfig, messages: list[dict[str, Any]], **more: Any) -> str:
    return text(prompt_pieces(config, {"messages": messages, **more}))


def test_chatml_history_renders_each_message_with_role() -> None:
    assert prompt(templates.chatml(), HISTORY) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
        "<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n"
    )


def test_qwen_without_system_message_adds_default_text() -> None:
    found = prompt(templates.qwen(), [{"role": "user", "content": "U"}])
    assert found.startswith("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.")


def test_llama3_history_adds_dates_and_trims_content() -> None:
    messages = [{"role": "system", "content": " S\n"}, {"role": "user", "content": "U "}]
    assert prompt(templates.llama3(), messages) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 26 Jul 2024\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_mistral_history_puts_tools_and_system_text_before_last_user_message() -> None:
    assert prompt(templates.mistral(), HISTORY, tools=[TOOL]) == (
        "<s>[INST]U1[/INST]A1</s>[AVAILABLE_TOOLS]"
        '[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]'
        "[/AVAILABLE_TOOLS][INST]S\n\nU2[/INST]"
    )


def test_deepseek_history_has_no_role_for_system_text() -> None:
    assert prompt(templates.deepseek(), HISTORY) == "<bos>S<User>U1<Assistant>A1<eos><User>U2<Assistant>"


@pytest.mark.parametrize(
    ("position", "order"),
    [
        ("first", "TSUAV"),
        ("before_system", "TSUAV"),
        ("in_system", "STUAV"),
        ("after_system", "STUAV"),
        ("first_user", "STUAV"),
        ("before_last_user", "SUATV"),
    ],
)
def test_tools_position_decides_the_order_of_the_prompt(position: templates.ToolsPosition, order: str) -> None:
    marks = {"S": "\nS", "U": "U1", "A": "A1", "V": "U2", "T": "<tools>"}
    messages = [{**HISTORY[0], "content": "\nS"}, *HISTORY[1:]]
    found = prompt(templates.chatml(position), messages, tools=[TOOL])
    assert "".join(sorted(marks, key=lambda name: found.index(marks[name]))) == order


def test_tools_position_first_and_first_user_differ_in_the_turn_that_holds_the_tools() -> None:
    assert prompt(templates.chatml("first"), HISTORY, tools=[TOOL]).startswith("<|im_start|>system\n# Tools")
    assert "<|im_start|>user\n# Tools" in prompt(templates.chatml("first_user"), HISTORY, tools=[TOOL])


def test_tool_call_in_history_equals_generated_text() -> None:
    for config in (templates.chatml(), templates.llama3(), templates.mistral(), templates.deepseek()):
        generated = text(answer_pieces(config, CALL))
        result = {"role": "tool", "tool_call_id": "1", "content": "R"}
        found = prompt(config, [*HISTORY, CALL, result])
        assert generated in found
        assert found.index(generated) < found.index("R", found.index(generated) + len(generated))


def test_json_instruction_is_added_only_for_json_objects() -> None:
    config = replace(templates.chatml(), json_instruction="JSON!")
    assert "JSON!" not in prompt(config, HISTORY)
    assert prompt(config, HISTORY, response_format={"type": "json_object"}).startswith("<|im_start|>system\nJSON!\n\nS")


def test_typescript_tools_list_properties_with_comments() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string", "description": "Where"}}}
    tool = {"type": "function", "function": {"name": "w", "description": "Weather", "parameters": parameters}}
    found = templates.tool_block(templates.chatml(tool_format="typescript"), [tool])
    assert "// Weather\ntype w = (_: {\n// Where\ncity: string,\n}) => any;" in found


def test_tokens_of_adjacent_texts_are_one_text() -> None:
    seen: list[str] = []

    def encode(part: str) -> list[int]:
        seen.append(part)
        return [len(part)]

    pieces: list[Piece] = [Special("x"), "ab", "c", Special("y"), "d"]
    assert tokens_of(pieces, encode, {"x": 100, "y": 101}.__getitem__) == (100, 3, 101, 1)
    assert seen == ["abc", "d"]
