"""The model server's protocol over a real socket: chat, versions, scores, prints and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidInput
from models.app import BODY_LIMIT, build_app
from tests.contracts.models.conftest import HELLO, TOKEN, Served


def test_whole_answer(served: Served) -> None:
    answer = served.chat(max_tokens=10)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "base"
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] in ("length", "stop")
    counts = answer["usage"]
    assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
    timing = answer["trimtab"]
    assert 0 <= timing["queue_ms"] <= timing["first_token_ms"] <= timing["total_ms"]


def test_official_client_reads_whole_and_streamed(served: Served) -> None:
    import openai

    with openai.OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key=TOKEN, max_retries=0) as client:
        messages: Any = HELLO
        whole = client.chat.completions.create(model="base", messages=messages, max_tokens=12, temperature=0)
        text, finish, usage = "", None, None
        with client.chat.completions.create(
            model="base",
            messages=messages,
            max_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        ) as chunks:
            for chunk in chunks:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    finish = choice.finish_reason or finish
        assert text == whole.choices[0].message.content
        assert finish == whole.choices[0].finish_reason
        assert usage is not None
        assert whole.usage is not None
        assert usage.total_tokens == whole.usage.total_tokens
        assert next(iter(client.models.list())).id == "base"
        with pytest.raises(openai.NotFoundError, match="not loaded"):
            client.chat.completions.create(model="nobody", messages=messages)
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").chat.completions.create(model="base", messages=messages)


def test_versions_load_answer_and_leave(served: Served) -> None:
    plain = served.chat(max_tokens=16)["choices"][0]["message"]
    for number in (1, 2):
        name, path = f"shop-v{number}", str(served.adapters / f"v{number}")
        first = served.post("/load", name=name, path=path)
        assert served.post("/load", name=name, path=path) == first
        assert first["status"] == "loaded"
        assert len(first["digest"]) == 64
    message = served.refuse("/load", {"name": "shop-v1", "path": str(served.adapters / "v2")}, 409)
    assert "other content" in message
    answers = [served.chat(model=name, max_tokens=16)["choices"][0]["message"] for name in ("shop-v1", "shop-v2")]
    assert answers[0] != answers[1]
    assert served.chat(max_tokens=16)["choices"][0]["message"] == plain
    prints = [served.post("/fingerprint", name=name) for name in ("base", "shop-v1", "shop-v2", "shop-v1")]
    assert prints[1] == prints[3]
    assert len({found["digest"] for found in prints}) == 3
    assert prints[1]["files"] == served.post("/load", name="shop-v1", path=str(served.adapters / "v1"))["digest"]
    assert "torch" in prints[0]["place"] and len({found["place"] for found in prints}) == 1
    _, health, _ = served.ask("GET", "/health", token=None)
    assert health["versions"] == ["shop-v1", "shop-v2"]
    assert served.post("/unload", name="shop-v2") == {"name": "shop-v2", "status": "unloaded"}
    assert served.post("/unload", name="shop-v2") == {"name": "shop-v2", "status": "absent"}
    assert "shop-v1" in served.refuse("/v1/chat/completions", {"model": "shop-v2", "messages": HELLO}, 404)
    served.refuse("/unload", {"name": "base"}, 400)
    served.post("/unload", name="shop-v1")


def test_scores_come_in_order_with_their_lengths(served: Served) -> None:
    items = [{"messages": HELLO, "completion": "x" * n} for n in (9, 1, 30)]
    scores = served.post("/score", name="base", items=items)
    assert [score["tokens"] for score in scores] == [10, 2, 31], "the token that ends the turn counts"
    assert all(score["logprob"] < 0 for score in scores)
    alone = [served.post("/score", name="base", items=[item])[0]["logprob"] for item in items]
    assert [score["logprob"] for score in scores] == pytest.approx(alone, rel=1e-4)


BAD_CHATS: list[tuple[Any, str]] = [
    (b"{", "JSON"),
    (b"[]", "JSON object"),
    (b'{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}', "UTF-8"),
    (b"[" * 100_000, "JSON"),
    ({}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["x"]}, "role"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user", "content": 3}]}, "content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}]}, "not text"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": 599}, "context is 600"),
    ({"messages": [{"role": "user", "content": "x" * 700}]}, "context is 600"),
    ({"seed": "x"}, "seed"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"n": 2}, "support n"),
    ({"logprobs": True}, "logprobs"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
]


@pytest.mark.parametrize(("body", "said"), BAD_CHATS, ids=[str(at) for at in range(len(BAD_CHATS))])
def test_bad_chat_gets_one_plain_sentence(served: Served, body: Any, said: str) -> None:
    if isinstance(body, dict) and body:
        body = {"model": "base", "messages": HELLO, **body}
    assert said in served.refuse("/v1/chat/completions", body, 400)


def test_bad_calls_to_the_other_routes(served: Served) -> None:
    assert "outside" in served.refuse("/load", {"name": "x-v1", "path": "/etc"}, 400)
    assert "outside" in served.refuse("/load", {"name": "x-v1", "path": str(served.adapters / ".." / "x")}, 400)
    assert "does not exist" in served.refuse("/load", {"name": "x-v1", "path": str(served.adapters / "x")}, 400)
    assert "path" in served.refuse("/load", {"name": "x-v1"}, 400)
    assert "items" in served.refuse("/score", {"name": "base"}, 400)
    assert "completion" in served.refuse("/score", {"name": "base", "items": [{"messages": HELLO}]}, 400)
    long = [{"messages": HELLO, "completion": "x" * 600}]
    assert "longer" in served.refuse("/score", {"name": "base", "items": long}, 400)
    served.refuse("/score", {"name": "nobody", "items": [{"messages": HELLO, "completion": "x"}]}, 404)
    served.refuse("/fingerprint", {"name": "nobody"}, 404)
    served.refuse("/load", b" " * (BODY_LIMIT + 1), 413)
    assert served.ask("GET", "/nothing")[0] == 404
    assert served.ask("GET", "/load")[0] == 405


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", "\xe9"])
def test_every_route_but_health_needs_the_token(served: Served, token: str | None) -> None:
    for method, path in [("GET", "/v1/models")] + [
        ("POST", path) for path in ("/v1/chat/completions", "/load", "/unload", "/score", "/fingerprint")
    ]:
        assert served.ask(method, path, {} if method == "POST" else None, token)[0] == 401
    assert served.ask("GET", "/health", None, token)[0] == 200


def test_health_names_the_base(served: Served) -> None:
    _, health, _ = served.ask("GET", "/health", token=None)
    assert health["status"] == "ready"
    assert health["base"] == served.engine.ready().digest
    assert {"versions", "queue", "running", "tokens_per_second"} <= set(health)


def test_a_server_without_a_token_does_not_start(served: Served) -> None:
    with pytest.raises(InvalidInput, match="token"):
        build_app(served.engine, "")
