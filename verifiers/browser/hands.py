"""What a person does to a page: drags, turns the wheel, presses keys."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any

from deliberate.verifiers.browser.seen import Box
from deliberate.verifiers.browser.tab import HEIGHT, WIDTH, Tab

_MOVES = 6
_KEYS = (("ArrowLeft", 37), ("ArrowUp", 38), ("w", 87), ("d", 68), (" ", 32))
_HELD_S = 0.1


async def drag(tab: Tab, box: Box) -> None:
    """From the middle of the canvas a third of it to the right and a quarter down."""
    x, y = _middle(box)
    across, down = box.width / 3, box.height / 4
    moves = [(x + across * step / _MOVES, y + down * step / _MOVES) for step in range(1, _MOVES + 1)]
    held = {"button": "left", "buttons": 1}
    await asyncio.gather(
        _mouse(tab, "mouseMoved", x, y),
        _mouse(tab, "mousePressed", x, y, clickCount=1, **held),
        *(_mouse(tab, "mouseMoved", *at, **held) for at in moves),
        _mouse(tab, "mouseReleased", *moves[-1], button="left", clickCount=1),
    )


async def wheel(tab: Tab, box: Box) -> None:
    """Two turns over the middle of the canvas."""
    x, y = _middle(box)
    await asyncio.gather(*(_mouse(tab, "mouseWheel", x, y, deltaX=0, deltaY=-240) for _ in range(2)))


async def keys(tab: Tab, box: Box) -> None:
    """Arrows, letters that games walk with, and space, held for a moment."""
    for what in ("keyDown", "keyUp"):
        await asyncio.gather(
            *(
                tab.call("Input.dispatchKeyEvent", type=what, key=key, code=_code(key), windowsVirtualKeyCode=number)
                for key, number in _KEYS
            )
        )
        await asyncio.sleep(_HELD_S if what == "keyDown" else 0)


INPUTS: Mapping[str, Callable[[Tab, Box], Coroutine[Any, Any, None]]] = MappingProxyType(
    {"drag": drag, "wheel": wheel, "keys": keys}
)


async def _mouse(tab: Tab, what: str, x: float, y: float, **more: object) -> None:
    await tab.call("Input.dispatchMouseEvent", type=what, x=x, y=y, **more)


def _middle(box: Box) -> tuple[float, float]:
    """Of the part that the window shows."""
    left, top = max(0.0, box.x), max(0.0, box.y)
    return (left + min(box.x + box.width, WIDTH)) / 2, (top + min(box.y + box.height, HEIGHT)) / 2


def _code(key: str) -> str:
    if key == " ":
        return "Space"
    return f"Key{key.upper()}" if len(key) == 1 else key
