"""The drift detector on real queries with the real encoder: found where they change, quiet where they do
not.
"""

import gzip
import json

import pytest

from models.encoder import Encoder
from monitors.statistics.drift import DriftDetector

BEFORE, REFERENCE = 150, 500


def rows_of(folder, name):
    with gzip.open(folder / "streams" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="module")
def encoder(prepared_models):
    return Encoder(prepared_models / "encoder")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "onset", "latest"),
    [("clinc_sudden", 2200, 15), ("clinc_attack_burst", 2600, 60), ("clinc_control", 2200, None)],
)
def test_a_known_change_is_found_soon_after_its_onset_and_a_control_stays_quiet(
    encoder, public_data, name, onset, latest
):
    texts = rows_of(public_data, name)[onset - BEFORE - REFERENCE : onset + 100]
    rows = encoder.embed(texts)
    detector = DriftDetector.fit(rows[:REFERENCE], texts[:REFERENCE], alpha=0.05, seed=1, horizon=3000)
    looks = detector.update(rows[REFERENCE:], texts[REFERENCE:])
    alarms = [look.index - BEFORE for look in looks if look.alarm]
    if latest is None:
        assert alarms == []
    else:
        [delay] = alarms
        assert 0 <= delay <= latest
        # Attacks are one in a hundred before the burst, so that its start is known to about fifty queries.
        assert detector.onset() >= BEFORE - 50
