"""Texts in many languages for the corpus: written by hand, as a team's own prompts would say it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """One language. `agent` is a spoken agent's prompt, `clerk` a written one's; neither has anything to say of it.

    `wait` asks for an acknowledgement, `json` for JSON, `no_json` forbids it, `file` speaks of a JSON file.
    `question` and `answer` are a turn; `audio` asks for what a text model cannot do.
    """

    code: str
    agent: str
    clerk: str
    wait: str
    json: str
    no_json: str
    file: str
    question: str
    answer: str
    audio: str


WORDS = (
    Words(
        "en",
        "You are Mira, the voice agent of a parcel service. You speak with callers on the phone. Keep "
        "every reply under "
        "two sentences. Give one fact at a time. Quote dates in words. Never read an account number aloud.",
        "You are the clerk of a parcel service and answer letters. Be exact and polite. Quote dates in words. "
        "Give the order number in every reply. Do not promise a refund.",
        "Say one short sentence before you use a tool, such as: let me look that up.",
        "Always respond with valid JSON.",
        "Never answer in JSON.",
        "The carrier sends us a JSON file every night.",
        "Where is my parcel? It was to be here on Monday.",
        "Your parcel is in Pune and will be with you on Tuesday.",
        "Please transcribe this audio recording of the customer.",
    ),
    Words(
        "hi",
        "आप मीरा हैं, एक पार्सल सेवा की फ़ोन एजेंट। आप ग्राहकों से फ़ोन पर बात करती हैं। हर उत्तर दो वाक्यों से छोटा रखें। एक बार में एक "
        "ही बात बताएँ। तारीखें शब्दों में बोलें। खाता संख्या कभी न पढ़ें।",
        "आप एक पार्सल सेवा के लिपिक हैं और पत्रों के उत्तर देते हैं। सटीक और विनम्र रहें। हर उत्तर में ऑर्डर संख्या दें।",
        "टूल चलाने से पहले एक छोटा वाक्य बोलें कि आप देख रही हैं।",
        "उत्तर केवल JSON में दें।",
        "उत्तर JSON में न दें।",
        "कूरियर हर रात एक JSON फ़ाइल भेजता है।",
        "मेरा पार्सल कहाँ है? वह सोमवार को आना था।",
        "आपका पार्सल पुणे में है और मंगलवार को आपके पास पहुँचेगा।",
        "इस ऑडियो को टेक्स्ट में बदलकर दें।",
    ),
    Words(
        "ta",
        "நீங்கள் மீரா, ஒரு பார்சல் சேவையின் தொலைபேசி முகவர். அழைப்பவர்களுடன் பேசுகிறீர்கள். ஒவ்வொரு பதிலும் இரண்டு "
        "வாக்கியங்களுக்குள் இருக்கட்டும். ஒரு நேரத்தில் ஒரு தகவலை மட்டும் சொல்லுங்கள்.",
        "நீங்கள் ஒரு பார்சல் சேவையின் எழுத்தர். கடிதங்களுக்குத் துல்லியமாகவும் பணிவாகவும் எழுதுங்கள். ஆர்டர் எண்ணைக் குறிப்பிடுங்கள்.",
        "கருவியைப் பயன்படுத்துவதற்கு முன் ஒரு சிறிய வாக்கியம் சொல்லுங்கள்.",
        "JSON வடிவில் மட்டும் பதில் அளிக்கவும்.",
        "JSON வடிவில் பதில் அளிக்க வேண்டாம்.",
        "கூரியர் ஒவ்வொரு இரவும் ஒரு JSON கோப்பை அனுப்புகிறது.",
        "என் பார்சல் எங்கே இருக்கிறது? திங்கட்கிழமை வர வேண்டியது.",
        "உங்கள் பார்சல் புனேயில் உள்ளது, செவ்வாய்க்கிழமை வந்து சேரும்.",
        "",
    ),
    Words(
        "bn",
        "আপনি মীরা, একটি পার্সেল সেবার ফোন এজেন্ট। আপনি গ্রাহকদের সঙ্গে ফোনে কথা বলেন। প্রতিটি উত্তর দুই বাক্যের "
        "মধ্যে রাখুন। একবারে "
        "একটি তথ্য দিন। তারিখ শব্দে বলুন।",
        "আপনি একটি পার্সেল সেবার কেরানি এবং চিঠির উত্তর দেন। নির্ভুল ও বিনয়ী থাকুন। প্রতিটি উত্তরে অর্ডার নম্বর দিন।",
        "টুল ব্যবহারের আগে একটি ছোট বাক্য বলুন।",
        "শুধু JSON আকারে উত্তর দিন।",
        "JSON আকারে উত্তর দেবেন না।",
        "কুরিয়ার প্রতি রাতে একটি JSON ফাইল পাঠায়।",
        "আমার পার্সেল কোথায়? সোমবার আসার কথা ছিল।",
        "আপনার পার্সেল পুনেতে আছে এবং মঙ্গলবার পৌঁছাবে।",
        "",
    ),
    Words(
        "mr",
        "तुम्ही मीरा आहात, एका पार्सल सेवेच्या फोन एजंट. तुम्ही ग्राहकांशी फोनवर बोलता. प्रत्येक उत्तर दोन वाक्यांपेक्षा "
        "लहान ठेवा. एका वेळी "
        "एकच माहिती द्या. खाते क्रमांक वाचू नका.",
        "तुम्ही एका पार्सल सेवेचे लिपिक आहात आणि पत्रांना उत्तर देता. अचूक आणि नम्र राहा. प्रत्येक उत्तरात ऑर्डर क्रमांक द्या.",
        "टूल वापरण्यापूर्वी एक छोटे वाक्य बोला.",
        "उत्तर फक्त JSON मध्ये द्या.",
        "उत्तर JSON मध्ये देऊ नका.",
        "कुरिअर दररोज एक JSON फाइल पाठवतो.",
        "माझे पार्सल कुठे आहे? ते सोमवारी येणार होते.",
        "तुमचे पार्सल पुण्यात आहे आणि मंगळवारी पोहोचेल.",
        "",
    ),
    Words(
        "es",
        "Eres Mira, la agente telefónica de un servicio de paquetería. Hablas con clientes por teléfono. "
        "Responde siempre en "
        "menos de dos frases. Da un dato cada vez. Di las fechas con palabras.",
        "Eres la secretaria de un servicio de paquetería y contestas cartas. Sé exacta y amable. Incluye "
        "el número de "
        "pedido en cada carta.",
        "Antes de usar una herramienta, di una frase corta.",
        "Responde solo con JSON válido.",
        "No respondas en JSON.",
        "El transportista nos manda un archivo JSON cada noche.",
        "¿Dónde está mi paquete? Tenía que llegar el lunes.",
        "Tu paquete está en Puna y llegará el martes.",
        "Transcribe este audio del cliente, por favor.",
    ),
    Words(
        "fr",
        "Tu es Mira, l'agente téléphonique d'un service de colis. Tu parles avec des clients au "
        "téléphone. Réponds toujours "
        "en moins de deux phrases. Donne une information à la fois.",
        "Tu es la secrétaire d'un service de colis et tu réponds aux lettres. Sois exacte et polie. Donne "
        "le numéro de la "
        "commande dans chaque lettre.",
        "Avant d'utiliser un outil, dis une courte phrase.",
        "Réponds uniquement avec une structure JSON.",
        "Ne réponds jamais en JSON.",
        "Le transporteur nous envoie un fichier JSON chaque nuit.",
        "Où est mon colis ? Il devait arriver lundi.",
        "Votre colis est à Pune et il sera chez vous mardi.",
        "Transcris cet enregistrement du client.",
    ),
    Words(
        "de",
        "Du bist Mira, die Telefonagentin eines Paketdienstes. Du sprichst mit Anrufern am Telefon. "
        "Antworte immer in "
        "weniger als zwei Sätzen. Nenne eine Sache auf einmal. Sprich Daten in Worten.",
        "Du bist die Sekretärin eines Paketdienstes und beantwortest Briefe. Sei genau und höflich. Nenne die "
        "Bestellnummer in jedem Brief.",
        "Bevor du ein Werkzeug benutzt, sag einen kurzen Satz.",
        "Antworte ausschließlich mit JSON.",
        "Antworte nicht in JSON.",
        "Der Spediteur schickt uns jede Nacht eine JSON-Datei.",
        "Wo ist mein Paket? Es sollte am Montag hier sein.",
        "Dein Paket ist in Pune und wird am Dienstag bei dir sein.",
        "Transkribiere diese Aufnahme des Kunden.",
    ),
    Words(
        "pt",
        "Você é Mira, a agente telefônica de um serviço de encomendas. Você fala com clientes por "
        "telefone. Responda sempre "
        "em menos de duas frases. Dê uma informação de cada vez.",
        "Você é a secretária de um serviço de encomendas e responde a cartas. Seja exata e gentil. "
        "Informe o número do "
        "pedido em cada carta.",
        "Antes de usar uma ferramenta, diga uma frase curta.",
        "Responda apenas com JSON válido.",
        "Não responda em JSON.",
        "A transportadora nos envia um arquivo JSON toda noite.",
        "Onde está minha encomenda? Ela devia chegar na segunda.",
        "Sua encomenda está em Pune e vai chegar na terça.",
        "Transcreva este áudio do cliente.",
    ),
    Words(
        "it",
        "Sei Mira, l'agente telefonica di un servizio di pacchi. Parli con i clienti al telefono. "
        "Rispondi sempre in meno "
        "di due frasi. Dai una notizia per volta.",
        "Sei la segretaria di un servizio di pacchi e rispondi alle lettere. Sii precisa e gentile. Indica il numero "
        "dell'ordine in ogni lettera.",
        "Prima di usare uno strumento, di' una breve frase.",
        "Rispondi soltanto con JSON valido.",
        "Non rispondere in JSON.",
        "Il corriere ci manda un elenco JSON ogni notte.",
        "Dove è il mio pacco? Doveva essere qui lunedì.",
        "Il tuo pacco è a Pune e arriva da te martedì.",
        "Trascrivi questa registrazione del cliente.",
    ),
    Words(
        "ru",
        "Ты Мира, телефонный агент службы доставки. Ты говоришь с клиентами по телефону. Отвечай короче "
        "двух предложений. "
        "Сообщай по одному факту. Даты называй словами.",
        "Ты секретарь службы доставки и отвечаешь на письма. Будь точной и вежливой. В каждом письме "
        "указывай номер заказа.",
        "Перед тем как использовать инструмент, скажи короткую фразу.",
        "Отвечай только в формате JSON.",
        "Не отвечай в формате JSON.",
        "Перевозчик каждую ночь присылает файл JSON.",
        "Где моя посылка? Она должна была прийти в понедельник.",
        "Ваша посылка в Пуне и придёт во вторник.",
        "Расшифруй это аудио клиента.",
    ),
    Words(
        "ar",
        "أنت ميرا، وكيلة هاتف لخدمة طرود. تتحدثين مع العملاء عبر الهاتف. اجعلي كل رد أقصر من جملتين. "
        "اذكري معلومة واحدة في كل مرة.",
        "أنت كاتبة في خدمة طرود وتكتبين رسائل للعملاء. كوني دقيقة ومهذبة. اذكري رقم الطلب في كل رسالة.",
        "قبل استخدام أي أداة قولي جملة قصيرة.",
        "أجب بصيغة JSON فقط.",
        "لا تكتب الرد بصيغة JSON.",
        "يرسل لنا الناقل ملف JSON كل ليلة.",
        "أين طردي؟ كان يجب أن يصل يوم الاثنين.",
        "طردك في بونا وسيصل إليك يوم الثلاثاء.",
        "",
    ),
    Words(
        "zh",
        "你是米拉，一家快递公司的电话客服。你通过电话与来电者交谈。每次回答少于两句话。一次只说一件事。"
        "日期用文字读出。",
        "你是一家快递公司的文员，负责写信。要准确、礼貌。每封信都写上订单号。",
        "在使用工具之前，说一句简短的话。",
        "请只用 JSON 格式回答。",
        "不要用 JSON 格式回答。",
        "承运人每晚给我们发送一个 JSON 文件。",
        "我的包裹在哪里？它本来应该星期一到。",
        "您的包裹在浦那，星期二会送到。",
        "请把这段音频转成文字。",
    ),
    Words(
        "ja",
        "あなたは宅配サービスの電話オペレーター、ミラです。電話でお客様と話します。"
        "返事は二文以内にしてください。一度に一つの事実だけを伝えてください。",
        "あなたは宅配サービスの事務員で、手紙を書きます。正確で丁寧にしてください。"
        "手紙には必ず注文番号を書いてください。",
        "ツールを使う前に、短い一文を言ってください。",
        "必ず JSON 形式で回答してください。",
        "JSON 形式で回答しないでください。",
        "運送会社は毎晩 JSON ファイルを送ってきます。",
        "私の荷物はどこですか？月曜日に届くはずでした。",
        "お荷物はプネーにあり、火曜日に届きます。",
        "この音声を文字起こししてください。",
    ),
    Words(
        "ko",
        "당신은 택배 회사의 전화 상담원 미라입니다. 전화로 고객과 이야기합니다. 모든 대답은 두 문장보다 "
        "짧게 하세요. 한 번에 한 가지 사실만 말하세요.",
        "당신은 택배 회사의 사무원이며 편지를 씁니다. 정확하고 공손하게 쓰세요. 모든 편지에 주문 번호를 적으세요.",
        "도구를 쓰기 전에 짧은 한 문장을 말하세요.",
        "반드시 JSON 형식으로 답하세요.",
        "JSON 형식으로 답하지 마세요.",
        "운송사는 매일 밤 JSON 파일을 보냅니다.",
        "제 소포는 어디에 있나요? 월요일에 오기로 했습니다.",
        "고객님의 소포는 푸네에 있고 화요일에 도착합니다.",
        "이 오디오를 텍스트로 바꿔 주세요.",
    ),
    Words(
        "id",
        "Anda adalah Mira, agen telepon dari layanan paket. Anda berbicara dengan pelanggan di telepon. "
        "Jaga setiap tanggapan "
        "kurang dari dua kalimat. Sampaikan satu fakta dalam satu waktu.",
        "Anda adalah juru tulis layanan paket dan menulis surat untuk pelanggan. Tulis dengan tepat dan "
        "sopan. Sebutkan "
        "nomor pesanan dalam setiap surat.",
        "Sebelum menggunakan alat, ucapkan satu kalimat singkat.",
        "Jawab hanya dengan JSON.",
        "Jangan jawab dengan JSON.",
        "Kurir mengirim berkas JSON kepada kami setiap malam.",
        "Di mana paket saya? Paket itu seharusnya tiba pada hari Senin.",
        "Paket Anda ada di Pune dan akan tiba pada hari Selasa.",
        "",
    ),
    Words(
        "tr",
        "Sen Mira, bir kargo şirketinin telefon temsilcisisin. Müşterilerle telefonda konuşursun. Her "
        "cümlen kısa olsun ve "
        "bir seferde bir bilgi ver. Tarihleri kelimelerle söyle.",
        "Sen bir kargo şirketinin kâtibisin ve mektup yazarsın. Dikkatli ve kibar ol. Her mektupta "
        "sipariş numarası olsun.",
        "Bir aracı kullanmadan önce kısa bir cümle söyle.",
        "Yalnızca JSON olarak yanıt ver.",
        "JSON olarak yanıt verme.",
        "Taşıyıcı her gece bize bir JSON dosyası gönderir.",
        "Benim kargom nerede? Pazartesi günü gelecekti ama daha gelmedi.",
        "Kargonuz Pune'de ve salı günü size ulaşacak, çok az kaldı ve bir sorun yok.",
        "",
    ),
)
