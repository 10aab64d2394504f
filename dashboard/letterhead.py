"""The plain HTML sheet around what is said outside the pages: the sign-in form and short sentences."""

from __future__ import annotations

import html

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--quiet:#5a6b7d;--paper:#f5f7f9;--card:#fff;--line:#d8dfe6;--act:#0f6b78;
--bad:#a5321f}
@media(prefers-color-scheme:dark){:root{--ink:#e4eaf0;--quiet:#94a5b5;--paper:#10161c;--card:#18212a;--line:#2c3946;
--act:#4fb3c1;--bad:#f0907d}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);
color:var(--ink);font:16px/1.5 system-ui,sans-serif;padding:1rem}
main{width:100%;max-width:24rem;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:2rem}
h1{font-size:1.35rem;margin:0 0 .25rem}p{margin:.25rem 0 1rem;color:var(--quiet)}
label{display:block;font-size:.9rem;margin:1rem 0 .25rem}
input{width:100%;font:inherit;color:inherit;background:transparent;border:1px solid var(--line);border-radius:8px;
padding:.55rem .7rem}
button{width:100%;margin-top:1.5rem;font:inherit;font-weight:600;border:0;border-radius:8px;padding:.65rem;
background:var(--act);color:var(--card);cursor:pointer}
input:focus-visible,button:focus-visible{outline:3px solid var(--act);outline-offset:2px}
.wrong{color:var(--bad);border-left:3px solid var(--bad);padding-left:.7rem}
.demo{border:1px dashed var(--line);border-radius:8px;padding:.5rem .7rem;font-size:.9rem}
"""
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 100 100'%3E"
    "%3Ctext y='.9em' font-size='90'%3E%F0%9F%A7%AD%3C/text%3E%3C/svg%3E"
)


def sheet(title: str, body: str, *, refresh: int | None = None) -> str:
    """An HTML page with `body`, which is HTML whose texts were escaped; it opens itself again after `refresh` seconds,
    where they are given."""
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh is not None else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'{again}<title>{html.escape(title)}</title><link rel="icon" href="{_ICON}"><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )
