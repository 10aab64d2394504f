"""Health check of a container without a port: has its process written a heartbeat lately? Usage: pulse.py ROLE"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config.load import load
from store import heartbeats
from store.unit_of_work import Store

OLDEST_SECONDS = 60.0


def main() -> None:
    role = sys.argv[1]
    store = Store.open(load().store_url)
    try:
        with store.read() as tx:
            ages = [row["age"] for row in heartbeats.ages(tx) if row["role"] == role]
    finally:
        store.close()
    if not ages or min(ages) > OLDEST_SECONDS:
        last = f"{min(ages):.0f} s ago" if ages else "never"
        sys.exit(f"the last heartbeat of {role} was {last}")


if __name__ == "__main__":
    main()
