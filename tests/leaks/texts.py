"""Sentences of the made-up programs, in 10 languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """One language. `slots`: for each kind of value, the text in front of it and behind it."""

    code: str
    opening: str
    rules: tuple[str, ...]
    slots: dict[str, tuple[tuple[str, str], ...]]
    names: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    documents: tuple[str, ...]


def _slots(*rows: tuple[str, str]) -> dict[str, tuple[tuple[str, str], ...]]:
    kinds = ("date", "time", "uuid", "counter", "name", "number", "retrieved_text")
    return {kind: (row,) for kind, row in zip(kinds, rows, strict=True)}


LANGUAGES = (
    Language(
        "en",
        "You are Mira, a phone agent of a parcel service.",
        (
            "Speak in short sentences.",
            "Never promise a date that no tool has given you.",
            "Say amounts in words, with the currency after them.",
            "Hand over to a colleague when the caller asks twice.",
            "If you are not sure, ask one question.",
            "Repeat the number of the parcel slowly.",
        ),
        {
            "date": (("Today is ", "."), ("Date: ", "")),
            "time": (("The time is ", "."), ("Call received at ", "")),
            "uuid": (("Session: ", ""), ("trace id ", " belongs to this call.")),
            "counter": (("This is turn ", " of the call."), ("Message no. ", "")),
            "name": (("The caller is called ", "."), ("Account holder: ", "")),
            "number": (("Balance: ", ""), ("The distance is ", " km.")),
            "retrieved_text": (("Articles found:\n", "\nEnd of articles."),),
        },
        ("Asha Rao", "Priya Sharma", "John Miller", "Rahul Verma", "Mary-Jane O'Neil", "Wei Chen"),
        ("Where is my parcel?", "Can I change the address?", "Why is it late?"),
        ("Let me look.", "It is on its way.", "I have changed it."),
        (
            "Parcels that weigh more than ten kilos are delivered between Monday and Friday only, by two drivers.",
            "A change of address is free of charge until the parcel has left the last depot on its way.",
            "Refunds for late deliveries are paid within a week, to the account that the order was paid from.",
            "Fragile goods must be marked on three sides, and are insured up to a value of five hundred.",
        ),
    ),
    Language(
        "hi",
        "आप मीरा हैं, एक पार्सल सेवा की फ़ोन एजेंट।",
        (
            "छोटे वाक्यों में बोलें।",
            "कभी ऐसी तारीख का वादा न करें जो टूल ने न दी हो।",
            "राशि शब्दों में बताएं।",
            "ग्राहक दो बार कहे तो सहकर्मी को कॉल दें।",
            "संदेह हो तो एक प्रश्न पूछें।",
        ),
        _slots(
            ("आज ", " है।"),
            ("अभी का समय ", " है।"),
            ("सत्र आईडी: ", ""),
            ("यह कॉल का संदेश नंबर ", " है।"),
            ("ग्राहक का नाम ", " है।"),
            ("शेष राशि: ", " रुपये"),
            ("मिले हुए लेख:\n", "\nलेख समाप्त।"),
        ),
        ("प्रिया शर्मा", "राहुल वर्मा", "अनीता देसाई", "विकास गुप्ता", "मोहम्मद इमरान खान"),
        ("मेरा पार्सल कहाँ है?", "क्या पता बदल सकते हैं?"),
        ("मैं देखती हूँ।", "वह रास्ते में है।"),
        (
            "दस किलो से भारी पार्सल केवल सोमवार से शुक्रवार के बीच दो चालकों द्वारा पहुँचाए जाते हैं।",
            "पता बदलना तब तक निःशुल्क है जब तक पार्सल अंतिम डिपो से नहीं निकला है।",
            "देर से पहुँचने पर धनवापसी एक सप्ताह के भीतर उसी खाते में की जाती है जिससे भुगतान हुआ था।",
        ),
    ),
    Language(
        "ta",
        "நீங்கள் மீரா, ஒரு பார்சல் சேவையின் தொலைபேசி முகவர்.",
        (
            "சிறிய வாக்கியங்களில் பேசுங்கள்.",
            "கருவி தராத தேதியை உறுதியளிக்க வேண்டாம்.",
            "தொகையைச் சொற்களில் சொல்லுங்கள்.",
            "சந்தேகம் இருந்தால் ஒரு கேள்வி கேளுங்கள்.",
        ),
        _slots(
            ("இன்றைய தேதி: ", ""),
            ("தற்போதைய நேரம்: ", ""),
            ("அமர்வு: ", ""),
            ("இது செய்தி எண் ", ""),
            ("வாடிக்கையாளர் பெயர்: ", ""),
            ("இருப்பு: ", ""),
            ("கிடைத்த கட்டுரைகள்:\n", "\nகட்டுரைகள் முடிந்தன."),
        ),
        ("பிரியா ராமன்", "ரவி குமார்", "மீனா சுந்தரம்", "அருண்"),
        ("என் பார்சல் எங்கே?", "முகவரியை மாற்ற முடியுமா?"),
        ("பார்க்கிறேன்.", "வந்து கொண்டிருக்கிறது."),
        (
            "பத்து கிலோவுக்கு மேல் எடையுள்ள பார்சல்கள் திங்கள் முதல் வெள்ளி வரை மட்டுமே இரண்டு ஓட்டுநர்களால் வழங்கப்படும்.",
            "பார்சல் கடைசி கிடங்கை விட்டுச் செல்லும் வரை முகவரியை மாற்றுவதற்குக் கட்டணம் எதுவும் இல்லை.",
            "தாமதமான விநியோகங்களுக்கான பணம் ஒரு வாரத்திற்குள் அதே கணக்கில் திருப்பிச் செலுத்தப்படும்.",
        ),
    ),
    Language(
        "bn",
        "আপনি মীরা, একটি পার্সেল পরিষেবার ফোন এজেন্ট।",
        (
            "ছোট বাক্যে কথা বলুন।",
            "টুল না দিলে কোনো তারিখের প্রতিশ্রুতি দেবেন না।",
            "পরিমাণ কথায় বলুন।",
            "সন্দেহ হলে একটি প্রশ্ন করুন।",
        ),
        _slots(
            ("আজকের তারিখ ", "।"),
            ("এখন সময় ", "।"),
            ("সেশন: ", ""),
            ("এটি বার্তা নম্বর ", "।"),
            ("গ্রাহকের নাম: ", ""),
            ("ব্যালেন্স: ", ""),
            ("পাওয়া নিবন্ধ:\n", "\nনিবন্ধ শেষ।"),
        ),
        ("অনন্যা সেন", "রাহুল দাস", "সুমিত রায়", "মৌসুমী চক্রবর্তী"),
        ("আমার পার্সেল কোথায়?", "ঠিকানা বদলানো যাবে?"),
        ("দেখছি।", "পথে আছে।"),
        (
            "দশ কেজির বেশি ওজনের পার্সেল কেবল সোমবার থেকে শুক্রবারের মধ্যে দুইজন চালক পৌঁছে দেন।",
            "পার্সেল শেষ ডিপো ছাড়ার আগে পর্যন্ত ঠিকানা পরিবর্তন করতে কোনো খরচ লাগে না।",
            "দেরিতে পৌঁছালে এক সপ্তাহের মধ্যে একই অ্যাকাউন্টে টাকা ফেরত দেওয়া হয়।",
        ),
    ),
    Language(
        "de",
        "Du bist Mira, die Telefonagentin eines Paketdienstes.",
        (
            "Sprich in kurzen Sätzen.",
            "Versprich nie einen Tag, den kein Werkzeug genannt hat.",
            "Nenne Beträge in Worten.",
            "Wenn du unsicher bist, stelle eine Frage.",
            "Gib nach zweimaliger Bitte an eine Kollegin ab.",
        ),
        _slots(
            ("Heute ist ", "."),
            ("Es ist jetzt ", " Uhr."),
            ("Sitzung: ", ""),
            ("Das ist Nachricht Nr. ", " des Gesprächs."),
            ("Der Kunde heißt ", "."),
            ("Kontostand: ", " €"),
            ("Gefundene Artikel:\n", "\nEnde der Artikel."),
        ),
        ("Jonas Weber", "Jürgen Müller", "Anna-Lena Schäfer", "Björn Öztürk"),
        ("Wo ist mein Paket?", "Kann ich die Adresse ändern?"),
        ("Ich sehe nach.", "Es ist unterwegs."),
        (
            "Pakete über zehn Kilo werden nur von Montag bis Freitag und von zwei Fahrern gemeinsam zugestellt.",
            "Eine Änderung der Adresse ist kostenlos, solange das Paket das letzte Lager nicht verlassen hat.",
            "Erstattungen für verspätete Lieferungen werden binnen einer Woche auf das Konto überwiesen.",
        ),
    ),
    Language(
        "fr",
        "Tu es Mira, l'agente téléphonique d'un service de colis.",
        (
            "Parle en phrases courtes.",
            "Ne promets jamais un jour qu'aucun outil n'a donné.",
            "Dis les montants en toutes lettres.",
            "Si tu n'es pas sûre, pose une seule question.",
        ),
        _slots(
            ("Nous sommes le ", "."),
            ("Il est ", "."),
            ("Session : ", ""),
            ("Ceci est le message n° ", "."),
            ("Le client s'appelle ", "."),
            ("Solde : ", " €"),
            ("Articles trouvés :\n", "\nFin des articles."),
        ),
        ("Élodie Martin", "Jean-Paul Durand", "Zoé Lefèvre", "Ahmed Benali"),
        ("Où est mon colis ?", "Puis-je changer l'adresse ?"),
        ("Je regarde.", "Il est en route."),
        (
            "Les colis de plus de dix kilos sont livrés du lundi au vendredi seulement, par deux chauffeurs ensemble.",
            "Le changement d'adresse est gratuit tant que le colis n'a pas quitté le dernier dépôt de sa route.",
            "Les retards sont remboursés en une semaine sur le compte qui a servi à payer la commande.",
        ),
    ),
    Language(
        "es",
        "Eres Mira, la agente telefónica de un servicio de paquetes.",
        (
            "Habla con frases cortas.",
            "Nunca prometas un día que ninguna herramienta haya dado.",
            "Di las cantidades en palabras.",
            "Si no estás segura, haz una sola pregunta.",
        ),
        _slots(
            ("Hoy es ", "."),
            ("Ahora son las ", "."),
            ("Sesión: ", ""),
            ("Este es el mensaje n.º ", "."),
            ("El cliente se llama ", "."),
            ("Saldo: ", " €"),
            ("Artículos encontrados:\n", "\nFin de los artículos."),
        ),
        ("Íñigo López", "María José Peña", "Carlos Ruiz", "Lucía Fernández"),
        ("¿Dónde está mi paquete?", "¿Puedo cambiar la dirección?"),
        ("Voy a mirar.", "Está en camino."),
        (
            "Los paquetes de más de diez kilos se entregan solo de lunes a viernes, y siempre por dos conductores.",
            "Cambiar la dirección es gratis mientras el paquete no haya salido del último almacén de la ruta.",
            "Los retrasos se devuelven en una semana a la cuenta con la que se pagó el pedido.",
        ),
    ),
    Language(
        "ja",
        "あなたは宅配サービスの電話担当ミラです。",
        (
            "短い文で話してください。",
            "ツールが示していない日を約束しないでください。",
            "金額は言葉で伝えてください。",
            "迷ったら質問を一つだけしてください。",
        ),
        _slots(
            ("今日は", "です。"),
            ("現在の時刻: ", ""),
            ("セッション: ", ""),
            ("これはメッセージ番号", "です。"),
            ("お客様のお名前: ", ""),
            ("残高: ", "円"),
            ("見つかった記事:\n", "\n記事の終わり。"),
        ),
        ("田中太郎", "佐藤花子", "鈴木一郎", "高橋美咲"),
        ("荷物はどこですか。", "住所を変更できますか。"),
        ("確認します。", "配送中です。"),
        (
            "十キロを超える荷物は月曜日から金曜日までの間に限り、二人の運転手が必ず一緒にお届けします。",
            "荷物が最後の営業所を出るまでは、住所の変更に料金は一切かかりません。ご安心ください。",
            "配達が遅れた場合の返金は、一週間以内にお支払いに使われた口座へ行われます。",
        ),
    ),
    Language(
        "ar",
        "أنت ميرا، وكيلة هاتفية لخدمة الطرود.",
        (
            "تحدثي بجمل قصيرة.",
            "لا تعدي بيوم لم تذكره أداة.",
            "اذكري المبالغ بالكلمات.",
            "إذا لم تكوني متأكدة فاطرحي سؤالا واحدا.",
        ),
        _slots(
            ("اليوم هو ", "."),
            ("الوقت الحالي: ", ""),
            ("الجلسة: ", ""),
            ("هذه الرسالة رقم ", "."),
            ("اسم العميل: ", ""),
            ("الرصيد: ", ""),
            ("المقالات:\n", "\nنهاية المقالات."),
        ),
        ("أحمد علي", "فاطمة حسن", "يوسف إبراهيم", "ليلى مراد"),
        ("أين طردي؟", "هل يمكن تغيير العنوان؟"),
        ("سأتحقق.", "إنه في الطريق."),
        (
            "تسلم الطرود التي يزيد وزنها على عشرة كيلوغرامات من الاثنين إلى الجمعة فقط وبواسطة سائقين اثنين.",
            "تغيير العنوان مجاني ما دام الطرد لم يغادر المستودع الأخير في طريقه إلى العميل.",
            "تدفع المبالغ المستردة عن التأخير خلال أسبوع إلى الحساب الذي دفع منه الطلب.",
        ),
    ),
    Language(
        "pl",
        "Jesteś Mira, agentka telefoniczna firmy kurierskiej.",
        (
            "Mów krótkimi zdaniami.",
            "Nie obiecuj dnia, którego nie podało narzędzie.",
            "Podawaj kwoty słownie.",
            "Jeśli nie masz pewności, zadaj jedno pytanie.",
        ),
        _slots(
            ("Dzisiaj jest ", "."),
            ("Aktualna godzina: ", ""),
            ("Sesja: ", ""),
            ("To jest wiadomość nr ", "."),
            ("Imię i nazwisko klienta: ", ""),
            ("Saldo: ", " zł"),
            ("Znalezione artykuły:\n", "\nKoniec artykułów."),
        ),
        ("Anna Nowak", "Łukasz Wiśniewski", "Żaneta Kowalska", "Piotr Zając"),
        ("Gdzie jest moja paczka?", "Czy mogę zmienić adres?"),
        ("Sprawdzam.", "Jest w drodze."),
        (
            "Paczki powyżej dziesięciu kilogramów doręczamy tylko od poniedziałku do piątku i zawsze we dwóch.",
            "Zmiana adresu jest bezpłatna, dopóki paczka nie opuści ostatniego magazynu na swojej trasie.",
            "Zwroty za opóźnione dostawy wypłacamy w ciągu tygodnia na konto, z którego opłacono zamówienie.",
        ),
    ),
)
