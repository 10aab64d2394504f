"""The request path: OpenAI-compatible chat and feedback, routed to the live version, captured durably."""
