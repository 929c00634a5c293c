"""How the chat templates of common models render requests, and what the models generate, which may differ.

Written from the published templates (Hermes and Qwen 2.5, Qwen 3, Llama 3.1, Mistral Small 3.1, DeepSeek V3.1, GLM 4.5,
Kimi K2 Thinking, gpt-oss) as vLLM and llama.cpp apply them: arguments of tool calls are parsed before a template sees
them, unless the template writes them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.cache_engines.templates import Body, Message, Piece, Special, ToolsPosition

Family = Literal["hermes", "qwen3", "llama31", "mistral", "mistral_text", "deepseek", "glm", "kimi", "harmony"]
Spelling = Literal["sent", "compact", "spaced"]


@dataclass(frozen=True)
class ModelTemplate:
    """The template of a family of models. `generates`: how the model spells arguments: as in the message that the API
    returns, or compact or with spaces, if the server parses them and writes them again for the API."""

    family: Family
    generates: Spelling = "sent"

    @property
    def tools(self) -> ToolsPosition:
        if self.family == "llama31":
            return "first_user"
        if self.family in ("mistral", "mistral_text"):
            return "before_last_user"
        return "before_system" if self.family in ("glm", "kimi") else "in_system"

    @property
    def system_last(self) -> bool:
        return False

    @property
    def marks_last_turn(self) -> bool:
        """Whether the assistant's messages are written in another way when a new user message follows them."""
        return self.family in ("qwen3", "glm", "kimi", "harmony")

    def prompt(self, body: Body) -> list[Piece]:
        """Return the prompt of a request, with the tokens that open the answer."""
        messages = list(body["messages"])
        return _PROMPTS[self.family](messages, list(body.get("tools") or ()))

    def answer(self, message: Message) -> list[Piece]:
        """Return what the model generates, with the token that ends it."""
        return _ANSWERS[self.family](message, self.generates)


def last_user(messages: Sequence[Message]) -> int:
    return max((at for at, one in enumerate(messages) if one["role"] == "user"), default=-1)


def text_of(message: Message) -> str:
    """Return the content; of an array the texts, and a mark for each image."""
    content = message.get("content")
    if not isinstance(content, list):
        return str(content or "")
    return "".join(part["text"] if part["type"] == "text" else "<image>" for part in content)


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def parsed(call: Mapping[str, Any]) -> Any:
    return json.loads(call["function"]["arguments"])


def spelled(call: Mapping[str, Any], spelling: Spelling) -> str:
    if spelling == "sent":
        return str(call["function"]["arguments"])
    return json.dumps(parsed(call), ensure_ascii=False, separators=(",", ":") if spelling == "compact" else None)


def _chatml_head(messages: list[Message], tools: list[Any]) -> tuple[list[Piece], list[Message]]:
    system = text_of(messages[0]) if messages[0]["role"] == "system" else ""
    rest = messages[1:] if messages[0]["role"] == "system" else messages
    if tools:
        catalogue = "\n".join(map(dumped, tools))
        system += (
            f"\n\n# Tools\n\nYou may call one or more functions.\n\n<tools>\n{catalogue}\n</tools>\n\nReturn JSON."
        )
    return ([Special("<|im_start|>"), f"system\n{system}", Special("<|im_end|>"), "\n"] if system else []), rest


def _hermes_calls(message: Message, write: Callable[[Any], str], *, leading: bool) -> str:
    calls = [
        f'<tool_call>\n{{"name": "{call["function"]["name"]}", "arguments": {write(call)}}}\n</tool_call>'
        for call in message.get("tool_calls") or ()
    ]
    return ("\n" if leading and calls else "") + "\n".join(calls)


def _again(call: Mapping[str, Any]) -> str:
    return dumped(parsed(call))


def _hermes(messages: list[Message], tools: list[Any]) -> list[Piece]:
    pieces, rest = _chatml_head(messages, tools)
    for message in rest:
        role, text = message["role"], text_of(message)
        if role == "tool":
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        elif role == "assistant":
            text += _hermes_calls(message, _again, leading=bool(text))
        pieces += [Special("<|im_start|>"), f"{role}\n{text}", Special("<|im_end|>"), "\n"]
    return [*pieces, Special("<|im_start|>"), "assistant\n"]


def _hermes_answer(message: Message, spelling: Spelling) -> list[Piece]:
    text = text_of(message)
    text += _hermes_calls(message, lambda call: spelled(call, spelling), leading=bool(text))
    return [text, Special("<|im_end|>")]


def _qwen3(messages: list[Message], tools: list[Any]) -> list[Piece]:
    pieces, rest = _chatml_head(messages, tools)
    turn = last_user(rest)
    for at, message in enumerate(rest):
        role, text = message["role"], text_of(message)
        reasoning = str(message.get("reasoning_content") or "")
        if role == "tool":
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        elif role == "assistant":
            calls = _hermes_calls(message, _again, leading=bool(text))
            if at > turn and (at + 1 == len(rest) or reasoning):
                pieces += [Special("<|im_start|>"), "assistant\n", Special("<think>"), f"\n{reasoning}\n"]
                pieces += [Special("</think>"), f"\n\n{text.lstrip()}{calls}", Special("<|im_end|>"), "\n"]
                continue
            text += calls
        pieces += [Special("<|im_start|>"), f"{role}\n{text}", Special("<|im_end|>"), "\n"]
    return [*pieces, Special("<|im_start|>"), "assistant\n"]


def _qwen3_answer(message: Message, spelling: Spelling) -> list[Piece]:
    reasoning = str(message.get("reasoning_content") or "")
    head: list[Piece] = [Special("<think>"), f"\n{reasoning}\n", Special("</think>"), "\n\n"]
    answer = _hermes_answer(message, spelling)
    return [*head, *answer]


def _llama31(messages: list[Message], tools: list[Any]) -> list[Piece]:
    def turn(role: str, text: str) -> list[Piece]:
        return [
            Special("<|start_header_id|>"),
            role,
            Special("<|end_header_id|>"),
            f"\n\n{text}",
            Special("<|eot_id|>"),
        ]

    system = text_of(messages[0]).strip() if messages[0]["role"] == "system" else ""
    rest = messages[1:] if messages[0]["role"] == "system" else list(messages)
    head = "Environment: ipython\n" if tools else ""
    pieces: list[Piece] = [Special("<|begin_of_text|>")]
    pieces += turn("system", f"{head}Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{system}")
    placed = not tools
    for message in rest:
        role, text = message["role"], text_of(message).strip()
        if role == "user" and not placed:
            placed = True
            catalogue = "\n\n".join(json.dumps(tool, ensure_ascii=False, indent=4) for tool in tools)
            text = f"Given the following functions, please respond with a JSON.\n\n{catalogue}\n\n{text}"
        if role == "assistant" and message.get("tool_calls"):
            # The text beside tool calls is not rendered.
            text = _llama_call(message["tool_calls"][0], _again)
        pieces += turn("ipython" if role == "tool" else role, dumped(text) if role == "tool" else text)
    return [*pieces, Special("<|start_header_id|>"), "assistant", Special("<|end_header_id|>"), "\n\n"]


def _llama_call(call: Mapping[str, Any], write: Callable[[Any], str]) -> str:
    return f'{{"name": "{call["function"]["name"]}", "parameters": {write(call)}}}'


def _llama31_answer(message: Message, spelling: Spelling) -> list[Piece]:
    calls = message.get("tool_calls") or ()
    text = text_of(message) + "".join(_llama_call(call, lambda one: spelled(one, spelling)) for call in calls[:1])
    return [text, Special("<|eot_id|>")]


def _mistral_of(write: Callable[[Any], str]) -> Callable[[list[Message], list[Any]], list[Piece]]:
    def prompt(messages: list[Message], tools: list[Any]) -> list[Piece]:
        pieces: list[Piece] = [Special("<s>")]
        rest = list(messages)
        if rest[0]["role"] == "system":
            pieces += [Special("[SYSTEM_PROMPT]"), text_of(rest.pop(0)), Special("[/SYSTEM_PROMPT]")]
        turn = last_user(rest)
        for at, message in enumerate(rest):
            role = message["role"]
            if role == "user":
                if tools and at == turn:
                    catalogue = "[" + ", ".join(map(dumped, tools)) + "]"
                    pieces += [Special("[AVAILABLE_TOOLS]"), catalogue, Special("[/AVAILABLE_TOOLS]")]
                pieces += [Special("[INST]"), text_of(message), Special("[/INST]")]
            elif role == "tool":
                result = f'{{"content": {text_of(message)}, "call_id": "{message["tool_call_id"][-9:]}"}}'
                pieces += [Special("[TOOL_RESULTS]"), result, Special("[/TOOL_RESULTS]")]
            elif message.get("tool_calls"):
                calls = ", ".join(
                    f'{{"name": "{call["function"]["name"]}", "arguments": {write(call)}, "id": "{call["id"][-9:]}"}}'
                    for call in message["tool_calls"]
                )
                pieces += [Special("[TOOL_CALLS]"), f"[{calls}]", Special("</s>")]
            else:
                pieces += [text_of(message), Special("</s>")]
        return pieces

    return prompt


def _mistral_answer(message: Message, spelling: Spelling) -> list[Piece]:
    calls = ", ".join(
        f'{{"name": "{call["function"]["name"]}", "arguments": {spelled(call, spelling)}}}'
        for call in message.get("tool_calls") or ()
    )
    text: list[Piece] = [text_of(message)] if text_of(message) else []
    if calls:
        text += [Special("[TOOL_CALLS]"), f"[{calls}]"]
    return [*text, Special("</s>")]


def _deepseek_calls(message: Message, write: Callable[[Any], str]) -> list[Piece]:
    pieces: list[Piece] = []
    for call in message.get("tool_calls") or ():
        pieces += [Special("<call>"), call["function"]["name"], Special("<sep>"), write(call), Special("</call>")]
    return [Special("<calls>"), *pieces, Special("</calls>")] if pieces else []


def _deepseek(messages: list[Message], tools: list[Any]) -> list[Piece]:
    system = "\n\n".join(text_of(one) for one in messages if one["role"] == "system")
    if tools:
        system += "\n\n## Tools\nYou have access to the following tools:\n" + "\n".join(map(dumped, tools))
    pieces: list[Piece] = [Special("<bos>"), system]
    after_user = False
    for message in messages:
        role = message["role"]
        if role == "user":
            pieces += [Special("<User>"), text_of(message)]
        elif role == "assistant":
            pieces += [Special("<Assistant>"), Special("</think>")] if after_user else []
            sent = _deepseek_calls(message, lambda call: str(call["function"]["arguments"]))
            pieces += [*([text_of(message)] if text_of(message) else []), *sent, Special("<eos>")]
        elif role == "tool":
            pieces += [Special("<output>"), text_of(message), Special("</output>")]
        after_user = role == "user"
    return [*pieces, Special("<Assistant>"), Special("</think>")] if after_user else pieces


def _deepseek_answer(message: Message, spelling: Spelling) -> list[Piece]:
    text: list[Piece] = [text_of(message)] if text_of(message) else []
    return [*text, *_deepseek_calls(message, lambda call: spelled(call, spelling)), Special("<eos>")]


def _glm_calls(message: Message) -> list[Piece]:
    pieces: list[Piece] = []
    for call in message.get("tool_calls") or ():
        pieces += ["\n", Special("<tool_call>"), call["function"]["name"]]
        for key, value in parsed(call).items():
            text = value if isinstance(value, str) else dumped(value)
            pieces += ["\n", Special("<arg_key>"), key, Special("</arg_key>")]
            pieces += ["\n", Special("<arg_value>"), text, Special("</arg_value>")]
        pieces += ["\n", Special("</tool_call>")]
    return pieces


def _glm_message(message: Message, reasoning: str) -> list[Piece]:
    text = text_of(message).strip()
    inner: list[Piece] = [reasoning.strip()] if reasoning.strip() else []
    body: list[Piece] = [f"\n{text}"] if text else []
    return ["\n", Special("<think>"), *inner, Special("</think>"), *body, *_glm_calls(message)]


def _glm(messages: list[Message], tools: list[Any]) -> list[Piece]:
    pieces: list[Piece] = [Special("[gMASK]"), Special("<sop>")]
    if tools:
        pieces += [Special("<|system|>"), "\n# Tools\n\n<tools>\n" + "\n".join(map(dumped, tools)) + "\n</tools>"]
    turn = last_user(messages)
    for at, message in enumerate(messages):
        role = message["role"]
        if role == "assistant":
            reasoning = str(message.get("reasoning_content") or "") if at > turn else ""
            pieces += [Special("<|assistant|>"), *_glm_message(message, reasoning)]
        elif role == "tool":
            if messages[at - 1]["role"] != "tool":
                pieces.append(Special("<|observation|>"))
            pieces.append(f"\n<tool_response>\n{text_of(message)}\n</tool_response>")
        else:
            pieces += [Special(f"<|{role}|>"), f"\n{text_of(message)}"]
    return [*pieces, Special("<|assistant|>")]


def _glm_answer(message: Message, spelling: Spelling) -> list[Piece]:
    del spelling  # arguments are not JSON
    return [*_glm_message(message, str(message.get("reasoning_content") or "")), Special("<|observation|>")]


def _kimi_calls(message: Message, write: Callable[[Any], str]) -> list[Piece]:
    pieces: list[Piece] = []
    for call in message.get("tool_calls") or ():
        pieces += [Special("<call>"), call["id"], Special("<args>"), write(call), Special("</call>")]
    return [Special("<calls>"), *pieces, Special("</calls>")] if pieces else []


def _kimi(messages: list[Message], tools: list[Any]) -> list[Piece]:
    pieces: list[Piece] = []
    if tools:
        pieces += [Special("<|im_system|>"), "tool_declare", Special("<mid>"), dumped(tools), Special("<|im_end|>")]
    final = max(
        (at for at, one in enumerate(messages) if one["role"] == "assistant" and not one.get("tool_calls")), default=-1
    )
    for at, message in enumerate(messages):
        role = message["role"]
        opening = f"<|im_{role}|>" if role in ("user", "assistant") else "<|im_system|>"
        pieces += [Special(opening), str(message.get("name") or role), Special("<mid>")]
        if role == "assistant":
            reasoning = str(message.get("reasoning_content") or "") if at > final else ""
            pieces.append(f"<think>{reasoning}</think>{text_of(message)}")
            pieces += _kimi_calls(message, lambda call: str(call["function"]["arguments"]))
        elif role == "tool":
            pieces.append(f"## Return of {message['tool_call_id']}\n{text_of(message)}")
        else:
            pieces.append(text_of(message))
        pieces.append(Special("<|im_end|>"))
    return [*pieces, Special("<|im_assistant|>"), "assistant", Special("<mid>")]


def _kimi_answer(message: Message, spelling: Spelling) -> list[Piece]:
    text = f"<think>{message.get('reasoning_content') or ''}</think>{text_of(message)}"
    return [text, *_kimi_calls(message, lambda call: spelled(call, spelling)), Special("<|im_end|>")]


def _harmony(messages: list[Message], tools: list[Any]) -> list[Piece]:
    pieces: list[Piece] = [
        Special("<|start|>"),
        "system",
        Special("<|message|>"),
        "You are ChatGPT.",
        Special("<|end|>"),
    ]
    developer = "\n\n".join(text_of(one) for one in messages if one["role"] in ("system", "developer"))
    text = f"# Instructions\n\n{developer}"
    if tools:
        names = "\n\n".join(f"// {tool['function'].get('description', '')}\n{dumped(tool)}" for tool in tools)
        text += f"\n\n# Tools\n\n## functions\n\nnamespace functions {{\n\n{names}\n\n}}"
    pieces += [Special("<|start|>"), "developer", Special("<|message|>"), text, Special("<|end|>")]
    last_final = max(
        (at for at, one in enumerate(messages) if one["role"] == "assistant" and not one.get("tool_calls")), default=-1
    )
    name = ""
    for at, message in enumerate(messages):
        role = message["role"]
        if role == "user":
            pieces += [Special("<|start|>"), "user", Special("<|message|>"), text_of(message), Special("<|end|>")]
        elif role == "tool":
            pieces += [Special("<|start|>"), f"functions.{name} to=assistant", Special("<|channel|>"), "commentary"]
            pieces += [Special("<|message|>"), dumped(text_of(message)), Special("<|end|>")]
        elif role == "assistant" and message.get("tool_calls"):
            call = message["tool_calls"][0]
            name = call["function"]["name"]
            thinking = str(message.get("reasoning_content") or text_of(message))
            if thinking and at > last_final:
                pieces += _analysis(thinking)
            pieces += [
                Special("<|start|>"),
                f"assistant to=functions.{name}",
                Special("<|channel|>"),
                "commentary json",
            ]
            pieces += [Special("<|message|>"), _again(call), Special("<|call|>")]
        elif role == "assistant":
            pieces += [Special("<|start|>"), "assistant", Special("<|channel|>"), "final", Special("<|message|>")]
            pieces += [text_of(message), Special("<|end|>")]
    return [*pieces, Special("<|start|>"), "assistant"]


def _analysis(text: str) -> list[Piece]:
    head: list[Piece] = [Special("<|start|>"), "assistant", Special("<|channel|>"), "analysis", Special("<|message|>")]
    return [*head, text, Special("<|end|>")]


def _harmony_answer(message: Message, spelling: Spelling) -> list[Piece]:
    pieces: list[Piece] = []
    if message.get("reasoning_content"):
        pieces = [*_analysis(str(message["reasoning_content"]))[2:], Special("<|start|>"), "assistant"]
    if not message.get("tool_calls"):
        return [
            *pieces,
            Special("<|channel|>"),
            "final",
            Special("<|message|>"),
            text_of(message),
            Special("<|return|>"),
        ]
    call = message["tool_calls"][0]
    pieces += [Special("<|channel|>"), f"commentary to=functions.{call['function']['name']} ", Special("<|constrain|>")]
    return [*pieces, "json", Special("<|message|>"), spelled(call, spelling), Special("<|call|>")]


_PROMPTS: dict[Family, Callable[[list[Message], list[Any]], list[Piece]]] = {
    "hermes": _hermes,
    "qwen3": _qwen3,
    "llama31": _llama31,
    "mistral": _mistral_of(_again),
    "mistral_text": _mistral_of(lambda call: dumped(call["function"]["arguments"])),
    "deepseek": _deepseek,
    "glm": _glm,
    "kimi": _kimi,
    "harmony": _harmony,
}
_ANSWERS: dict[Family, Callable[[Message, Spelling], list[Piece]]] = {
    "hermes": _hermes_answer,
    "qwen3": _qwen3_answer,
    "llama31": _llama31_answer,
    "mistral": _mistral_answer,
    "mistral_text": _mistral_answer,
    "deepseek": _deepseek_answer,
    "glm": _glm_answer,
    "kimi": _kimi_answer,
    "harmony": _harmony_answer,
}
