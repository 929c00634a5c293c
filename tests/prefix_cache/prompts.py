"""Prompts for the tests of this room: real ones by hand, odd ones by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import CacheView, view_of_document
from playground.prompt.document import Document, Message, Tool, ToolCall

NOW = 10_000.0
ENDPOINT, MODEL = "simulator", "electron"
RULES = "You are Mira, a voice agent of a parcel service. Speak in short sentences. " * 24
ODD = "aA1 .\n\r\t\u00a0\u2028\u200f\u0301\u093f{}é₹😀👩‍👧نعकखि中\ud83d\x1e"
TEXTS = st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters()), max_size=40)
NAMES = st.sampled_from(("a", "caller_name", "नाम"))
TEMPLATES = st.lists(st.one_of(TEXTS, NAMES.map(lambda name: f"{{{{{name}}}}}")), max_size=5).map("".join)
TOOLS = st.builds(lambda name: Tool.of({"type": "function", "function": {"name": name}}), TEXTS)
CALLS = st.builds(ToolCall, st.just("call_1"), st.just("find"), TEXTS)
PLAIN = st.builds(Message, st.sampled_from(("system", "user", "assistant")), TEMPLATES)
CALLING = st.builds(
    Message, st.just("assistant"), st.one_of(st.none(), TEMPLATES), st.lists(CALLS, min_size=1, max_size=2).map(tuple)
)
ANSWERS = st.builds(lambda text: Message("tool", text, tool_call_id="call_1"), TEMPLATES)
NAMED = st.builds(lambda text: Message("user", text, extra='{"name":"Asha"}'), TEMPLATES)
DOCUMENTS = st.builds(
    Document,
    tools=st.lists(TOOLS, max_size=2).map(tuple),
    messages=st.lists(st.one_of(PLAIN, CALLING, ANSWERS, NAMED), max_size=5).map(tuple),
    variables=st.dictionaries(NAMES, TEXTS, max_size=3),
)


def agent(rules: str = RULES, question: str = "Where is my parcel?", caller: str = "Asha") -> Document:
    """A voice agent's prompt: rules, the caller, the question."""
    messages = (
        Message("system", rules),
        Message("user", "The caller is {{caller_name}}.\nBe kind."),
        Message("assistant", "I will."),
        Message("user", "{{question}}"),
    )
    return Document(messages=messages, variables={"caller_name": caller, "question": question})


def view(document: Document) -> CacheView:
    """What the cache sees of it."""
    return view_of_document(document).view


def sent(document: Document, run_id: str = "9db74058", at: float = NOW - 40, tokens: int | None = None) -> Sent:
    """The document as a request that was sent."""
    seen = view(document)
    return Sent(run_id, f"{run_id}-2421", at, seen.text, seen, prompt_tokens=tokens)


def desk(*requests: Sent, lifetime_s: float = 300.0) -> CacheForecaster:
    """A desk at NOW that knows these requests."""
    made = CacheForecaster(lifetime_s, clock=lambda: NOW)
    for request in requests:
        made.record(ENDPOINT, MODEL, request)
    return made


def slow_prefix(left: str, right: str) -> int:
    """How many code points both begin with, found the plain way."""
    pairs = zip(left, right, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
