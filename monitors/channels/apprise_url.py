"""Sends the notice through Apprise: mail, chat and paging services by their Apprise URL."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.errors import InvalidInput
from core.notify import Notice
from monitors.channels import Retry, channels, do_apart, require_text
from monitors.channels.addresses import check_url

SECONDS = 30.0
# These Apprise schemes run programs or write on this machine, or reach any address: the webhook channel checks those.
REFUSED = frozenset(
    {"dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "syslog", "rsyslog", "file", "exec", "http", "https"}
)
TO_ANY_HOST = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})


@channels.register
class AppriseUrl:
    """Sends the notice through Apprise: mail, chat and paging services by their Apprise URL.

    Configuration: url. Apprise follows redirects and does not sign; for an address of your own use a webhook.
    """

    def check(self, config: Mapping[str, Any], *, allow_private: bool) -> None:
        """Raise InvalidInput for a URL that Apprise does not know or that reaches into this machine."""
        url = require_text(config, "url", "apprise_url")
        scheme = url.partition("://")[0].lower()
        if scheme in REFUSED:
            raise InvalidInput(f"Apprise's {scheme}:// is not allowed here.", "Use a service, or a webhook channel.")
        if scheme in TO_ANY_HOST:
            check_url("http://" + url.partition("://")[2].rpartition("@")[2], allow_private=allow_private)
        if _service(url) is None:
            raise InvalidInput("Apprise does not know this kind of URL.", "See Apprise's list of services.")

    async def send(self, notice: Notice, config: Mapping[str, Any], *, now: datetime) -> None:
        """Send the notice. Raises Retry when the service did not take it: Apprise does not say why."""
        service = _service(require_text(config, "url", "apprise_url"))
        if service is None:
            raise Retry("Apprise cannot read the channel's URL")
        notify = functools.partial(service.notify, body=notice.text, title=notice.title)
        try:
            async with asyncio.timeout(SECONDS):
                taken = await do_apart(notify)
        except TimeoutError:
            raise Retry("the service did not answer in time") from None
        except Exception as error:  # plugins of many makers: what they raise is not known here
            raise Retry(f"the service failed ({type(error).__name__})") from None
        if not taken:
            raise Retry("the service did not take the notice")


def _service(url: str) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised inside Apprise's own imports
        import apprise

        return apprise.Apprise.instantiate(url, suppress_exceptions=True)
