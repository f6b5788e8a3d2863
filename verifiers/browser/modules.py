"""three.js from this machine, wherever a page asks for it: by name, or at the addresses of the usual networks.

Any version is answered with the one that is installed.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from deliberate.verifiers.browser.scripts import global_addon, global_build
from deliberate.verifiers.node_modules import folders_of_packages

ORIGIN = "https://candidate.invalid"
"""Where a page finds itself. The name can never be anybody's (RFC 6761)."""
IMPORTS = {"three": f"{ORIGIN}/three/build/three.module.js", "three/addons/": f"{ORIGIN}/three/examples/jsm/"}
"""The import map of pages that are made here."""
TO_INSTALL = "three.js is not installed: npm install --prefix $VIRTUAL_ENV three"

_PACKAGE = re.compile(r"/three(?:\.js|js)?(?:@[^/]*)?(?:/(.*))?$")
_RELEASE = re.compile(r"^r?\d[\w.-]*/")
_BUILD = re.compile(r"^(?:build/)?(three(?:\.\w+)*?)(?:\.min)?\.js$")
_ADDON = re.compile(r"^(?:addons|examples/jsm)/(.+?)(?:\.js)?$")
_OLD_ADDON = re.compile(r"^examples/js/(.+?)(?:\.min)?\.js$")
_BARE = re.compile(r"""(\bfrom\s*|\bimport\s*)(['"])three\2""")
_MENTIONED = re.compile(r"""\bTHREE\b|['"/]three(?:\.|@|/|['"])""")
# Networks that write addresses for names into the modules they serve; elsewhere that is the page's import map's task.
_RESOLVING = ("esm.sh", "esm.run", "cdn.skypack.dev", "ga.jspm.io")


@dataclass(frozen=True, slots=True)
class Library:
    """An installed three.js."""

    package: Path

    @classmethod
    def find(cls, node_modules: Path | None = None) -> "Library | None":
        """`three` in this folder of node modules, else the first in the usual ones."""
        for folder in folders_of_packages(node_modules):
            if (folder / "three" / "build" / "three.module.js").is_file():
                return cls((folder / "three").resolve())
        return None

    def answer(self, url: str) -> bytes | None:
        """The JavaScript for an address that is three.js or one of its addons; None for all others."""
        address = urlsplit(url)
        host, path = address.netloc, address.path
        match = _PACKAGE.search("/three" + path if host == "threejs.org" else path)
        if match is None:
            return None
        resolving = host in _RESOLVING or path.endswith("+esm") or address.query == "module"
        return _read(self.package, _RELEASE.sub("", match[1] or ""), resolving)


def asks_for_three(page: str) -> bool:
    """Whether a page wants three.js at all."""
    return _MENTIONED.search(page) is not None


@lru_cache(maxsize=64)
def _read(package: Path, rest: str, resolving: bool) -> bytes | None:
    text = _text(package, rest)
    if text is not None and resolving:
        text = _BARE.sub(rf"\1\2{IMPORTS['three']}\2", text)
    return None if text is None else text.encode()


def _text(package: Path, rest: str) -> str | None:
    if rest in ("", "+esm"):
        return f'export * from "{IMPORTS["three"]}";'
    if old := _OLD_ADDON.match(rest):
        module = _file(package, f"examples/jsm/{old[1]}.js")
        return None if module is None else global_addon(module)
    if addon := _ADDON.match(rest):
        return _file(package, f"examples/jsm/{addon[1]}.js")
    if build := _BUILD.match(rest):
        return _build(package, build[1])
    return _file(package, rest)


def _build(package: Path, name: str) -> str | None:
    """A build, minified where there is one: a page loads the faster. `three` alone is the script of old releases."""
    if name == "three":
        return global_build(_file(package, "build/three.core.js") or "", _file(package, "build/three.module.js") or "")
    return _file(package, f"build/{name}.min.js") or _file(package, f"build/{name}.js")


def _file(package: Path, rest: str) -> str | None:
    """A file of the package, and of nothing else."""
    path = (package / rest).resolve()
    return path.read_text(encoding="utf-8") if path.is_relative_to(package) and path.is_file() else None
