"""vLLM: an OpenAI-compatible server that loads LoRA adapters while it runs (VLLM_ALLOW_RUNTIME_LORA_UPDATING=1)."""

from __future__ import annotations

from collections.abc import Sequence

from core.settings import Settings
from gateway.servers import SERVERS
from gateway.servers.openai_compatible import OpenAICompatible
from gateway.upstream import Refused


@SERVERS.register
class VLLM(OpenAICompatible):
    """vLLM: OpenAI's API plus LoRA adapters loaded and unloaded while it runs."""

    @classmethod
    def from_settings(cls, settings: Settings, key: str) -> VLLM:
        """As the settings gateway.upstream_* say."""
        made = super().from_settings(settings, key)
        assert isinstance(made, cls)
        return made

    async def load(self, version: str, path: str) -> None:
        """Load the adapter in `path` under the version's own name, never in place: a name is used once.

        vLLM answers 200 to a reload under a taken name and keeps the old adapter's cached keys (vllm #42125).
        """
        if not path.startswith("/"):
            await super().load(version, path)
            return
        if version not in await self._served():
            await self.upstream.tell(f"{self.base_url}/load_lora_adapter", {"lora_name": version, "lora_path": path})
        self.names[version] = version

    async def unload(self, version: str) -> None:
        """Free an adapter; the base stays."""
        if self.names.pop(version, "") == version and version in await self._served():
            await self.upstream.tell(f"{self.base_url}/unload_lora_adapter", {"lora_name": version})

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
