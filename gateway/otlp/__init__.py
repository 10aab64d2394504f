"""OpenTelemetry: spans of chats that an assistant made elsewhere, taken over OTLP/HTTP."""
