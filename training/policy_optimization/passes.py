"""A pass over a step's completions, in as many parts as there are updates."""

import random
from collections.abc import Iterator


def parts(count: int, number: int, rng: random.Random) -> Iterator[list[int]]:
    """Indices below `count` in `number` lots of almost the same size, shuffled where there are several."""
    order = list(range(count))
    if number > 1:
        rng.shuffle(order)
    for part in range(number):
        chosen = order[part * count // number : (part + 1) * count // number]
        if chosen:
            yield chosen
