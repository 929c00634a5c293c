"""One finding per cause, and the filler rule in Indic prompts."""

from __future__ import annotations

import pytest

from playground.lint.engine import advise
from playground.lint.language import PHRASES
from tests.lint.corpus import tool
from tests.lint.judge import PRICED, said, system, tools

WORDY = (
    "Finds a parcel. You should call this whenever the caller wants to know where a parcel is. It returns the depot, "
    "the van and the time."
)


def catalogue(count: int) -> tuple[object, ...]:
    """Return tools with descriptions of more than one sentence."""
    return tools(*(tool(f"find_{number}", WORDY) for number in range(count)))


def test_seven_tools_with_one_cause_are_one_finding_with_one_fix() -> None:
    document = system("Be kind.", tools=catalogue(7))
    single = said(system("Be kind.", tools=catalogue(1)), "tool-description", PRICED)[0]
    (finding,) = said(document, "tool-description", PRICED)
    assert {place.tool for place in finding.places} == {f"find_{number}" for number in range(7)}
    assert finding.tokens == pytest.approx(7 * single.tokens)
    assert finding.dollars == pytest.approx(7 * (single.dollars or 0))
    assert finding.fix is not None
    assert said(finding.fix.after, "tool-description") == ()
    assert len(finding.fix.after.tools) == 7


def test_two_tools_stay_two_findings() -> None:
    found = said(system("Be kind.", tools=catalogue(2)), "tool-description")
    assert [finding.subject for finding in found] == ["find_0", "find_1"]


def test_dismissed_tool_is_not_in_the_group() -> None:
    document = system("Be kind.", tools=catalogue(5))
    (finding,) = [
        finding
        for finding in advise(document, dismissed=("tool-description:find_3",))
        if finding.rule == "tool-description"
    ]
    assert "find_3" not in finding.subject.split(",")
    assert finding.subject.count(",") == 3


BARE_BEFORE = {
    "hi": "आप एक फ़ोन एजेंट हैं। खाता संख्या बताने से पहले ग्राहक का नाम पूछें।",
    "mr": "तुम्ही फोन एजंट आहात. खाते क्रमांक सांगण्यापूर्वी ग्राहकाचे नाव विचारा. हे नेहमी करा आणि नम्र राहा.",
    "bn": "আপনি একজন ফোন এজেন্ট। অ্যাকাউন্ট নম্বর দেওয়ার আগে গ্রাহকের নাম জিজ্ঞাসা করুন।",
    "ta": "நீங்கள் ஒரு தொலைபேசி முகவர். கணக்கு எண்ணைத் தருவதற்கு முன் வாடிக்கையாளரின் பெயரைக் கேளுங்கள்.",
    "te": "మీరు ఫోన్ ఏజెంట్. ఖాతా నంబర్ ఇచ్చే ముందు కస్టమర్ పేరు అడగండి.",
    "kn": "ನೀವು ಫೋನ್ ಏಜೆಂಟ್. ಖಾತೆ ಸಂಖ್ಯೆ ನೀಡುವ ಮೊದಲು ಗ್ರಾಹಕರ ಹೆಸರು ಕೇಳಿ.",
    "ml": "നിങ്ങൾ ഒരു ഫോൺ ഏജന്റാണ്. അക്കൗണ്ട് നമ്പർ നൽകുന്നതിന് മുമ്പ് ഉപഭോക്താവിന്റെ പേര് ചോദിക്കുക.",
    "gu": "તમે ફોન એજન્ટ છો. ખાતા નંબર આપતા પહેલાં ગ્રાહકનું નામ પૂછો.",
    "pa": "ਤੁਸੀਂ ਇੱਕ ਫ਼ੋਨ ਏਜੰਟ ਹੋ। ਖਾਤਾ ਨੰਬਰ ਦੇਣ ਤੋਂ ਪਹਿਲਾਂ ਗਾਹਕ ਦਾ ਨਾਮ ਪੁੱਛੋ।",
    "or": "ଆପଣ ଜଣେ ଫୋନ୍ ଏଜେଣ୍ଟ। ଖାତା ନମ୍ବର ଦେବା ପୂର୍ବରୁ ଗ୍ରାହକଙ୍କ ନାମ ପଚାରନ୍ତୁ।",
    "ur": "آپ ایک فون ایجنٹ ہیں۔ اکاؤنٹ نمبر دینے سے پہلے گاہک کا نام پوچھیں۔",
    "ne": "तपाईं फोन एजेन्ट हुनुहुन्छ। खाता नम्बर दिनुअघि ग्राहकको नाम सोध्नुहोस् र शिष्ट हुनुहोस्।",
}


@pytest.mark.parametrize("code", BARE_BEFORE)
def test_bare_before_is_no_acknowledgement(code: str) -> None:
    assert len(said(system(BARE_BEFORE[code], tools=tools(tool())), "no-filler")) == 1


@pytest.mark.parametrize("code", PHRASES)
def test_offered_filler_line_is_an_acknowledgement(code: str) -> None:
    assert said(system(PHRASES[code].filler, tools=tools(tool())), "no-filler") == ()


@pytest.mark.parametrize(
    "text",
    [
        "आप फ़ोन एजेंट हैं। टूल चलाने से पहले एक छोटा वाक्य बोलें कि आप देख रही हैं।",
        "আপনি ফোন এজেন্ট। টুল চালানোর আগে গ্রাহককে জানান যে আপনি দেখছেন।",
        "நீங்கள் தொலைபேசி முகவர். கருவியைப் பயன்படுத்தும் முன் பார்க்கிறேன் என்று சொல்லுங்கள்.",
        "మీరు ఫోన్ ఏజెంట్. టూల్ వాడే ముందు చూస్తున్నానని చెప్పండి.",
        "તમે ફોન એજન્ટ છો. ટૂલ વાપરતા પહેલાં ગ્રાહકને જણાવો કે તમે તપાસી રહ્યા છો.",
    ],
)
def test_before_a_tool_with_something_to_say_is_an_acknowledgement(text: str) -> None:
    assert said(system(text, tools=tools(tool())), "no-filler") == ()
