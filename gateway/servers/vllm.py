"""vLLM: an OpenAI-compatible server that loads LoRA adapters while it runs (VLLM_ALLOW_RUNTIME_LORA_UPDATING=1)."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from core.events import digest
from core.ports import Fingerprint
from core.settings import Settings
from gateway.servers import SERVERS
from gateway.servers.openai_compatible import OpenAICompatible
from gateway.upstream import NotOffered, Refused
from models import artefacts

_DIGEST = re.compile(r"[0-9a-f]{64}")
# Enough of an adopted folder's name, which is the digest of what is in it.
_DIGITS = 12


@SERVERS.register
class VLLM(OpenAICompatible):
    """vLLM: OpenAI's API plus LoRA adapters loaded and unloaded while it runs."""

    def __init__(self, base_url: str, *, key: str = "", model: str = "", timeout_seconds: float = 120.0) -> None:
        """As any OpenAI-compatible server."""
        super().__init__(base_url, key=key, model=model, timeout_seconds=timeout_seconds)
        self._adapters: dict[str, str] = {}

    @classmethod
    def from_settings(cls, settings: Settings, key: str) -> VLLM:
        """As the settings gateway.upstream_* say."""
        made = super().from_settings(settings, key)
        assert isinstance(made, cls)
        return made

    async def load(self, version: str, path: str) -> None:
        """Load the adapter in `path` under a name of the version and its content, never in place.

        vLLM keeps the keys of a prompt's beginning by the adapter's name alone: whatever is loaded under a name that
        was used before answers, in part, as the adapter of then (vllm #42125, #30931). A content has its own name here,
        also when another installation has numbered its versions from 1 on the same server. vLLM does not tell what it
        read: where this process sees the folder too, its files are held to the digest that names it, as after a
        restart nobody takes a print. Raises Refused.
        """
        if not path.startswith("/"):
            await super().load(version, path)
            return
        if not await asyncio.to_thread(holds, Path(path)):
            raise Refused(f"The files of {version} are not those that were adopted.", "Restore them, or roll back.")
        name = f"{version}-{Path(path).name[:_DIGITS]}"
        if name not in await self._served():
            try:
                await self.upstream.tell(f"{self.base_url}/load_lora_adapter", {"lora_name": name, "lora_path": path})
            except NotOffered:
                raise Refused(
                    "The vLLM server takes no adapters while it runs.",
                    "Start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1.",
                ) from None
            except Refused:
                # Another gateway may have loaded the same a moment ago.
                if name not in await self._served():
                    raise
        self.names[version] = self._adapters[version] = name

    async def unload(self, version: str) -> None:
        """Free an adapter; the base stays. One that vLLM has lost or another gateway has freed is no error."""
        self.names.pop(version, "")
        name = self._adapters.pop(version, "")
        if name and name in await self._served():
            await self.upstream.tell(f"{self.base_url}/unload_lora_adapter", {"lora_name": name})

    async def fingerprint(self, version: str) -> Fingerprint:
        """The digest of greedy answers to fixed prompts, given twice: from what vLLM keeps of a prompt, and anew.

        A prompt with a salt of its own finds nothing kept (`cache_salt`). Where both differ the name's adapter was
        exchanged, people get answers that are half the old one's, and the digest is one that never comes again.
        """
        salt = secrets.token_hex(8)
        kept = await self.take_print(version)
        anew = await self.take_print(version, {"cache_salt": salt})
        return kept if kept == anew else Fingerprint(digest([kept.digest, anew.digest, salt]))

    async def versions(self) -> Sequence[str]:
        """The versions it has now: a restarted server has lost its adapters."""
        served = await self._served()
        return sorted(version for version, name in self.names.items() if name in served)

    async def _served(self) -> set[str]:
        listed = await self.upstream.get(f"{self.base_url}/models")
        try:
            return {str(model["id"]) for model in listed["data"]}
        except (KeyError, TypeError):
            raise Refused("The server's list of models cannot be read.", "Check gateway.upstream_url.") from None


def holds(folder: Path) -> bool:
    """Whether an adopted folder still has the content that names it; True where it cannot be seen from here."""
    if not _DIGEST.fullmatch(folder.name) or not folder.is_dir():
        return True
    try:
        return artefacts.digest(folder) == folder.name
    except artefacts.ArtefactRefused:
        return False  # a link or a device among them was not adopted
    except OSError:
        return True
