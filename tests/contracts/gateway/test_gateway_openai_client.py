"""The official client works unchanged: whole, streamed, models, errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest


@pytest.fixture
def client(world: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{world.url}/v1", api_key=world.key, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(
        model="assistant", messages=[{"role": "user", "content": "where is my parcel"}], **more
    )


def test_whole_answer_is_captured_with_all_it_was_asked(client: openai.OpenAI, world: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="assistant",
        messages=[{"role": "system", "content": "be kind"}, {"role": "user", "content": "where is my parcel"}],
        user="customer-7",
        metadata={"conversation_id": "c1", "topic": "delivery"},
        temperature=0.5,
        max_completion_tokens=50,
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "assistant-base heard: where is my parcel"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-trimtab-version"] == "assistant-base" == answer.system_fingerprint
    assert answer.id == f"chatcmpl-{raw.headers['x-trimtab-inference']}"
    world.captured(1)
    rows = world.rows(
        "SELECT i.uuid, i.version, i.kind, i.status, i.conversation, i.labels, i.user_hash, i.streamed, t.prompt,"
        " t.response FROM inferences i JOIN inference_texts t ON t.inference_id = i.id"
    )
    assert len(rows) == 1
    row = rows[0]
    assert row[:5] == (raw.headers["x-trimtab-inference"], "assistant-base", "live", 200, "c1")
    assert row[5] == '{"topic": "delivery"}'
    assert len(row[6]) == 32
    assert "customer" not in row[6]
    assert row[8:] == ("where is my parcel", "assistant-base heard: where is my parcel")


def test_stream_comes_in_pieces_and_is_captured_whole(client: openai.OpenAI, world: Any) -> None:
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(texts) > 3
    assert "".join(texts) == "assistant-base heard: where is my parcel"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == len("".join(texts).split())
    world.captured(1)
    assert world.rows(
        "SELECT streamed, response, status FROM inferences JOIN inference_texts ON inference_id = id"
    ) == [(1, "".join(texts), 200)]


def test_stream_without_usage_carries_none(client: openai.OpenAI) -> None:
    chunks = list(ask(client, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_models_lists_the_deployment(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["assistant"]


def test_errors_are_the_clients_own_kinds(client: openai.OpenAI, world: Any) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        ask(client, temperature=9)
    assert wrong.value.param == "temperature"
    with (
        openai.OpenAI(base_url=f"{world.url}/v1", api_key="tk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        ask(stranger)
    world.server.away = True
    with pytest.raises(openai.InternalServerError) as away:
        ask(client)
    assert away.value.status_code == 503
    assert away.value.response.headers["retry-after"]


def test_async_client_streams(world: Any) -> None:
    asyncio.run(stream_once(world))


async def stream_once(world: Any) -> None:
    async with openai.AsyncOpenAI(base_url=f"{world.url}/v1", api_key=world.key, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert said == "assistant-base heard: hi"
