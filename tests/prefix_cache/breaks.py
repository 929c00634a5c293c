"""Made breaks of a prefix, each with the cause that it was made with, answered by a cache of whole blocks.

Each is two requests, one after the other. What is served of the second is worked out, not written down: the
simulator's tokens and its cache play the server, with the lifetime, the block and the losses that the break asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from playground.prefix_cache.causes import Cause
from playground.prefix_cache.miss_explanation import MissExplanation as Why
from playground.prefix_cache.miss_explanation import explain
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Json, Message, Tool, ToolCall
from playground.prompt.request import body_fields
from playground.simulator.cache import PrefixCache
from playground.simulator.tokens import prompt_tokens

LIFETIME_S = 300.0
RULES = (
    "You are Mira, a voice agent of a parcel service. Speak in short sentences, and confirm every number twice.\n"
    "Never promise a day that the system does not show. If the caller is upset, stay calm and offer a way on.\n"
) * 8
HINDI = "आप मीरा हैं, एक पार्सल सेवा की आवाज़ सहायक। छोटे वाक्यों में बोलें और हर संख्या दो बार पूछें।\n" * 8
ARABIC = "أنت ميرا، مساعدة صوتية لخدمة الطرود. تكلمي بجمل قصيرة وتأكدي من كل رقم مرتين.\n" * 8
CHINESE = "你是米拉，一家快递公司的语音助手。请用简短的句子说话，每个号码都要确认两遍。\n" * 8
QUESTION = Message("user", "Where is my parcel?")


@dataclass(frozen=True, slots=True)
class Break:
    """`earlier` was sent `gap_s` seconds before `now`. `loses`: the server forgot it all. `block`: tokens."""

    name: str
    cause: Cause
    earlier: Document | None
    now: Document
    gap_s: float = 40.0
    block: int = 16
    loses: bool = False
    reports: bool = True
    fields: Mapping[str, Json] = field(default_factory=dict)
    earlier_fields: Mapping[str, Json] = field(default_factory=dict)

    def explained(self) -> Why | None:
        """What the program says of it."""
        cached, prompt = self._served()
        now = view_of_document(self.now)
        return explain(
            now.view,
            view_of_document(self.earlier).view if self.earlier else None,
            cached_tokens=cached if self.reports else None,
            prompt_tokens=prompt,
            forecast=None,
            document=now,
            gap_s=self.gap_s,
            lifetime_s=LIFETIME_S,
            fields=self._body(self.now, self.fields),
            earlier_fields=self._body(self.earlier, self.earlier_fields) if self.earlier else None,
            minimum_tokens=self.block if self.block > 16 else None,
        )

    @property
    def place(self) -> int | None:
        """The true first difference, in code points of the cache's view; None where one goes on after the other."""
        if self.earlier is None:
            return None
        now, earlier = (view_of_document(document).view.text for document in (self.now, self.earlier))
        shared = common_prefix(now, earlier)
        return None if shared in (len(now), len(earlier)) else shared

    def _body(self, document: Document, fields: Mapping[str, Json]) -> dict[str, Json]:
        return {**body_fields(document, "electron"), **fields}

    def _served(self) -> tuple[int, int]:
        """Cached and prompt tokens, as a server would report them. One that minds a field keeps a cache for each."""
        clock = [0.0]
        cache = PrefixCache(self.block, LIFETIME_S, clock=lambda: clock[0])
        if self.earlier is not None and not self.loses:
            cache.serve([str(dict(self.earlier_fields)), *prompt_tokens(body_fields(self.earlier, "electron"))])
        clock[0] = self.gap_s
        tokens = prompt_tokens(body_fields(self.now, "electron"))
        return cache.serve([str(dict(self.fields)), *tokens]), len(tokens)


def spoken(*texts: str, rules: str = RULES) -> Document:
    """Rules and then a conversation, the caller first."""
    roles = ("user", "assistant")
    turns = (Message(roles[n % 2], text) for n, text in enumerate(texts))  # type: ignore[arg-type]
    return Document(messages=(Message("system", rules), *turns))


def ruled(text: str, language: str = RULES) -> Document:
    """A prompt whose rules begin with this text."""
    return spoken("Where is my parcel?", rules=text + language)


def _tool(name: str, **more: Json) -> Tool:
    parameters: Json = {"type": "object", "properties": {"order": {"type": "string"}}}
    return Tool.of({"type": "function", "function": {"name": name, "parameters": parameters, **more}})


def _tooled(*tools: Tool, rules: str = RULES) -> Document:
    return replace(spoken("Where is my parcel?", rules=rules), tools=tools)


TALK = (
    "Where is my parcel?",
    "Which number?",
    "4711.",
    "It is on its way.",
    "When will it be here?",
    "Tomorrow.",
    "Bye.",
)

IN_TEXT: tuple[tuple[Cause, str, str], ...] = (
    ("edited", "Be kind. ", "Be very kind. "),
    ("edited", "Answer in German. ", "Answer in one short sentence. "),
    ("edited", "Never guess. ", ""),
    ("edited", "", "Always say goodbye. "),
    ("edited", "You help callers who wait. ", "You help people who wait. "),
    ("edited", "Confirm the order, then help. ", "Check the order, then help. "),
    ("edited", "Ask for two numbers. ", "Ask for three numbers. "),
    ("edited", "Use a warm tone 🙂. ", "Use a warm tone 🎉. "),
    ("spacing", "Be kind. Be brief. ", "Be kind.  Be brief. "),
    ("spacing", "Be kind.\nBe brief. ", "Be kind.\r\nBe brief. "),
    ("spacing", "Be kind. Be brief. ", "Be kind.\u00a0Be brief. "),
    ("spacing", "Be Kind to every caller. ", "Be kind to every caller. "),
    ("spacing", "IMPORTANT: be kind. ", "Important: be kind. "),
    ("spacing", "Say naïve words. ", "Say nai\u0308ve words. "),
    ("spacing", "Be\u200b kind. ", "Be kind. "),
    ("spacing", "", "\ufeff"),
    ("spacing", "", "\n"),
    ("date", "Today is 2026-11-23. ", "Today is 2026-11-24. "),
    ("date", "Today is 31/12/2026. ", "Today is 01/01/2027. "),
    ("date", "Today is Monday, 23 November 2026. ", "Today is Tuesday, 24 November 2026. "),
    ("date", "It is November 9th, 2026 now. ", "It is November 10th, 2026 now. "),
    ("date", "It is a Friday. ", "It is a Sunday. "),
    ("date", "2026-11-23 ", ""),
    ("date", "", "2026-11-23\n"),
    ("date", "Season: Nov 2026. ", "Season: Dec 2026. "),
    ("time", "The time is 10:04. ", "The time is 10:05. "),
    ("time", "The time is 9:59 pm. ", "The time is 10:00 pm. "),
    ("time", "Now: 2026-11-23T10:04:07Z. ", "Now: 2026-11-23T11:30:00Z. "),
    ("time", "now=1795428247 ", "now=1795429001 "),
    ("time", "Call began 14:07:33.120+05:30 ", "Call began 14:09:01.004+05:30 "),
    ("number", "You have 3 open orders. ", "You have 4 open orders. "),
    ("number", "This is call 9 today. ", "This is call 10 today. "),
    ("number", "Balance: ₹1,204.50. ", "Balance: ₹987.00. "),
    ("number", "Order #4711 is open. ", "Order #4802 is open. "),
    ("number", "Turn 7\n", "Turn 8\n"),
    ("uuid", "Session 3f2b8c1e-0a4d-4a57-9b1c-7d2f6a0e9c55. ", "Session 9d1e77aa-6c20-4f0f-8a3e-0b5c1d2e3f44. "),
    ("uuid", "trace=5f2c9a7be01d4c33a1b2c3d4e5f60718 ", "trace=5f2c9a7be01d4c33ffffc3d4e5f60719 "),
    ("uuid", "Call id call_8Hq2Zr71bW. ", "Call id call_9Kd0Xs44tN. "),
    ("uuid", "ID 01J9ZK3V7Q8M2N4P5R6S7T8V9W. ", "ID 01J9ZM0A1B2C3D4E5F6G7H8J9K. "),
    ("name", "The caller is Asha. ", "The caller is Ravi. "),
    ("name", "You speak with Asha Verma today. ", "You speak with Ravi Kumar today. "),
    ("name", '{"name":"Asha","city":"Pune"} ', '{"name":"Ravi","city":"Pune"} '),
    ("name", "Dear Mr Mehta, ", "Dear Mr Menon, "),
    ("name", "Asha is calling. ", "Ravindra is calling. "),
    # Made after the rules that tell them, to try these.
    ("edited", "You may ask twice. ", "You might ask twice. "),
    ("edited", "If they say Yes, go on. ", "If they say No, go on. "),
    ("edited", "Speak German only. ", "Speak only when asked. "),
    ("edited", "Write to help@parcels.example. ", "Write to care@parcels.example. "),
    ("edited", "March on with the call. ", "Carry on with the call. "),
    ("edited", "Agents must wait. ", "Agents MUST NOT wait. "),
    ("number", "Use version 2.1.0 of the rules. ", "Use version 2.1.1 of the rules. "),
    ("number", "Their phone is +91 98765 43210. ", "Their phone is +91 91234 56780. "),
    ("number", "Ticket A-4711 is open. ", "Ticket A-4712 is open. "),
    ("date", "Report for Sept 5, 2026. ", "Report for Oct 12, 2026. "),
    ("date", "Today is Sat 2026/11/28. ", "Today is Sun 2026/11/29. "),
    ("time", "It is 5 pm in Pune. ", "It is 6 pm in Pune. "),
    ("uuid", "sid:0a1b2c3d4e5f6071 ", "sid:77aa88bb99cc00dd "),
    ("name", "Sie sprechen mit Frau Weber heute. ", "Sie sprechen mit Frau Schulz heute. "),
    ("name", "Customer name: O'Neill, gold. ", "Customer name: D'Souza, gold. "),
    ("name", "The line is held by Priya Nair now. ", "The line is held by Tom Becker now. "),
)
"""Cause, what stood at the head of the rules, what stands there now."""


def _in_text() -> Iterator[Break]:
    for cause, before, after in IN_TEXT:
        yield Break(f"{before!r} to {after!r}", cause, ruled(before), ruled(after))
    yield Break("Hindi date", "date", ruled("आज 23 नवंबर 2026 है। ", HINDI), ruled("आज 24 नवंबर 2026 है। ", HINDI))
    yield Break("Hindi name", "name", ruled("ग्राहक का नाम आशा है। ", HINDI), ruled("ग्राहक का नाम रवि है। ", HINDI))
    yield Break("Hindi edit", "edited", ruled("धीरे बोलें। ", HINDI), ruled("ज़ोर से बोलें। ", HINDI))
    yield Break("Arabic date", "date", ruled("اليوم 23 نوفمبر 2026. ", ARABIC), ruled("اليوم 25 نوفمبر 2026. ", ARABIC))
    yield Break("Arabic edit", "edited", ruled("تكلمي ببطء. ", ARABIC), ruled("تكلمي بوضوح. ", ARABIC))
    yield Break(
        "Chinese date", "date", ruled("今天是2026年11月23日。", CHINESE), ruled("今天是2026年11月24日。", CHINESE)
    )
    yield Break("Chinese time", "time", ruled("现在10点04分。", CHINESE), ruled("现在11点30分。", CHINESE))
    many = "Today is {}.\n" + RULES + "It is {} now, {} is on the line."
    yield Break(
        "a date first, more later",
        "date",
        spoken("Hello?", rules=many.format("2026-11-23", "10:04", "Asha")),
        spoken("Hello!", rules=many.format("2026-11-24", "12:41", "Ravi")),
    )


def _variables() -> Iterator[Break]:
    for name, before, after in (
        ("caller_name", "Asha", "Ravi"),
        ("date", "2026-11-23", "2026-11-24"),
        ("note", "", "VIP"),
    ):
        made = ruled(f"Mind this: {{{{{name}}}}}. ")
        yield Break(f"variable {name}", "variable", made.with_variable(name, before), made.with_variable(name, after))
    made = spoken("{{question}}")
    asked = made.with_variable("question", "When will it be here? " * 9)
    yield Break("the question", "variable", asked, made.with_variable("question", "And where is it? " * 9))


def _messages() -> Iterator[Break]:
    talk = spoken(*TALK)
    m = talk.messages
    yield Break("two messages swapped", "order", talk, replace(talk, messages=(m[0], m[2], m[1], *m[3:])))
    moved = (*m[1:3], m[0], *m[3:])
    yield Break("the rules moved down", "order", talk, replace(talk, messages=moved))
    longer = (m[0], m[3], m[2], m[1], *m[4:], Message("assistant", "Goodbye."), QUESTION)
    yield Break("swapped, and a turn more", "order", talk, replace(talk, messages=longer))
    yield Break("the oldest turn gone", "removed", talk, replace(talk, messages=(m[0], *m[3:])))
    window = (m[0], *m[5:], Message("assistant", "Goodbye."), Message("user", "One more thing."))
    yield Break("a window that slides", "removed", talk, replace(talk, messages=window))
    summed = (m[0], Message("user", "So far: the parcel is on its way."), m[-1])
    yield Break("history summed up", "removed", talk, replace(talk, messages=summed))
    yield Break("the rules left out", "removed", talk, replace(talk, messages=m[1:]))
    yield Break("one answer gone", "removed", talk, replace(talk, messages=(*m[:2], *m[3:])))
    note = Message("system", "Today is a holiday.")
    yield Break("a note put in", "added", talk, replace(talk, messages=(m[0], note, *m[1:])))
    yield Break("a note put in front", "added", talk, replace(talk, messages=(note, *m)))
    edited = replace(talk, messages=(m[0], Message("user", "Where is my blue parcel?"), *m[2:]))
    yield Break("an old turn edited", "edited", talk, edited)
    called = replace(
        talk, messages=(*m[:2], Message("assistant", "Which number?", (ToolCall("c1", "find", "{}"),)), *m[3:])
    )
    yield Break("an answer that got a call", "edited", talk, called)
    yield Break("another role", "edited", talk, replace(talk, messages=(Message("user", m[0].content), *m[1:])))


def _tools() -> Iterator[Break]:
    find, cancel, pay = _tool("find"), _tool("cancel"), _tool("pay")
    yield Break("a tool added", "tools", _tooled(find), _tooled(find, cancel))
    yield Break("a tool added in front", "tools", _tooled(find), _tooled(pay, find))
    yield Break("a tool gone", "tools", _tooled(find, cancel), _tooled(cancel))
    yield Break("all tools gone", "tools", _tooled(find, cancel), _tooled())
    yield Break("first tools", "tools", _tooled(), _tooled(find))
    yield Break("tools swapped", "tools", _tooled(find, cancel, pay), _tooled(cancel, find, pay))
    yield Break("a description changed", "tools", _tooled(_tool("find", description="by id")), _tooled(find))
    dated = (_tool("find", description=f"Orders up to {day}") for day in ("2026-11-23", "2026-11-24"))
    yield Break("a date in a tool", "tools", _tooled(next(dated)), _tooled(next(dated)))


def _fields() -> Iterator[Break]:
    talk = spoken(*TALK)
    pairs: tuple[tuple[Mapping[str, Json], Mapping[str, Json]], ...] = (
        ({}, {"response_format": {"type": "json_object"}}),
        ({"tool_choice": "auto"}, {"tool_choice": "none"}),
        ({"cache_salt": "a"}, {"cache_salt": "b"}),
        ({"user": "asha"}, {"user": "ravi"}),
        ({"model": "electron"}, {"model": "electron-next"}),
        ({"chat_template_kwargs": {"thinking": True}}, {}),
    )
    for before, after in pairs:
        yield Break(f"{before} to {after}", "parameters", talk, talk, fields=after, earlier_fields=before)
    asks = spoken(*TALK[:-1], "Thanks. And the other one?")
    yield Break(
        "salt and question", "parameters", talk, asks, fields={"cache_salt": "b"}, earlier_fields={"cache_salt": "a"}
    )


def _clock_and_server() -> Iterator[Break]:
    talk, asks = spoken(*TALK), spoken(*TALK[:-1], "Thanks. And the other one?")
    yield Break("never sent", "first", None, talk)
    yield Break("never sent, short", "first", None, spoken("Hello?", rules="Be kind."))
    for gap_s in (301.0, 1_000.0, 41 * 60.0):
        yield Break(f"idle {gap_s:.0f} s", "idle", talk, talk, gap_s=gap_s)
    yield Break("idle, another question", "idle", talk, asks, gap_s=900.0)
    yield Break("idle, goes on", "idle", talk, spoken(*TALK, "Goodbye.", "Wait!"), gap_s=900.0)
    yield Break("short of a block", "minimum", talk, talk, block=1024)
    yield Break("short of a block, another question", "minimum", talk, asks, block=1024)
    little = spoken("Hello?", rules="Be kind to all. " * 20)
    yield Break("a little prompt", "minimum", little, little, block=128)
    yield Break("lost by the server", "server", talk, talk, loses=True)
    hindi = spoken("पार्सल कहाँ है?", rules=HINDI)
    yield Break("lost, Hindi", "server", hindi, hindi, loses=True)
    yield Break("lost, another question", "server", talk, asks, loses=True)
    yield Break("lost, goes on", "server", talk, spoken(*TALK, "Goodbye.", "Wait!"), loses=True)
    long = spoken(*TALK, rules=RULES * 4)
    yield Break("lost, more than a large block", "server", long, long, loses=True, block=1024)
    cold = {"temperature": 0.0, "max_tokens": 40}
    yield Break("lost, other sampling", "server", talk, talk, loses=True, fields=cold)
    yield Break("not reported", "unreported", talk, talk, reports=False)


BREAKS: tuple[Break, ...] = (
    *_in_text(),
    *_variables(),
    *_messages(),
    *_tools(),
    *_fields(),
    *_clock_and_server(),
)

MISNAMED = frozenset(("'If they say Yes, go on. ' to 'If they say No, go on. '",))
"""Known to be named wrongly: a word with a capital in the middle of a sentence is taken for a name."""
