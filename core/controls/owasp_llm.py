"""OWASP Top 10 for LLM Applications, editions 2025 and 2026 (published 4 August 2026; its order differs)."""

from __future__ import annotations

from core.controls import Control, Framework

_INJECTION = "Injection suites, direct and in retrieved text, with rates by technique."
_DISCLOSURE = "Personal data in answers and in preference pairs."
_SUPPLY = "Digest and card of each version; imports with digest; files checked at the gate."
_POISONING = "What customs held, by reason; poison probes at the gate."
_AGENCY = "Not covered: Trimtab watches answers, not tools that an assistant calls."
_LEAKAGE = "Not covered: no probe suite asks for hidden instructions."
_VECTORS = "Not covered: retrieval stores are outside Trimtab."
_WRONG = "Judged quality, dislikes, and how answers hold when a question is reworded."
_OUTPUT = "Form of answers: other forms than the reference held."
_CONSUMPTION = "Latency, errors and load of the model server."

_RECORDS = {
    "injection": ("measurements/robustness", "gate_checks/robustness"),
    "disclosure": ("measurements/privacy", "pairs_flagged/personal_data"),
    "supply": ("versions", "imports", "gate_checks/integrity"),
    "poisoning": ("pairs_flagged", "gate_checks/poisoning"),
    "wrong": ("measurements/quality", "measurements/feedback"),
    "output": ("measurements/quality",),
    "consumption": ("measurements/service",),
}

EDITION_2025 = Framework(
    "owasp_llm_2025",
    "OWASP Top 10 for LLM Applications 2025",
    "OWASP GenAI Security Project, 2025",
    (
        Control("LLM01:2025", "Prompt injection", _INJECTION, _RECORDS["injection"]),
        Control("LLM02:2025", "Sensitive information disclosure", _DISCLOSURE, _RECORDS["disclosure"]),
        Control("LLM03:2025", "Supply chain", _SUPPLY, _RECORDS["supply"]),
        Control("LLM04:2025", "Data and model poisoning", _POISONING, _RECORDS["poisoning"]),
        Control("LLM05:2025", "Improper output handling", _OUTPUT, _RECORDS["output"]),
        Control("LLM06:2025", "Excessive agency", _AGENCY),
        Control("LLM07:2025", "System prompt leakage", _LEAKAGE),
        Control("LLM08:2025", "Vector and embedding weaknesses", _VECTORS),
        Control("LLM09:2025", "Misinformation", _WRONG, _RECORDS["wrong"]),
        Control("LLM10:2025", "Unbounded consumption", _CONSUMPTION, _RECORDS["consumption"]),
    ),
)
EDITION_2026 = Framework(
    "owasp_llm_2026",
    "OWASP Top 10 for LLM Applications 2026",
    "OWASP GenAI Security Project, August 2026",
    (
        Control("LLM01:2026", "Prompt injection", _INJECTION, _RECORDS["injection"]),
        Control("LLM02:2026", "Sensitive information disclosure", _DISCLOSURE, _RECORDS["disclosure"]),
        Control("LLM03:2026", "Excessive agency", _AGENCY),
        Control("LLM04:2026", "Supply chain", _SUPPLY, _RECORDS["supply"]),
        Control("LLM05:2026", "Data and model poisoning", _POISONING, _RECORDS["poisoning"]),
        Control("LLM06:2026", "Unbounded consumption", _CONSUMPTION, _RECORDS["consumption"]),
        Control("LLM07:2026", "Misinformation", _WRONG, _RECORDS["wrong"]),
        Control("LLM08:2026", "Hidden context exposure", _LEAKAGE),
        Control("LLM09:2026", "Vector and embedding weaknesses", _VECTORS),
        Control("LLM10:2026", "Improper output handling", _OUTPUT, _RECORDS["output"]),
    ),
)
