"""Two approvers click twice each at once on a proposal, many times over: one run each time, or it fails.

python bench/approval_rounds.py --rounds 500
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main() -> int:
    """Play the rounds and print how many runs a round made; returns 1 unless it was one each time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    given = parser.parse_args()
    import sqlalchemy as sa

    from core.errors import TrimtabError
    from store import audit, decisions
    from store.tables import runs
    from tests import console_world

    made: Counter[int] = Counter()
    refused: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        world = console_world.build_empty(Path(folder))
        for number in range(given.rounds):
            with world.store.write(world.now) as tx:
                tx.execute(runs.update().where(runs.c.state == "queued").values(state="cancelled"))
                uuid = decisions.propose(
                    tx,
                    kind="retrain",
                    subject="assistant",
                    proposer="system:policy",
                    reason="Round.",
                    body={"spec": {"round": number}},
                    expires_at=world.now + timedelta(days=1),
                )
                row = decisions.get(tx, uuid)
            start = threading.Barrier(4)

            def click(
                person: str, uuid: str = uuid, digest: str = row["digest"], start: threading.Barrier = start
            ) -> None:
                start.wait()
                try:
                    with world.store.write(world.now) as tx:
                        decisions.approve(tx, uuid, actor=person, digest=digest)
                except TrimtabError as error:
                    refused[type(error).__name__] += 1

            threads = [threading.Thread(target=click, args=(person,)) for person in ("ann", "bea") * 2]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            with world.store.read() as tx:
                made[int(tx.scalar(sa.select(sa.func.count()).where(runs.c.decision_id == row["id"])))] += 1
        with world.store.read() as tx:
            chain = audit.verify(tx)
        world.store.close()
    print(f"rounds {given.rounds}, runs a round {dict(made)}, refused {dict(refused)}, chain bad at {chain.bad}")
    return 0 if made == Counter({1: given.rounds}) and chain.bad is None else 1


if __name__ == "__main__":
    sys.exit(main())
