"""How long the `render` verifier takes: the first page, one page at a time, as many at once as there are browsers.

Pages differ in a number, so that none is known already; they turn, answer to input and fit their window, so that every
part is looked at.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.protocol import Candidate, Problem, Resources
from deliberate.verifiers.render import Render, RenderVerifier
from deliberate.verifiers.workers import WorkerPool

_REPLY = """```html
<!doctype html>
<html><head><title>NUMBER</title><style>body { margin: 0; overflow: hidden }</style>
<script type="importmap">{"imports": {"three": "https://unpkg.com/three@0.160.0/build/three.module.js",
  "three/addons/": "https://unpkg.com/three@0.160.0/examples/jsm/"}}</script></head>
<body><script type="module">
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
const scene = new THREE.Scene(), camera = new THREE.PerspectiveCamera(60, innerWidth / innerHeight, 0.1, 100);
const renderer = new THREE.WebGLRenderer({ antialias: true });
document.body.appendChild(renderer.domElement);
const fit = () => {
  camera.aspect = innerWidth / innerHeight;
  camera.updateProjectionMatrix();
  renderer.setSize(innerWidth, innerHeight);
};
fit();
addEventListener("resize", fit);
camera.position.set(0, 2, 5);
const ring = new THREE.Group();
for (let i = 0; i < 12; i++) {
  const box = new THREE.Mesh(new THREE.BoxGeometry(0.5, 0.5, 0.5),
    new THREE.MeshStandardMaterial({ color: new THREE.Color().setHSL(i / 12, 0.8, 0.5) }));
  box.position.set(2 * Math.cos(i * Math.PI / 6), 0, 2 * Math.sin(i * Math.PI / 6));
  ring.add(box);
}
const sun = new THREE.DirectionalLight(0xffffff, 3);
sun.position.set(1, 2, 3);
scene.add(ring, sun, new THREE.AmbientLight(0x606080));
const controls = new OrbitControls(camera, renderer.domElement);
renderer.setAnimationLoop(() => { ring.rotation.y += 0.02; controls.update(); renderer.render(scene, camera); });
</script></body></html>
```"""


@dataclass(frozen=True, slots=True)
class Taken:
    """How long pages took."""

    seconds: tuple[float, ...]
    """Of each."""
    wall_s: float
    """Of all together."""


async def measure(pages: int, browsers: int) -> dict[str, Taken]:
    """Seconds of each way to ask."""
    workers, pool = WorkerPool(), BrowserPool(browsers)
    verifier = Render().build(Resources(workers, {}, browsers=pool))
    try:
        return {
            "the first pages (start browsers)": await _take(verifier, range(-browsers, 0), at_once=browsers),
            "one at a time": await _take(verifier, range(pages), at_once=1),
            f"{browsers} at once": await _take(verifier, range(pages, 2 * pages), at_once=browsers),
        }
    finally:
        pool.close()
        workers.close()


async def _take(verifier: RenderVerifier, numbers: range, at_once: int) -> Taken:
    turnstile = asyncio.Semaphore(at_once)

    async def judge(number: int) -> float:
        async with turnstile:
            start = time.perf_counter()
            (verdict,) = await verifier.verify(Problem(()), [Candidate(_REPLY.replace("NUMBER", str(number)))])
            assert verdict.status == "ok", verdict.reason
            return time.perf_counter() - start

    start = time.perf_counter()
    seconds = await asyncio.gather(*map(judge, numbers))
    return Taken(tuple(seconds), time.perf_counter() - start)


def main(
    pages: Annotated[int, typer.Option(min=1, help="Pages for each way to ask.")] = 10,
    browsers: Annotated[int, typer.Option(min=1, help="Browsers.")] = 2,
) -> None:
    """Measure verdicts on three.js pages."""
    table = Table("asked", "pages", "median s", "slowest s", "verdicts/s")
    for name, taken in asyncio.run(measure(pages, browsers)).items():
        count = len(taken.seconds)
        figures = (statistics.median(taken.seconds), max(taken.seconds), count / taken.wall_s)
        table.add_row(name, str(count), *(f"{figure:.2f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
