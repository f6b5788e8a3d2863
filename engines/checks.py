"""What every engine that takes token ids refuses in the same words."""

from collections.abc import Sequence

from deliberate.engines.errors import ContextOverflow, InvalidRequest
from deliberate.engines.protocol import Capabilities, Sampling


def room_for(capabilities: Capabilities, prompt: Sequence[int], sampling: Sampling) -> int:
    """How many tokens a sample may have.

    Raises InvalidRequest for an empty prompt or ids that are no tokens, ContextOverflow for a prompt that is too long.
    """
    if not prompt:
        raise InvalidRequest("The prompt is empty; it needs at least one token.", param="messages")
    _check_ids(capabilities, prompt)
    context = _context(capabilities)
    if len(prompt) >= context:
        raise ContextOverflow(len(prompt), context)
    room = context - len(prompt)
    return room if sampling.max_tokens is None else min(room, sampling.max_tokens)


def check_starts(capabilities: Capabilities, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> None:
    """Of `score`: raises InvalidRequest for starts outside the sequences, ContextOverflow for one too long."""
    for sequence, start in zip(sequences, starts, strict=True):
        if not 1 <= start <= len(sequence):
            raise InvalidRequest(f"Scores start at token 1 up to the sequence's end, {len(sequence)}; not at {start}.")
        _check_sequence(capabilities, sequence)


def check_positions(
    capabilities: Capabilities, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
) -> None:
    """Raises InvalidRequest for positions that are not ascending or outside, ContextOverflow for a long sequence."""
    for sequence, asked in zip(sequences, positions, strict=True):
        if list(asked) != sorted(set(asked)) or (asked and not 0 <= asked[0] <= asked[-1] < len(sequence)):
            raise InvalidRequest(
                f"Positions ascend within 0 to {len(sequence) - 1}, the sequence's tokens; got {list(asked)}."
            )
        _check_sequence(capabilities, sequence)


def _check_sequence(capabilities: Capabilities, sequence: Sequence[int]) -> None:
    _check_ids(capabilities, sequence)
    if len(sequence) > _context(capabilities):
        raise ContextOverflow(len(sequence), _context(capabilities))


def _check_ids(capabilities: Capabilities, tokens: Sequence[int]) -> None:
    size = capabilities.vocabulary_size
    if tokens and size is not None and not 0 <= min(tokens) <= max(tokens) < size:
        raise InvalidRequest(f"Token ids lie between 0 and {size - 1}; got {min(tokens)} to {max(tokens)}.")


def _context(capabilities: Capabilities) -> int:
    assert capabilities.context_length is not None, "engines that take token ids know their context"
    return capabilities.context_length
