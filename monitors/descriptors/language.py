"""Which language a text is written in: by script, then by the commonest words and the letters of its own.

Twelve languages in Latin script and ten more by their script. A text of a few content words only stays undetermined
rather than guessed. Close relatives are told by few words: Norwegian reads as Danish, Malay as Indonesian, Bulgarian
and Serbian as Russian, Persian and Urdu as Arabic, Marathi and Nepali as Hindi.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Final

UNDETERMINED = "und"
LONGEST = 4_000
# Evidence is counted in words that only one language uses; of two languages one needs this lead.
ENOUGH, LEAD = 1.0, 1.25

_WORDS: Final = {
    "en": "the a i of and to in is you that it he was for on are as with his they at be this have from or had by but "
    "what some we can out other were all there when use your how said an each she which do their if will way "
    "about many then them would these am no after before under over never ever good just like into same thanks "
    "let's let so her him has look more could my than been who its now did get may i'm don't can't please does "
    "where why should me not much any want need tell give make know think help write",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
    "hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur "
    "bis mehr durch man sein wurde ich du wir mein meine kann können was wo warum bitte mir mich dir gibt gib "
    "wenn diese dieser schreibe mache viele wann habe soll doch jetzt heute",
    "fr": "le la les de des du et un une est que qui dans en pour pas sur au par plus avec ce il elle se ne sont ou "
    "mais nous vous ils été cette comme tout faire sa son ses aux leur bien être fait je mon ma mes quel quelle "
    "comment pourquoi où quand j'ai c'est d'un d'une qu'il n'est peux peut donne écris dois suis très aussi moi "
    "s'il plaît bonjour combien",
    "es": "el la los las de que y en un una por con para no es se del al lo como más pero sus le ya o este sí porque "
    "esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno les ni "
    "contra otros ese eso qué cómo cuál dónde mi tu tengo puedo puede hacer quiero necesito soy está son cuánto "
    "gracias ayuda escribe dame",
    "pt": "o a os as às aos de que e do da em um uma para com não é se na no por mais dos das como mas ao ele ela foi "
    "à seu sua ou ser quando muito há nos já está eu também só pelo pela até isso você vocês meu minha qual onde "
    "são tenho posso pode fazer quero preciso obrigado obrigada ajuda escreva me isto então nas",
    "it": "il lo la i gli le di che e un una in per con non è si del della dei delle al alla da dal nel nella sono ho "
    "ha come più ma anche io tu lui lei noi voi questo questa quello mi ti ci cosa perché dove quando chi quale "
    "se posso puoi può fare essere mio mia molto tutti già ancora solo vorrei scrivi dammi grazie quanto degli "
    "sul",
    "nl": "de het een en van ik te dat die in niet is zijn op aan met voor er maar om hem dan zou of wat mijn men dit "
    "zo door over ze zich bij ook tot je mij uit der daar haar naar heb hoe heeft hebben deze u want nog zal me "
    "zij nu geen omdat iets worden toch al waren veel meer doen moet kan kunnen waarom waar wij jij welke graag "
    "schrijf geef hoeveel",
    "sv": "och att det i en jag hon som han på den med var sig för så till är men ett om hade de av icke mig du henne "
    "då sin nu har inte hans honom skulle hennes där min man ej vid kunde något från ut när efter upp vi dem vara "
    "vad över än dig kan sina här ha mot alla under någon eller allt mycket sedan denna hur varför vilken mitt "
    "ditt behöver vill skriv gör finns också",
    "da": "og i at det en den til er som på de med han af for ikke der var mig sig men et har om vi min havde ham hun "
    "nu over da fra du ud sin dem os op man hans hvor eller hvad skal selv her alle vil blev kunne ind når være "
    "dog noget hvorfor hvordan hvilken jeg mit dit kan også meget efter uden ville bliver gør skriv hjælp mine "
    "kunde",
    "pl": "i w na z nie się do to że jest o jak po co tak za od jego ale jej czy przez dla był było może już tylko być "
    "przy ten ta te tego tej ich jestem są mam mnie mi jaki jaka jakie gdzie kiedy dlaczego ile proszę chcę mogę "
    "można który która które moje moja mój napisz podaj bardzo także oraz pod nad gdy sobie",
    "tr": "ve bir bu da de için ile ne çok daha gibi olan olarak en var ama kadar sonra ben sen biz siz onlar mi mı mu "
    "mü değil nasıl neden nerede hangi kim ya veya her şey şu o olduğu olur oldu bana beni benim sana yok ki ise "
    "lütfen istiyorum yaz nedir misin mısın zaman önce göre hem hiç tüm",
    "id": "yang dan di dengan untuk dari pada ini itu tidak dalam adalah ke akan saya anda kami kita dia mereka atau "
    "juga oleh karena bisa ada sudah apa bagaimana mengapa dimana kapan siapa berapa tolong seperti lebih sebagai "
    "dapat kepada telah jika saat hanya banyak harus belum buat buatkan jelaskan mau ingin aku kamu secara antara",
}
_LETTERS: Final = {
    "ß": "de",
    "ñ¿¡": "es",
    "ãõ": "pt",
    "œêûùëï": "fr",
    "ąęłśźżćń": "pl",
    "ğış": "tr",
    "æø": "da",
    "ì": "it",
}
_SHARED: Final = {
    "å": ("sv", "da"),
    "ä": ("de", "sv"),
    "ö": ("de", "sv", "tr"),
    "ü": ("de", "tr"),
    "ç": ("fr", "pt", "tr"),
}

_SCRIPTS: Final = {
    "ru": re.compile("[\u0400-\u04ff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
    "ko": re.compile("[\uac00-\ud7af]"),
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u4e00-\u9fff]"),
}
_LATIN: Final = re.compile("[a-z\u00df-\u024f]")
LANGUAGES: tuple[str, ...] = (*_WORDS, *_SCRIPTS, "uk", UNDETERMINED)

_NOISE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+", re.S)
_TOKEN = re.compile(r"(?<!\w)[^\W\d_]+(?:'[^\W\d_]+)?(?!\w)")


def _evidence() -> dict[str, dict[str, float]]:
    """For each word the weight it has for each language: one, shared by the languages that use it."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for name, words in _WORDS.items():
        for word in dict.fromkeys(words.split()):
            users[word].append(name)
    return {word: {name: 1 / len(names) for name in names} for word, names in users.items()}


_EVIDENCE: Final = _evidence()
_OWN_LETTERS: Final = {
    **{sign: {name: 0.5} for signs, name in _LETTERS.items() for sign in signs},
    **{sign: dict.fromkeys(names, 0.5 / len(names)) for sign, names in _SHARED.items()},
}


def language(text: str) -> str:
    """The ISO 639-1 code of the language that most of the first LONGEST characters are in, of LANGUAGES; "und" where
    too little tells. Code, links and addresses are left out.
    """
    read = _NOISE.sub(" ", text[:LONGEST]).replace("’", "'").lower()
    told = _by_script(read)
    if told:
        return told
    score: defaultdict[str, float] = defaultdict(float)
    for token in _TOKEN.findall(read):
        for part in (token,) if token in _EVIDENCE else token.split("'"):
            for name, weight in _EVIDENCE.get(part, {}).items():
                score[name] += weight
        for sign in token:
            for name, weight in _OWN_LETTERS.get(sign, {}).items():
                score[name] += weight
    best, other = sorted((*score.items(), ("", 0.0), ("", 0.0)), key=lambda item: -item[1])[:2]
    return best[0] if best[1] >= max(ENOUGH, LEAD * other[1]) else UNDETERMINED


def _by_script(text: str) -> str:
    """The language of the script that most letters are in; empty for Latin or none."""
    if text.isascii():
        return ""
    counts = Counter({name: len(script.findall(text)) for name, script in _SCRIPTS.items()})
    latin = len(_LATIN.findall(text))
    # Japanese mixes kana into Han characters, which Chinese never does.
    if counts["ja"] and counts["zh"]:
        counts["ja"] += counts.pop("zh")
    name, most = counts.most_common(1)[0]
    if most == 0 or most < latin:
        return ""
    if name == "ru":
        return "uk" if sum(text.count(sign) for sign in "іїєґ") > sum(text.count(sign) for sign in "ыэъё") else "ru"
    return name
