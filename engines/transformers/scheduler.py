"""What the engine's thread does in one step: admit, prefill a chunk, decode one token for everyone.

Work joins at the next token and leaves when it ends. Prefills run in a table of rows of their own, in chunks, so
that a long prompt delays others by one chunk at most; a finished prefill is copied into a row per sequence. The
rows of running sequences are kept dense: the last row moves into a gap.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from deliberate.engines.protocol import EngineStats
from deliberate.engines.transformers.kv_rows import KVRows
from deliberate.engines.transformers.model import CausalModel, Chunk
from deliberate.engines.transformers.prefix_cache import Key, PrefixCache
from deliberate.engines.transformers.sampler import Row, draw
from deliberate.engines.transformers.work import Call, Prefill, Running


@dataclass(frozen=True, slots=True)
class Limits:
    """How much runs at once."""

    max_batch: int
    """Sequences that decode together."""
    max_kv_tokens: int
    """Columns times rows of the running sequences' table."""
    prefix_cache_tokens: int
    prefill_tokens: int
    """Tokens of one prefill chunk, over all its rows."""
    prefill_rows: int = 32


class Scheduler:
    """Owned by the engine's thread; nothing here is called from another."""

    def __init__(self, model: CausalModel, limits: Limits, end_of_sequence: frozenset[int] = frozenset()) -> None:
        self._model = model
        self._limits = limits
        self._end = end_of_sequence
        self._waiting: deque[Prefill] = deque()
        self._prefills: list[Prefill] = []
        self._prefill_rows = KVRows()
        self._running: list[Running] = []
        self._rows = KVRows()
        self._cache = PrefixCache(limits.prefix_cache_tokens)
        self.finished: list[Running] = []
        """Sequences that ended since the caller last looked."""
        self.read: list[tuple[Call, object]] = []
        """Likewise, (index, values) of sequences that were only read."""
        self.stats = EngineStats()

    @property
    def idle(self) -> bool:
        """Nothing to do."""
        return not (self._waiting or self._prefills or self._running)

    @property
    def running(self) -> list[Running]:
        """The sequences that are being generated; index = row."""
        return self._running

    def submit(self, work: Iterable[Prefill]) -> None:
        """Queue work, first come first served."""
        self._waiting.extend(work)

    def abort(self, call: Call) -> None:
        """Drop everything of a call."""
        self._waiting = deque(p for p in self._waiting if p.call is not call)
        for i in reversed([i for i, p in enumerate(self._prefills) if p.call is call]):
            self._drop_prefill(i)
        for i in reversed([i for i, s in enumerate(self._running) if s.call is call]):
            self._drop_running(i)
        self._count()

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Go on with other weights; keys and values of the old ones are forgotten. Nothing may be under way."""
        self._model.load_weights(weights)
        self._cache = PrefixCache(self._limits.prefix_cache_tokens)

    def step(self) -> None:
        """One round."""
        self._admit()
        if self._prefills:
            self._prefill()
        if self._running:
            self._decode()
        self._count()

    def _count(self, **changes: int) -> None:
        totals = {name: getattr(self.stats, name) + by for name, by in changes.items()}
        waiting = sum(max(1, len(p.sequences)) for p in (*self._waiting, *self._prefills))
        self.stats = replace(self.stats, running=len(self._running), waiting=waiting, **totals)

    # Admission

    def _admit(self) -> None:
        computing = {key for p in self._prefills if (key := self._missing(p)) is not None}
        postponed: list[Prefill] = []
        while self._waiting and len(self._prefills) < self._limits.prefill_rows and self._has_room(self._waiting[0]):
            work = self._waiting.popleft()
            missing = self._missing(work)
            if missing is not None and missing in computing:
                postponed.append(work)  # Another row is computing its beginning: wait and share that.
                continue
            self._start(work)
            if missing is not None:
                computing.add(missing)
        self._waiting.extendleft(reversed(postponed))

    def _missing(self, work: Prefill) -> Key | None:
        return self._cache.missing_key(work.tokens, work.cacheable)

    def _has_room(self, work: Prefill) -> bool:
        if not work.sequences:
            return True
        slots = self._free_slots()
        if slots == 0:
            return False
        busy = self._limits.max_batch - slots
        longest = max([len(work.tokens), *(len(s.tokens) for s in self._running)]) + 1
        return busy == 0 or (busy + 1) * longest <= self._limits.max_kv_tokens

    def _free_slots(self) -> int:
        promised = sum(len(p.sequences) for p in self._prefills)
        return self._limits.max_batch - len(self._running) - promised

    def _start(self, work: Prefill) -> None:
        slots = self._free_slots()
        if len(work.sequences) > slots:
            later = Prefill(work.call, work.tokens, work.sequences[slots:])
            work.sequences = work.sequences[:slots]
            self._waiting.appendleft(later)
        row = len(self._prefills)
        self._prefill_rows.reserve(row + 1, len(work.tokens))
        work.computed = self._cache.load(work.tokens, work.cacheable, self._prefill_rows, row)
        self._prefills.append(work)
        self._count(cached_tokens_total=work.computed)

    # Prefill

    def _prefill(self) -> None:
        chunks = self._chunks()
        work = self._prefills[: len(chunks)]
        wanted = [p.wanted(c.start, c.start + len(c.tokens)) for p, c in zip(work, chunks, strict=True)]
        keep = sorted({t - c.start for ts, c in zip(wanted, chunks, strict=True) for t in ts}) or [0]
        outputs = self._model.forward(self._prefill_rows, chunks, keep)
        column = {offset: i for i, offset in enumerate(keep)}
        for row, (p, chunk, positions) in enumerate(zip(work, chunks, wanted, strict=True)):
            p.computed += len(chunk.tokens)
            self._absorb(p, row, positions, outputs[row, [column[t - chunk.start] for t in positions]])
        for row in reversed(range(len(work))):
            if work[row].computed == len(work[row].tokens):
                self._drop_prefill(row)
        self._count(prefill_tokens_total=sum(len(c.tokens) for c in chunks))

    def _chunks(self) -> list[Chunk]:
        """The next tokens of each row, together at most one chunk, counting padding."""
        remaining = [len(p.tokens) - p.computed for p in self._prefills]
        longest = min(max(remaining), max(1, self._limits.prefill_tokens // len(remaining)))
        return [Chunk(p.computed, p.tokens[p.computed : p.computed + longest]) for p in self._prefills]

    def _absorb(self, work: Prefill, row: int, positions: Sequence[int], outputs: torch.Tensor) -> None:
        """Use the outputs [positions, outputs] of a prefill."""
        if work.reading is not None and positions:
            work.reading.take(positions, outputs)
        if work.computed < len(work.tokens):
            return
        self._cache.store(work.tokens, work.computed, self._prefill_rows, row)
        if work.reading is not None:
            self.read.append((work.call, (work.reading.index, tuple(work.reading.values))))
            return
        first, count = len(self._running), len(work.sequences)
        self._rows.reserve(first + count, len(work.tokens))
        self._rows.copy_from(self._prefill_rows, row, first, count, len(work.tokens))
        self._running += work.sequences
        self._draw(work.sequences, outputs.expand(count, -1))

    def _drop_prefill(self, row: int) -> None:
        last = len(self._prefills) - 1
        if row != last:
            self._prefill_rows.copy_within(last, row, self._prefills[last].computed)
            self._prefills[row] = self._prefills[last]
        self._prefills.pop()

    # Decode

    def _decode(self) -> None:
        self._make_room()
        chunks = [Chunk(len(s.tokens) - 1, s.tokens[-1:]) for s in self._running]
        logits = self._model.forward(self._rows, chunks, [0])[:, 0]
        self._draw(list(self._running), logits)
        self._count(decode_steps_total=1, decode_sequences_total=len(chunks))

    def _draw(self, sequences: list[Running], logits: torch.Tensor) -> None:
        rows: list[Row] = [s.next_row() for s in sequences]
        drawn = draw(logits, rows)
        for s, token, logprob, top in zip(sequences, drawn.tokens, drawn.logprobs, drawn.top_logprobs, strict=True):
            s.push(token, logprob, top, self._end)
        self._count(generated_tokens_total=len(sequences))
        for row in reversed([i for i, s in enumerate(self._running) if s.finish is not None]):
            self.finished.append(self._running[row])
            self._keep_prefix(row)
            self._drop_running(row)

    def _keep_prefix(self, row: int) -> None:
        tokens = self._running[row].tokens
        # The newest token has not been through the model.
        self._cache.store(tokens, len(tokens) - 1, self._rows, row)

    def _make_room(self) -> None:
        """Send the shortest sequences back to the queue while the table would outgrow its memory."""
        while len(self._running) > 1:
            columns = max(len(s.tokens) for s in self._running)
            if columns * len(self._running) <= self._limits.max_kv_tokens:
                return
            row = min(range(len(self._running)), key=lambda i: len(self._running[i].tokens))
            sequence = self._running[row]
            self._keep_prefix(row)
            self._drop_running(row)
            self._waiting.appendleft(Prefill(sequence.call, tuple(sequence.tokens), [sequence]))
            self._count(preemptions_total=1)

    def _drop_running(self, row: int) -> None:
        last = len(self._running) - 1
        if row != last:
            self._rows.copy_within(last, row, len(self._running[last].tokens))
            self._running[row] = self._running[last]
        self._running.pop()
