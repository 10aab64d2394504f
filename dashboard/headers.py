"""Response headers: nothing from elsewhere is loaded, nobody frames the console, and static files go compressed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import threading
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COMPRESSED = {".js": "text/javascript", ".css": "text/css"}
_LEVEL = 5


def content_policy(index: str) -> str:
    """The Content-Security-Policy for a page whose HTML is `index`: its own inline scripts by hash, nothing foreign."""
    inline = re.findall(r"<script>(.*?)</script>", index, flags=re.DOTALL)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in inline
    )
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'wasm-unsafe-eval' {hashes}".strip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class SecurityHeaders:
    """ASGI middleware: the same guarding headers on every answer."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self.app = app
        self.headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            # Stricter (no-referrer) would make browsers send "Origin: null" with the sign-in form.
            "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_guarded if scope["type"] == "http" else send)


class CompressedStatic:
    """ASGI middleware: scripts and styles under /static/ compressed once and kept; a third of the bytes to load."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self.app = app
        files = [path for path in folder.rglob("*") if path.suffix in COMPRESSED and path.is_file()]
        self.files = {f"/static/{path.relative_to(folder).as_posix()}": path for path in files}
        self.ready: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = self.files.get(scope.get("path", "")) if scope["type"] == "http" else None
        if file is None or "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return await self.app(scope, receive, send)
        answer = Response(
            self.compress(scope["path"]),
            media_type=COMPRESSED[file.suffix],
            headers={
                "content-encoding": "gzip",
                "vary": "accept-encoding",
                "cache-control": "public, max-age=31536000, immutable",
            },
        )
        await answer(scope, receive, send)

    def compress(self, path: str) -> bytes:
        """The compressed file at `path`, made at the first call."""
        if path not in self.ready:
            self.ready[path] = gzip.compress(self.files[path].read_bytes(), _LEVEL, mtime=0)
        return self.ready[path]

    def warm(self, index: str) -> threading.Thread:
        """Compress what the first page loads, in the background."""
        named = re.findall(r'(?:src|href)="\.?(/static/[^"]+)"', index)
        work = threading.Thread(
            target=lambda: [self.compress(path) for path in named if path in self.files], daemon=True
        )
        work.start()
        return work
