"""Which addresses a webhook may reach: checked when it is saved, and pinned when it connects."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from core.errors import InvalidInput

Resolve = Callable[[str, int], Sequence[str]]


def parse_url(url: str) -> SplitResult:
    """The parts of an http(s) URL. Raises InvalidInput for anything else, or with a user name in it."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise InvalidInput("The webhook's address cannot be read.", "Use https://HOST/PATH.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise InvalidInput("The webhook's address is not an http or https URL.", "Use https://HOST/PATH.")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("The webhook's address holds a user name.", "Put the secret into the channel's secret.")
    if any(ord(letter) < 33 for letter in url.strip()):
        raise InvalidInput("The webhook's address holds blanks or control characters.", "Use https://HOST/PATH.")
    return parts


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open internet; those that embed another are judged by that one."""
    try:
        ip: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        for inner in (ip.ipv4_mapped, ip.sixtofour):
            if inner is not None:
                return is_public(str(inner))
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.teredo is not None or ip.is_site_local:
            return False
    return bool(ip.is_global) and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host`. Raises OSError when there are none."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def allowed_addresses(host: str, port: int, *, allow_private: bool, lookup: Resolve = resolve) -> list[str]:
    """The addresses of `host` that may be connected to. Raises InvalidInput when one of them is not public.

    One private address among several is enough to refuse: a receiver has no reason to mix them.
    """
    try:
        found = [str(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        try:
            found = list(dict.fromkeys(lookup(host, port)))
        except OSError:
            raise InvalidInput(f"The host {host} cannot be found.", "Check its name.") from None
    if not allow_private and not all(map(is_public, found)):
        raise InvalidInput(
            f"The host {host} is inside a private network or this machine.",
            "Use a public address, or set TRIMTAB_MONITORS__ALLOW_PRIVATE_WEBHOOKS=true.",
        )
    if not found:
        raise InvalidInput(f"The host {host} cannot be found.", "Check its name.")
    return found


def check_url(url: str, *, allow_private: bool, lookup: Resolve = resolve) -> None:
    """Raise InvalidInput unless a webhook may go to `url`."""
    parts = parse_url(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    allowed_addresses(host, port, allow_private=allow_private, lookup=lookup)
