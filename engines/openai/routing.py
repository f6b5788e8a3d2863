"""Which replica gets a request: the one that has read its beginning, unless others are much less busy.

A prompt that continues an earlier one (a search step, a chain to be scored, a chat's next turn) goes where that one
went. Any other goes where rendezvous hashing of the whole prompt sends it: always the same place, also from another
Deliberate in front of the same fleet, and evenly spread. Prompts that merely share a system prompt are other prompts:
every replica reads it once, and no replica gets all chats of an assistant. When the wanted replica has much more
to do than the average, the next by hash takes over (rendezvous hashing with bounded loads, Mirrokni et al., 2018).
"""

import hashlib
import json
from array import array
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from deliberate.engines.openai.upstream import Upstream
from deliberate.engines.protocol import Message


@dataclass(frozen=True, slots=True)
class Path:
    """Hashes of a prompt."""

    beginnings: tuple[bytes, ...]
    """Of its ever longer beginnings, in whole blocks of tokens or whole messages."""
    whole: bytes


_BLOCK = 16
"""Tokens by which beginnings grow."""
_REMEMBERED = 1 << 16
"""Prompts whose place is kept."""
_OVERLOAD = 1.25
"""Times the average of samples in flight that a replica may have…"""
_SLACK = 16
"""…and this many more, so that a quiet fleet does not tear searches apart."""


def token_path(token_ids: Sequence[int]) -> Path:
    """Of a prompt of tokens."""
    whole_blocks = range(_BLOCK, len(token_ids) + 1, _BLOCK)
    beginnings = _hashes(array("q", token_ids[end - _BLOCK : end]).tobytes() for end in whole_blocks)
    return Path(beginnings, hashlib.blake2b(array("q", token_ids).tobytes(), digest_size=8).digest())


def chat_path(messages: Sequence[Message]) -> Path:
    """Of a conversation, of one message at least."""
    beginnings = _hashes(json.dumps(message, sort_keys=True).encode() for message in messages)
    return Path(beginnings, beginnings[-1])


def _hashes(pieces: Iterable[bytes]) -> tuple[bytes, ...]:
    """Of the concatenated pieces so far, after each piece."""
    running = hashlib.blake2b(digest_size=8)
    hashes: list[bytes] = []
    for piece in pieces:
        running.update(piece)
        hashes.append(running.digest())
    return tuple(hashes)


class Router:
    """Remembers where prompts went."""

    def __init__(self, upstreams: tuple[Upstream, ...]) -> None:
        self._upstreams = upstreams
        self._places: OrderedDict[bytes, Upstream] = OrderedDict()

    def choose(self, path: Path, avoid: Collection[Upstream]) -> Upstream | None:
        """A healthy upstream, one not in `avoid` if there is one; None when all are down."""
        healthy = [upstream for upstream in self._upstreams if upstream.healthy]
        candidates = [upstream for upstream in healthy if upstream not in avoid] or healthy
        if not candidates:
            return None
        bound = _OVERLOAD * sum(upstream.in_flight for upstream in healthy) / len(healthy) + _SLACK
        ranked = sorted(candidates, key=self._preference(path))
        fitting = (upstream for upstream in ranked if upstream.in_flight <= bound)
        chosen = next(fitting, None) or min(ranked, key=lambda upstream: upstream.in_flight)
        self._remember(path, chosen)
        return chosen

    def _preference(self, path: Path) -> Callable[[Upstream], tuple[bool, bytes]]:
        known = (self._places[beginning] for beginning in reversed(path.beginnings) if beginning in self._places)
        place = next(known, None)
        return lambda upstream: (upstream is not place, _rendezvous(path.whole, upstream))

    def _remember(self, path: Path, upstream: Upstream) -> None:
        for beginning in path.beginnings[-1:]:
            self._places[beginning] = upstream
            self._places.move_to_end(beginning)
        if len(self._places) > _REMEMBERED:
            self._places.popitem(last=False)


def _rendezvous(prompt: bytes, upstream: Upstream) -> bytes:
    return hashlib.blake2b(prompt + str(upstream.address).encode(), digest_size=8).digest()
