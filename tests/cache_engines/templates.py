"""Chat templates in the styles of ChatML, Llama 3, Mistral, Qwen and DeepSeek, with every tools position."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Style = Literal["chatml", "llama3", "mistral", "deepseek"]
ToolsPosition = Literal["first", "before_system", "in_system", "after_system", "first_user", "before_last_user"]
ToolFormat = Literal["json", "indented", "typescript"]
Body = Mapping[str, Any]
Message = Mapping[str, Any]


@dataclass(frozen=True)
class Special:
    """A special token, one id whatever its text."""

    name: str


Piece = str | Special


@dataclass(frozen=True)
class Turn:
    """One message after tools and system text have been placed."""

    role: str
    text: str


@dataclass(frozen=True)
class TemplateConfig:
    """The choices that a chat template makes.

    `system_last` puts the system text into the last user message; `default_system` is used if there is no system
    message; `head` is constant text after the start token; `trim` removes white space around each content.
    """

    style: Style
    tools: ToolsPosition = "in_system"
    tool_format: ToolFormat = "json"
    system_last: bool = False
    default_system: str = ""
    head: str = ""
    trim: bool = False
    json_instruction: str = ""


def chatml(tools: ToolsPosition = "in_system", **more: Any) -> TemplateConfig:
    """Return plain ChatML: no start token, no default system text."""
    return TemplateConfig("chatml", tools, **more)


def qwen(tools: ToolsPosition = "in_system", **more: Any) -> TemplateConfig:
    """Return Qwen 2.5: ChatML with a default system text and tools after the system text, in one message."""
    text = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    return TemplateConfig("chatml", tools, default_system=text, **more)


def llama3(tools: ToolsPosition = "first_user", **more: Any) -> TemplateConfig:
    """Return Llama 3.1: dates at the head of the system message, tools as indented JSON in the first user message."""
    head = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
    return TemplateConfig("llama3", tools, "indented", head=head, trim=True, **more)


def mistral(tools: ToolsPosition = "before_last_user", **more: Any) -> TemplateConfig:
    """Return Mistral v3: tools, then the system text, before the last user message."""
    return TemplateConfig("mistral", tools, system_last=True, **more)


def deepseek(tools: ToolsPosition = "in_system", **more: Any) -> TemplateConfig:
    """Return DeepSeek V3: the system text follows the start token without a role."""
    return TemplateConfig("deepseek", tools, **more)


def prompt_pieces(config: TemplateConfig, body: Body) -> list[Piece]:
    """Return the prompt that `body` is rendered to, with the tokens that open the model's answer."""
    turns = _placed(config, body)
    return _STYLES[config.style](config, turns)


def answer_pieces(config: TemplateConfig, answer: Message) -> list[Piece]:
    """Return the text that the model generates for `answer`, with the token that ends it."""
    return [_assistant_text(config, answer), Special(_END[config.style])]


def tokens_of(pieces: Sequence[Piece], encode: Any, special: Any) -> tuple[int, ...]:
    """Return token ids; adjacent texts are tokenized as one text, as servers do."""
    ids: list[int] = []
    text: list[str] = []
    for piece in [*pieces, None]:
        if isinstance(piece, str):
            text.append(piece)
            continue
        if text:
            ids.extend(encode("".join(text)))
            text.clear()
        if piece is not None:
            ids.append(special(piece.name))
    return tuple(ids)


def _placed(config: TemplateConfig, body: Body) -> list[Turn]:
    tools = body.get("tools") or ()
    block = tool_block(config, tools) if tools else ""
    turns = [_turn(config, message) for message in body["messages"]]
    if not any(turn.role == "system" for turn in turns) and (config.default_system or config.head):
        turns.insert(0, Turn("system", config.default_system))
    turns = _with_head(config, turns, body)
    if block:
        turns = _with_tools(config.tools, turns, block)
    return _system_last(turns) if config.system_last else turns


def _turn(config: TemplateConfig, message: Message) -> Turn:
    role = str(message["role"])
    if role == "assistant":
        return Turn(role, _assistant_text(config, message))
    text = str(message.get("content") or "")
    return Turn(role, text.strip() if config.trim else text)


def _with_head(config: TemplateConfig, turns: list[Turn], body: Body) -> list[Turn]:
    head = config.head
    if config.json_instruction and (body.get("response_format") or {}).get("type") == "json_object":
        head = config.json_instruction + "\n\n" + head
    if not head:
        return turns
    if turns[0].role != "system":
        return [Turn("system", head.strip()), *turns]
    return [Turn("system", head + turns[0].text), *turns[1:]]


def _with_tools(position: ToolsPosition, turns: list[Turn], block: str) -> list[Turn]:
    users = [index for index, turn in enumerate(turns) if turn.role == "user"]
    systems = [index for index, turn in enumerate(turns) if turn.role == "system"]
    tools = Turn("tools", block)
    if position == "first" or (position in ("before_system", "in_system", "after_system") and not systems):
        return [tools, *turns]
    if position == "after_system":
        return [*turns[: systems[0] + 1], tools, *turns[systems[0] + 1 :]]
    if position == "before_system":
        return _joined(turns, systems[0], f"{block}\n\n{turns[systems[0]].text}")
    if position == "in_system":
        return _joined(turns, systems[0], f"{turns[systems[0]].text}\n\n{block}")
    if not users:
        return [*turns, tools]
    if position == "first_user":
        return _joined(turns, users[0], f"{block}\n\n{turns[users[0]].text}")
    return [*turns[: users[-1]], tools, *turns[users[-1] :]]


def _joined(turns: list[Turn], index: int, text: str) -> list[Turn]:
    return [*turns[:index], Turn(turns[index].role, text), *turns[index + 1 :]]


def _system_last(turns: list[Turn]) -> list[Turn]:
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    rest = [turn for turn in turns if turn.role != "system"]
    users = [index for index, turn in enumerate(rest) if turn.role == "user"]
    if not system:
        return rest
    if not users:
        return [Turn("user", system), *rest]
    return _joined(rest, users[-1], f"{system}\n\n{rest[users[-1]].text}")


def tool_block(config: TemplateConfig, tools: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the tool catalogue."""
    if config.tool_format == "typescript":
        return "# Tools\n\nnamespace functions {\n\n" + "\n\n".join(_typescript(tool) for tool in tools) + "\n\n}"
    indent = 4 if config.tool_format == "indented" else None
    texts = [json.dumps(tool, ensure_ascii=False, indent=indent) for tool in tools]
    if config.style == "mistral":
        return "[" + ", ".join(texts) + "]"
    if config.style == "llama3":
        opening = (
            "Given the following functions, please respond with a JSON for a function call with its proper arguments."
        )
        return opening + "\n\n" + "\n\n".join(texts)
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n<tools>\n"
        + "\n".join(texts)
        + "\n</tools>\n\nReturn each call as JSON within <tool_call></tool_call> tags."
    )


def _typescript(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    fields = []
    for name, schema in (function.get("parameters", {}).get("properties") or {}).items():
        comment = f"// {schema['description']}\n" if schema.get("description") else ""
        fields.append(f"{comment}{name}: {schema.get('type', 'any')},")
    return (
        f"// {function.get('description', '')}\ntype {function['name']} = (_: {{\n" + "\n".join(fields) + "\n}) => any;"
    )


def _assistant_text(config: TemplateConfig, message: Message) -> str:
    text = str(message.get("content") or "")
    calls = message.get("tool_calls") or ()
    if not calls:
        return text
    rendered = []
    for call in calls:
        arguments = json.loads(call["function"]["arguments"])
        rendered.append(json.dumps({"name": call["function"]["name"], "arguments": arguments}, ensure_ascii=False))
    if config.style == "mistral":
        return text + "[TOOL_CALLS] [" + ", ".join(rendered) + "]"
    if config.style == "llama3":
        return text + "\n".join(rendered)
    return "\n".join([*([text] if text else []), *(f"<tool_call>\n{call}\n</tool_call>" for call in rendered)])


def _chatml(config: TemplateConfig, turns: Sequence[Turn]) -> list[Piece]:
    pieces: list[Piece] = []
    for turn in turns:
        role, text = turn.role, turn.text
        if role == "tool":
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        elif role == "tools":
            role = "system"
        pieces += [Special("<|im_start|>"), f"{role}\n{text}", Special("<|im_end|>"), "\n"]
    return [*pieces, Special("<|im_start|>"), "assistant\n"]


def _llama3(config: TemplateConfig, turns: Sequence[Turn]) -> list[Piece]:
    names = {"tool": "ipython", "tools": "system"}
    pieces: list[Piece] = [Special("<|begin_of_text|>")]
    for role, text in [*((names.get(turn.role, turn.role), turn.text) for turn in turns), ("assistant", None)]:
        pieces += [Special("<|start_header_id|>"), role, Special("<|end_header_id|>"), "\n\n"]
        if text is not None:
            pieces += [text, Special("<|eot_id|>")]
    return pieces


def _mistral(config: TemplateConfig, turns: Sequence[Turn]) -> list[Piece]:
    marks = {
        "user": ("[INST]", "[/INST]"),
        "tools": ("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
        "tool": ("[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
        "system": ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    }
    pieces: list[Piece] = [Special("<s>")]
    for turn in turns:
        if turn.role == "assistant":
            pieces += [turn.text, Special("</s>")]
        else:
            opening, closing = marks[turn.role]
            pieces += [Special(opening), turn.text, Special(closing)]
    return pieces


def _deepseek(config: TemplateConfig, turns: Sequence[Turn]) -> list[Piece]:
    pieces: list[Piece] = [Special("<bos>")]
    for turn in turns:
        if turn.role == "user":
            pieces += [Special("<User>"), turn.text]
        elif turn.role == "assistant":
            pieces += [Special("<Assistant>"), turn.text, Special("<eos>")]
        elif turn.role == "tool":
            pieces += [Special("<tool_output_begin>"), turn.text, Special("<tool_output_end>")]
        else:
            pieces.append(turn.text + ("\n\n" if turn.role == "tools" else ""))
    return [*pieces, Special("<Assistant>")]


_STYLES = {"chatml": _chatml, "llama3": _llama3, "mistral": _mistral, "deepseek": _deepseek}
_END: dict[Style, str] = {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "mistral": "</s>", "deepseek": "<eos>"}
