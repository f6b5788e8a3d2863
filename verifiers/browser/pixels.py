"""Small pictures of a canvas, and what can be told from them."""

import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

COLUMNS, ROWS = 48, 36
"""Of every picture that `probe.js` makes, however large the canvas is."""
PIXELS = COLUMNS * ROWS
_MOST_PIXELS = 4 * PIXELS

LEVELS = 10
"""Two colors are told apart that differ by so much, of 255, in one channel."""
CHANGED = 2 / PIXELS
"""Two pictures differ that differ in this share of their pixels: the same scene drawn twice is the same exactly."""
DRAWN = 8 / PIXELS
"""A picture shows something when this share of its pixels is not of its commonest color."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows of pixels, each red, green and blue."""

    rgb: bytes

    @classmethod
    def read(cls, text: str) -> "Picture | None":
        """From hexadecimal digits; None for what is no picture."""
        try:
            rgb = bytes.fromhex(text)
        except ValueError:
            return None
        return cls(rgb) if len(rgb) == 3 * PIXELS else None

    @property
    def blank(self) -> bool:
        """All of one color, or nearly."""
        pixels = Counter(self.rgb[i : i + 3] for i in range(0, len(self.rgb), 3))
        ((ground, _),) = pixels.most_common(1)
        return difference(self, Picture(ground * (len(self.rgb) // 3))) < DRAWN


def difference(one: Picture, other: Picture) -> float:
    """Share of the pixels that differ, in [0, 1]; both are of one size."""
    if one.rgb == other.rgb:
        return 0.0
    far = bytearray(abs(a - b) > LEVELS for a, b in zip(one.rgb, other.rgb, strict=True))
    return sum(map(max, far[0::3], far[1::3], far[2::3])) * 3 / len(far)


def motion(pictures: Sequence[Picture]) -> float:
    """Share of the steps from one picture to the next that change something, in [0, 1]."""
    steps = [difference(one, following) >= CHANGED for one, following in pairwise(pictures)]
    return sum(steps) / len(steps) if steps else 0.0


class Known:
    """What each pixel has looked like so far: its darkest and its brightest, in each color."""

    def __init__(self) -> None:
        self._darkest = b""
        self._brightest = b""

    def novelty(self, picture: Picture) -> float:
        """Share of the pixels that look like never before, in [0, 1]; the picture is known from now on."""
        rgb = picture.rgb
        if not self._darkest:
            self._darkest = self._brightest = rgb
            return 0.0
        bounds = zip(rgb, self._darkest, self._brightest, strict=True)
        new = bytes(not low - LEVELS <= value <= high + LEVELS for value, low, high in bounds)
        self._darkest = bytes(map(min, self._darkest, rgb))
        self._brightest = bytes(map(max, self._brightest, rgb))
        return sum(map(max, new[0::3], new[1::3], new[2::3])) * 3 / len(new)


def from_png(png: bytes) -> Picture | None:
    """The picture in a small file that Chromium wrote; None for another kind than it writes."""
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    if not 0 < width * height <= _MOST_PIXELS or depth != 8 or kind not in (2, 6) or interlaced:
        return None
    size = 3 if kind == 2 else 4
    packed, at = b"", 8
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        packed += png[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += 12 + length
    rows = _unfiltered(zlib.decompress(packed), width * size, size)
    return Picture(bytes(rows[i + channel] for i in range(0, len(rows), size) for channel in range(3)))


def _unfiltered(data: bytes, width: int, size: int) -> bytearray:
    """Rows of bytes from rows of differences (PNG specification, chapter 9)."""
    rows, above = bytearray(), bytearray(width)
    for start in range(0, len(data), width + 1):
        row = bytearray(data[start + 1 : start + 1 + width])
        for i in range(width):
            left, corner = (row[i - size], above[i - size]) if i >= size else (0, 0)
            row[i] = (row[i] + _predicted(data[start], left, above[i], corner)) & 255
        rows, above = rows + row, row
    return rows


def _predicted(rule: int, left: int, up: int, corner: int) -> int:
    if rule == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return (0, left, up, (left + up) // 2)[rule]
