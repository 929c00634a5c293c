"""Advice to use another product of the vendor."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from playground.lint.language import PHRASES, detect, fold, sentence_at
from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.prompt.document import Document, Json

_TRANSLATOR = re.compile(
    r"translat|interpreter|traduc|tradui|übersetz|traduz|tradutt|vertaal|tłumacz|çevir|terjemah|dịch|перевод|перевед|"
    r"переклад|अनुवाद|भाषांतर|अनुवाद|অনুবাদ|மொழிபெயர்|అనువాద|ಅನುವಾದ|വിവർത്ത|અનુવાદ|ਅਨੁਵਾਦ|ترجم|תרגם|翻译|翻譯|翻訳|번역|แปล|μετάφρα"
    r"|language (?:teacher|tutor|lesson|learn)|teach(?:er|es|ing)? [a-z]+ish\b|learn(?:er|ing)? [a-z]+ish\b"
)
_IN_ONE = re.compile(
    r"(?:answer|respond|reply|speak|write|talk|communicate)\w*\b[^.\n]{0,40}\b(?:in|only) (?:only )?"
    r"(?:english|hindi|tamil|telugu|bengali|marathi|kannada|malayalam|gujarati|punjabi|spanish|french|german|"
    r"portuguese|italian|dutch|arabic|russian|chinese|japanese|korean|turkish|polish)|"
    r"(?:english|hindi|spanish|french|german) only|"
    r"only (?:in )?(?:english|hindi|spanish|french|german)"
)
_MIDDLE = re.compile(
    r"translat\w+\b[^.\n]{0,60}\b(?:into|to) english\b[^.\n]{0,80}"
    r"\b(?:before|first|then|and (?:call|use|search|answer|pass))|"
    r"\b(?:first|before)\b[^.\n]{0,60}\btranslat\w+\b[^.\n]{0,40}\b(?:into|to) english"
)
_NEGATION = re.compile(r"\b(?:never|not|don't|without|no)\b")


def _report_language(facts: PromptFacts) -> Iterator[Finding]:
    yield from _instruction(facts)
    if _TRANSLATOR.search(facts.system_lowered) or _IN_ONE.search(facts.system_lowered):
        return
    switched = [(i, asked, said) for i, asked, said in _answers(facts) if asked != said]
    if not switched:
        return
    _, asked, said = switched[-1]
    yield Finding(
        "hint",
        "The answer is in a different language than the question",
        f"A question in {_name(asked)} was answered in {_name(said)}, and the prompt does not ask for that. The model "
        "speaks both: keep the caller's language from the question through the tools to the answer.",
        evidence=(Evidence("answers in another language", len(switched), "count", "estimated"),),
        places=tuple(FindingPlace(("messages", i, "content")) for i, _, _ in switched if i >= 0),
        subject="answers",
    )


def _instruction(facts: PromptFacts) -> Iterator[Finding]:
    for index, text in facts.system:
        low = fold(text)
        match = _MIDDLE.search(low) if "translat" in low else None
        if match is None:
            continue
        start, end = sentence_at(low, match.start())
        if not _NEGATION.search(low, start, end):
            yield Finding(
                "hint",
                "The prompt asks for translation steps",
                "Translating the question before the tools and the answer after them costs two steps, and can change "
                "names and numbers. The model accepts the caller's language directly.",
                places=(FindingPlace(("messages", index, "content"), start, end),),
                subject="instruction",
            )


def _answers(facts: PromptFacts) -> Iterator[tuple[int, str, str]]:
    """Index of an answer, the question's language and its own, if both are known; -1 from the log."""
    asked: str | None = None
    for index, message in enumerate(facts.document.messages):
        if message.role == "user":
            asked = detect(message.content or "")
        elif message.role == "assistant" and message.content and asked:
            said = detect(message.content)
            if said:
                yield index, asked, said
    for request in facts.history.requests[-50:]:
        first, second = detect(request.question), detect(request.answer)
        if first and second:
            yield -1, first, second


def _name(code: str) -> str:
    return PHRASES[code].name if code in PHRASES else code


LANGUAGE = LintRule(
    "language-kept",
    "Keep one language from the question to the answer",
    "The model works in some 70 languages. Every translation in between costs a call and can change a name.",
    GuideSource("The other products on the stack", "The model supports Indic and many other languages directly."),
    _report_language,
)


_SOUND = r"(?:audio|sound|voice (?:note|message|memo|recording)|voicemail|recording|podcast|mp3|wav|m4a|ogg)"
_PULSE = re.compile(
    rf"\btranscribe\b[^.\n]{{0,40}}\b{_SOUND}|\btranscribe (?:this|the|that) (?:call|clip|file)\b|"
    rf"\blisten to (?:this|the|my|that|an?)\b[^.\n]{{0,24}}\b{_SOUND}|"
    r"\btranscribe (?:this|the attached)\b[^.\n]{0,30}\.(?:mp3|wav|m4a|ogg)|"
    r"\btranscr(?:ibe|iba|eva|ever|ibir|is)\b"
    r"[^.\n]{0,30}\b(?:audio|áudio|grabación|gravação|enregistrement|nota de voz)|"
    r"\btranscris\b[^.\n]{0,30}\b(?:audio|enregistrement)|\btranskribier\w*[^.\n]{0,30}\b(?:aufnahme|audio)|"
    r"\btrascriv\w*[^.\n]{0,30}\b(?:audio|registrazione)|\btranskripsi\w*[^.\n]{0,20}\b(?:audio|rekaman)|"
    r"расшифру\w*[^.\n]{0,30}(?:аудио|запис)|(?:转录|轉錄|听写)[^。\n]{0,20}(?:音频|录音|音訊)|(?:音频|录音)[^。\n]{0,8}(?:转成|转为|转换成)文字|"
    r"(?:音声|録音)[^。\n]{0,12}文字起こし|(?:오디오|녹음|음성 파일)[^.\n]{0,12}(?:전사|받아쓰|텍스트로)|"
    r"ऑडियो[^।\n]{0,24}(?:ट्रांसक्राइब|लिखित|टेक्स्ट में)|(?:ses|kayd)\w*[^.\n]{0,20}(?:yazıya dök|deşifre)|"
    r"(?:فرّغ|فرغ|حوّل|حول)[^.\n]{0,24}(?:التسجيل|الصوت|الصوتي)[^.\n]{0,16}(?:نص)?"
)
_LIGHTNING = re.compile(
    r"\b(?:generate|create|produce|make|return|output|give me|send(?: me)?|synthesi[sz]e|record)\b[^.\n]{0,24}"
    r"\b(?:audio(?: file| clip| version)?|mp3|wav|speech audio|voice[ -]?over|"
    r"voice clip|voice recording|spoken audio|sound file)\b|"
    r"\b(?:convert|turn)\b[^.\n]{0,40}\b(?:in)?to (?:speech|audio|an? (?:mp3|wav|audio)|voice)\b|"
    r"\bread\b[^.\n]{0,30}\bas (?:an? )?(?:mp3|audio|wav)\b|"
    r"\bconviert\w*[^.\n]{0,40}\b(?:a|en) (?:voz|audio)|"
    r"\b(?:genera|crea)\w*[^.\n]{0,12}\b(?:un )?(?:archivo de )?audio\b|"
    r"\bconverti\w*[^.\n]{0,40}\ben (?:audio|voix|parole)|\bgénèr\w*[^.\n]{0,16}\b(?:fichier )?audio\b|"
    r"\b(?:erzeuge|erstelle|generiere)\b[^.\n]{0,24}\b(?:audio\w*|sprachaufnahme|mp3)|"
    r"\b(?:gere|crie|gera)\b[^.\n]{0,16}\báudio\b|\bconverta\b[^.\n]{0,40}\bem (?:voz|áudio)|"
    r"озвучь|(?:создай|сгенерируй)[^.\n]{0,16}аудио|(?:生成|制作|製作)[^。\n]{0,10}(?:音频|语音文件|mp3)|(?:转成|转换成|转换为|转为)(?:语音|音频)|"
    r"音声ファイル[^。\n]{0,6}(?:作成|生成|作って)|(?:음성|오디오) 파일[^.\n]{0,8}(?:만들|생성)|"
    r"ऑडियो[^।\n]{0,12}(?:बनाओ|बनाइए|बनाएँ|बनाएं|बना दें|बना दो|तैयार कर)"
)
_ATOMS = re.compile(
    r"\b(?:place|make|dial|start)\b[^.\n]{0,16}\b(?:outbound|phone|telephone) calls?\b|"
    r"\b(?:call|ring|dial|phone)\b[^.\n]{0,24}\+?\d[\d ()-]{8,}\d|"
    r"\b(?:launch|run|start)\b[^.\n]{0,24}\bcall(?:ing)? campaigns?\b"
)
_HEARD = (
    "audio",
    "transcri",
    "trascriv",
    "transkri",
    "recording",
    "voice",
    "mp3",
    "wav",
    "speech",
    "listen",
    "campaign",
)
_SPOKEN = (
    *_HEARD,
    *("áudio", "grabaci", "voz", "voix", "parole", "sprachaufnahme", "расшифр", "озвуч", "аудио", "转录", "轉錄"),
    *(
        "音频",
        "音訊",
        "语音",
        "音声",
        "録音",
        "录音",
        "오디오",
        "녹음",
        "음성",
        "ऑडियो",
        "yazıya",
        "deşifre",
        "تسجيل",
        "صوت",
    ),
)
_CALLS = ("call", "dial", "ring", "phone")
"""Words of which a match has at least one, in its line: only those lines are searched."""
_NOT = re.compile(
    r"\b(?:never|not|cannot|can't|don't|no|unable|without|nie|nicht|kein\w*|nunca|jamais|não|non)\b|n't\b|"
    r"नहीं|不|しない|できません|않|"
    r"\bне\b|لا |"
    r"\b(?:is|was|are|were|be|been|will be|gets?) (?:then |later |automatically )*(?:transcribed|converted|turned)|"
    r"\btranscripts?\b|\bif (?:the|a|they|someone|asked)\b|\bwhen (?:the|a|they|asked)\b|"
    r"^\W*(?:how|why|what|which|where)\b"
)
"""What makes it something else than a wish: forbidden, done by others, conditional, a question about it."""

_KINDS = (
    (
        _SPOKEN,
        _PULSE,
        "Pulse",
        "transcription",
        "It takes no audio: audio becomes text with Pulse, the vendor's transcription.",
    ),
    (
        _SPOKEN,
        _LIGHTNING,
        "Lightning",
        "speech",
        "It makes no sound: text becomes speech with Lightning, the vendor's synthesis.",
    ),
    (
        _CALLS,
        _ATOMS,
        "Atoms",
        "calls",
        "It makes no calls: telephony and campaigns are Atoms, the vendor's voice-agent platform.",
    ),
)


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    yield from _fields(facts)
    for anchors, pattern, product, what, words in _KINDS:
        # With tools, something else may well do it.
        place = None if facts.document.tools else _first(facts, anchors, pattern)
        if place is not None:
            title = f"This asks a text model for {what}"
            yield Finding(
                "hint", title, f"Electron takes text and gives text. {words}", places=(place,), subject=product
            )


def _first(facts: PromptFacts, anchors: tuple[str, ...], pattern: re.Pattern[str]) -> FindingPlace | None:
    for index, text in facts.asked:
        low = fold(text)
        for first, last in _lines_with(low, anchors):
            for match in pattern.finditer(low, first, last):
                start, end = sentence_at(low, match.start())
                if not _NOT.search(low[start:end]):
                    return FindingPlace(("messages", index, "content"), start, end)
    return None


def _lines_with(text: str, anchors: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return code points [start, end) of the lines that have one of the words; no pattern goes beyond a line."""
    lines: set[tuple[int, int]] = set()
    for word in anchors:
        at = text.find(word)
        while at >= 0:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            lines.add((text.rfind("\n", 0, at) + 1, end))
            at = text.find(word, end)
    return sorted(lines)


def _fields(facts: PromptFacts) -> Iterator[Finding]:
    wrong = [name for name in ("modalities", "audio") if _is_audio(name, facts.parameter(name))]
    if wrong:
        yield Finding(
            "warning",
            "The request asks a text model for audio",
            f"{' and '.join(wrong)} may be passed on, but Electron gives text only. Speech comes from Lightning, "
            "transcription from Pulse.",
            places=tuple(FindingPlace((name,)) for name in wrong),
            fix=Fix(f"Remove {' and '.join(wrong)}", _without(facts.document, wrong)),
            subject="fields",
        )
    for index, message in enumerate(facts.document.messages):
        at = (message.content or "").find("data:audio/")
        if at >= 0:
            yield Finding(
                "warning",
                "A message carries audio",
                "Electron reads it as text, character by character, and pays for each. Transcribe it with Pulse first.",
                evidence=(),
                places=(FindingPlace(("messages", index, "content"), at, len(message.content or "")),),
                tokens=facts.tokens((message.content or "")[at:]),
                dollars=facts.fresh_dollars(facts.tokens((message.content or "")[at:])),
                subject=f"message {index}",
            )


def _is_audio(name: str, value: Json) -> bool:
    return "audio" in value if name == "modalities" and isinstance(value, list) else name == "audio" and bool(value)


def _without(document: Document, names: list[str]) -> Document:
    return replace(document, parameters={k: v for k, v in document.parameters.items() if k not in names})


PRODUCTS = LintRule(
    "other-product",
    "Ask a text model for text",
    "Electron takes text and gives text. For sound the vendor has other products on the same key.",
    GuideSource(
        "The other products on the stack", "Transcription is Pulse, synthesis Lightning, a whole voice platform Atoms."
    ),
    _speak,
)
