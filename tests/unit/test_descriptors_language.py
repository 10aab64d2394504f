"""The language of a text: sentences of every language it claims, and the texts that it must not guess on."""

import pytest

from monitors.descriptors.language import LANGUAGES, UNDETERMINED, language

SENTENCES = {
    "en": [
        "Where is the parcel that I ordered last week?",
        "The train leaves at nine and we should be there before noon.",
        "can you show me how to cancel this booking",
    ],
    "de": [
        "Wo ist das Paket, das ich letzte Woche bestellt habe?",
        "Der Zug fährt um neun, und wir sollten vor Mittag dort sein.",
        "kannst du mir zeigen wie ich die buchung storniere",
    ],
    "fr": [
        "Où est le colis que j'ai commandé la semaine dernière ?",
        "Le train part à neuf heures et nous devrions y être avant midi.",
        "peux-tu me montrer comment annuler cette réservation",
    ],
    "es": [
        "¿Dónde está el paquete que pedí la semana pasada?",
        "El tren sale a las nueve y deberíamos llegar antes del mediodía.",
        "puedes enseñarme cómo cancelar esta reserva",
    ],
    "pt": [
        "Onde está a encomenda que fiz na semana passada?",
        "O comboio parte às nove e devemos lá estar antes do meio-dia.",
        "você pode me mostrar como cancelar esta reserva",
    ],
    "it": [
        "Dov'è il pacco che ho ordinato la settimana scorsa?",
        "Il treno parte alle nove e dovremmo arrivare prima di mezzogiorno.",
        "puoi mostrarmi come annullare questa prenotazione",
    ],
    "nl": [
        "Waar is het pakket dat ik vorige week heb besteld?",
        "De trein vertrekt om negen uur en we zouden er voor de middag moeten zijn.",
        "kun je me laten zien hoe ik deze boeking annuleer",
    ],
    "sv": [
        "Var är paketet som jag beställde förra veckan?",
        "Tåget går klockan nio och vi borde vara där före lunch.",
        "kan du visa mig hur jag avbokar den här resan",
    ],
    "da": [
        "Hvor er pakken, som jeg bestilte i sidste uge?",
        "Toget kører klokken ni, og vi burde være der før middag.",
        "kan du vise mig hvordan jeg afbestiller denne rejse",
    ],
    "pl": [
        "Gdzie jest paczka, którą zamówiłem w zeszłym tygodniu?",
        "Pociąg odjeżdża o dziewiątej i powinniśmy być tam przed południem.",
        "czy możesz mi pokazać jak anulować tę rezerwację",
    ],
    "tr": [
        "Geçen hafta sipariş ettiğim paket nerede?",
        "Tren saat dokuzda kalkıyor ve öğleden önce orada olmalıyız.",
        "bana bu rezervasyonu nasıl iptal edeceğimi gösterir misin",
    ],
    "id": [
        "Di mana paket yang saya pesan minggu lalu?",
        "Kereta berangkat pukul sembilan dan kita harus sampai di sana sebelum siang.",
        "bisakah kamu menunjukkan cara membatalkan pesanan ini",
    ],
    "ru": ["Где посылка, которую я заказал на прошлой неделе?"],
    "uk": ["Де посилка, яку я замовив минулого тижня? Її ще немає."],
    "el": ["Πού είναι το δέμα που παρήγγειλα την περασμένη εβδομάδα;"],
    "he": ["איפה החבילה שהזמנתי בשבוע שעבר?"],
    "ar": ["أين الطرد الذي طلبته الأسبوع الماضي؟"],
    "hi": ["पिछले हफ्ते मैंने जो पार्सल मंगवाया था वह कहाँ है?"],
    "th": ["พัสดุที่ฉันสั่งเมื่อสัปดาห์ที่แล้วอยู่ที่ไหน"],
    "ko": ["지난주에 주문한 소포는 어디에 있나요?"],
    "ja": ["先週注文した荷物はどこにありますか？"],
    "zh": ["我上周订的包裹在哪里？"],
}


def test_every_language_it_claims_has_its_sentences():
    assert {*SENTENCES, UNDETERMINED} == set(LANGUAGES)
    assert len(LANGUAGES) == len(set(LANGUAGES)) <= 101


@pytest.mark.parametrize("name", SENTENCES)
def test_a_plain_sentence_is_recognised(name):
    assert [language(text) for text in SENTENCES[name]] == [name] * len(SENTENCES[name])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "12345 67.8 %",
        "OK",
        "Berlin Paris London",
        "https://example.org/de/und/das/ist",
        "```\nfor x in the of and:\n    is the to\n```",
        "anna.und.der.otto@firma.de",
        "🙂🙂🙂",
        "kubectl apply -f deploy.yaml",
    ],
)
def test_too_little_to_tell_is_said_rather_than_guessed(text):
    assert language(text) == UNDETERMINED


def test_a_quotation_in_another_language_does_not_turn_the_text():
    assert language("What does the sentence 'Wo ist der Bahnhof' mean, and how would I use it in a letter?") == "en"
    assert language("Was bedeutet „Привет“ und wie schreibe ich das in einem Brief an meine Tante?") == "de"


def test_a_long_hostile_text_is_read_in_bounded_time():
    assert language("the " * 1_000_000) == "en"
    assert language("`" * 100_000) == UNDETERMINED
    assert language("a@" * 100_000) == UNDETERMINED
