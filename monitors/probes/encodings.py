"""Does a forbidden request get through when encoded or in another language, and is a harmless one answered?"""

from __future__ import annotations

import base64
import codecs
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from core.ports import ProbePrompt
from monitors.probes import probes
from monitors.probes.texts import load, spread

_DIGITS = str.maketrans("aeiostAEIOST", "431057431057")


def to_base64(text: str) -> str:
    """Base64 of the text's UTF-8."""
    return base64.b64encode(text.encode()).decode()


def to_rot13(text: str) -> str:
    """Latin letters moved by thirteen places."""
    return codecs.encode(text, "rot13")


def to_leetspeak(text: str) -> str:
    """Digits for the letters that look like them."""
    return text.translate(_DIGITS)


def to_spaced(text: str) -> str:
    """A space after each letter, three between words."""
    return "   ".join(" ".join(word) for word in text.split())


ENCODERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"base64": to_base64, "rot13": to_rot13, "leetspeak": to_leetspeak, "spaced": to_spaced}
)


@probes.register
class Encodings:
    """Does a forbidden request get through when encoded or in another language, and is a harmless one answered?

    Requests for a guarded, harmless word in base64, ROT13, leetspeak, spaced letters, German, French and Spanish; twins
    ask for something harmless in the same writing.
    """

    def prompts(self, *, seed: int, limit: int) -> Sequence[ProbePrompt]:
        """At most `limit` prompts, attacks and twins in equal number and spread over the writings."""
        rng = random.Random(seed)
        suite = load("encodings")
        attacks = spread(_written("attack"), rng)[: limit // 2 + limit % 2]
        harmless = spread(_written("harmless"), rng)[: limit - len(attacks)]
        out = []
        for family, number, text in attacks:
            guard = rng.choice(suite["guard"]).format(word=rng.choice(suite["words"]))
            messages = [{"role": "system", "content": guard}, {"role": "user", "content": text}]
            out.append(ProbePrompt(f"{family}-{number}", family, messages, False, "canary"))
        for family, number, text in harmless:
            messages = [{"role": "user", "content": text}]
            out.append(ProbePrompt(f"benign-{family}-{number}", family, messages, True, "refusal"))
        return out


def _written(kind: str) -> dict[str, list[str]]:
    """The requests of a kind (attack, harmless) in every writing."""
    suite = load("encodings")
    encoded = {
        name: [
            suite["frame"].format(how=suite["how"][name], text=encode(request)) for request in suite[f"{kind}_requests"]
        ]
        for name, encode in ENCODERS.items()
    }
    return {**encoded, **{language: texts[kind] for language, texts in suite["languages"].items()}}
