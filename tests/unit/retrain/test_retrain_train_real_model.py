"""Shared-prefix rows on the real chat model, in fp32: the log-probabilities of the model itself."""

from __future__ import annotations

import torch

from retrain.training.batches import make_micros
from retrain.training.encoding import encode_pairs
from retrain.training.policy import Hardware, load_policy
from retrain.training.spec import LoraSpec, PairText

PAIRS = [
    PairText("1", "How do I reset my password?", "Open Settings and choose Reset.", "No idea."),
    PairText("2", "How do I reset my password?", "Open Settings and choose Reset.", "Ask somebody else, please."),
    PairText("3", "Where is my parcel?", "It left the depot this morning.", "It left. That is all I can say."),
]


def test_shared_rows_score_as_the_model_does_on_each_text(prepared_models):
    policy = load_policy(prepared_models / "chat", None, LoraSpec(), Hardware("cpu", "fp32", 1, "test"), seed=0)
    policy.model.eval()
    pairs, _ = encode_pairs(policy.tokenizer, PAIRS, 512)
    with torch.no_grad():
        (micro,) = make_micros([pair.sequences for pair in pairs], 512, 512, policy.padding)
        scores = policy.score(micro.batch)
        sequences = [s for index in micro.groups for s in pairs[index].sequences]
        alone = torch.stack([policy.score_alone(s.ids, len(s.prompt)) for s in sequences])
    assert micro.batch.tokens < sum(len(s.ids) for s in sequences) / 2
    torch.testing.assert_close(scores, alone, rtol=1e-5, atol=1e-5)


def test_an_answer_ends_as_the_chat_template_ends_a_turn(prepared_models):
    from retrain.training.encoding import end_of_turn
    from retrain.training.policy import load_tokenizer

    tokenizer = load_tokenizer(prepared_models / "chat")
    assert tokenizer.convert_ids_to_tokens(list(end_of_turn(tokenizer))) == ["<|im_end|>"]
