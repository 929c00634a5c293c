"""Request bodies by hand, each with a twist that a careless rule would fall for. Written apart from the rules."""

from __future__ import annotations

from typing import Any

from tests.advice.corpus import Body, Sample, tool


def _body(system: str, user: str = "Hello, can you help me with my order?", **fields: Any) -> Body:
    messages = [{"role": "system", "content": system}] if system else []
    return {
        "model": "electron",
        "messages": [*messages, {"role": "user", "content": user}],
        "max_tokens": 300,
        **fields,
    }


def _streamed(system: str, *tools: Body, **fields: Any) -> Body:
    options: Body = {"stream": True, "stream_options": {"include_usage": True}}
    return _body(system, **options, tools=list(tools) or [tool()], **fields)


LONG = " ".join(f"Rule {n}: be precise about item {n} and do not guess its price or its state." for n in range(1, 60))

SILENT: dict[str, Body] = {
    "code helper about JSON": _body("You are a senior engineer.", "How do I return JSON from a Flask view?"),
    "code helper writes a parser": _body("You help with code.", "Write a JSON parser in Rust with tests."),
    "JSON pasted": _body("You review configs.", 'Here is my JSON: {"a": 1}. What is wrong with it?'),
    "JSON versus YAML": _body("You teach.", "Which is better for configs, JSON or YAML? Answer in two sentences."),
    "no JSON please": _body("Reply in plain sentences, never as JSON or XML."),
    "JSON forbidden at length": _body("Do not, under any circumstances, format your reply as JSON."),
    "JSON instead of": _body("Write a table instead of JSON."),
    "context in JSON": _body("The customer's record is given below as JSON. Use it, and answer in one sentence."),
    "tool result in JSON": _streamed("Before using a tool say that you are checking. Tool results come back as JSON."),
    "array wanted": _body("Output a JSON array of at most five keywords and nothing else."),
    "JSON lines wanted": _body("Output JSON Lines, one object per line."),
    "fence wanted": _body("First explain your plan, then put the JSON into a ```json block."),
    "JSON is a name": _body("You are the agent of JSON Derulo Tickets. Answer questions about concerts."),
    "Spanish forbids": _body("Eres amable. Nunca contestes en JSON, solo en texto normal."),
    "German about JSON": _body("Du hilfst Entwicklern. Der Nutzer schickt dir JSON, und du erklärst die Fehler."),
    "Hindi about JSON": _body("आप डेवलपर की मदद करते हैं। उपयोगकर्ता JSON भेजता है और आप गलती समझाते हैं।"),
    "French about JSON": _body(
        "Tu aides des développeurs. L'utilisateur t'envoie du JSON et tu expliques les erreurs."
    ),
    "mode set and said": _body("Extract the fields as JSON.", response_format={"type": "json_object"}),
    "mode set, said in the question": _body(
        "Extract.", "Give name and city as json.", response_format={"type": "json_object"}
    ),
    "text mode": _body("Reply with JSON only.", response_format={"type": "text"}),
    "voice agent mentions speech": _body("You are a voice agent. Your text goes to text-to-speech; spell out numbers."),
    "studio sells audio": _body("You work for a studio that sells audio books and podcasts. Help callers choose one."),
    "transcript to sum up": _body(
        "Sum up the transcript.", "Transcript: Caller: my audio does not work. Agent: I see."
    ),
    "headset support": _body("You help with headsets.", "My headset makes no sound and the audio cuts out. What now?"),
    "says that it cannot": _body("If someone asks for a recording, say that you cannot send audio."),
    "phone number in the text": _body("Tell callers that the office can be reached at +91 98765 43210 on weekdays."),
    "asked how to": _body("You help.", "How do I convert an MP3 to WAV on a Mac?"),
    "music lyrics": _body("You are a poet.", "Write a song about a voice in the wind."),
    "opening hours early": _body(f"The shop is open from 9:30 to 18:00 from Monday on.\n{LONG}"),
    "version and date": _body(f"Policy version 3.2 of 2024-05-01. Effective date: 1 June 2024.\n{LONG}"),
    "order id as sample": _body(f"An order id looks like ORD-2024-000123456. A session id is a UUID.\n{LONG}"),
    "date format told": _body(f"Write dates as YYYY-MM-DD, for example 2026-01-31.\n{LONG}"),
    "variable at the end": _body(f"{LONG}\nThe caller is {{{{caller}}}}."),
    "variable with a tail": _body(f"{LONG}\nThe caller is {{{{caller}}}}. Use the name once."),
    "question is variable": _body(LONG, "Context: {{context}}\n\nQuestion: {{question}}\nAnswer in one sentence."),
    "braces that are none": _body("Write { and } as they are. Templates use {{#if}} and {{/if}}.\n" + LONG),
    "acknowledges in other words": _streamed(
        "You are a phone agent. Tell the caller you are looking it up, every time."
    ),
    "keeps them company": _streamed(
        "Voice assistant. While the tool is running, keep the caller company with a phrase."
    ),
    "never silent": _streamed("You answer the telephone. Avoid dead air: speak before each lookup."),
    "filler forbidden": _streamed("Phone agent. Do not say anything before calling a tool."),
    "filler in Spanish": _streamed("Eres un agente de voz. Diga «un momento, por favor» cuando vaya a consultar algo."),
    "filler in Hindi": _streamed("आप फ़ोन एजेंट हैं। कुछ देखना हो तो कहें: एक पल रुकिए।"),
    "filler in Japanese": _streamed("あなたは電話の担当者です。調べるときは「少々お待ちください」と言ってください。"),
    "filler in German": _streamed("Du bist am Telefon. Sag „einen Moment bitte“, wenn du etwas nachschlägst."),
    "tools off": _streamed("You are a phone agent. Be brief.", tool_choice="none"),
    "translator answers": {
        **_body("You are an interpreter between Hindi and English."),
        "messages": [
            {"role": "system", "content": "You are an interpreter between Hindi and English."},
            {"role": "user", "content": "मेरा पार्सल कहाँ है और वह कब आएगा?"},
            {"role": "assistant", "content": "Where is my parcel and when will it come?"},
            {"role": "user", "content": "वह सोमवार को आना था।"},
        ],
    },
    "romanised Hindi": {
        **_body("Answer in the caller's language."),
        "messages": [
            {"role": "user", "content": "mera parcel kahan hai bhai, kab aayega"},
            {"role": "assistant", "content": "आपका पार्सल पुणे में है और मंगलवार को पहुँचेगा।"},
            {"role": "user", "content": "theek hai, aur mera bill kya hai"},
        ],
    },
    "seed for fun": _body("You tell riddles.", seed=42, temperature=1.1),
    "seed in a contest": _body("You run a contest. The latest testimony counts.", seed=42) | {"user": "attestation"},
    "one sentence with dots": _streamed(
        "Before you use a tool say so.",
        tool("find", "Finds an item by no. or by name, incl. spare parts, vs. the index."),
    ),
    "version in a description": _streamed(
        "Before you use a tool say so.", tool("find", "Finds a release such as v2.1.3 of node.js by its tag.")
    ),
    "same call for two parcels": _body("You track parcels. Say so before you use a tool."),
    "max_tokens one": _body("Answer yes or no.", max_tokens=1),
    "temperature at its edge": _body("You are wild.", temperature=2, top_p=1),
    "null parameters": _body("Be brief.", stop=None, seed=None, tools=None),
    "no system at all": _body("", "Hi"),
    "emoji only": _body("🙂", "👍👍"),
    "very long single line": _body(LONG * 8, "And?"),
}
"""Nothing above a hint may be said of these."""

SPEAKING: dict[str, tuple[Body, str]] = {
    "JSON by a list of keys": (
        _body("You extract data. Your output must be a JSON object with the keys name, city and date."),
        "json-not-set",
    ),
    "JSON at the end": (_body(f"{LONG}\nReturn only JSON, no prose, no fences."), "json-not-set"),
    "JSON politely": (_body("Please reply in JSON format."), "json-not-set"),
    "JSON in Dutch": (_body("Je bent een assistent. Antwoord altijd in JSON."), "json-not-set"),
    "JSON in Polish": (_body("Jesteś asystentem. Odpowiadaj wyłącznie w formacie JSON."), "json-not-set"),
    "JSON in Telugu": (_body("మీరు సహాయకులు. JSON రూపంలో మాత్రమే సమాధానం ఇవ్వండి."), "json-not-set"),
    "JSON in Vietnamese": (_body("Bạn là trợ lý. Hãy trả lời bằng JSON."), "json-not-set"),
    "JSON in Ukrainian": (_body("Ти помічник. Відповідай лише у форматі JSON."), "json-not-set"),
    "mode without a word": (
        _body("Extract name and city from the letter.", response_format={"type": "json_object"}),
        "json-not-said",
    ),
    "phone agent in silence": (_streamed("You are the phone agent of a bank. Be brief and kind."), "no-filler"),
    "voice agent in Portuguese": (_streamed("Você é um agente de voz do banco. Seja breve e gentil."), "no-filler"),
    "feelings are no filler": (_streamed("You are a voice agent. Acknowledge feelings. Be kind."), "no-filler"),
    "name at the very top": (_body(f"You are talking to {{{{name}}}} from {{{{city}}}}.\n\n{LONG}"), "prefix-order"),
    "name in the middle": (_body(f"You are kind.\nThe caller is {{{{name}}}}.\n{LONG}"), "prefix-order"),
    "context before the rules": (_body("You answer questions.", f"{{{{context}}}}\n\n{LONG}"), "prefix-order"),
    "two system messages": (
        {
            **_body(""),
            "messages": [
                {"role": "system", "content": "Caller: {{name}}"},
                {"role": "system", "content": LONG},
                {"role": "user", "content": "Hello"},
            ],
        },
        "prefix-order",
    ),
    "clock in French": (_body(f"Heure actuelle : 14:32\n{LONG}"), "prefix-order"),
    "trace id": (_body(f"trace_id=4f1c9e7ab0d24c11a9b3\n{LONG}"), "prefix-order"),
    "today": (_body(f"Today is 14 August 2026.\n{LONG}"), "prefix-order"),
    "usage said to be off": (_body("Be brief.", stream=True, stream_options={"include_usage": False}), "usage-off"),
    "speech wanted": (_body("", "Convert this paragraph to speech and send me the mp3."), "other-product"),
    "voice note": (_body("", "Listen to this voice note and tell me what she wants."), "other-product"),
    "dial for me": (_body("", "Call +91 98765 43210 and tell them that I am late."), "other-product"),
    "speech in Chinese": (_body("", "请把这段文字转换成语音。"), "other-product"),
    "translate first": (
        _body("Translate the caller's question into English before calling any tool, and translate the answer back."),
        "language-kept",
    ),
    "snapshot": (_body("You sort letters.", seed=1, temperature=0.7) | {"user": "snapshot-letters"}, "seed-in-fixture"),
    "n is two": (_body("Be brief.", n=2), "refused"),
    "hot": (_body("Be brief.", temperature=3), "refused"),
    "choice of no tool": (_streamed("Say so before you use a tool.", tool_choice="required"), ""),
}
"""The rule that has to speak; empty: nothing may be said above a hint."""


def handmade() -> list[Sample]:
    """All of them as samples."""
    quiet = [Sample(f"by hand: {name}", body, frozenset()) for name, body in SILENT.items()]
    loud = [Sample(f"by hand: {name}", b, frozenset({rule} - {""})) for name, (b, rule) in SPEAKING.items()]
    return quiet + loud
