"""What a metric or a check of the gate speaks about, in the words that controls use."""

from __future__ import annotations

from types import MappingProxyType

DRIFT, QUALITY, FEEDBACK, FAIRNESS = "drift", "quality", "feedback", "fairness"
ROBUSTNESS, PRIVACY, SERVICE, POISONING, INTEGRITY = "robustness", "privacy", "service", "poisoning", "integrity"

METRICS = MappingProxyType(
    {
        "adversarial": ROBUSTNESS,
        "bias_twins": FAIRNESS,
        "errors": SERVICE,
        "expert_load": SERVICE,
        "group_gaps": FAIRNESS,
        "judged_quality": QUALITY,
        "latency": SERVICE,
        "negative_feedback": FEEDBACK,
        "ood_rate": DRIFT,
        "preference_accuracy": QUALITY,
        "prompt_drift": DRIFT,
        "prompt_language": DRIFT,
        "prompt_pii": PRIVACY,
        "prompt_sentiment": FEEDBACK,
        "question_bias": FAIRNESS,
        "refusal_rate": QUALITY,
        "response_drift": QUALITY,
        "response_format": QUALITY,
        "response_language": QUALITY,
        "response_length": QUALITY,
        "response_pii": PRIVACY,
        "response_sentiment": QUALITY,
        "says_yes": QUALITY,
        "sycophancy": QUALITY,
    }
)
_CHECKS = MappingProxyType(
    {
        "integrity": INTEGRITY,
        "poison_probes": POISONING,
        "attack_success": ROBUSTNESS,
        "latency": SERVICE,
    }
)
_FAIR = ("bias", "twin", "gap", "accuracy_ambiguous", "accuracy_disambiguated")


def of_check(name: str) -> str:
    """What the gate's check `name` speaks about; quality where nothing else is known of it."""
    if any(part in name for part in _FAIR):
        return FAIRNESS
    return _CHECKS.get(name, QUALITY)
