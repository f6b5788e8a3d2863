"""Stop strings over streamed text: they may span tokens, and no part of one is ever shown."""


class StopStrings:
    """Passes text through, holding back what could still become a stop string."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Text that is safe to show, and the stop string that ended it, if one did.

        With several stop strings the one that begins first wins, then the longest.
        """
        if not self._stops:
            return text, None
        self._held += text
        found = [(position, -len(s), s) for s in self._stops if (position := self._held.find(s)) >= 0]
        if found:
            position, _, stop = min(found)
            shown, self._held = self._held[:position], ""
            return shown, stop
        keep = max(_overlap(self._held, s) for s in self._stops)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown, None

    def flush(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper beginning of `stop` that `text` ends with."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
