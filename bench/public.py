"""Where the public data lies that benches read."""

import os
from pathlib import Path


def public_data() -> Path:
    """The folder that TRIMTAB_DATA names; without it the bench ends with a sentence."""
    if not (named := os.environ.get("TRIMTAB_DATA")):
        raise SystemExit("The public data is missing: set TRIMTAB_DATA to its folder.")
    return Path(named)
