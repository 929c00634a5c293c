"""The simulator's sentences, by language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """Sentences of one language. `space` stands between them."""

    greeting: str
    simulated: str
    asked: str
    from_tool: str
    middle: tuple[str, ...]
    closing: tuple[str, ...]
    space: str = " "


PHRASES = {
    "english": Phrases(
        "Hello{name}!",
        "This is a simulated reply: no model has read your prompt.",
        "You asked: “{question}”",
        "The tool returned {result}.",
        (
            "The built-in simulator speaks the same protocol as Electron, so everything around these words is real.",
            "The request_id above came with the response headers, before this first token did.",
            "Send the same prompt again, and the tokens that both share are served from the prefix cache.",
            "Change one early character, and nothing after it can match any more.",
            "Time to first token grows with the tokens that are not cached, as it does on a real server.",
            "Stable content belongs first in a prompt, and what varies belongs last.",
        ),
        (
            "Connect to Electron when you want a real answer.",
            "Shall I stream a little more?",
            "That is all a simulator can say about it.",
        ),
    ),
    "hindi": Phrases(
        "नमस्ते{name}!",
        "यह एक नकली उत्तर है: किसी मॉडल ने आपका प्रॉम्प्ट नहीं पढ़ा।",
        "आपने पूछा: “{question}”",
        "टूल ने यह लौटाया: {result}.",
        (
            "यह सिम्युलेटर Electron जैसा ही प्रोटोकॉल बोलता है।",
            "वही प्रॉम्प्ट दोबारा भेजिए, तो साझा हिस्सा कैश से आएगा।",
            "शुरुआत का एक अक्षर बदलते ही आगे कुछ भी मेल नहीं खाता।",
            "जो स्थिर है उसे पहले रखिए, और जो बदलता है उसे अंत में।",
        ),
        ("असली उत्तर के लिए Electron से जुड़िए।", "क्या मैं और कुछ बताऊँ?"),
    ),
    "tamil": Phrases(
        "வணக்கம்{name}!",
        "இது ஒரு போலி பதில்: எந்த மாதிரியும் உங்கள் கேள்வியைப் படிக்கவில்லை.",
        "நீங்கள் கேட்டது: “{question}”",
        "கருவி தந்தது: {result}.",
        (
            "அதே கேள்வியை மீண்டும் அனுப்பினால், பொதுவான பகுதி தற்காலிக சேமிப்பிலிருந்து வரும்.",
            "நிலையான பகுதியை முதலில் வையுங்கள்.",
            "மாறும் பகுதியை இறுதியில் வையுங்கள்.",
        ),
        ("உண்மையான பதிலுக்கு Electron உடன் இணையுங்கள்.",),
    ),
    "arabic": Phrases(
        "مرحبا{name}!",
        "هذا رد محاكى: لم يقرأ أي نموذج رسالتك.",
        "سألت: «{question}»",
        "أعادت الأداة: {result}.",
        (
            "أرسل الرسالة نفسها مرة أخرى ليأتي الجزء المشترك من الذاكرة المخبأة.",
            "ضع المحتوى الثابت أولا والمتغير أخيرا.",
            "تغيير حرف واحد في البداية يلغي كل ما بعده.",
        ),
        ("اتصل بـ Electron للحصول على رد حقيقي.",),
    ),
    "hebrew": Phrases(
        "שלום{name}!",
        "זו תשובה מדומה: אף מודל לא קרא את ההודעה שלך.",
        "שאלת: “{question}”",
        "הכלי החזיר: {result}.",
        (
            "שלחו את אותה הודעה שוב, והחלק המשותף יגיע מהמטמון.",
            "תוכן קבוע שמים בהתחלה.",
            "תוכן משתנה שמים בסוף.",
        ),
        ("התחברו ל-Electron כדי לקבל תשובה אמיתית.",),
    ),
    "japanese": Phrases(
        "こんにちは{name}。",
        "これは模擬の返答で、モデルはプロンプトを読んでいません。",
        "ご質問：「{question}」",
        "ツールの結果：{result}。",
        (
            "同じプロンプトをもう一度送ると、共通部分はキャッシュから返されます。",
            "先頭の一文字が変わると、その後は一致しません。",
            "変わらない内容を先に、変わる内容を最後に置いてください。",
        ),
        ("本物の返答にはElectronに接続してください。",),
        "",
    ),
    "chinese": Phrases(
        "您好{name}。",
        "这是模拟的回复，没有模型读过您的提示。",
        "您问的是：“{question}”",
        "工具返回：{result}。",
        (
            "再发送一次相同的提示，共同的前缀会由缓存提供。",
            "开头改动一个字符，后面的内容就不再匹配。",
            "把不变的内容放在前面，把变化的内容放在最后。",
        ),
        ("要得到真实的回复，请连接Electron。",),
        "",
    ),
    "korean": Phrases(
        "안녕하세요{name}.",
        "이것은 모의 응답이며, 모델이 프롬프트를 읽지 않았습니다.",
        "질문: “{question}”",
        "도구의 결과: {result}.",
        (
            "같은 프롬프트를 다시 보내면 공통 부분은 캐시에서 제공됩니다.",
            "앞의 한 글자가 바뀌면 그 뒤는 일치하지 않습니다.",
            "변하지 않는 내용을 앞에 두세요.",
        ),
        ("실제 응답을 받으려면 Electron에 연결하세요.",),
    ),
    "spanish": Phrases(
        "¡Hola{name}!",
        "Esta respuesta es simulada: ningún modelo ha leído el prompt.",
        "Preguntaste: «{question}»",
        "La herramienta devolvió {result}.",
        (
            "Envía otra vez el mismo prompt y la parte común saldrá de la caché.",
            "Si cambia un carácter del principio, nada de lo que sigue coincide.",
            "Lo estable va primero y lo variable al final.",
        ),
        ("Conéctate a Electron para una respuesta real.",),
    ),
}

FILLERS = {
    "english": (
        "Let me check that for you, one moment.",
        "Sure, I'll look that up right now.",
        "One second, checking.",
    ),
    "hindi": ("एक क्षण, मैं देखता हूँ।", "ज़रूर, अभी देखता हूँ।"),
    "tamil": ("ஒரு நிமிடம், பார்க்கிறேன்.",),
    "arabic": ("لحظة من فضلك، سأتحقق من ذلك.",),
    "hebrew": ("רגע אחד, אני בודק.",),
    "japanese": ("少々お待ちください、確認いたします。",),
    "chinese": ("请稍等，我来查一下。",),
    "korean": ("잠시만요, 확인해 보겠습니다.",),
    "spanish": ("Un momento, lo compruebo ahora mismo.",),
}
