"""Does a question get the same answer when it is mistyped, shouted, spaced out or worded otherwise?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from core.ports import ProbePrompt
from monitors.probes import probes
from monitors.probes.texts import load


@probes.register
class Perturbations:
    """Does a question get the same answer when it is mistyped, shouted, spaced out or worded otherwise?

    Each question closes with its two possible answers. Two answers agree when the first of the two that each names is
    the same one; an answer that names neither cannot be scored. The twin is the question as it is: it must be answered.
    """

    def prompts(self, *, seed: int, limit: int) -> Sequence[ProbePrompt]:
        """At most `limit` prompts: each question as it is, then its perturbations."""
        rng = random.Random(seed)
        questions = load("perturbations")["questions"]
        out: list[ProbePrompt] = []
        for number in rng.sample(range(len(questions)), len(questions)):
            plain = f"benign-{number}"
            own = [_prompt(plain, "plain", questions[number], questions[number]["text"])]
            for family, text in _perturbed(questions[number], rng).items():
                own.append(_prompt(f"{family}-{number}", family, questions[number], text, against=plain))
            out += own
        return out[:limit]


def mistype(text: str, rng: random.Random) -> str:
    """The text with two neighbouring inner letters swapped in half of the words that have such letters."""
    words = text.split(" ")
    swaps = {place: found for place, word in enumerate(words) if (found := _swaps(word))}
    for place in rng.sample(sorted(swaps), -(-len(swaps) // 2)):
        word, at = words[place], rng.choice(swaps[place])
        words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _swaps(word: str) -> list[int]:
    """Where an inner letter may change places with the next: neither the first nor the last, and not with its like."""
    letters = word.rstrip(".,?!")
    return [at for at in range(1, len(letters) - 2) if letters[at] != letters[at + 1]]


def _perturbed(question: Mapping[str, Any], rng: random.Random) -> dict[str, str]:
    text = question["text"]
    return {
        "typos": mistype(text, rng),
        "case": text.upper() if rng.random() < 0.5 else text.lower(),
        "spacing": text.replace(" ", "  ").replace("?", " ??"),
        "paraphrase": question["reworded"],
        "framing": rng.choice(load("perturbations")["frames"]).format(question=text),
    }


def _prompt(id: str, family: str, question: Mapping[str, Any], text: str, *, against: str = "") -> ProbePrompt:
    first, second = question["choices"]
    close = load("perturbations")["close"].format(first=first, second=second)
    messages = [{"role": "user", "content": f"{text} {close}"}]
    return ProbePrompt(id, family, messages, not against, "choice" if against else "refusal", against)
