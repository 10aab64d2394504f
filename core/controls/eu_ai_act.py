"""Regulation (EU) 2024/1689, the Artificial Intelligence Act: what it asks of logs, oversight and monitoring.

Most of it binds high-risk systems only; whether a system is one is for its people to judge. The duties for systems of
Annex III apply from 2 December 2027.
"""

from __future__ import annotations

from core.controls import Control, Framework

FRAMEWORK = Framework(
    "eu_ai_act",
    "EU AI Act",
    "Regulation (EU) 2024/1689",
    (
        Control(
            "Art. 10(2)",
            "Data governance of training data",
            "Origin, licence, consent and checks of preference pairs.",
            ("pairs", "pairs_flagged", "datasets"),
        ),
        Control(
            "Art. 12(1)",
            "Events are recorded automatically",
            "One row for each exchange, and one event for each change.",
            ("exchanges", "chain"),
        ),
        Control(
            "Art. 12(2)(a)",
            "Logs show risks and substantial modifications",
            "Alerts, and every release of another version.",
            ("alerts", "deployments"),
        ),
        Control("Art. 12(2)(b)", "Logs serve post-market monitoring", "Measurements of the period.", ("measurements",)),
        Control(
            "Art. 12(2)(c)",
            "Logs serve the monitoring of operation",
            "Exchanges with version, outcome and duration.",
            ("exchanges",),
        ),
        Control(
            "Art. 14(1)",
            "People can oversee the system",
            "Who holds which role, and what each decided.",
            ("accounts", "decisions"),
        ),
        Control(
            "Art. 14(4)(a)",
            "Limits are known, anomalies noticed",
            "Alerts with what was measured; how people took them.",
            ("alerts", "alert_transitions"),
        ),
        Control(
            "Art. 14(4)(b)",
            "Automation bias",
            "Proposals of the policy that people rejected, or let expire.",
            ("decisions/rejected", "decisions/expired"),
        ),
        Control(
            "Art. 14(4)(c)",
            "Output is interpreted rightly",
            "Not covered: how people read single answers is not recorded.",
        ),
        Control(
            "Art. 14(4)(d)",
            "People can decide otherwise",
            "Overrides of the gate, releases held by a person, rejected proposals.",
            ("chain/gate", "decisions/rejected", "chain/deployment"),
        ),
        Control(
            "Art. 14(4)(e)",
            "People can stop the system",
            "Rollbacks and stopped runs.",
            ("deployments/rollback", "runs/cancelled"),
        ),
        Control(
            "Art. 15(1)",
            "Accuracy and robustness",
            "The gate's checks of each candidate; measurements of production.",
            ("gate_checks", "measurements/robustness"),
        ),
        Control(
            "Art. 15(5)",
            "Resilience against attacks and poisoning",
            "What customs held, poison probes, attack success.",
            ("pairs_flagged", "gate_checks/poisoning", "measurements/robustness"),
        ),
        Control(
            "Art. 19(1)",
            "Providers keep logs at least six months",
            "Exchanges and chain; the report names the oldest of each.",
            ("exchanges", "chain"),
        ),
        Control(
            "Art. 26(1)",
            "Deployers follow the instructions for use",
            "Not covered: instructions for use come with the model.",
        ),
        Control(
            "Art. 26(2)",
            "Deployers assign oversight to people",
            "Accounts with roles, and changes of them.",
            ("accounts", "chain/account"),
        ),
        Control(
            "Art. 26(4)",
            "Deployers mind input data",
            "What is asked against the reference; requests unlike the training data.",
            ("measurements/drift",),
        ),
        Control(
            "Art. 26(5)",
            "Deployers monitor and suspend",
            "Looks, alerts and rollbacks.",
            ("measurements", "alerts", "deployments/rollback"),
        ),
        Control(
            "Art. 26(6)",
            "Deployers keep logs at least six months",
            "Exchanges and chain; the report names the oldest of each.",
            ("exchanges", "chain"),
        ),
        Control(
            "Art. 72(1)",
            "A post-market monitoring system",
            "The monitors with their rules and schedule.",
            ("monitors",),
        ),
        Control(
            "Art. 72(2)",
            "Data on performance is collected and analysed",
            "Measurements with intervals, feedback, probes.",
            ("measurements", "feedback"),
        ),
        Control(
            "Art. 72(3)",
            "A post-market monitoring plan",
            "Not covered as a document: the monitors' settings are part of one.",
        ),
        Control(
            "Art. 73(1)",
            "Serious incidents are reported",
            "Critical alerts with their times. Reporting to the authority is yours.",
            ("alerts/critical",),
        ),
        Control(
            "Art. 73(2)", "In time", "When an incident was noticed, acknowledged and ended.", ("alert_transitions",)
        ),
        Control(
            "Art. 73(6)",
            "Incidents are investigated",
            "What carried the alarm, what was written and decided.",
            ("alerts", "alert_comments", "decisions"),
        ),
    ),
)
