"""The `render` verifier with a real browser: what it says of pages good and bad, and what bad ones cannot do."""

import asyncio
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.scripted import ScriptedEngine
from deliberate.verifiers.browser.candidate import page_of
from deliberate.verifiers.browser.modules import Library
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.browser.processes import descendants, kill, role
from deliberate.verifiers.browser.scores import PARTS
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.workers import WorkerPool

from . import pages
from .pages import fenced

PROBLEM = Problem(({"role": "user", "content": "Make a turning cube with three.js."},))


@pytest.fixture(scope="module")
def browsers() -> Iterator[BrowserPool]:
    pool = BrowserPool(browsers=2)
    yield pool
    pool.close()


@pytest.fixture
def lent(workers: WorkerPool, browsers: BrowserPool) -> Resources:
    return Resources(workers, {"policy": ScriptedEngine(["ok"])}, policy="policy", browsers=browsers)


async def judge(lent: Resources, *replies: str, **config: Any) -> list[Verdict]:
    verifier = parse_verifier({"kind": "render", **config}).build(lent)
    return await verifier.verify(PROBLEM, [Candidate(reply) for reply in replies])


def parts(verdict: Verdict) -> dict[str, float]:
    """The score of each part, from the reason."""
    found = re.findall(r"(?:^|, )([a-z]+) ([\d.]+)", verdict.reason)
    return {name: float(score) for name, score in found if name in PARTS}


async def scores(lent: Resources, page: str) -> dict[str, float]:
    (verdict,) = await judge(lent, fenced(page))
    assert verdict.status == "ok", verdict.reason
    return parts(verdict)


async def test_the_good_page(lent: Resources) -> None:
    (verdict,) = await judge(lent, fenced(pages.GOOD))
    seen = parts(verdict)
    assert seen.pop("performance") > 0.2
    assert set(seen.values()) == {1.0}, verdict.reason
    assert verdict.passed is True
    assert verdict.score is not None and verdict.score > 0.85
    (screenshot,) = verdict.attachments
    assert (screenshot.name, screenshot.media_type) == ("screenshot", "image/jpeg")
    assert screenshot.content.startswith(b"\xff\xd8\xff") and 3_000 < len(screenshot.content) <= 100_000


@pytest.mark.parametrize("page", [pages.CLASSIC, pages.SCRIPT], ids=["scripts of old releases", "a script alone"])
async def test_other_ways_to_ask_for_three(lent: Resources, page: str) -> None:
    (verdict,) = await judge(lent, fenced(page, "html" if page.startswith("<") else "javascript"))
    seen = parts(verdict)
    assert all(seen[part] == 1 for part in ("syntax", "errors", "drawing", "picture", "animation", "interaction")), seen
    assert seen["responsiveness"] == 0


async def test_the_static_page_draws_and_does_not_move(lent: Resources) -> None:
    seen = await scores(lent, pages.STATIC)
    assert seen["drawing"] == seen["picture"] == 1
    assert seen["animation"] == seen["interaction"] == seen["responsiveness"] == 0


async def test_the_broken_page(lent: Resources) -> None:
    (verdict,) = await judge(lent, fenced(pages.BROKEN))
    assert verdict.passed is False
    assert "cube.spin is not a function" in verdict.reason
    seen = parts(verdict)
    assert seen["syntax"] == 1 and seen["errors"] == seen["drawing"] == seen["animation"] == 0


async def test_a_script_that_cannot_be_read(lent: Resources) -> None:
    seen = await scores(lent, pages.UNREADABLE)
    assert seen["syntax"] == seen["errors"] == 0


async def test_markup_that_is_not_closed(lent: Resources) -> None:
    seen = await scores(lent, pages.GOOD.replace("</head>", "<div></head>"))
    assert seen["syntax"] == 0 and seen["errors"] == seen["animation"] == 1


async def test_errors_that_a_page_hides(lent: Resources) -> None:
    (verdict,) = await judge(lent, fenced(pages.HIDDEN), parts=only("errors") | {"animation": 1})
    assert parts(verdict)["errors"] == 0 and verdict.passed is False, verdict.reason
    assert parts(verdict)["animation"] == 1


@pytest.mark.parametrize("name", ["SPINNER", "CANVAS_2D", "SECRET_DRAWING", "TINY_DRAWING", "FAKE_COUNTERS"])
async def test_what_moves_without_webgl_is_not_drawn_and_not_animated(lent: Resources, name: str) -> None:
    seen = await scores(lent, getattr(pages, name))
    assert seen["drawing"] == seen["picture"] == seen["animation"] == seen["performance"] == seen["interaction"] == 0


async def test_a_spinner_over_a_scene_that_stands_still(lent: Resources) -> None:
    seen = await scores(lent, pages.SPINNER_OVER_STATIC)
    assert seen["drawing"] == 1 and seen["animation"] == 0


@pytest.mark.parametrize("name", ["BLANK", "COVERED"])
async def test_a_canvas_that_shows_nothing(lent: Resources, name: str) -> None:
    (verdict,) = await judge(lent, fenced(getattr(pages, name)))
    assert parts(verdict)["drawing"] == 1 and parts(verdict)["picture"] == 0
    assert verdict.passed is False


async def test_a_page_that_answers_to_no_input_but_turns(lent: Resources) -> None:
    seen = await scores(lent, pages.UNTOUCHABLE)
    assert seen["animation"] == 1 and seen["interaction"] == 0


async def test_a_slow_page_is_slow_by_the_hosts_clock(lent: Resources) -> None:
    seen = await scores(lent, pages.OWN_CLOCK)
    assert seen["animation"] == 1 and seen["performance"] < 0.5


@pytest.mark.parametrize("name", pages.FAULTY)
async def test_a_faulty_page_scores_nothing_and_costs_one_verdict(lent: Resources, name: str) -> None:
    page, why = pages.FAULTY[name]
    (verdict,) = await judge(lent, fenced(page))
    assert (verdict.score, verdict.passed, verdict.status) == (0.0, False, "ok")
    assert why in verdict.reason
    (after,) = await judge(lent, fenced(pages.GOOD.replace("0xff8800", f"0x{time.monotonic_ns() % 0xFFFFFF:06x}")))
    assert after.status == "ok" and parts(after)["drawing"] == 1, after.reason


async def test_a_page_that_hangs_holds_up_nobody_else(lent: Resources) -> None:
    hanging = asyncio.create_task(judge(lent, fenced("<script>while (true); // held up</script>")))
    await asyncio.sleep(0.3)
    (verdict,) = await judge(lent, fenced(pages.GOOD + "<!-- held up -->"))
    assert parts(verdict)["drawing"] == 1
    ((hung,),) = await asyncio.gather(hanging)
    assert "hangs" in hung.reason


async def test_dialogs_windows_and_downloads_are_refused(lent: Resources) -> None:
    seen = await scores(lent, pages.SPAM)
    assert seen["drawing"] == seen["animation"] == seen["errors"] == 1


async def test_no_way_leads_out(lent: Resources, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("LOOT")
    visitors: list[Any] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as tcp, closing(socket.socket(type=socket.SOCK_DGRAM)) as udp:
        udp.bind(("127.0.0.1", 0))
        threads = [threading.Thread(target=listen, args=(listener, visitors), daemon=True) for listener in (tcp, udp)]
        for thread in threads:
            thread.start()
        page = pages.network(tcp.getsockname()[1], udp.getsockname()[1], str(secret))
        (verdict,) = await judge(lent, fenced(page))
        await asyncio.sleep(0.2)
        assert visitors == []
        # The listeners do hear those who can reach them.
        socket.create_connection(tcp.getsockname(), timeout=5).close()
        while not visitors:
            await asyncio.sleep(0.01)
    assert "LOOT" not in verdict.reason
    assert parts(verdict)["animation"] == 1, verdict.reason
    assert "not loaded: 'https://127.0.0.1" in verdict.reason


def listen(listener: socket.socket, visitors: list[Any]) -> None:
    with suppress(OSError):  # Closed, and nobody came.
        visitors.append(listener.accept() if listener.type == socket.SOCK_STREAM else listener.recvfrom(100))


async def test_no_page_reads_what_another_one_stored(lent: Resources) -> None:
    for _ in range(2):
        first, second = await judge(lent, fenced(pages.REMEMBERS), fenced(pages.RECALLS))
        assert parts(first).get("errors") == parts(second).get("errors") == 1, (first, second)
    alone = [await judge(lent, fenced(page + "<!-- alone -->")) for page in (pages.REMEMBERS, pages.RECALLS) * 2]
    assert all("LOOT" not in verdict.reason for (verdict,) in alone)


async def test_a_browser_that_dies_is_replaced_and_the_page_shown_again(lent: Resources, browsers: BrowserPool) -> None:
    judging = asyncio.create_task(judge(lent, fenced(pages.GOOD + "<!-- survivor -->")))
    await asyncio.sleep(1.0)
    kill_browsers()
    (verdict,) = await judging
    assert verdict.status == "ok"
    assert parts(verdict).get("drawing") == 1, verdict.reason


async def test_the_browser_is_in_a_box(lent: Resources) -> None:
    judging = asyncio.create_task(judge(lent, fenced(pages.GOOD + "<!-- in a box -->")))
    await asyncio.sleep(1.5)
    parts_of_it = [process for process in descendants(os.getpid()) if role(process) in ("renderer", "gpu-process")]
    assert parts_of_it
    for process in parts_of_it:
        assert os.stat(f"/proc/{process}").st_uid != 0
        for kind in ("net", "pid", "ipc", "user", "mnt"):
            assert os.readlink(f"/proc/{process}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    for process in (process for process in parts_of_it if role(process) == "renderer"):
        assert "Seccomp:\t2" in status_of(process)  # Chromium's own sandbox.
    ((verdict,),) = await asyncio.gather(judging)
    assert verdict.status == "ok"


def status_of(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text()


def kill_browsers() -> None:
    """All of a browser but its parts, which go with it."""
    for process in descendants(os.getpid()):
        with suppress(FileNotFoundError):
            command = Path(f"/proc/{process}/cmdline").read_bytes()
            if b"--remote-debugging-pipe" in command and not role(process):
                kill(process)


async def test_pages_are_refused_unseen(workers: WorkerPool) -> None:
    without = Resources(workers, {}, browsers=None)
    long = fenced(f"<script>'{'x' * 10_000_000}'</script>")
    cut = fenced(pages.GOOD)[:-500]
    none, large, half = await judge(without, "There is no page.", long, cut)
    assert [verdict.score for verdict in (none, large, half)] == [0.0, 0.0, 0.0]
    assert "no web page" in none.reason and "bytes" in large.reason and "ends within" in half.reason


async def test_one_visit_serves_all_parts_of_a_list(lent: Resources) -> None:
    page = fenced(pages.GOOD + "<!-- shared -->")
    members = [{"kind": "render", "parts": only(name)} for name in ("animation", "interaction", "drawing")]
    start = time.monotonic()
    (verdict,) = await parse_verifier(members).build(lent).verify(PROBLEM, [Candidate(page)])
    several = time.monotonic() - start
    assert verdict.score == 1
    assert len(verdict.attachments) == 1
    await judge(lent, page, parts=only("animation"))
    assert time.monotonic() - start - several < several / 2


def only(name: str) -> dict[str, int]:
    return {part: int(part == name) for part in PARTS}


async def test_parts_weigh_what_the_request_says(lent: Resources) -> None:
    (verdict,) = await judge(lent, fenced(pages.STATIC), parts=only("animation") | {"drawing": 3})
    assert verdict.score == pytest.approx(0.75)
    (required,) = await judge(lent, fenced(pages.STATIC), required=["animation"])
    assert required.passed is False


async def test_creativity_is_read_without_a_browser(workers: WorkerPool) -> None:
    resources = Resources(workers, {}, browsers=None)
    (plain,) = await judge(resources, fenced(pages.STATIC), parts=only("creativity"))
    listed = "<script>/* new BoxGeometry() new SphereGeometry() new TorusGeometry() new PointLight() */</script>"
    (none,) = await judge(resources, fenced(listed), parts=only("creativity"))
    assert plain.score is not None and 0.2 < plain.score < 1
    assert none.score == 0


async def test_without_a_browser_nothing_is_decided(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        await reason_without(workers) == "not shown: no browser: install Chromium, such as Debian's package `chromium`"
    )
    (tmp_path / "chromium").symlink_to("/usr/bin/chromium")
    (tmp_path / "setpriv").symlink_to("/usr/bin/setpriv")
    assert "install `bubblewrap`" in await reason_without(workers)
    (tmp_path / "bwrap").symlink_to("/bin/false")
    assert "the browser did not start" in await reason_without(workers)


async def reason_without(workers: WorkerPool) -> str:
    """Why a server whose PATH lacks something decides nothing."""
    pool = BrowserPool(browsers=1)
    try:
        (verdict,) = await judge(Resources(workers, {}, browsers=pool), fenced(pages.GOOD))
    finally:
        pool.close()
    assert (verdict.score, verdict.status) == (None, "unavailable")
    return verdict.reason


async def test_without_three_nothing_is_decided(
    lent: Resources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if Library.find() is not None:
        pytest.fail("this test needs a machine without three.js in /usr/lib or /usr/local/lib")
    (verdict,) = await judge(lent, fenced(pages.GOOD))
    assert verdict.status == "unavailable" and "npm install" in verdict.reason


@pytest.mark.parametrize(
    "reply, expected",
    [
        ("```html\n<p>one</p>\n```\nor\n```html\n<p>two</p>\n```", "<p>two</p>\n"),
        ("<think>```html\n<p>no</p>\n```</think>\n```html\n<p>yes</p>\n```", "<p>yes</p>\n"),
        ("```html\n<p>page</p>\n```\n```js\nlater()\n```", "<p>page</p>\n"),
        ("<!DOCTYPE html><p>bare</p>", "<!DOCTYPE html><p>bare</p>"),
        ("```\n<html><p>no tag</p></html>\n```", "<html><p>no tag</p></html>\n"),
        ("~~~html\n<pre>```</pre>\n~~~", "<pre>```</pre>\n"),
    ],
)
def test_which_page_is_meant(reply: str, expected: str) -> None:
    page = page_of(reply)
    assert page is not None and (page.html, page.whole) == (expected, True)


def test_addresses_of_three() -> None:
    library = Library.find()
    assert library is not None
    for address in (
        "https://unpkg.com/three@0.160.0/build/three.module.js",
        "https://cdn.jsdelivr.net/npm/three/build/three.module.min.js",
        "https://cdn.jsdelivr.net/npm/three@0.150.1/+esm",
        "https://esm.sh/three@0.160",
        "https://esm.sh/three/addons/controls/OrbitControls.js",
        "https://threejs.org/examples/jsm/loaders/GLTFLoader.js",
        "https://cdnjs.cloudflare.com/ajax/libs/three.js/0.160.0/three.module.min.js",
    ):
        assert library.answer(address), address
    for address in (
        "https://unpkg.com/three/../../../../../../etc/passwd",
        "https://unpkg.com/three/build/../../../../etc/passwd",
        "https://unpkg.com/gsap@3/dist/gsap.js",
        "https://example.com/tree/three-things.js",
        "https://unpkg.com/three/examples/jsm/../../../../../x",
    ):
        assert library.answer(address) is None, address
