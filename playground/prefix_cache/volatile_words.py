"""Words around volatile values, in the languages that prompts are written in. All in lower case."""

from __future__ import annotations

import re
from collections.abc import Iterable

MONTHS = (
    *[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
    *["jan", "feb", "mar", "apr", "jun", "jul", "aug", "sept", "sep", "oct", "nov", "dec"],
    *["januar", "februar", "märz", "mai", "juni", "juli", "oktober", "dezember"],
    *["janvier", "février", "mars", "avril", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"],
    *[
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    *["janeiro", "fevereiro", "março", "maio", "junho", "julho", "setembro", "outubro", "novembro", "dezembro"],
    *["gennaio", "febbraio", "aprile", "maggio", "giugno", "luglio", "settembre", "ottobre", "dicembre"],
    *[
        "января",
        "февраля",
        "марта",
        "апреля",
        "мая",
        "июня",
        "июля",
        "августа",
        "сентября",
        "октября",
        "ноября",
        "декабря",
    ],
    *[
        "जनवरी",
        "फ़रवरी",
        "फ़रवरी",
        "फरवरी",
        "मार्च",
        "अप्रैल",
        "मई",
        "जून",
        "जुलाई",
        "अगस्त",
        "सितंबर",
        "सितम्बर",
        "अक्टूबर",
        "अक्तूबर",
    ],
    *["नवंबर", "नवम्बर", "दिसंबर", "दिसम्बर"],
    *[
        "يناير",
        "فبراير",
        "مارس",
        "أبريل",
        "ابريل",
        "مايو",
        "يونيو",
        "يوليو",
        "أغسطس",
        "سبتمبر",
        "أكتوبر",
        "نوفمبر",
        "ديسمبر",
    ],
)
DAYS = (
    *["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    *["montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag"],
    *["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
    *["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
    *["segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira"],
    *["lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato", "domenica"],
    *["понедельник", "вторник", "среда", "четверг", "пятница", "суббота", "воскресенье"],
    *["सोमवार", "मंगलवार", "बुधवार", "गुरुवार", "शुक्रवार", "शनिवार", "रविवार"],
    *["الاثنين", "الإثنين", "الثلاثاء", "الأربعاء", "الخميس", "الجمعة", "السبت", "الأحد"],
    *["월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일"],
)
NOW = (
    *("today", "today's date", "today’s date", "current", "currently", "now", "right now", "the time is now"),
    *("current date", "current time", "current local time", "current datetime", "current day", "local time"),
    *("current date and time", "current date/time", "current date & time", "unix time", "epoch", "generated at"),
    *("heute", "aktuelles datum", "heutiges datum", "das heutige datum", "aktuelle uhrzeit", "jetzt"),
    *("aujourd'hui", "aujourd’hui", "date du jour", "date actuelle", "heure actuelle", "maintenant"),
    *("hoy", "ahora", "fecha actual", "fecha de hoy", "hora actual"),
    *("hoje", "agora", "data atual", "hora atual", "oggi", "adesso", "ora attuale", "data odierna"),
    *("fecha y hora", "date et heure", "data e hora", "data de hoje", "bugün", "bugünün tarihi", "şu anki saat"),
    *("hari ini", "tanggal hari ini", "waktu sekarang", "vandaag", "dziś", "dzisiaj", "idag", "i dag", "tänään"),
    *("இன்று", "தற்போதைய நேரம்", "আজ", "ఈరోజు", "आज दिनांक", "अभी का समय", "अभी समय", "आज का दिन", "hôm nay", "วันนี้"),
    *("сегодня", "сейчас", "текущая дата", "текущее время", "오늘", "현재 시각", "현재 시간", "오늘 날짜"),
    *("आज", "आज की तारीख", "आज की तिथि", "वर्तमान समय", "वर्तमान तारीख", "अभी"),
    *("اليوم", "تاريخ اليوم", "الوقت الحالي", "التاريخ الحالي", "الآن", "الساعة الآن"),
    *(
        "今天",
        "今日",
        "当前",
        "当前日期",
        "当前时间",
        "现在",
        "现在时间",
        "現在",
        "現在時刻",
        "現在の日時",
        "今日の日付",
    ),
)
"""What says that the moment which follows is the present one."""
MOMENT = (
    *("date", "time", "day", "timestamp", "datetime", "date and time", "ts", "datum", "uhrzeit", "heure", "fecha"),
    *(
        "hora",
        "data",
        "ora",
        "дата",
        "तारीख",
        "तिथि",
        "दिनांक",
        "समय",
        "التاريخ",
        "الوقت",
        "الساعة",
        "日期",
        "时间",
        "日付",
    ),
)
"""The same, but only where no word before them says which: a closing date stays what it is."""
ARTICLES = frozenset(
    (
        *("the", "a", "and", "is", "das", "die", "der", "la", "el", "le", "les", "il", "lo", "l'", "l’"),
        *("current", "local", "present", "today's", "today’s", "server", "system"),
    )
)
"""Words that may stand before one of MOMENT."""
IS = (
    *("is", "it is", "it's", "it’s", "ist", "est", "es", "é", "è", "on", "at", "the", "is the", "den", "der", "le"),
    *("ist der", "ist das", "est le", "este es el"),
    *("nous sommes le", "es el", "el", "este", "है", "هو", "هي"),
)
SUBJECTS = (
    *("session", "request", "call", "conversation", "trace", "order", "account", "customer", "user", "ticket"),
    *("booking", "transaction", "correlation", "sitzungs", "kunden", "anfrage", "auftrags", "vorgangs"),
)
IDS = (
    *("id de session", "identifiant de session", "id de sesión", "identificador de sesión", "id da sessão"),
    *("सत्र आईडी", "सत्र संख्या", "ग्राहक आईडी", "ऑर्डर आईडी", "رقم الجلسة", "معرف الجلسة", "رقم الطلب", "معرف المستخدم"),
    *(
        "会话id",
        "会话 id",
        "会话编号",
        "订单号",
        "用户id",
        "セッションid",
        "セッション id",
        "注文番号",
        "세션 id",
        "세션 아이디",
    ),
)
MARKED = (
    *("req", "request", "sess", "session", "usr", "user", "cus", "cust", "conv", "conversation", "call", "msg"),
    *("order", "ord", "txn", "trace", "run", "acct", "chat", "thread", "evt", "span"),
)
"""Words that identifiers begin with, as in req_8f31."""
TURNS = (
    *("turn", "message", "session", "conversation", "request", "attempt", "nachricht", "runde", "anfrage"),
    *("tour", "requête", "turno", "mensaje", "mensagem", "संदेश", "बारी", "रسالة", "رسالة", "الدور"),
)
WHO = ("caller", "customer", "client", "user", "patient", "guest", "member", "account holder", "contact")
NAMED = (
    *("der kunde heißt", "die kundin heißt", "der anrufer heißt", "die anruferin heißt", "name des kunden"),
    *("name der kundin", "name des anrufers", "le client s'appelle", "le client s’appelle", "nom du client"),
    *("nom de l'appelant", "nom de l’appelant", "el cliente se llama", "la clienta se llama", "nombre del cliente"),
    *("nombre del usuario", "nome do cliente", "nome del cliente", "имя клиента"),
)
SPEAKING = ("you are speaking", "you are talking", "you are chatting", "you are now speaking", "you are now talking")


def any_of(words: Iterable[str]) -> str:
    """A pattern for any of the words, the longest first. It is a tree by first letters: few are tried at a place."""
    return _tree(sorted(set(words), key=lambda word: (-len(word), word)))


def _tree(words: list[str]) -> str:
    by_letter: dict[str, list[str]] = {}
    for word in words:
        by_letter.setdefault(word[:1], []).append(word[1:])
    ends = "" in by_letter
    # The empty rest comes last: a longer word is preferred.
    branches = [re.escape(letter) + _tree(rest) for letter, rest in by_letter.items() if letter]
    if not branches:
        return ""
    if len(branches) == 1 and not ends:
        return branches[0]
    return f"(?:{'|'.join(branches)}{'|' if ends else ''})"
