"""ISO/IEC 42001:2023, Annex A: controls of an AI management system. Titles are our own short words."""

from __future__ import annotations

from core.controls import Control, Framework

FRAMEWORK = Framework(
    "iso_42001",
    "ISO/IEC 42001:2023, Annex A",
    "ISO/IEC 42001:2023",
    (
        Control("A.2.2", "AI policy", "Not covered: the policy is a document of yours."),
        Control(
            "A.3.2",
            "Roles and responsibilities",
            "Accounts with roles, and changes of them.",
            ("accounts", "chain/account"),
        ),
        Control(
            "A.3.3", "Concerns are reported", "People's feedback, comments on alerts.", ("feedback", "alert_comments")
        ),
        Control("A.4.3", "Data resources", "Datasets with their cards; imports.", ("datasets", "imports")),
        Control("A.5.2", "Impact assessment", "Not covered: impact assessments are kept outside Trimtab."),
        Control(
            "A.6.2.3", "Design and development are documented", "Run settings, data and results.", ("runs", "datasets")
        ),
        Control(
            "A.6.2.4", "Verification and validation", "Gate reports and their checks.", ("gate_reports", "gate_checks")
        ),
        Control("A.6.2.5", "Deployment", "Releases with approval and proof.", ("deployments", "decisions")),
        Control(
            "A.6.2.6",
            "Operation and monitoring",
            "Looks, alerts and what was done.",
            ("measurements", "alerts", "decisions"),
        ),
        Control("A.6.2.7", "Technical documentation", "Version cards.", ("versions",)),
        Control("A.6.2.8", "Event logs", "Exchanges and the chain.", ("exchanges", "chain")),
        Control("A.7.2", "Data for development", "Preference pairs by state, source and consent.", ("pairs",)),
        Control("A.7.3", "Acquisition of data", "Imports with digest and actor.", ("imports", "chain/pairs")),
        Control("A.7.4", "Quality of data", "What customs held, by reason.", ("pairs_flagged",)),
        Control("A.7.5", "Provenance of data", "Source, session, version and contributor of each pair.", ("pairs",)),
        Control("A.7.6", "Preparation of data", "Dataset cards: split, weights, what was left out.", ("datasets",)),
        Control("A.8.3", "Outsiders can report", "Feedback on answers.", ("feedback",)),
        Control("A.8.4", "Incidents are communicated", "Notices with channel and delivery.", ("notices",)),
        Control(
            "A.9.2",
            "Responsible use",
            "Approvals by a second person; overrides with reasons.",
            ("decisions", "chain/gate"),
        ),
        Control("A.9.4", "Use as intended", "What is asked against the reference.", ("measurements/drift",)),
        Control(
            "A.10.3",
            "Suppliers",
            "The base model's card and digest; errors of the model server.",
            ("versions", "measurements/service"),
        ),
    ),
)
