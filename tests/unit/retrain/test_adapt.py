"""Adaptation to unlabelled texts: what is left out, what is learned, and that preference tuning goes on from it."""

from __future__ import annotations

import json
import math
import random
import time

import pytest
import torch

from core.errors import InvalidInput
from models.artefacts import digest
from retrain.adaptation import adapt_first
from retrain.training.policy import Hardware, load_policy
from retrain.training.progress import Progress, read_events
from retrain.training.spec import LoraSpec, load_spec
from retrain.training.texts import PlainText, encode_texts, is_private
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Job

ADDRESS = "write to jane.doe@acme-parcels.co.uk"


def make_texts(count: int, seed: int) -> list[dict[str, str]]:
    """Texts of one domain: few words, always in the same turns."""
    draw = random.Random(seed)
    words = ["parcel", "refund", "late", "invoice"]
    return [{"id": f"x{n}", "text": f"my {draw.choice(words)} is {draw.choice(words)}"} for n in range(count)]


def write_texts(folder, rows) -> None:
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def train(folder) -> int:
    spec = load_spec(folder)
    job = Job(folder, spec, Progress(folder / "progress.jsonl"), lambda: False, time.monotonic)
    return TRAINERS.get(spec.trainer)().train(job)


def events_of(folder, name) -> list[dict]:
    return [event for event in read_events(folder / "progress.jsonl") if event["event"] == name]


def measure(base, adapter, rows) -> float:
    """Nats a token of `rows` under the model with `adapter`."""
    policy = load_policy(base, adapter, LoraSpec(r=4), Hardware("cpu", "fp32", 1, "test"), seed=0)
    policy.model.eval()
    texts, _ = encode_texts(policy.tokenizer, [PlainText(row["id"], row["text"]) for row in rows], 512)
    with torch.no_grad():
        total = sum(float(policy.score_alone(text.tokens.ids, 1)) for text in texts)
    return -total / sum(len(text.tokens.completion) for text in texts)


def test_it_learns_the_domain_and_preference_tuning_goes_on_from_its_adapter(make_run, tiny_model):
    folder = make_run("a", trainer="adapt", max_steps=20)
    write_texts(folder, make_texts(24, seed=0))
    assert train(folder) == DONE
    unseen = make_texts(30, seed=99)
    assert measure(tiny_model, folder / "adapter", unseen) < 0.7 * measure(tiny_model, None, unseen)
    then = make_run("b", init_adapter=str(folder / "adapter"), max_steps=20)
    assert train(then) == DONE
    steps = events_of(then, "step")
    # The adapted version is the reference that preference tuning starts from.
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert steps[-1]["accuracy"] == 1
    assert measure(tiny_model, then / "adapter", unseen) < measure(tiny_model, None, unseen)


def test_texts_with_personal_data_are_left_out_and_counted(make_run):
    folder = make_run("a", trainer="adapt", max_steps=1)
    rows = make_texts(6, seed=0)
    rows[2]["text"] = ADDRESS
    rows.append({"id": "m", "text": [{"role": "user", "content": ADDRESS}]})
    write_texts(folder, rows)
    assert train(folder) == DONE
    start = events_of(folder, "start")[0]
    assert (start["texts"], start["left_out_private"]) == (5, 2)


def test_texts_that_all_hold_personal_data_are_refused(make_run):
    folder = make_run("a", trainer="adapt", max_steps=1)
    write_texts(folder, [{"id": "1", "text": ADDRESS}])
    with pytest.raises(InvalidInput, match=r"no text without personal data \(1 left out\)"):
        train(folder)


@pytest.mark.parametrize("before", [0, 19_790, 19_990, 20_010, 45_000])
def test_personal_data_is_found_wherever_it_stands(before):
    assert is_private(PlainText("1", "word " * (before // 5) + ADDRESS))
    assert not is_private(PlainText("1", "word " * (before // 5)))


def test_the_loss_is_the_mean_over_all_tokens_of_a_step(make_run, tiny_model):
    folder = make_run("a", trainer="adapt", max_steps=1, pairs_per_step=5, tokens_per_batch=1, row_tokens=1)
    rows = [*make_texts(4, seed=0), {"id": "long", "text": "a much longer text, about nothing at all, to weigh more"}]
    write_texts(folder, rows)
    assert train(folder) == DONE
    step = events_of(folder, "step")[0]
    assert step["loss"] == pytest.approx(measure(tiny_model, None, rows), rel=1e-4)
    assert step["perplexity"] == pytest.approx(math.exp(step["loss"]), rel=1e-4)


def test_watching_pairs_is_refused(make_run):
    folder = make_run("a", trainer="adapt", eval_every=2)
    write_texts(folder, make_texts(4, seed=0))
    with pytest.raises(InvalidInput, match="watches no held-out pairs"):
        train(folder)


def test_adaptation_may_come_first_and_a_stop_within_it_changes_nothing(make_run):
    """The trainer starts from the adapted adapter, which is its reference too: its first loss is ln 2."""
    digests = []
    for name, stops in (("whole", []), ("stopped", [False] * 8 + [True])):
        folder = make_run(name, max_steps=3, adapt_steps=6)
        write_texts(folder, make_texts(24, seed=0))

        def go(folder=folder, stops=stops) -> int:
            def stop() -> bool:
                return stops.pop(0) if stops else False

            job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), stop, time.monotonic)
            code, then = adapt_first(job)
            return TRAINERS.get("dpo")().train(then) if code == DONE else code

        if stops:
            assert go() == STOPPED and not (folder / "adapter").exists()
        assert go() == DONE
        assert len({event["step"] for event in events_of(folder, "adapt_step")}) == 6
        losses = [event["loss"] for event in events_of(folder, "step")]
        assert len(losses) == 3 and losses[0] == pytest.approx(math.log(2), abs=1e-5)
        assert load_spec(folder).init_adapter is None  # what judges is the champion, not the adapted one
        digests.append(digest(folder / "adapter"))
    assert digests[0] == digests[1]
