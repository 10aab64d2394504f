"""JSON lines, plain or gzipped, read one at a time, with the wrong rows listed by line at the end."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from core.errors import InvalidInput, NotFound

LONGEST_LINE = 8 * 1024 * 1024
MOST_ERRORS = 20
Report = Callable[[float, str], None]


class BadRow(ValueError):
    """What is wrong with a row, in words that follow its line number."""


class BadRows(InvalidInput):
    """A file with wrong rows: `errors` are the first of them as (line, what is wrong), `count` all of them."""

    def __init__(self, name: str, errors: list[tuple[int, str]], count: int, *, complete: bool = True) -> None:
        self.errors, self.count = errors, count
        shown = "; ".join(f"line {line}: {wrong}" for line, wrong in errors)
        more = f"; and {count - len(errors)} more" if count > len(errors) else ""
        end = "." if complete else "; reading stopped there."
        super().__init__(f"{name} has {count} wrong rows: {shown}{more}{end}", "Nothing was imported; correct them.")


class Source:
    """A file of JSON objects, called `name` to people. `share` says how much of it was read."""

    def __init__(self, path: Path, name: str = "", most_bytes: int | None = None) -> None:
        """Raises NotFound, or InvalidInput for something that is not a readable file.

        What unpacks to more than `most_bytes` raises InvalidInput when read: a small file must not be hours of work.
        """
        self.path, self.name, self.most_bytes = path, name or path.name, most_bytes
        try:
            self.size = max(path.stat().st_size, 1)
            if not path.is_file():
                raise InvalidInput(f"{path} is not a file.", "Name a file of JSON lines.")
        except FileNotFoundError:
            raise NotFound(f"There is no file {path}.", "Check its name.") from None
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from None
        self._raw: IO[bytes] | None = None

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(self._raw.tell() / self.size, 1.0) if self._raw and not self._raw.closed else 1.0

    def rows(self, read: Callable[[dict[str, Any], int], Any], *, keep: bool = False) -> Iterator[Any]:
        """What `read` makes of each object, given its line number. Raises BadRows at the end if it refused any.

        After the first refusal nothing is given, unless told to `keep` on.
        """
        errors: list[tuple[int, str]] = []
        count = 0
        try:
            for line, text in self._lines():
                try:
                    made = read(_parse(text), line)
                except BadRow as error:
                    count += 1
                    if len(errors) < MOST_ERRORS:
                        errors.append((line, str(error)))
                    continue
                if keep or not count:
                    yield made
        except BadRow as error:
            raise BadRows(self.name, [*errors, error.args[::-1]], count + 1, complete=False) from None
        if count:
            raise BadRows(self.name, errors, count)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self.path.open("rb") as raw:
                self._raw = raw
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                lines: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
                number = read = 0
                while text := lines.readline(LONGEST_LINE + 1):
                    number, read = number + 1, read + len(text)
                    if self.most_bytes is not None and read > self.most_bytes:
                        raise InvalidInput(
                            f"{self.name} unpacks to more than {self.most_bytes:,} bytes.", "Bring it in in parts."
                        )
                    if len(text) > LONGEST_LINE:
                        raise BadRow(f"is longer than {LONGEST_LINE} bytes", number)
                    if text.strip():
                        yield number, text
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise InvalidInput(f"{self.name} is a gzip file that is cut off or damaged.", "Get it again.") from None
        except OSError as error:
            raise InvalidInput(f"{self.path} cannot be read: {error.strerror}.", "Check it.") from None


def _parse(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadRow("is not valid JSON") from None
    if not isinstance(value, dict):
        raise BadRow("is not a JSON object")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(name)


def column_of(mapping: Mapping[str, str], known: tuple[str, ...]) -> dict[str, str]:
    """The column for each known field: as `mapping` says, or of the field's own name. Raises InvalidInput."""
    for field in mapping:
        if field not in known:
            raise InvalidInput(f"There is no field {field}.", f"Fields are: {', '.join(known)}.")
    return {field: mapping.get(field, field) for field in known}
