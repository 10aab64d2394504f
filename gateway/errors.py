"""OpenAI's error object: every refusal has a status, a type, a code and a plain sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.errors import Conflict, Forbidden, InvalidInput, NotFound, TrimtabError, Unavailable
from gateway.auth import BadKey
from gateway.upstream import Busy, Refused


class Invalid(InvalidInput):
    """A request that cannot be taken: `status`, OpenAI's `code`, and the `param` it is about."""

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        param: str | None = None,
        code: str = "invalid_value",
        status: int = 400,
    ) -> None:
        self.param, self.code, self.status = param, code, status
        super().__init__(message, remedy)


@dataclass(frozen=True, slots=True)
class Told:
    """An error as the client sees it. `retry_after` 0: no such header."""

    status: int
    kind: str
    code: str
    message: str
    param: str | None = None
    retry_after: int = 0

    def body(self) -> bytes:
        """The JSON object."""
        told = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return json.dumps({"error": told}, ensure_ascii=False).encode("utf-8", "replace")

    def headers(self) -> dict[str, str]:
        """What goes with it."""
        headers = {"content-type": "application/json"}
        if self.retry_after:
            headers["retry-after"] = str(self.retry_after)
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


REQUEST = "invalid_request_error"


def tell(error: BaseException) -> Told:
    """How `error` is told. Anything unexpected is a 503 without detail, which only the log has."""
    text = str(error)
    match error:
        case Invalid():
            return Told(error.status, REQUEST, error.code, text, error.param)
        case BadKey():
            return Told(401, "authentication_error", "invalid_api_key", text)
        case Busy():
            return Told(429, "rate_limit_error", "overloaded", text, retry_after=max(1, error.retry_after))
        case Refused():
            return Told(400, REQUEST, "refused_by_server", text)
        case Unavailable():
            return Told(503, "server_error", "unavailable", text, retry_after=2)
        case NotFound():
            return Told(404, REQUEST, "not_found", text)
        case Forbidden():
            return Told(403, "permission_error", "forbidden", text)
        case Conflict():
            return Told(409, REQUEST, "conflict", text)
        case TrimtabError():
            return Told(400, REQUEST, "invalid_value", text)
        case _:
            return Told(503, "server_error", "internal", "The gateway could not answer. Try again.", retry_after=2)
