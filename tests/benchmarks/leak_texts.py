"""Texts of `leak_programs` in ten languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Texts:
    """Texts of one language. `labels` introduce a value; `passages` are retrieved per request."""

    locale: str
    currency: str
    lines: tuple[str, ...]
    labels: dict[str, str]
    names: tuple[str, ...]
    passages: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]


def _texts(locale: str, currency: str, lines: str, labels: str, names: str, passages: str, talk: str) -> Texts:
    def rows(text: str) -> tuple[str, ...]:
        return tuple(line.strip() for line in text.strip().splitlines())

    kinds = ("date", "time", "uuid", "counter", "name", "number", "reordered_keys", "retrieved_text")
    turns = rows(talk)
    return Texts(
        *(locale, currency, rows(lines), dict(zip(kinds, labels.split("|"), strict=True))),
        *(tuple(names.split("|")), rows(passages), turns[:3], turns[3:]),
    )


LANGUAGES = (
    _texts(
        *("en_GB", "GBP"),
        """You are the telephone assistant of Northgate Energy and you answer calls about bills and meters.
        Greet the caller once and do not repeat the greeting later in the call.
        Confirm the address before you read anything from the account.
        If the line is noisy, ask the caller to spell the last word.
        Never promise a refund; a colleague in billing decides about refunds.
        Say amounts slowly and offer to repeat them.
        When a caller reports the smell of gas, give the emergency number at once.
        Use one short sentence for each step of an instruction.
        Do not discuss the tariffs of other suppliers.
        Close the call with a summary of what was agreed.""",
        "Date of this call|Local clock|Session|Call number|Customer on the line|Open balance|Account record|Articles",
        "Harriet Cole|Owen Pritchard|Saira Malik|Tom Ashdown|Beatrice Lowe|Ian McKellan",
        """A smart meter sends one reading every half hour; the display may lag behind by up to a day.
        Moving home: read both meters on the day you leave and send a photo of them within five days.
        Direct debits are collected on the third working day and cannot be stopped once they were announced.
        An estimated bill is corrected as soon as a real reading arrives, and the difference is credited.
        Customers above seventy-five are on the priority register and are told about outages in advance.""",
        """Why is my bill higher than last month?
        Can I send the reading by email?
        Do you have an appointment on Friday?
        Let me look at that for you, part
        I have noted the reading under step
        Thank you, that was point""",
    ),
    _texts(
        *("it_IT", "EUR"),
        """Sei l'assistente vocale di una clinica dentistica e rispondi alle chiamate dei pazienti.
        Parla in modo cordiale e usa sempre il Lei.
        Non dare mai una diagnosi, proponi invece una visita di controllo.
        Prima di spostare un appuntamento ripeti il giorno e il medico.
        Se il paziente ha molto dolore, passa subito la chiamata alla reception.
        Leggi i numeri di telefono cifra per cifra.
        Non comunicare dati di altri pazienti, nemmeno ai familiari.
        Se non capisci una parola, chiedi di ripeterla una sola volta.
        Le domande sui pagamenti vanno all'amministrazione.
        Chiudi la telefonata con un breve riepilogo.""",
        "Data di oggi|Ora attuale|Sessione|Chiamata|Paziente|Importo dovuto|Scheda|Documenti trovati",
        "Giulia Ferrero|Marco Bellini|Chiara De Santis|Paolo Conti|Elena Rizzo|Davide Greco",
        """Dopo un'estrazione non si deve fumare per due giorni e conviene mangiare cibi freddi e morbidi.
        La pulizia professionale dura circa quaranta minuti e si consiglia di farla due volte l'anno.
        Gli apparecchi mobili si puliscono con acqua tiepida e mai con il dentifricio abrasivo.
        Per disdire una visita senza penale bisogna chiamare almeno un giorno lavorativo prima.
        I bambini sotto i sei anni entrano nello studio insieme a un genitore.""",
        """Posso spostare la visita a lunedì?
        Quanto costa la pulizia dei denti?
        Il dottore è in studio oggi?
        Certo, ecco la risposta numero
        Ho controllato l'agenda alla voce
        Va bene, questo era il punto""",
    ),
    _texts(
        *("nl_NL", "EUR"),
        """Je bent de telefonische assistent van een fietsenwinkel en helpt klanten met reparaties.
        Spreek de klant aan met u en blijf vriendelijk.
        Noem nooit een prijs die niet op de lijst staat.
        Vraag eerst naar het merk en daarna naar het probleem.
        Bij een kapotte accu moet de klant zelf naar de winkel komen.
        Geef geen advies over verzekeringen.
        Herhaal de afspraak voordat je ophangt.
        Als je iets niet weet, noteer dan het nummer en beloof een telefoontje terug.
        Gebruik korte zinnen zonder vaktaal.
        Praat niet over andere winkels in de buurt.""",
        "Datum|Huidige tijd|Sessie|Gesprek|Naam van de klant|Openstaand bedrag|Klantgegevens|Gevonden teksten",
        "Sanne Visser|Pieter Dekker|Fatima Amrani|Joost Kuipers|Marijke Smit|Ruben Hendriks",
        """Een ketting moet na elke driehonderd kilometer worden schoongemaakt en opnieuw gesmeerd.
        De garantie op het frame is tien jaar, maar alleen bij jaarlijks onderhoud in onze werkplaats.
        Een leenfiets is gratis zolang de reparatie langer dan een dag duurt.
        Accu's worden bij kamertemperatuur opgeladen en nooit helemaal leeg bewaard.
        Banden met anti-leklaag mogen op vier bar worden opgepompt.""",
        """Wanneer is mijn fiets klaar?
        Kan ik morgen langskomen?
        Hebben jullie nog een leenfiets?
        Ik kijk het even na, antwoord
        Dat staat genoteerd onder
        Prima, dat was onderdeel""",
    ),
    _texts(
        *("pl_PL", "PLN"),
        """Jesteś asystentem głosowym biblioteki miejskiej i odpowiadasz na telefony czytelników.
        Zwracaj się do rozmówcy uprzejmie i mów powoli.
        Nie podawaj nikomu listy wypożyczonych książek innej osoby.
        Najpierw zapytaj o numer karty, a potem o tytuł.
        Jeśli książki nie ma, zaproponuj rezerwację w innej filii.
        O karach finansowych rozmawia tylko pracownik wypożyczalni.
        Powtórz tytuł i autora, zanim złożysz zamówienie.
        Nie oceniaj książek i nie polecaj księgarni.
        Gdy rozmówca się denerwuje, połącz go z dyżurnym.
        Na końcu podziękuj i życz miłego dnia.""",
        "Dzisiejsza data|Aktualna godzina|Sesja|Rozmowa|Czytelnik|Kwota zaległości|Karta czytelnika|Znalezione teksty",
        "Agnieszka Wójcik|Tomasz Zieliński|Ewa Kamińska|Łukasz Mazur|Zofia Pawlak|Marek Sikora",
        """Książkę można przedłużyć dwa razy, o ile nikt inny jej nie zarezerwował w tym czasie.
        Czytelnia jest otwarta także w soboty, ale magazyn wydaje książki tylko do południa.
        Zagubioną książkę można odkupić w tym samym wydaniu albo zapłacić jej trzykrotną wartość.
        Dzieci do lat trzynastu potrzebują zgody rodzica, żeby założyć własną kartę.
        Audiobooki wypożycza się na czternaście dni i nie można ich przedłużyć.""",
        """Czy mogę przedłużyć książkę?
        Do której jesteście dziś otwarci?
        Gdzie jest najbliższa filia?
        Już sprawdzam, odpowiedź
        Zapisałam to w punkcie
        Dobrze, to był krok""",
    ),
    _texts(
        *("tr_TR", "TRY"),
        """Sen bir kargo şirketinin telefon asistanısın ve müşterilere gönderileri hakkında bilgi verirsin.
        Müşteriye her zaman siz diye hitap et.
        Takip numarasını almadan adres bilgisi okuma.
        Teslim tarihi konusunda kesin söz verme.
        Hasarlı paketlerde önce fotoğraf iste.
        Tazminat taleplerini yalnızca merkez ofis değerlendirir.
        Kısa ve açık cümleler kullan.
        Başka firmalar hakkında yorum yapma.
        Müşteri üzgünse görüşmeyi bir temsilciye aktar.
        Görüşmenin sonunda yapılanları kısaca özetle.""",
        "Bugünün tarihi|Şu anki saat|Oturum|Görüşme|Arayan müşteri|Ödenecek tutar|Müşteri kaydı|Bulunan metinler",
        "Ayşe Yılmaz|Mehmet Kaya|Zeynep Şahin|Emre Çelik|Fatma Aydın|Burak Öztürk",
        """Şubede bekleyen paketler yedi gün sonra göndericiye ücretsiz olarak geri yollanır.
        Cam ve porselen eşyalar yalnızca özel kutuyla kabul edilir ve sigortası ayrıca yapılır.
        Kapıda ödeme yalnızca nakit veya banka kartıyla mümkündür, çek kabul edilmez.
        Adres değişikliği, paket dağıtıma çıkmadan önce telefonla bildirilmelidir.
        Yurt dışı gönderilerinde gümrük formunu gönderici kendisi doldurur.""",
        """Paketim nerede kaldı?
        Adresi değiştirebilir miyim?
        Yarın teslim edilir mi?
        Hemen bakıyorum, yanıt
        Bunu not ettim, madde
        Tamam, bu adım""",
    ),
    _texts(
        *("ko_KR", "KRW"),
        """당신은 호텔 예약 센터의 음성 상담원이며 손님의 전화를 받습니다.
        항상 존댓말을 사용하고 천천히 말하세요.
        예약 번호를 확인하기 전에는 객실 정보를 알려 주지 마세요.
        할인은 약속하지 말고 담당자에게 연결하세요.
        손님이 화가 나 있으면 먼저 사과하세요.
        날짜와 인원은 반드시 한 번 더 확인하세요.
        다른 호텔과 비교하는 질문에는 답하지 마세요.
        한 문장에는 한 가지 내용만 말하세요.
        잘 들리지 않으면 다시 한 번만 부탁하세요.
        통화가 끝날 때 예약 내용을 요약하세요.""",
        "오늘 날짜|현재 시각|세션|통화 번호|고객 이름|결제 금액|고객 정보|검색된 문서",
        "김민준|이서연|박지훈|최유진|정하은|강도윤",
        """체크인은 오후 세 시부터이며 그 전에 도착한 손님은 짐을 안내 데스크에 맡길 수 있습니다.
        수영장은 투숙객만 이용할 수 있고 어린이는 반드시 보호자와 함께 들어가야 합니다.
        예약을 취소하려면 도착 이틀 전까지 연락해야 수수료가 없습니다.
        반려동물은 별관의 지정된 객실에만 들어올 수 있고 추가 요금이 있습니다.
        공항 버스는 매시간 정문 앞에서 출발하며 미리 좌석을 예약해야 합니다.""",
        """체크인을 일찍 할 수 있나요?
        조식이 포함되어 있습니까?
        예약을 하루 미루고 싶어요.
        확인해 드리겠습니다, 답변
        기록해 두었습니다, 항목
        네, 알겠습니다, 단계""",
    ),
    _texts(
        *("th_TH", "THB"),
        """คุณเป็นผู้ช่วยทางโทรศัพท์ของร้านอาหารและรับจองโต๊ะให้ลูกค้า
        พูดสุภาพและลงท้ายด้วยคำว่าค่ะทุกครั้ง
        ถามจำนวนคนก่อนแล้วจึงถามเวลา
        ห้ามสัญญาว่าจะได้โต๊ะริมหน้าต่าง
        ถ้าลูกค้าแพ้อาหารให้จดไว้และแจ้งพ่อครัว
        อย่าพูดถึงร้านอื่นในย่านเดียวกัน
        อ่านหมายเลขโทรศัพท์ทีละตัว
        ถ้าไม่เข้าใจให้ขอให้ลูกค้าพูดซ้ำเพียงครั้งเดียว
        เรื่องการคืนเงินให้ผู้จัดการเป็นคนตอบ
        ก่อนวางสายให้ทวนรายละเอียดการจอง""",
        "วันที่วันนี้|เวลาปัจจุบัน|เซสชัน|สายที่|ชื่อลูกค้า|ยอดค้างชำระ|ข้อมูลลูกค้า|เอกสารที่พบ",
        "สมชาย ใจดี|อรทัย ศรีสุข|กิตติ พงษ์ไทย|มาลี แสงทอง|วิชัย บุญมา|นภา รัตนกุล",
        """ร้านเปิดทุกวันยกเว้นวันจันทร์ และครัวปิดรับรายการสุดท้ายก่อนร้านปิดครึ่งชั่วโมง
        เมนูมังสวิรัติมีสิบสองรายการและสามารถขอไม่ใส่น้ำปลาได้ทุกจาน
        ห้องส่วนตัวรับได้ไม่เกินยี่สิบคนและต้องวางมัดจำล่วงหน้าอย่างน้อยสามวัน
        ที่จอดรถอยู่ด้านหลังร้านและเก็บค่าจอดหลังจากสองชั่วโมงแรก
        เค้กวันเกิดต้องสั่งล่วงหน้าหนึ่งวันและนำมาเองได้โดยไม่มีค่าใช้จ่าย""",
        """มีโต๊ะว่างคืนนี้ไหมคะ
        จองสำหรับหกคนได้ไหม
        ร้านปิดกี่โมงคะ
        ขอตรวจสอบสักครู่ คำตอบที่
        จดไว้แล้วค่ะ ข้อที่
        ได้ค่ะ ขั้นตอนที่""",
    ),
    _texts(
        *("uk_UA", "UAH"),
        """Ти голосовий помічник страхової компанії і приймаєш дзвінки клієнтів.
        Говори ввічливо і не перебивай співрозмовника.
        Не називай суму виплати, доки справу не розглянув фахівець.
        Спочатку запитай номер полісу, потім місце події.
        Якщо є постраждалі, одразу порадь викликати швидку.
        Не обговорюй умови інших страхових компаній.
        Повтори адресу перед тим, як записати її.
        Кожна відповідь має містити не більше двох речень.
        Якщо зв'язок поганий, запропонуй передзвонити.
        Наприкінці розмови підсумуй домовленості.""",
        "Сьогоднішня дата|Поточний час|Сесія|Дзвінок|Ім'я клієнта|Сума боргу|Картка клієнта|Знайдені документи",
        "Олена Коваленко|Андрій Шевчук|Марія Бондар|Ігор Мельник|Наталія Ткач|Петро Лисенко",
        """Про подію слід повідомити протягом трьох робочих днів і зберегти всі чеки за ремонт.
        Оглядач приїжджає на місце безкоштовно, якщо автомобіль не може рухатися самостійно.
        Поліс подорожнього діє лише за кордоном і не покриває хронічних захворювань.
        Знижка за безаварійну їзду переноситься, якщо клієнт змінює автомобіль.
        Документи можна надіслати електронною поштою або принести до будь-якого відділення.""",
        """Коли буде виплата?
        Які документи потрібні?
        Чи можна продовжити поліс телефоном?
        Зараз перевірю, відповідь
        Я записала це як пункт
        Добре, це був крок""",
    ),
    _texts(
        *("vi_VN", "VND"),
        """Bạn là trợ lý điện thoại của một ngân hàng và trả lời khách hàng về thẻ và tài khoản.
        Luôn nói lịch sự và xưng hô anh chị với khách.
        Không đọc số dư khi chưa xác nhận danh tính.
        Hỏi bốn số cuối của thẻ trước khi khóa thẻ.
        Không hứa hẹn về lãi suất.
        Nếu nghi ngờ lừa đảo, chuyển máy cho bộ phận an ninh ngay.
        Mỗi câu trả lời chỉ nêu một ý.
        Không nhắc đến ngân hàng khác.
        Nếu không nghe rõ, xin khách nhắc lại một lần.
        Kết thúc cuộc gọi bằng một câu tóm tắt.""",
        "Ngày hôm nay|Giờ hiện tại|Phiên|Cuộc gọi|Khách hàng|Số tiền nợ|Hồ sơ khách|Tài liệu tìm được",
        "Nguyễn Thị Lan|Trần Văn Hùng|Lê Minh Anh|Phạm Quốc Bảo|Hoàng Thu Hà|Võ Thanh Tùng",
        """Thẻ bị mất phải được khóa ngay và thẻ mới sẽ được gửi về địa chỉ đăng ký sau năm ngày.
        Chuyển khoản trong ngày chỉ thực hiện được trước bốn giờ chiều của ngày làm việc.
        Phí thường niên được miễn nếu khách chi tiêu đủ mức quy định trong năm trước.
        Khách có thể đổi mật khẩu trong ứng dụng mà không cần đến quầy giao dịch.
        Khoản vay mua nhà cần có sổ đỏ và giấy xác nhận thu nhập sáu tháng gần nhất.""",
        """Tôi muốn khóa thẻ của tôi.
        Phí chuyển khoản là bao nhiêu?
        Chi nhánh mở cửa đến mấy giờ?
        Để tôi kiểm tra, câu trả lời
        Tôi đã ghi lại ở mục
        Vâng, đó là bước""",
    ),
    _texts(
        *("ta_IN", "INR"),
        """நீங்கள் ஒரு பேருந்து நிறுவனத்தின் தொலைபேசி உதவியாளர், பயணிகளின் அழைப்புகளுக்குப் பதில் சொல்கிறீர்கள்.
        எப்போதும் மரியாதையுடன் பேசுங்கள்.
        முன்பதிவு எண் இல்லாமல் பயண விவரங்களைச் சொல்லாதீர்கள்.
        தாமதம் பற்றி உறுதி அளிக்க வேண்டாம்.
        பணம் திரும்பப் பெறுவதை அலுவலகம் மட்டுமே முடிவு செய்யும்.
        ஒவ்வொரு வாக்கியத்திலும் ஒரு தகவல் மட்டும் சொல்லுங்கள்.
        மற்ற நிறுவனங்களைப் பற்றிப் பேச வேண்டாம்.
        பயணி கோபமாக இருந்தால் அதிகாரிக்கு அழைப்பை மாற்றுங்கள்.
        இருக்கை எண்ணை இரண்டு முறை உறுதி செய்யுங்கள்.
        அழைப்பின் முடிவில் சுருக்கமாகச் சொல்லுங்கள்.""",
        "இன்றைய தேதி|தற்போதைய நேரம்|அமர்வு|அழைப்பு|பயணியின் பெயர்|செலுத்த வேண்டிய தொகை|பயணி விவரம்|கிடைத்த ஆவணங்கள்",
        "கவிதா முருகன்|அருண் குமார்|மீனா சுந்தரம்|பாலாஜி ராஜன்|தேவி லட்சுமி|விக்ரம் செல்வன்",
        """பயணத்திற்கு ஆறு மணி நேரத்திற்கு முன் ரத்து செய்தால் பாதிக் கட்டணம் திரும்பக் கிடைக்கும்.
        ஒவ்வொரு பயணியும் இரண்டு பைகளை இலவசமாக எடுத்துச் செல்லலாம், கூடுதல் பைகளுக்குக் கட்டணம் உண்டு.
        இரவுப் பேருந்துகளில் பெண்களுக்குத் தனி இருக்கைகள் முன் பகுதியில் ஒதுக்கப்பட்டுள்ளன.
        குழந்தைகளுக்கு ஐந்து வயது வரை பயணச்சீட்டு தேவையில்லை, ஆனால் தனி இருக்கை கிடையாது.
        பேருந்து புறப்படும் இடம் மாறினால் குறுஞ்செய்தி மூலம் தெரிவிக்கப்படும்.""",
        """பேருந்து எப்போது புறப்படும்?
        என் இருக்கையை மாற்ற முடியுமா?
        நாளைக்கு இடம் இருக்கிறதா?
        பார்க்கிறேன், பதில்
        குறித்துக்கொண்டேன், பகுதி
        சரி, இது படி""",
    ),
)
