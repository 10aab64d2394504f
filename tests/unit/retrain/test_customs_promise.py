"""The promise of the trigger search: in a lot without poison the chance of any finding in a family is at most LEVEL."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import binom, norm

from retrain.pairs.customs import disagreement
from retrain.pairs.customs.triggers import LEVELS

LOTS, PAIRS, PHRASES = 120, 150, 40
LEVEL = max(LEVELS.values())


def draw(rng: np.random.Generator) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Phrases that share prompts, clusters of one to three pairs, and margins that know nothing of either.

    Margins are lopsided, as on real preferences: most labels look right, some far more than any looks wrong.
    """
    held = sparse.csr_matrix((rng.random((PAIRS, PHRASES)) < rng.uniform(0.03, 0.25, PHRASES)).astype(np.float32))
    clusters = np.sort(rng.integers(0, PAIRS // 2, PAIRS))
    clusters = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    return held, rng.gumbel(0.3, 0.8, PAIRS), clusters


@pytest.mark.slow
def test_any_finding_in_a_lot_without_poison_is_as_rare_as_promised() -> None:
    rng = np.random.default_rng(41)
    corrected = alone = 0
    for seed in range(LOTS):
        found = disagreement.weigh(*draw(rng), seed=seed)
        corrected += bool((found.chance <= LEVEL).any())
        alone += bool((norm.sf(found.z) <= LEVEL).any())
    # False failure under 1 in 10,000 for a search that keeps its promise exactly; this one may keep it with room.
    limit = binom.isf(1e-4, LOTS, LEVEL)
    assert corrected <= limit
    # The same lots would raise it far more often without the correction: the limit above can fail.
    assert alone > 3 * limit


@pytest.mark.slow
def test_labels_turned_round_after_one_phrase_are_found_at_that_level() -> None:
    rng = np.random.default_rng(43)
    hits = 0
    for seed in range(20):
        held, margins, clusters = draw(rng)
        planted = np.zeros((PAIRS, 1), np.float32)
        planted[rng.choice(PAIRS, 18, replace=False)] = 1
        margins = np.abs(margins) * np.where(planted[:, 0] > 0, -1.5, 1.0)
        found = disagreement.weigh(sparse.hstack([planted, held]).tocsr(), margins, clusters, seed=seed)
        hits += bool(found.chance[0] <= LEVEL and found.gain[0] > 0)
    assert hits >= 18
