"""More bodies by hand, written after the rules were done and run once before any rule was changed for them.

docs/advice.md has the figures of that first run. Since then they are a part of the corpus like any other.
"""

from __future__ import annotations

from tests.lint.corpus import Body, Sample, tool
from tests.lint.handmade import LONG, make, streamed

QUIET: dict[str, Body] = {
    "extraction with JSON schema in tool": streamed(
        "Extract the fields with the save tool; say so before any tool.", tool("save", "Saves the extracted fields.")
    ),
    "developer docs": make("You answer questions about our REST API, whose responses are JSON documents."),
    "webhook": make("When a webhook arrives you get its JSON body in the question. Say in words what happened."),
    "logs": make("You read application logs, one JSON object a line, and name the error in one sentence."),
    "resume": make("You turn a resume into a cover letter.", 'Resume: {"name": "Asha", "skills": ["Qt"]}'),
    "data analyst": make("You write SQL.", "Our events table has a JSON column called payload. Count events by type."),
    "format told otherwise": make("Output format: one line of CSV. JSON is not accepted by the importer."),
    "XML": make("Respond with XML only. Do not use JSON."),
    "maybe JSON": make("If the user asks for JSON you may provide it; otherwise write prose."),
    "translator of JSON": make("Translate the values of the JSON that follows into French and keep its keys."),
    "SAT tutor": make("You prepare students for tests. The next test is on Monday.", seed=3),
    "banker": make(f"You advise on savings. Interest is 7.25 % since 01/04/2024; the branch opens at 10:00.\n{LONG}"),
    "clinic": make(f"The clinic moved on 12 March 2021. Surgery hours: 08:30-12:00 and 16:00-19:30.\n{LONG}"),
    "train": make(f"Train 12127 leaves Mumbai at 07:00 and reaches Pune at 09:57.\n{LONG}"),
    "licence": make(f"Copyright 2026. Build 4f1c9e7ab0d24c11a9b3d5e6f7081920.\n{LONG}"),
    "history lesson": make(f"On 15 August 1947 at midnight India became free. Today it is a republic.\n{LONG}"),
    "session is a word": make(f"A therapy session is 50 minutes. Each session costs 2000 rupees.\n{LONG}"),
    "request is a word": make(f"Requests made after 18:00 are handled the next day.\n{LONG}"),
    "now in a sentence": make(f"Your job is to help right now. Call 112 in an emergency.\n{LONG}"),
    "podcast host": make("You write scripts for a podcast about sound and voice.", "Write two minutes about owls."),
    "speech therapist": make("You are an assistant to a speech therapist. Suggest exercises for the voice."),
    "audio shop": make("You sell speakers.", "Which speaker plays MP3 and WAV files over USB?"),
    "call summary": make("Summarise phone calls.", "The agent promised to call the customer back at 5."),
    "court reporter": make("You correct transcripts of recordings that people made by hand."),
    "caller id": make("If the caller asks you to call somebody, say that you cannot dial."),
    "campaign": make("You write copy for an email campaign.", "Start with the subject line."),
    "voice agent with polite wait": streamed("You are a voice bot. If you need time, tell them: bear with me."),
    "voice agent thinks aloud": streamed(
        "You take calls. Before looking anything up, tell the caller what you will do."
    ),
    "Tamil wait": streamed("நீங்கள் தொலைபேசி முகவர். தகவலைத் தேடும்போது ஒரு நிமிடம் காத்திருக்கச் சொல்லுங்கள்."),
    "French wait": streamed("Tu es un agent vocal. Dis « un instant, je vérifie » quand tu consultes un dossier."),
    "Spanish wait": streamed("Eres agente de voz. Avisa al cliente de que estás mirando su pedido antes de hacerlo."),
    "Arabic wait": streamed("أنت وكيل صوتي. قل «لحظة من فضلك» عندما تبحث عن طلب."),
    "Chinese wait": streamed("你是电话客服。查询时请先说“请稍等，我查一下”。"),
    "Hindi wait": streamed('आप वॉइस एजेंट हैं। टूल चलाने से ठीक पहले बोलें: "बस एक सेकंड, देखती हूँ"।'),
    "Russian wait": streamed("Ты голосовой помощник. Перед поиском говори: «Секунду, сейчас посмотрю»."),
    "chat with tools": streamed("You are a written chat helper for a shop. Be brief."),
    "two languages by rule": {
        **make("Answer in Hindi or English, whichever the caller uses."),
        "messages": [
            {"role": "system", "content": "Answer in Hindi or English, whichever the caller uses."},
            {"role": "user", "content": "Is my parcel here and when can I have it?"},
            {"role": "assistant", "content": "It is here, and you can have it from ten."},
        ],
    },
    "variable then a word": make(
        f"{LONG}\n\nCaller: {{{{name}}}} ({{{{city}}}}), plan {{{{plan}}}}. Greet them by name."
    ),
    "few-shot with variable last": {
        **make(""),
        "messages": [
            {"role": "system", "content": f"Sort the letter.\n{LONG}"},
            {"role": "user", "content": "My parcel is late."},
            {"role": "assistant", "content": "late"},
            {"role": "user", "content": "{{letter}}"},
        ],
    },
}

LOUD: dict[str, tuple[Body, str]] = {
    "JSON keys listed": (make('Respond in JSON: {"intent": "...", "city": "..."}'), "json-not-set"),
    "JSON at length": (
        make("Your response should be formatted as a valid JSON object matching the fields below."),
        "json-not-set",
    ),
    "strict JSON": (make("You are a classifier. Output strictly JSON, nothing before or after."), "json-not-set"),
    "JSON with negation behind": (
        make("Return a JSON object. Do not wrap it and do not comment on it."),
        "json-not-set",
    ),
    "Hindi JSON object": (make("आप वर्गीकरण करते हैं। जवाब एक JSON ऑब्जेक्ट में लौटाएँ।"), "json-not-set"),
    "Italian JSON": (make("Sei un classificatore. Restituisci un oggetto JSON con i campi richiesti."), "json-not-set"),
    "Kannada JSON": (make("ನೀವು ಸಹಾಯಕರು. JSON ರೂಪದಲ್ಲಿ ಮಾತ್ರ ಉತ್ತರಿಸಿ."), "json-not-set"),
    "Thai JSON": (make("คุณเป็นผู้ช่วย ตอบเป็น JSON เท่านั้น"), "json-not-set"),
    "IVR": (streamed("You are the IVR of a hospital. Be calm and brief."), "no-filler"),
    "call centre": (streamed("You work in the call centre of an airline and help travellers rebook."), "no-filler"),
    "Telugu phone": (streamed("మీరు ఫోన్ ఏజెంట్. మర్యాదగా, క్లుప్తంగా మాట్లాడండి."), "no-filler"),
    "Korean phone": (streamed("당신은 은행의 전화 상담원입니다. 친절하고 짧게 말하세요."), "no-filler"),
    "date and time on top": (make(f"Current date and time: 2026-11-23T16:23:18Z\n\n{LONG}"), "prefix-order"),
    "conversation id": (make(f"Conversation ID: conv_8f14e45fceea167a5a36\n{LONG}"), "prefix-order"),
    "retrieved text first": (make(f"Use this context:\n{{{{documents}}}}\n\n{LONG}"), "prefix-order"),
    "greeting by name": (make(f"You are Mira. You are speaking with {{{{caller}}}}. {LONG}"), "prefix-order"),
    "time in German": (make(f"Uhrzeit: 14:32 Uhr\n{LONG}"), "prefix-order"),
    "time in Hindi": (make(f"वर्तमान समय: 14:32\n{LONG}"), "prefix-order"),
    "make a voiceover": (make("", "Create a voice-over for this script: hello world."), "other-product"),
    "transcribe the meeting": (make("", "Can you transcribe the attached meeting.m4a for me?"), "other-product"),
    "text to audio": (make("", "Turn this story into an audio file."), "other-product"),
    "campaign calls": (make("", "Launch a calling campaign to all patients tomorrow."), "other-product"),
    "to English and back": (
        make("First translate the user's message into English, then use the search, then translate back."),
        "language-kept",
    ),
    "eval run": (make("Sort letters.", seed=11) | {"user": "nightly-eval"}, "seed-in-fixture"),
}


def unseen() -> list[Sample]:
    """All of them as samples."""
    quiet = [Sample(f"unseen: {name}", body, frozenset()) for name, body in QUIET.items()]
    return quiet + [Sample(f"unseen: {name}", body, frozenset({rule})) for name, (body, rule) in LOUD.items()]
