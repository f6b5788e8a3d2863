"""One sample of token ids, over as many requests as it takes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.engines.openai.tokenizers import Decoder
from deliberate.engines.protocol import Delta, Finish, Sampling
from deliberate.engines.stopping import StopStrings

Alternatives = tuple[tuple[tuple[int, float], ...], ...]
"""Of each token, as in Delta."""

_HALF_CHARACTER = "\ufffd"


class GrowingSample:
    """Folds what comes of a sample, and knows how to go on after a cut.

    Its text is the upstream's, until a cut: the next upstream does not know the characters and stop strings that
    were half said, so from then on text and stop strings are read from all its tokens here.
    """

    def __init__(self, index: int, seed: int, decoder: Decoder) -> None:
        self.index = index
        self.seed = seed
        """What its next request draws with."""
        self.token_ids: list[int] = []
        self.ended = False
        self._decoder = decoder
        self._text = ""
        self._resumed: _Resumed | None = None
        self._restarts = False

    async def grow(
        self, text: str, token_ids: Sequence[int], logprobs: Sequence[float], top: Alternatives, finish: Finish | None
    ) -> Delta:
        """What an event adds to it."""
        self.token_ids += token_ids
        if self._resumed is not None:
            text, finish, surplus = await self._reread(self._resumed, len(token_ids), finish)
            kept = len(token_ids) - surplus
            token_ids, logprobs, top = token_ids[:kept], logprobs[:kept], top[:kept]
        elif finish is not None:
            text += await self._unsaid(self._text + text, finish)
        self._text += text
        self.ended = finish is not None
        restarts, self._restarts = self._restarts, False
        return Delta(self.index, text, tuple(token_ids), tuple(logprobs), top, finish, restart=restarts)

    async def cut(self, sampling: Sampling) -> None:
        """Its request broke after some tokens: go on behind them, with other randomness than at the beginning.

        A structured sample begins anew instead, for a grammar cannot begin in the middle.
        """
        if sampling.structured_output is not None:
            self._restarts = True
            self._text = ""
            self.token_ids.clear()
            return
        position = f"{self.seed} {len(self.token_ids)}".encode()
        self.seed = int.from_bytes(hashlib.blake2b(position, digest_size=7).digest())
        if self._resumed is None:
            self._resumed = _Resumed(StopStrings(sampling.stop), self._text)

    async def _unsaid(self, shown: str, finish: Finish) -> str:
        """Half a character at the end, which upstreams keep to themselves."""
        if self._decoder.remote or isinstance(finish.matched, str):
            return ""
        return _beyond(shown, await self._decoder(self._spoken(finish)))

    async def _reread(self, resumed: "_Resumed", new: int, finish: Finish | None) -> tuple[str, Finish | None, int]:
        """New text, how the sample ends, and how many of the new tokens lie beyond its stop string."""
        whole = await self._decoder(self._spoken(finish))
        whole = whole if finish else whole.rstrip(_HALF_CHARACTER)
        text, stop = resumed.stops.push(_beyond(resumed.read, whole))
        resumed.read = whole
        if stop is not None:
            surplus = await self._surplus(stop, new)
            del self.token_ids[len(self.token_ids) - surplus :]
            return text, Finish("stop", stop), surplus
        return text + resumed.stops.flush() if finish else text, finish, 0

    async def _surplus(self, stop: str, new: int) -> int:
        before = len(self.token_ids) - new
        for kept in range(new):
            if stop in await self._decoder(self.token_ids[: before + kept]):
                return new - kept
        return 0

    def _spoken(self, finish: Finish | None) -> Sequence[int]:
        """Its tokens without the one that ended it."""
        ended_by_token = finish is not None and finish.reason == "stop" and not isinstance(finish.matched, str)
        return self.token_ids[:-1] if ended_by_token else self.token_ids


@dataclass(slots=True)
class _Resumed:
    """A sample's text after a cut."""

    stops: StopStrings
    read: str
    """Of its text, what went through `stops` or was shown before the cut."""


def _beyond(shown: str, whole: str) -> str:
    """The part of `whole` that was not shown. Some tokenizers drop the space before the first word of a text."""
    if not whole.startswith(shown) and shown.startswith(" "):
        shown = shown[1:]
    return whole[len(shown) :] if whole.startswith(shown) else ""
