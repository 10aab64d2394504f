"""NIST AI Risk Management Framework 1.0 (NIST AI 100-1, January 2023): subcategories of its core."""

from __future__ import annotations

from core.controls import Control, Framework

FRAMEWORK = Framework(
    "nist_ai_rmf",
    "NIST AI RMF 1.0",
    "NIST AI 100-1, January 2023",
    (
        Control(
            "GOVERN 1.3",
            "Effort follows risk tolerance",
            "Limits, false-alarm budget and the gate's margins, with who changed them.",
            ("monitors", "chain/monitor", "gate_checks"),
        ),
        Control(
            "GOVERN 1.4",
            "The risk process is transparent",
            "Every step from alarm to release with its actor and reason, in one chain.",
            ("chain",),
        ),
        Control(
            "GOVERN 1.5",
            "Ongoing monitoring is planned",
            "The monitors with their schedule, and each look that was made.",
            ("monitors", "measurements"),
        ),
        Control(
            "GOVERN 1.6",
            "AI systems are listed",
            "Every version of the model with its content digest, base and card.",
            ("versions",),
        ),
        Control(
            "GOVERN 1.7",
            "Systems can be taken out safely",
            "Which versions were superseded or reverted, when, by whom and why.",
            ("deployments",),
        ),
        Control(
            "GOVERN 2.1",
            "Roles are assigned",
            "The accounts with their roles, and each change of a role.",
            ("accounts", "chain/account"),
        ),
        Control(
            "GOVERN 2.2",
            "People are trained",
            "Not covered: training of people is not recorded here. Keep its records beside.",
        ),
        Control(
            "GOVERN 3.2",
            "Oversight by people is defined",
            "Who may propose and who may approve, and that another person approved.",
            ("decisions", "accounts"),
        ),
        Control(
            "GOVERN 4.3",
            "Testing, incidents and sharing",
            "Alerts, the notices that went out about them, and what probes found.",
            ("alerts", "notices", "measurements/robustness"),
        ),
        Control(
            "GOVERN 5.1",
            "Feedback from outside is taken up",
            "People's feedback on answers, and pairs made of it.",
            ("feedback", "pairs"),
        ),
        Control(
            "GOVERN 6.1",
            "Third-party risk, rights included",
            "Source, licence and consent of every preference pair; the base model's card.",
            ("pairs", "datasets", "versions"),
        ),
        Control(
            "GOVERN 6.2",
            "Failures of third-party parts",
            "Errors and latency of the model server, and what was done about them.",
            ("measurements/service", "deployments/rollback"),
        ),
        Control(
            "MAP 1.1",
            "Purpose and context",
            "Not covered: intended use is described outside Trimtab. A version's card may name it.",
        ),
        Control(
            "MAP 2.3",
            "Test integrity",
            "Held-out pairs apart from training by prompt and contributor; contamination checks.",
            ("datasets", "gate_checks/quality"),
        ),
        Control(
            "MAP 3.5",
            "Oversight by people works",
            "Proposals with how they were answered, by whom, and in what time.",
            ("decisions",),
        ),
        Control(
            "MAP 4.1",
            "Legal risk of parts and data",
            "Licence, consent and personal data checks of preference pairs.",
            ("pairs", "pairs_flagged"),
        ),
        Control(
            "MAP 5.1", "Likelihood and size of impacts", "Not covered: impact assessments are kept outside Trimtab."
        ),
        Control(
            "MEASURE 1.1",
            "Metrics are chosen and used",
            "Every metric that was measured, with its method.",
            ("measurements",),
        ),
        Control(
            "MEASURE 2.1",
            "Tests are documented",
            "The gate's checks with metric, limit and result; dataset cards.",
            ("gate_reports", "gate_checks", "datasets"),
        ),
        Control(
            "MEASURE 2.3",
            "Performance is measured as in use",
            "Production traffic's measurements, with intervals.",
            ("measurements/quality", "measurements/feedback"),
        ),
        Control("MEASURE 2.4", "Production is monitored", "Each look of each monitor.", ("measurements", "epochs")),
        Control(
            "MEASURE 2.5",
            "Valid and reliable, limits stated",
            "Held-out accuracy of candidates against the base; requests unlike the training data.",
            ("gate_checks/quality", "measurements/drift"),
        ),
        Control(
            "MEASURE 2.6",
            "Safety is evaluated regularly",
            "Probe suites on production and at the gate.",
            ("measurements/robustness", "gate_checks/robustness"),
        ),
        Control(
            "MEASURE 2.7",
            "Security and resilience",
            "Attack success by technique; poison probes; integrity of each version's files.",
            ("measurements/robustness", "gate_checks/robustness", "gate_checks/integrity"),
        ),
        Control("MEASURE 2.8", "Accountability", "The hash-linked chain with actor and reason.", ("chain",)),
        Control(
            "MEASURE 2.9",
            "The model is documented",
            "Version cards: base, data, trainer, results.",
            ("versions", "datasets"),
        ),
        Control(
            "MEASURE 2.10",
            "Privacy is examined",
            "Personal data found in prompts, in answers and in preference pairs.",
            ("measurements/privacy", "pairs_flagged/personal_data"),
        ),
        Control(
            "MEASURE 2.11",
            "Fairness is evaluated",
            "Counterfactual twins, groups and question sets, with intervals.",
            ("measurements/fairness", "gate_checks/fairness"),
        ),
        Control("MEASURE 2.12", "Environmental impact", "Not covered: energy is not measured."),
        Control(
            "MEASURE 2.13",
            "Metrics themselves are evaluated",
            "Detectors checked against people's labels; each epoch's share of the false-alarm budget.",
            ("detector_labels", "epochs"),
        ),
        Control("MEASURE 3.1", "Risks are tracked", "Alerts with their whole course.", ("alerts", "alert_transitions")),
        Control("MEASURE 3.3", "People can report problems", "Feedback by kind and time.", ("feedback",)),
        Control(
            "MEASURE 4.3",
            "Improvement and decline are identified",
            "Candidate against champion at the gate, and in a canary on real traffic.",
            ("gate_checks", "deployments/promote"),
        ),
        Control(
            "MANAGE 1.1", "Go or no-go", "The gate's verdicts and the decisions on them.", ("gate_reports", "decisions")
        ),
        Control(
            "MANAGE 1.3",
            "Responses to risks are documented",
            "For each alarm what was proposed, decided and done.",
            ("decisions", "alerts"),
        ),
        Control(
            "MANAGE 2.2",
            "The value of systems is sustained",
            "Retraining runs and what came of them.",
            ("runs", "deployments/promote"),
        ),
        Control(
            "MANAGE 2.3", "Recovery from the unforeseen", "Rollbacks with time and proof.", ("deployments/rollback",)
        ),
        Control(
            "MANAGE 2.4",
            "Systems can be superseded",
            "Each release, supersession and reversal, proven by fingerprint.",
            ("deployments", "chain/deployment"),
        ),
        Control(
            "MANAGE 3.2",
            "Pre-trained models are monitored",
            "Measurements name the version that answered; the base is one of them.",
            ("measurements", "versions"),
        ),
        Control(
            "MANAGE 4.1",
            "Monitoring after deployment, override, change management",
            "Monitors, feedback, decisions, releases and overrides of the gate.",
            ("measurements", "feedback", "decisions", "chain/gate"),
        ),
        Control(
            "MANAGE 4.2",
            "Continual improvement",
            "Runs, the data each learnt from, and its result.",
            ("runs", "datasets"),
        ),
        Control(
            "MANAGE 4.3",
            "Incidents are communicated and tracked",
            "Alerts, notices with their delivery, acknowledgements and comments.",
            ("alerts", "notices", "alert_comments"),
        ),
    ),
)
