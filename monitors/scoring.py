"""Asks the gateway how likely a version finds given answers; production and candidates are scored by this code."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import Unavailable

REQUEST_SECONDS = 120.0


def score(
    items: Sequence[Mapping[str, Any]], *, gateway_url: str, key: str, deployment: str, version: str = ""
) -> list[float]:
    """The log-probability of each item's completion after its messages, under `version` or whichever is live.

    Raises Unavailable with the gateway's own words where its server cannot score, or does not answer.
    """
    body = json.dumps({"deployment": deployment, "version": version, "items": list(items)}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{gateway_url}/internal/score", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
            told = json.loads(response.read())
        scores = [float(value) for value in told["logprobs"]]
    except urllib.error.HTTPError as error:
        raise Unavailable(_message(error), "Look at the gateway's log.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise Unavailable("The gateway does not answer, or not with scores.", "Start it, or look at its log.") from None
    if len(scores) != len(items):
        raise Unavailable("The gateway scored another number of answers.", "Look at its log.")
    return scores


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"]["message"])[:300]
    except (OSError, ValueError, KeyError, TypeError):
        return f"The gateway answered {error.code}."
