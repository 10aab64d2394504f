"""Batched decoding with a key-value cache: rows of any version join between two steps, stream their text, and leave.

Left padding keeps the newest token of every row in the last column, so a step is one forward pass of one column.
Prompts are read in slices between steps, so a long prompt does not hold up answers that are already running.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.adapters import Versions
from models.cache import merge, select
from models.detokenise import TextStream
from models.experts import find_experts
from models.load import Base
from models.requests import Piece, Request, Timing
from models.sampling import choose
from models.starts import Starts

if TYPE_CHECKING:
    import torch

SLICE = 256
# Prompts are read together up to so many tokens, padding included: the weights are read once for all of them, but the
# first of them cannot answer before the last is read.
READ_TOGETHER = 128


@dataclass(slots=True)
class Row:
    """A running answer; `load` is how many of its tokens went to each expert, [layers, experts], None without any."""

    request: Request
    text: TextStream
    source: random.Random
    position: int
    last: int = 0
    ended: bool = False
    load: "torch.Tensor | None" = None


@dataclass(slots=True)
class Batch:
    """Rows that share a cache; `mask` is (rows, columns), 0 where a row is padded.

    Of `pending`, the last columns of the prompts, the first `done` are read.
    """

    rows: list[Row]
    cache: Any
    mask: "torch.Tensor"
    pending: "torch.Tensor | None" = None
    done: int = 0


class Decoder:
    """Computes answers step by step. Not thread-safe: one thread calls `admit` and `step`.

    `clock` gives seconds, monotonic; it only fills the timing of an answer.
    """

    def __init__(
        self, base: Base, versions: Versions, clock: Callable[[], float], *, rows: int = 16, tokens: int = 65536
    ) -> None:
        self.base, self.versions, self.clock = base, versions, clock
        self.limit, self.tokens = rows, tokens
        self.starts = Starts(base, versions)
        self.experts = find_experts(base.model)
        self.running: Batch | None = None
        self.reading: Batch | None = None
        self.made = 0

    def rows(self) -> list[Row]:
        """Every row in the decoder, running or still reading its prompt."""
        return [row for batch in (self.running, self.reading) if batch for row in batch.rows]

    def room(self, waiting: list[Request]) -> int:
        """How many of `waiting`, from the front, to read now.

        Bounded by rows, by cache size (rows times the longest answer), and beyond the first by READ_TOGETHER.
        """
        if self.reading is not None:
            return 0
        sizes = [len(row.request.prompt) + row.request.sampling.max_tokens for row in self.rows()]
        count = longest = 0
        for request in waiting:
            longest = max(longest, self.starts.unread(request))
            if count and (count + 1) * longest > READ_TOGETHER:
                break
            sizes.append(len(request.prompt) + request.sampling.max_tokens)
            if len(sizes) > self.limit or (len(sizes) > 1 and len(sizes) * max(sizes) > self.tokens):
                break
            count += 1
        return count

    def admit(self, requests: list[Request]) -> None:
        """Starts reading the prompts of `requests`: what their starts leave, padded on the left to the longest."""
        import torch

        rows = []
        for request in sorted(requests, key=lambda r: r.version):
            request.started = self.clock()
            text = TextStream(self.base.tokenizer, request.sampling.stops)
            rows.append(Row(request, text, random.Random(request.sampling.seed), len(request.prompt)))
        unread = [self.starts.unread(row.request) for row in rows]
        ids = torch.zeros(len(rows), max(unread), dtype=torch.long)
        mask = torch.zeros(len(rows), max(unread), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, -unread[index] :] = torch.tensor(row.request.prompt[-unread[index] :])
            mask[index, -unread[index] :] = 1
        cache, placed = self.starts.place([row.request for row in rows])
        device = self.base.device
        self.reading = Batch(rows, cache, torch.cat([placed, mask.to(device)], 1), ids.to(device))

    def step(self) -> bool:
        """One slice of prompt reading and one token for every running row; False when there was nothing to do."""
        import torch

        worked = False
        with torch.inference_mode():
            if self.reading is not None:
                worked = True
                self.read(self.reading)
            if self.running is not None:
                worked = True
                self.advance(self.running)
        return worked

    def forward(self, batch: Batch, ids: "torch.Tensor", mask: "torch.Tensor", positions: "torch.Tensor") -> Any:
        """Logits (rows, vocabulary) of the last column."""
        self.versions.route([row.request.version for row in batch.rows])
        if self.experts is not None:
            self.experts.listen()
        out = self.base.model(
            input_ids=ids,
            attention_mask=None if bool(mask.all()) else mask,
            position_ids=positions,
            past_key_values=batch.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        if self.experts is not None:
            loads = self.experts.count(mask[:, -ids.shape[1] :])
            for row, load in zip(batch.rows, loads if loads is not None else (), strict=False):
                row.load = load if row.load is None else row.load + load
        return out.logits[:, -1]

    def read(self, batch: Batch) -> None:
        """Reads the next slice of the prompts; after the last the rows get their first token and join the others."""
        assert batch.pending is not None
        if all(row.request.cancelled for row in batch.rows):
            self.reading = None
            for row in batch.rows:
                self.close(row, "cancelled")
            return
        begin, end = batch.done, min(batch.done + SLICE, batch.pending.shape[1])
        mask = batch.mask[:, : batch.mask.shape[1] - batch.pending.shape[1] + end]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, begin - end :]
        logits = self.forward(batch, batch.pending[:, begin:end], mask, positions)
        batch.done = end
        if end < batch.pending.shape[1]:
            return
        self.reading, batch.pending = None, None
        self.starts.learn([row.request for row in batch.rows], batch.cache, batch.mask)
        self.take(batch, logits)
        batch = self.keep(batch)
        if not batch.rows:
            return
        self.running = batch if self.running is None else self.join(self.running, batch)

    def advance(self, batch: Batch) -> None:
        """One token for every row of the running batch."""
        import torch

        for row in batch.rows:
            if row.request.cancelled:
                self.close(row, "cancelled")
        batch = self.keep(batch)
        self.running = batch if batch.rows else None
        if not batch.rows:
            return
        device = self.base.device
        ids = torch.tensor([[row.last] for row in batch.rows], device=device)
        positions = torch.tensor([[row.position] for row in batch.rows], device=device)
        batch.mask = torch.cat([batch.mask, batch.mask.new_ones(len(batch.rows), 1)], 1)
        logits = self.forward(batch, ids, batch.mask, positions)
        for row in batch.rows:
            row.position += 1
        self.take(batch, logits)
        batch = self.keep(batch)
        self.running = batch if batch.rows else None

    def take(self, batch: Batch, logits: "torch.Tensor") -> None:
        """Draws each row's next token and hands its text on."""
        greedy = logits.argmax(-1).tolist()
        now = self.clock()
        for index, row in enumerate(batch.rows):
            request, sampling = row.request, row.request.sampling
            token = (
                greedy[index]
                if sampling.temperature == 0.0
                else choose(logits[index], sampling.temperature, sampling.top_p, row.source)
            )
            request.ids.append(token)
            request.first = request.first or now
            row.last = token
            self.made += 1
            if token in self.base.end_ids:
                self.close(row, "stop")
                continue
            piece = row.text.push(token)
            if row.text.stopped:
                self.close(row, "stop", piece)
            elif len(request.ids) >= sampling.max_tokens:
                self.close(row, "length", piece)
            elif piece or len(request.ids) == 1:
                request.emit(Piece(piece))

    def close(self, row: Row, finish: str, piece: str = "", error: str | None = None) -> None:
        """Hands out the last piece of a row, which leaves the batch at its next selection."""
        request, now = row.request, self.clock()
        row.ended = True
        tail = "" if finish in ("cancelled", "error") else row.text.finish()
        if row.text.stopped and finish == "length":
            finish = "stop"
        timing = Timing(
            queue_ms=(request.started - request.submitted) * 1e3,
            first_token_ms=((request.first or now) - request.submitted) * 1e3,
            total_ms=(now - request.submitted) * 1e3,
        )
        if self.experts is not None and row.load is not None and finish in ("stop", "length"):
            self.experts.keep(request.version, row.load)
        request.emit(Piece(piece + tail, finish, len(request.ids), timing, error))

    def keep(self, batch: Batch) -> Batch:
        """The batch without its ended rows and without columns that no row left uses."""
        left = [index for index, row in enumerate(batch.rows) if not row.ended]
        if len(left) == len(batch.rows):
            return batch
        batch.rows = [batch.rows[index] for index in left]
        if left:
            mask = batch.mask[left]
            skip = int(mask.any(0).int().argmax())
            batch.mask = mask[:, skip:]
            select(batch.cache, left, skip)
        return batch

    def join(self, first: Batch, second: Batch) -> Batch:
        """One batch of the rows of both, grouped by version."""
        import torch

        rows = first.rows + second.rows
        order = sorted(range(len(rows)), key=lambda index: rows[index].request.version)
        merge(first.cache, second.cache, order)
        columns = max(first.mask.shape[1], second.mask.shape[1])
        padded = [torch.nn.functional.pad(batch.mask, (columns - batch.mask.shape[1], 0)) for batch in (first, second)]
        return Batch([rows[index] for index in order], first.cache, torch.cat(padded)[order])

    def abandon(self, error: str) -> None:
        """Ends every row with an error, after a failure that leaves the cache unusable or at shutdown."""
        rows, self.running, self.reading = self.rows(), None, None
        for row in rows:
            if not row.ended:
                self.close(row, "error", error=error)
