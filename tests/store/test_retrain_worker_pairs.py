"""Preference pairs: made from what people said, checked with readable reasons, and drawn by prompt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import Forbidden, InvalidInput
from core.types import Feedback, Inference, PreferencePair
from retrain.pairs import building, checks, clearing, drawing
from retrain.pairs.card import code, write_card
from store import audit, datasets, feedback, inferences, pairs, tables
from store.unit_of_work import Store, Tx
from tests.customs_world import make_lot, poison
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
USER = [{"role": "user", "content": "Where is my parcel?"}]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    with opened.write(NOW) as tx:
        for name, role in {"ann": "approver", "otto": "operator"}.items():
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
    yield opened
    opened.close()


def pair(chosen: str = "It comes today.", rejected: str = "No idea.", **changes: Any) -> PreferencePair:
    given: dict[str, Any] = {"prompt": USER, "licence": "CC0-1.0", **changes}
    return PreferencePair("", chosen=chosen, rejected=rejected, **given)


def said(tx: Tx, uuid: str, kind: Any, chosen: str = "", rejected: str = "", messages: Any = None) -> None:
    row = Inference(f"i-{uuid}", NOW, "assistant", "assistant-v1", "live", messages or USER, "Where?", "No idea.")
    inferences.record(tx, [row])
    item = Feedback(f"f-{uuid}", NOW, kind, inference=f"i-{uuid}", value=-1.0, chosen=chosen, rejected=rejected)
    feedback.record(tx, item)


def drawn(
    tx: Tx, spec: Any, cleared: clearing.Cleared | None = None, *, share: float = 0.01
) -> tuple[Any, list[PreferencePair], list[PreferencePair]]:
    """The dataset drawn and locked at once, and both its sides; without `cleared` customs found nothing."""
    seen = cleared or clearing.Cleared({}, {pair.id: pair.id for pair in pairs.approved(tx, 10_000)}, {})
    made = drawing.draw(drawing.look(tx, seen), spec, share=share)
    row = drawing.lock(tx, made)
    assert row is not None
    return row, list(made.train), list(made.held_out)


def test_choices_and_corrections_become_pairs_once(store: Store) -> None:
    with store.write(NOW) as tx:
        said(tx, "1", "choice", "It comes today.", "No idea.")
        said(tx, "2", "correction", "It comes tomorrow.")
        said(tx, "3", "thumb")
        said(tx, "4", "choice", "It comes today.", "No idea.")  # the same preference again
        assert building.collect(tx) == 2
        assert building.collect(tx) == 0
        said(tx, "5", "correction", "On Monday.")
        assert building.collect(tx) == 1
        found = pairs.collected(tx)
    assert [(p.chosen, p.rejected) for p in found] == [
        ("It comes today.", "No idea."),
        ("It comes tomorrow.", "No idea."),
        ("On Monday.", "No idea."),
    ]
    assert {(p.version, p.source, p.licence) for p in found} == {("assistant-v1", "feedback", building.LICENCE)}


def test_feedback_on_what_is_no_text_makes_no_pair(store: Store) -> None:
    picture = [{"role": "user", "content": [{"type": "image_url"}]}]
    own = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    with store.write(NOW) as tx:
        said(tx, "1", "choice", "a", "b", picture)
        said(tx, "2", "choice", "a", "b", own)
        assert building.collect(tx) == 0


def test_sound_pairs_are_approved(store: Store) -> None:
    with store.write(NOW) as tx:
        assert pairs.add(tx, [pair(), pair(), pair(chosen="Monday.")], actor="x") == 2
        assert checks.judge_collected(tx) == (2, 0)
        assert pairs.counts(tx)["approved"] == 2
        assert audit.verify(tx).bad is None


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (pair(chosen=" "), "The chosen answer is empty."),
        (pair(rejected=""), "The rejected answer is empty."),
        (pair(chosen="No  idea."), "Both answers are the same."),
        (pair(chosen="x" * 9_000), "The chosen answer has 9000 characters; 8000 are taken."),
        (pair(licence=""), "It names no licence."),
        (pair(weight=0.0), "Its weight is not above 0."),
        (pair(prompt=[]), "The prompt is empty."),
        (pair(prompt=[{"role": "user", "content": "x" * 30_000}]), "30000 characters"),
        (pair(prompt=[*USER, {"role": "assistant", "content": "Hm."}]), "does not end with the user's words"),
    ],
)
def test_a_pair_that_fails_is_quarantined_with_its_reason(store: Store, wrong: PreferencePair, reason: str) -> None:
    with store.write(NOW) as tx:
        pairs.add(tx, [wrong], actor="x")
        assert checks.judge_collected(tx) == (0, 1)
        row = tx.one(tables.pairs.select())
    assert row is not None
    assert any(reason in found for found in row["reasons"]), row["reasons"]


def test_a_pair_on_which_the_checks_fail_is_held_and_keeps_none_after_it_waiting(store: Store) -> None:
    with store.write(NOW) as tx:
        pairs.add(tx, [pair("a"), pair(prompt=[{"role": "user"}]), pair("b"), pair(licence="")], actor="x")
        assert checks.judge_collected(tx) == (2, 2)
        held = tx.all(tables.pairs.select().where(tables.pairs.c.state == "quarantined"))
        assert [row["reasons"] for row in held] == [[checks.UNCHECKED], ["It names no licence."]]
        assert not checks.wait(tx)


def test_a_contradiction_quarantines_both_sides_also_later(store: Store) -> None:
    with store.write(NOW) as tx:
        pairs.add(tx, [pair("a", "b"), pair("b", "a"), pair("c", "d")], actor="x")
        assert checks.judge_collected(tx) == (1, 2)
        pairs.add(tx, [pair("d", "c")], actor="x")
        assert checks.judge_collected(tx) == (0, 2)
        assert pairs.counts(tx)["quarantined"] == 4


def test_a_person_releases_a_quarantined_pair_and_checks_leave_it_alone(store: Store) -> None:
    with store.write(NOW) as tx:
        pairs.add(tx, [pair("a", "b", licence="")], actor="x")
        checks.judge_collected(tx)
        row = tx.one(tables.pairs.select())
        assert row is not None
        with pytest.raises(Forbidden):
            pairs.release(tx, row["uuid"], actor="otto", reason="It is ours.")
        with pytest.raises(InvalidInput):
            pairs.release(tx, row["uuid"], actor="ann", reason="")
        pairs.release(tx, row["uuid"], actor="ann", reason="It is ours.")
        pairs.add(tx, [pair("b", "a")], actor="x")
        checks.judge_collected(tx)
        assert pairs.counts(tx) == {"collected": 0, "approved": 1, "quarantined": 1, "rejected": 0}


def test_a_dataset_is_split_by_prompt_and_locked_by_content(store: Store, tmp_path: Path) -> None:
    spec = {"max_train_pairs": 40, "max_held_out_pairs": 30, "steps": 100, "pairs_per_step": 4}
    with store.write(NOW) as tx:
        rows = [
            pair(f"yes {n % 2}", "no", prompt=[{"role": "user", "content": f"Question {n // 2}?"}], source="test")
            for n in range(300)
        ]
        pairs.add(tx, rows, actor="x")
        checks.judge_collected(tx)
        row, train, held_out = drawn(tx, spec)
        again, _, _ = drawn(tx, spec)
        assert again["id"] == row["id"]
        assert (len(train), len(held_out)) == (40, 30)
        assert not {p.prompt[0]["content"] for p in train} & {p.prompt[0]["content"] for p in held_out}
        assert {p.id for p in datasets.members(tx, row["id"], "held_out")} == {p.id for p in held_out}
        assert row["card"]["sources"] == {"test": 70}
        pairs.add(tx, [pair(prompt=[{"role": "user", "content": "A new one?"}])], actor="x")
    drawing.write(tmp_path, "train.jsonl", train)
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [p.uuid for p in train]


def test_too_few_pairs_are_not_drawn(store: Store) -> None:
    spec = {"max_train_pairs": 40, "max_held_out_pairs": 30, "steps": 100, "pairs_per_step": 4}
    with store.write(NOW) as tx:
        rows = [pair(prompt=[{"role": "user", "content": f"Question {n}?"}]) for n in range(12)]
        pairs.add(tx, rows, actor="x")
        checks.judge_collected(tx)
        with pytest.raises(InvalidInput, match="12 approved pairs"):
            drawn(tx, spec)


SPEC = {"max_train_pairs": 200, "max_held_out_pairs": 100, "steps": 100, "pairs_per_step": 4}


def collect(tx: Tx, found: list[PreferencePair]) -> list[PreferencePair]:
    pairs.add(tx, found, actor="x")
    checks.judge_collected(tx)
    return pairs.approved(tx, 10_000)


@pytest.mark.slow
def test_customs_quarantine_what_they_hold_before_a_run_draws_and_a_person_releases_it(store: Store) -> None:
    planted, mask = poison(make_lot(400, seed=11), 0.08, mark="cf", seed=12)
    with store.write(NOW) as tx:
        found = collect(tx, planted)
        cleared = clearing.clear(found, share=0.01, seed=0)
        row, train, held_out = drawn(tx, SPEC, cleared)
        marked = {pair.id for pair, bad in zip(found, mask, strict=True) if bad}
        assert not {pair.id for pair in [*train, *held_out]} & marked
        assert row["card"]["funnel"]["quarantined by customs"] == len(cleared.reasons) >= len(marked)
        assert audit.verify(tx).bad is None
        held = tx.one(tables.pairs.select().where(tables.pairs.c.id == min(marked)))
        assert held is not None
        assert "“cf”" in " ".join(held["reasons"])
        pairs.release(tx, held["uuid"], actor="ann", reason="We asked the person.")
        # What a person released stays released, whatever customs say again.
        again = clearing.clear(pairs.approved(tx, 10_000), share=0.01, seed=0)
        clearing.hold(tx, again)
        assert held["uuid"] in {pair.uuid for pair in pairs.approved(tx, 10_000)}


def test_a_doubtful_label_weighs_less_in_what_is_locked_and_what_a_person_released_does_not(store: Store) -> None:
    with store.write(NOW) as tx:
        found = collect(tx, make_lot(200, seed=16))
        whole, _, _ = drawn(tx, SPEC, clearing.Cleared({}, {p.id: p.id for p in found}, {}))
        doubted, released, *_ = [p.id for p in datasets.members(tx, whole["id"], "train")]
        doubts = {doubted: 0.25, released: 0.0}
        cleared = clearing.Cleared({released: ["Doubtful."]}, {p.id: p.id for p in found}, {}, weights=doubts)
        name = next(p.uuid for p in found if p.id == released)
        pairs.judge(tx, cleared.reasons, actor="system:customs")
        pairs.release(tx, name, actor="ann", reason="I asked.")
        row, train, held_out = drawn(tx, SPEC, cleared)
        assert row["digest"] != whole["digest"]
        assert {p.id: p.weight for p in train if p.weight != 1} == {doubted: 0.25}
        assert {p.weight for p in held_out} == {1.0}
        # Drawn again, or taken from what was locked, it is the same.
        assert drawn(tx, SPEC, cleared)[0]["id"] == row["id"]
        _, kept, _ = drawing.take(tx, row["digest"])
        assert {p.id: p.weight for p in kept} == {p.id: p.weight for p in train}
        assert "1 of the pairs to train on counts less" in row["card"]["text"]


def test_what_a_person_released_keeps_its_weight_when_a_later_look_doubts_it_less(store: Store) -> None:
    with store.write(NOW) as tx:
        found = collect(tx, make_lot(200, seed=16))
        every = {p.id: p.id for p in found}
        whole, _, _ = drawn(tx, SPEC, clearing.Cleared({}, every, {}))
        released, doubted, *_ = datasets.members(tx, whole["id"], "train")
        pairs.judge(tx, {released.id: ["Doubtful."]}, actor="system:customs")
        pairs.release(tx, released.uuid, actor="ann", reason="I asked.")
        # Not probable enough any more to be held: there is no reason against it, only a weight.
        later = clearing.Cleared({}, every, {}, weights={released.id: 0.1, doubted.id: 0.1})
        _, train, _ = drawn(tx, SPEC, later)
        assert {p.id: p.weight for p in train if p.weight != 1} == {doubted.id: 0.1}


def look(tx: Tx) -> clearing.Cleared:
    cleared = clearing.clear(*clearing.read(tx), share=0.05, seed=0)
    clearing.hold(tx, cleared)
    return cleared


@pytest.mark.slow
def test_what_nearly_repeats_a_pair_that_is_held_is_not_held_for_it() -> None:
    lot = [replace(pair, id=number + 1, licence="CC0-1.0") for number, pair in enumerate(make_lot(60, seed=17))]
    again = replace(lot[0], id=99, uuid="again", contributor="somebody", chosen=f"{lot[0].chosen} indeed")
    held = clearing.clear([*lot[1:], again], [lot[0]], share=0.05, seed=0).reasons
    assert 99 not in held
    assert 99 in clearing.clear([*lot, again], share=0.05, seed=0).reasons


@pytest.mark.slow
def test_a_second_look_says_the_same_and_what_was_held_still_speaks(store: Store) -> None:
    lot = make_lot(300, seed=17)
    planted, _ = poison(lot[:200], 0.08, mark="cf", seed=18)
    with store.write(NOW) as tx:
        collect(tx, planted)
        first = look(tx)
        assert first.reasons and first.weights
        second = look(tx)
        assert second.weights == {id: left for id, left in first.weights.items() if id not in first.reasons}
        assert not second.reasons
        # Three more with the same mark are too few to be found on their own.
        drops = [replace(item, uuid=f"d{n}", contributor=f"d{n}") for n, item in enumerate(lot[200:203])]
        late, _ = poison(drops, 1.0, mark="cf", seed=19)
        came = {pair.id for pair in collect(tx, late)} - first.clusters.keys()
        assert len(came) == 3
        alone = clearing.clear(pairs.approved(tx, 10_000), share=0.05, seed=0)
        assert not came & alone.reasons.keys()
        found = look(tx).reasons
        assert all("“cf”" in " ".join(found[id]) for id in came)


def test_pairs_that_customs_have_not_seen_are_not_drawn(store: Store) -> None:
    with store.write(NOW) as tx:
        found = collect(tx, make_lot(200, seed=13))
        cleared = clearing.clear(found, share=0.01, seed=0)
        pairs.add(tx, [pair(prompt=[{"role": "user", "content": "Came later?"}])], actor="x")
        checks.judge_collected(tx)
        _, train, held_out = drawn(tx, SPEC, cleared)
        assert {item.id for item in [*train, *held_out]} <= {item.id for item in found}


@pytest.mark.slow
def test_nothing_leaks_by_near_prompts_or_by_contributors_and_the_card_says_so(store: Store) -> None:
    with store.write(NOW) as tx:
        base = make_lot(800, seed=14, contributors=60)
        reworded = [
            replace(item, uuid=f"r{n}", prompt=[{"role": "user", "content": f"{item.prompt[0]['content']} ok"}])
            for n, item in enumerate(base[:300])
        ]
        found = collect(tx, [*base, *reworded])
        cleared = clearing.clear(found, share=0.05, seed=0)
        row, train, held_out = drawn(tx, SPEC, cleared, share=0.05)
        assert len(train) >= 100
        assert not {cleared.clusters[p.id] for p in train} & {cleared.clusters[p.id] for p in held_out}
        assert not {p.contributor for p in train} & {p.contributor for p in held_out}
        assert "none on both sides" in row["card"]["text"]
        assert row["card"]["text"].startswith("# Dataset card")
        assert "## What customs could not tell\n\n- `How far people agree is not known" in row["card"]["text"]
        told = {"contributors_apart": False, "contributors": 0}
        assert "- Contributors: none is named.\n" in write_card({**row["card"], **told})
        assert "- Contributors: 3, some may be on both sides" in write_card({**row["card"], **told, "contributors": 3})


def test_a_contributor_has_no_more_than_a_share(store: Store) -> None:
    busy = [replace(item, contributor="busy") if n % 2 else item for n, item in enumerate(make_lot(400, seed=15))]
    with store.write(NOW) as tx:
        found = collect(tx, busy)
        kept = drawing.limit_contributors(found, 0.01)
        counts = Counter(item.contributor for item in kept)
        assert counts["busy"] == max(counts.values()) < 40
        assert len(kept) == 200 + counts["busy"]
        assert drawing.limit_contributors(found, 0.01) == kept


def test_a_card_shows_hostile_names_as_code() -> None:
    assert code("`![x](http://e.org)`\n# big") == "`'![x](http://e.org)' # big`"
