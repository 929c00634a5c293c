"""The languages of Europe: one row each (see `phrase_row`)."""

from __future__ import annotations

from playground.lint.phrase_row import row

ROWS = (
    row(
        "en",
        "English",
        "Before using any tool, briefly acknowledge the request out loud in one short sentence, then call the tool.",
        "Answer with one JSON object.",
        "filler|let me |one moment|a moment|one second|a second|say so first|hold on|bear with|out loud before|"
        "before using|before you use|before calling|before you call|before any tool|before each tool|before "
        "every tool|"
        "before a tool|before the tool|before tool|before invoking|before running|before looking|before you look|"
        "before a lookup|while the tool|while it runs|while you look|while you check|while they wait|dead air|"
        "announce|i'll check|i will check|looking that up|looking it up|that you are checking|that you're checking|"
        "what you are doing|what you're doing|about to look|about to check|fill the silence|in silence",
        "voice agent|voice assistant|voice bot|voicebot|phone agent|telephone|on the phone|over the phone|by phone|"
        "caller|spoken aloud|read aloud|spoken to|text-to-speech|text to speech|call centre|call center|phone "
        "call|ivr",
        "answer|respond|reply|return |output|produce|emit |give |provide|generate|write |format",
        "not |never |n't |no |without |avoid |instead of |rather than |neither ",
    ),
    row(
        "ru",
        "Russian",
        "Прежде чем использовать любой инструмент, скажи вслух одной короткой фразой, что проверяешь, а затем вызывай "
        "инструмент.",
        "Ответь одним объектом JSON.",
        "прежде чем|перед тем|перед использ|перед вызов|перед кажд|минутк|секунд|одну минуту|подожд|вслух",
        "телефон|голосов|звонящ|звонк|вслух",
        "ответ|отвеч|верни|возвращ|выведи|формат|вывод",
        "не |никогда|без |вместо",
    ),
    row(
        "uk",
        "Ukrainian",
        "Перш ніж використати будь-який інструмент, скажи вголос одним коротким реченням, що перевіряєш, а "
        "потім викликай "
        "інструмент.",
        "Відповідай одним об'єктом JSON.",
        "перш ніж|перед тим|перед викор|перед викл|хвилин|секунд|зачек|вголос",
        "телефон|голосов|дзвінк|дзвон|вголос",
        "відпов|поверн|виведи|формат",
        "не |ніколи|без |замість",
    ),
    row(
        "el",
        "Greek",
        "Πριν χρησιμοποιήσεις οποιοδήποτε εργαλείο, πες φωναχτά με μία σύντομη φράση ότι το ελέγχεις και μετά "
        "κάλεσε το "
        "εργαλείο.",
        "Απάντησε με ένα αντικείμενο JSON.",
        "πριν χρησ|πριν καλ|πριν από|μια στιγμή|ένα λεπτό|περιμένε|φωναχτά",
        "τηλέφων|τηλεφων|φωνητικ|κλήσ|καλούντ",
        "απάντ|απαντ|επίστρ|επιστρ|μορφή",
        "μην |μη |ποτέ|όχι|χωρίς",
    ),
    row(
        "es",
        "Spanish",
        "Antes de usar cualquier herramienta, di en voz alta una frase corta para avisar de que lo estás "
        "consultando y "
        "después llama a la herramienta.",
        "Responde con un objeto JSON.",
        "un momento|un segundo|un instante|antes de usar|antes de utilizar|antes de llamar|antes de consultar|"
        "antes de cada|déjame|deja que|déjeme|permítame|avisa",
        "teléfono|telefónic|llamada|de voz|por voz|voz alta",
        "respond|contest|devuelv|devolv|genera|salida|formato|escrib",
        "no |nunca|sin |evita|en vez de|en lugar de",
    ),
    row(
        "fr",
        "French",
        "Avant d'utiliser un outil, annonce à voix haute en une phrase courte que tu vérifies, puis appelle l'outil.",
        "Réponds par un objet JSON.",
        "un instant|un moment|une seconde|avant d'utiliser|avant d’utiliser|avant d'appeler|avant d’appeler|"
        "avant de consulter|avant chaque|laissez-moi|laisse-moi|patient|annonce",
        "téléphon|appelant|vocal|à voix haute|appels",
        "répon|renvo|retourn|génér|format|donne|produi",
        "ne |n'|n’|jamais|sans |pas de |au lieu",
    ),
    row(
        "de",
        "German",
        "Bevor du ein Werkzeug verwendest, sag kurz in einem Satz laut, dass du nachsiehst, und rufe dann das "
        "Werkzeug auf.",
        "Antworte mit einem JSON-Objekt.",
        "einen moment|augenblick|eine sekunde|bevor du|bevor sie|vor jedem|vor dem aufruf|kündige|nachsieh|nachseh",
        "telefon|anruf|sprachassist|sprachagent|vorgelesen|sprachbot|laut vor",
        "antwort|gib |geben sie|liefer|ausgabe|format|erzeug|zurück",
        "nicht|nie |niemals|kein|ohne|statt",
    ),
    row(
        "pt",
        "Portuguese",
        "Antes de usar qualquer ferramenta, diga em voz alta uma frase curta avisando que está consultando e "
        "depois chame a "
        "ferramenta.",
        "Responda com um objeto JSON.",
        "um momento|um instante|um segundo|só um|antes de usar|antes de utilizar|antes de chamar|antes de consultar|"
        "antes de cada|deixe-me|deixa eu|avise|avisando",
        "telefone|telefônic|telefónic|ligação|ligações|de voz|por voz|voz alta|chamada",
        "respond|retorn|devolv|gere |formato|saída|escrev",
        "não |nunca|sem |evite|em vez de",
    ),
    row(
        "it",
        "Italian",
        "Prima di usare qualsiasi strumento, di' ad alta voce una breve frase per avvisare che stai controllando, poi "
        "chiama lo strumento.",
        "Rispondi con un oggetto JSON.",
        "un attimo|un momento|un secondo|prima di usare|prima di utilizzare|prima di chiamare|prima di consultare|"
        "prima di ogni|lasciami|mi lasci|avvisa|avvisare",
        "telefon|chiamate|chiamata|vocale|ad alta voce",
        "rispond|rispost|restitu|genera|formato|scriv",
        "non |mai |senza|invece di|evita",
    ),
    row(
        "nl",
        "Dutch",
        "Zeg voordat je een hulpmiddel gebruikt hardop in één korte zin dat je het nakijkt, en roep daarna "
        "het hulpmiddel "
        "aan.",
        "Antwoord met één JSON-object.",
        "een moment|ogenblik|een seconde|voordat je|voordat u|voor elk|even geduld|nakijk",
        "telefoon|telefonisch|beller|spraak|hardop|voorgelezen",
        "antwoord|geef |retourneer|uitvoer|formaat|lever",
        "niet|nooit|geen|zonder|in plaats",
    ),
    row(
        "pl",
        "Polish",
        "Zanim użyjesz dowolnego narzędzia, powiedz na głos jednym krótkim zdaniem, że sprawdzasz, a potem wywołaj "
        "narzędzie.",
        "Odpowiedz jednym obiektem JSON.",
        "zanim |chwil|momencik|sekund|przed użyciem|przed wywoł|przed każdym|na głos",
        "telefon|głosow|dzwoni|rozmów",
        "odpow|zwróć|zwracaj|format|wypisz|wygeneruj",
        "nie |nigdy|bez |zamiast",
    ),
    row(
        "sv",
        "Swedish",
        "Innan du använder ett verktyg, säg högt i en kort mening att du kollar, och anropa sedan verktyget.",
        "Svara med ett JSON-objekt.",
        "ett ögonblick|en sekund|innan du|före varje|vänta|säg högt",
        "telefon|uppringar|röst|läses upp|samtal",
        "svara|returnera|utdata|format|skriv |ge ",
        "inte |aldrig|utan |istället|inget",
    ),
)
