"""Every route of the gateway and who may reach it."""

from __future__ import annotations

from gateway.chat import chat
from gateway.experts import experts
from gateway.feedback import give_feedback
from gateway.otlp.traces import take_traces
from gateway.policy import Entry, Policy
from gateway.scores import score
from gateway.status import fingerprint, health, metrics, models

ROUTES = (
    Entry("POST", "/v1/chat/completions", Policy.CHAT, chat),
    Entry("GET", "/v1/models", Policy.CHAT, models),
    Entry("POST", "/v1/feedback", Policy.CHAT, give_feedback),
    Entry("POST", "/v1/traces", Policy.CHAT, take_traces),
    Entry("GET", "/internal/fingerprint", Policy.INTERNAL, fingerprint),
    Entry("POST", "/internal/score", Policy.INTERNAL, score),
    Entry("GET", "/internal/experts", Policy.INTERNAL, experts),
    Entry("GET", "/health", Policy.OPEN, health),
    Entry("GET", "/metrics", Policy.OPEN, metrics),
)
