"""Request bodies by hand, each with a twist that a careless rule would fall for. Written apart from the rules."""

from __future__ import annotations

from typing import Any

from tests.lint.corpus import Body, Sample, tool


def make(system: str, user: str = "Hello, can you help me with my order?", **fields: Any) -> Body:
    messages = [{"role": "system", "content": system}] if system else []
    return {
        "model": "electron",
        "messages": [*messages, {"role": "user", "content": user}],
        "max_tokens": 300,
        **fields,
    }


def streamed(system: str, *tools: Body, **fields: Any) -> Body:
    options: Body = {"stream": True, "stream_options": {"include_usage": True}}
    return make(system, **options, tools=list(tools) or [tool()], **fields)


LONG = " ".join(f"Rule {n}: be precise about item {n} and do not guess its price or its state." for n in range(1, 60))

SILENT: dict[str, Body] = {
    "code helper about JSON": make("You are a senior engineer.", "How do I return JSON from a Flask view?"),
    "code helper writes a parser": make("You help with code.", "Write a JSON parser in Rust with tests."),
    "JSON pasted": make("You review configs.", 'Here is my JSON: {"a": 1}. What is wrong with it?'),
    "JSON versus YAML": make("You teach.", "Which is better for configs, JSON or YAML? Answer in two sentences."),
    "no JSON please": make("Reply in plain sentences, never as JSON or XML."),
    "JSON forbidden at length": make("Do not, under any circumstances, format your reply as JSON."),
    "JSON instead of": make("Write a table instead of JSON."),
    "context in JSON": make("The customer's record is given below as JSON. Use it, and answer in one sentence."),
    "tool result in JSON": streamed("Before using a tool say that you are checking. Tool results come back as JSON."),
    "array wanted": make("Output a JSON array of at most five keywords and nothing else."),
    "JSON lines wanted": make("Output JSON Lines, one object per line."),
    "fence wanted": make("First explain your plan, then put the JSON into a ```json block."),
    "JSON is a name": make("You are the agent of JSON Derulo Tickets. Answer questions about concerts."),
    "Spanish forbids": make("Eres amable. Nunca contestes en JSON, solo en texto normal."),
    "German about JSON": make("Du hilfst Entwicklern. Der Nutzer schickt dir JSON, und du erklärst die Fehler."),
    "Hindi about JSON": make("आप डेवलपर की मदद करते हैं। उपयोगकर्ता JSON भेजता है और आप गलती समझाते हैं।"),
    "French about JSON": make("Tu aides des développeurs. L'utilisateur t'envoie du JSON et tu expliques les erreurs."),
    "mode set and said": make("Extract the fields as JSON.", response_format={"type": "json_object"}),
    "mode set, said in the question": make(
        "Extract.", "Give name and city as json.", response_format={"type": "json_object"}
    ),
    "text mode": make("Reply with JSON only.", response_format={"type": "text"}),
    "voice agent mentions speech": make("You are a voice agent. Your text goes to text-to-speech; spell out numbers."),
    "studio sells audio": make("You work for a studio that sells audio books and podcasts. Help callers choose one."),
    "transcript to sum up": make("Sum up the transcript.", "Transcript: Caller: my audio does not work. Agent: I see."),
    "headset support": make("You help with headsets.", "My headset makes no sound and the audio cuts out. What now?"),
    "says that it cannot": make("If someone asks for a recording, say that you cannot send audio."),
    "phone number in the text": make("Tell callers that the office can be reached at +91 98765 43210 on weekdays."),
    "asked how to": make("You help.", "How do I convert an MP3 to WAV on a Mac?"),
    "music lyrics": make("You are a poet.", "Write a song about a voice in the wind."),
    "opening hours early": make(f"The shop is open from 9:30 to 18:00 from Monday on.\n{LONG}"),
    "version and date": make(f"Policy version 3.2 of 2024-05-01. Effective date: 1 June 2024.\n{LONG}"),
    "order id as sample": make(f"An order id looks like ORD-2024-000123456. A session id is a UUID.\n{LONG}"),
    "date format told": make(f"Write dates as YYYY-MM-DD, for example 2026-01-31.\n{LONG}"),
    "variable at the end": make(f"{LONG}\nThe caller is {{{{caller}}}}."),
    "variable with a tail": make(f"{LONG}\nThe caller is {{{{caller}}}}. Use the name once."),
    "question is variable": make(LONG, "Context: {{context}}\n\nQuestion: {{question}}\nAnswer in one sentence."),
    "braces that are none": make("Write { and } as they are. Templates use {{#if}} and {{/if}}.\n" + LONG),
    "acknowledges in other words": streamed(
        "You are a phone agent. Tell the caller you are looking it up, every time."
    ),
    "keeps them company": streamed(
        "Voice assistant. While the tool is running, keep the caller company with a phrase."
    ),
    "never silent": streamed("You answer the telephone. Avoid dead air: speak before each lookup."),
    "filler forbidden": streamed("Phone agent. Do not say anything before calling a tool."),
    "filler in Spanish": streamed("Eres un agente de voz. Diga «un momento, por favor» cuando vaya a consultar algo."),
    "filler in Hindi": streamed("आप फ़ोन एजेंट हैं। कुछ देखना हो तो कहें: एक पल रुकिए।"),
    "filler in Japanese": streamed("あなたは電話の担当者です。調べるときは「少々お待ちください」と言ってください。"),
    "filler in German": streamed("Du bist am Telefon. Sag „einen Moment bitte“, wenn du etwas nachschlägst."),
    "tools off": streamed("You are a phone agent. Be brief.", tool_choice="none"),
    "translator answers": {
        **make("You are an interpreter between Hindi and English."),
        "messages": [
            {"role": "system", "content": "You are an interpreter between Hindi and English."},
            {"role": "user", "content": "मेरा पार्सल कहाँ है और वह कब आएगा?"},
            {"role": "assistant", "content": "Where is my parcel and when will it come?"},
            {"role": "user", "content": "वह सोमवार को आना था।"},
        ],
    },
    "romanised Hindi": {
        **make("Answer in the caller's language."),
        "messages": [
            {"role": "user", "content": "mera parcel kahan hai bhai, kab aayega"},
            {"role": "assistant", "content": "आपका पार्सल पुणे में है और मंगलवार को पहुँचेगा।"},
            {"role": "user", "content": "theek hai, aur mera bill kya hai"},
        ],
    },
    "seed for fun": make("You tell riddles.", seed=42, temperature=1.1),
    "seed in a contest": make("You run a contest. The latest testimony counts.", seed=42) | {"user": "attestation"},
    "one sentence with dots": streamed(
        "Before you use a tool say so.",
        tool("find", "Finds an item by no. or by name, incl. spare parts, vs. the index."),
    ),
    "version in a description": streamed(
        "Before you use a tool say so.", tool("find", "Finds a release such as v2.1.3 of node.js by its tag.")
    ),
    "same call for two parcels": make("You track parcels. Say so before you use a tool."),
    "polling with news": {
        **make("You wait for a job."),
        "tools": [tool("get_state", "Tells a job's state.")],
        "messages": [
            {"role": "user", "content": "Wait for job 7."},
            *(
                message
                for n in range(4)
                for message in (
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {"id": f"c{n}", "type": "function", "function": {"name": "get_state", "arguments": "{}"}}
                        ],
                    },
                    {"role": "tool", "tool_call_id": f"c{n}", "content": f"{n * 25} %"},
                )
            ),
        ],
    },
    "max_tokens one": make("Answer yes or no.", max_tokens=1),
    "temperature at its edge": make("You are wild.", temperature=2, top_p=1),
    "null parameters": make("Be brief.", stop=None, seed=None, tools=None),
    "no system at all": make("", "Hi"),
    "emoji only": make("🙂", "👍👍"),
    "very long single line": make(LONG * 8, "And?"),
}
"""Nothing above a hint may be said of these."""

SPEAKING: dict[str, tuple[Body, str]] = {
    "JSON by a list of keys": (
        make("You extract data. Your output must be a JSON object with the keys name, city and date."),
        "json-not-set",
    ),
    "JSON at the end": (make(f"{LONG}\nReturn only JSON, no prose, no fences."), "json-not-set"),
    "JSON politely": (make("Please reply in JSON format."), "json-not-set"),
    "JSON in Dutch": (make("Je bent een assistent. Antwoord altijd in JSON."), "json-not-set"),
    "JSON in Polish": (make("Jesteś asystentem. Odpowiadaj wyłącznie w formacie JSON."), "json-not-set"),
    "JSON in Telugu": (make("మీరు సహాయకులు. JSON రూపంలో మాత్రమే సమాధానం ఇవ్వండి."), "json-not-set"),
    "JSON in Vietnamese": (make("Bạn là trợ lý. Hãy trả lời bằng JSON."), "json-not-set"),
    "JSON in Ukrainian": (make("Ти помічник. Відповідай лише у форматі JSON."), "json-not-set"),
    "mode without a word": (
        make("Extract name and city from the letter.", response_format={"type": "json_object"}),
        "json-not-said",
    ),
    "phone agent in silence": (streamed("You are the phone agent of a bank. Be brief and kind."), "no-filler"),
    "voice agent in Portuguese": (streamed("Você é um agente de voz do banco. Seja breve e gentil."), "no-filler"),
    "feelings are no filler": (streamed("You are a voice agent. Acknowledge feelings. Be kind."), "no-filler"),
    "name at the very top": (make(f"You are talking to {{{{name}}}} from {{{{city}}}}.\n\n{LONG}"), "prefix-order"),
    "name in the middle": (make(f"You are kind.\nThe caller is {{{{name}}}}.\n{LONG}"), "prefix-order"),
    "context before the rules": (make("You answer questions.", f"{{{{context}}}}\n\n{LONG}"), "prefix-order"),
    "two system messages": (
        {
            **make(""),
            "messages": [
                {"role": "system", "content": "Caller: {{name}}"},
                {"role": "system", "content": LONG},
                {"role": "user", "content": "Hello"},
            ],
        },
        "prefix-order",
    ),
    "clock in French": (make(f"Heure actuelle : 14:32\n{LONG}"), "prefix-order"),
    "trace id": (make(f"trace_id=4f1c9e7ab0d24c11a9b3\n{LONG}"), "prefix-order"),
    "today": (make(f"Today is 14 August 2026.\n{LONG}"), "prefix-order"),
    "usage said to be off": (make("Be brief.", stream=True, stream_options={"include_usage": False}), "usage-off"),
    "speech wanted": (make("", "Convert this paragraph to speech and send me the mp3."), "other-product"),
    "voice note": (make("", "Listen to this voice note and tell me what she wants."), "other-product"),
    "dial for me": (make("", "Call +91 98765 43210 and tell them that I am late."), "other-product"),
    "speech in Chinese": (make("", "请把这段文字转换成语音。"), "other-product"),
    "translate first": (
        make("Translate the caller's question into English before calling any tool, and translate the answer back."),
        "language-kept",
    ),
    "snapshot": (make("You sort letters.", seed=1, temperature=0.7) | {"user": "snapshot-letters"}, "seed-in-fixture"),
    "n is two": (make("Be brief.", n=2), "refused"),
    "hot": (make("Be brief.", temperature=3), "refused"),
    "choice of no tool": (streamed("Say so before you use a tool.", tool_choice="required"), ""),
}
"""The rule that has to speak; empty: nothing may be said above a hint."""


def handmade() -> list[Sample]:
    """All of them as samples."""
    quiet = [Sample(f"by hand: {name}", body, frozenset()) for name, body in SILENT.items()]
    loud = [Sample(f"by hand: {name}", b, frozenset({rule} - {""})) for name, (b, rule) in SPEAKING.items()]
    return quiet + loud
