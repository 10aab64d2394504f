"""Evidence pages by Evidently: how length, words and signs of texts are spread now and in the reference.

Not a judge: the alarm comes from the sequential test. Evidently loads thousands of modules, so it runs in a child
process (`python -m monitors.metrics.evidently_report OUT`), which reads the texts as JSON and writes only numbers into
the page.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, Unavailable

SECONDS = 180.0
ROWS_LEAST = 5
_NAME = re.compile(r"[0-9a-f-]{8,64}")


def write_report(folder: Path, alert: str, reference: Sequence[str], current: Sequence[str]) -> str:
    """Write the page for `alert` into `folder` and return its file name; empty with too few rows for a page.

    Raises Unavailable when Evidently fails or takes too long.
    """
    if not _NAME.fullmatch(alert):
        raise InvalidInput("An evidence page is named after its alert.", "Pass the alert's uuid.")
    if min(len(reference), len(current)) < ROWS_LEAST:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"drift-{alert}.html"
    part = folder / f".{name}.part"
    asked = json.dumps({"reference": list(reference), "current": list(current)}).encode()
    command = [sys.executable, "-m", "monitors.metrics.evidently_report", str(part)]
    environment = {**os.environ, "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=SECONDS, check=False, env=environment)
        if done.returncode != 0 or not part.is_file():
            raise Unavailable("Evidently could not write the evidence page.", "The alert stands without it.")
        part.replace(folder / name)
    except subprocess.TimeoutExpired:
        raise Unavailable("Evidently took too long for the evidence page.", "The alert stands without it.") from None
    finally:
        part.unlink(missing_ok=True)
    return name


def describe(texts: Sequence[str]) -> dict[str, list[float]]:
    """The columns of the page: numbers of each text, never its words."""
    return {
        "characters": [float(len(text)) for text in texts],
        "words": [float(len(text.split())) for text in texts],
        "capital share": [sum(c.isupper() for c in text) / max(len(text), 1) for text in texts],
        "digit share": [sum(c.isdigit() for c in text) / max(len(text), 1) for text in texts],
        "question marks": [float(text.count("?")) for text in texts],
    }


def main(arguments: Sequence[str]) -> int:
    """Read {"reference": [...], "current": [...]} from standard input and write the page."""
    import warnings

    warnings.simplefilter("ignore")
    os.environ["DO_NOT_TRACK"] = "1"
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    asked: dict[str, Any] = json.load(sys.stdin)
    frames = {name: pd.DataFrame(describe(asked[name])) for name in ("reference", "current")}
    definition = DataDefinition(numerical_columns=list(frames["reference"].columns))
    sets = {name: Dataset.from_pandas(frame, data_definition=definition) for name, frame in frames.items()}
    report = Report([DataDriftPreset(method="ks")], include_tests=False)
    snapshot = report.run(sets["current"], sets["reference"])  # Evidently's order: current, then reference
    snapshot.save_html(arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
