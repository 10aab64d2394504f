"""Posts the notice as JSON to an address, signed so that the receiver can tell it from a forgery."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.errors import InvalidInput
from core.notify import Notice
from monitors.channels import Rejected, Retry, channels, do_apart, require_text
from monitors.channels.addresses import Resolve, allowed_addresses, check_url, parse_url, resolve

SECONDS = 10.0
SIGNATURE = "X-Trimtab-Signature"
TIMESTAMP = "X-Trimtab-Timestamp"
ALLOW_PRIVATE = "_allow_private"


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """`sha256=` and the HMAC of `TIMESTAMP.BODY`: the receiver computes the same and refuses old timestamps."""
    return "sha256=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


@channels.register
class Webhook:
    """Posts the notice as JSON to an address, signed so that the receiver can tell it from a forgery.

    Configuration: url, secret. The address is resolved and checked again at every send and the connection is pinned to
    what was checked; redirects are not followed.
    """

    def __init__(self, lookup: Resolve = resolve) -> None:
        self._lookup = lookup

    def check(self, config: Mapping[str, Any], *, allow_private: bool) -> None:
        """Raise InvalidInput for an address or secret that cannot be used."""
        check_url(require_text(config, "url", "webhook"), allow_private=allow_private, lookup=self._lookup)
        if len(require_text(config, "secret", "webhook")) < 16:
            raise InvalidInput("The webhook's secret is too short.", "Use at least 16 random characters.")

    async def send(self, notice: Notice, config: Mapping[str, Any], *, now: datetime) -> None:
        """Post the notice. Raises Retry on 408, 425, 429, 5xx and network trouble, Rejected on the rest."""
        import aiohttp

        url = require_text(config, "url", "webhook")
        secret = str(config.get("secret", ""))
        allow_private = bool(config.get(ALLOW_PRIVATE, False))
        try:
            parse_url(url)
        except InvalidInput as error:
            raise Rejected(error.message) from None
        body = json.dumps({**notice.body, "text": notice.text}, ensure_ascii=False).encode()
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": notice.key,
            TIMESTAMP: str(timestamp),
            SIGNATURE: sign(secret, timestamp, body),
        }
        pinned: Any = _Pinned(self._lookup, allow_private)
        connector = aiohttp.TCPConnector(resolver=pinned, ttl_dns_cache=None)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            self._check_literal(url, allow_private)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                status, wait = response.status, response.headers.get("Retry-After", "")
        except InvalidInput as error:
            raise Rejected(error.message) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if (refused := _refusal(error)) is not None:
                raise Rejected(refused.message) from None
            raise Retry(f"no answer ({type(error).__name__})") from None
        if 200 <= status < 300:
            return
        if status in (408, 425, 429) or status >= 500:
            raise Retry(f"answered {status}", float(wait) if wait.isdigit() else None)
        raise Rejected(f"answered {status}" + (" (redirects are not followed)" if 300 <= status < 400 else ""))

    def _check_literal(self, url: str, allow_private: bool) -> None:
        """An address given as digits never passes the resolver: look at it here."""
        parts = parse_url(url)
        host = parts.hostname or ""
        if host.replace(".", "").isdigit() or ":" in host:
            allowed_addresses(host, parts.port or 443, allow_private=allow_private, lookup=self._lookup)


def _refusal(error: BaseException | None) -> InvalidInput | None:
    """The address check's own refusal, where that is what a network error comes from."""
    while error is not None and not isinstance(error, InvalidInput):
        error = error.__cause__ or error.__context__
    return error


class _Pinned:
    """aiohttp's resolver with the address check inside: what was checked is what is connected to."""

    def __init__(self, lookup: Resolve, allow_private: bool) -> None:
        self._lookup = lookup
        self._allow_private = allow_private

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[dict[str, Any]]:
        look = functools.partial(allowed_addresses, host, port, allow_private=self._allow_private, lookup=self._lookup)
        try:
            found = await do_apart(look)
        except InvalidInput as error:
            raise OSError(error.message) from error
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in found
        ]

    async def close(self) -> None:
        """Nothing to release."""
