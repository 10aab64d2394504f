"""NIST AI 600-1, Generative Artificial Intelligence Profile (July 2024): suggested actions, by their ids."""

from __future__ import annotations

from core.controls import Control, Framework

FRAMEWORK = Framework(
    "nist_ai_600_1",
    "NIST AI 600-1 (Generative AI Profile)",
    "NIST AI 600-1, July 2024",
    (
        Control(
            "GV-1.3-002",
            "Thresholds for go or no-go",
            "The gate's limits and verdicts, each with a digest that an approval is bound to.",
            ("gate_reports", "gate_checks"),
        ),
        Control(
            "GV-1.5-003",
            "Test history is kept",
            "Gate reports and measurements of the period.",
            ("gate_reports", "measurements"),
        ),
        Control(
            "GV-1.6-003",
            "Inventory with provenance and versions",
            "Versions with base, digest and parent; datasets with sources and licences.",
            ("versions", "datasets"),
        ),
        Control(
            "GV-1.7-001", "Deactivation is possible", "Rollbacks with the time each took.", ("deployments/rollback",)
        ),
        Control(
            "GV-4.3-002",
            "What an incident report holds",
            "Alerts: id, system, time, severity, what was measured, its course.",
            ("alerts", "alert_transitions"),
        ),
        Control(
            "MS-1.1-006",
            "Fairness over groups is monitored",
            "Gaps between groups and counterfactual twins on production.",
            ("measurements/fairness",),
        ),
        Control(
            "MS-2.2-002",
            "Privacy of provenance data",
            "Users and contributors appear as hashes; personal data in pairs is flagged.",
            ("pairs", "pairs_flagged/personal_data"),
        ),
        Control(
            "MS-2.3-002",
            "Claims are tested empirically",
            "Paired comparison on held-out pairs.",
            ("gate_checks/quality",),
        ),
        Control(
            "MS-2.3-003",
            "Results reach those who approve",
            "Approvals bound to the digest of what was shown.",
            ("decisions", "gate_reports"),
        ),
        Control(
            "MS-2.5-005",
            "Provenance of tuning data is verified",
            "Provenance of each pair, and dataset cards.",
            ("pairs", "datasets"),
        ),
        Control(
            "MS-2.6-005",
            "Outputs are monitored, errors recovered from",
            "Alerts, and rollbacks that a person or a canary made.",
            ("alerts", "deployments/rollback", "chain/deployment"),
        ),
        Control(
            "MS-2.6-007",
            "Circumvention is tested regularly",
            "Jailbreak, injection and encoding suites, by technique.",
            ("measurements/robustness",),
        ),
        Control(
            "MS-2.7-005",
            "Model integrity is verified",
            "File digests at the gate; fingerprints of what answers.",
            ("gate_checks/integrity", "deployments"),
        ),
        Control("MS-2.7-007", "Red-teaming", "Probe suites and imported red-team runs.", ("measurements/robustness",)),
        Control(
            "MS-2.7-008",
            "Tuning does not weaken safety",
            "Attack success and refusals of candidate against champion.",
            ("gate_checks/robustness",),
        ),
        Control("MS-2.8-003", "Tamper-evident history", "The hash-linked chain.", ("chain",)),
        Control(
            "MS-2.10-003",
            "Training data is deduplicated",
            "Pairs held as exact or near duplicates.",
            ("pairs_flagged/duplicate", "pairs_flagged/near_duplicate"),
        ),
        Control(
            "MS-2.11-001",
            "Bias benchmarks",
            "Question sets scored by likelihood, on production and at the gate.",
            ("measurements/fairness", "gate_checks/fairness"),
        ),
        Control(
            "MS-2.11-002",
            "Counterfactual and group measures",
            "Twins and group gaps, with intervals.",
            ("measurements/fairness",),
        ),
        Control("MS-2.12-003", "Energy is measured", "Not covered: energy is not measured."),
        Control(
            "MS-2.13-001",
            "Measurement error is known",
            "Detectors against people's labels; intervals beside every value.",
            ("detector_labels", "measurements"),
        ),
        Control(
            "MS-4.2-001",
            "Adversarial testing at a cadence",
            "Probe passes with their times.",
            ("measurements/robustness",),
        ),
        Control(
            "MS-4.2-004",
            "Overrides are documented",
            "Overrides of the gate and of a canary, with reason and second person.",
            ("chain/gate", "chain/deployment"),
        ),
        Control(
            "MG-1.3-001",
            "Staged release",
            "Shadow, canary and full release, with shares and times.",
            ("deployments/promote",),
        ),
        Control(
            "MG-2.2-002",
            "Training data sources",
            "Sources, licences and consent of each dataset.",
            ("datasets", "pairs"),
        ),
        Control(
            "MG-3.1-002",
            "Value chain tests: poisoning",
            "What customs held, by reason; poison probes at the gate.",
            ("pairs_flagged", "gate_checks/poisoning"),
        ),
        Control("MG-3.1-003", "Risk is assessed anew after tuning", "Each candidate's gate report.", ("gate_reports",)),
        Control(
            "MG-3.2-002",
            "How a model was adapted",
            "Run settings, data and parent of each version.",
            ("runs", "versions"),
        ),
        Control(
            "MG-3.2-006",
            "Deviations trigger people",
            "Alarms and the notices that went out.",
            ("alerts", "notices"),
        ),
        Control("MG-3.2-009", "Retrain or retire outside limits", "Proposals that followed alarms.", ("decisions",)),
        Control(
            "MG-4.1-002",
            "Post-deployment monitoring is evaluated",
            "Looks, alarms and the budget's use.",
            ("measurements", "epochs"),
        ),
        Control("MG-4.1-003", "Sentiment of users", "Sentiment of prompts and dislikes.", ("measurements/feedback",)),
        Control(
            "MG-4.1-004",
            "Active learning on failures",
            "Exchanges queued and labelled by people.",
            ("chain/exchanges", "chain/preference"),
        ),
        Control(
            "MG-4.1-006",
            "Changes of datasets are tracked",
            "Pairs released, rejected or imported; versions locked.",
            ("chain/pair", "chain/pairs", "chain/dataset"),
        ),
        Control(
            "MG-4.3-001",
            "After-action assessment",
            "For each incident its course and what was written to it.",
            ("alerts", "alert_comments", "decisions"),
        ),
    ),
)
