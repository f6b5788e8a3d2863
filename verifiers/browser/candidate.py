"""The web page in a model's reply."""

import json
import re
from dataclasses import dataclass

from deliberate.verifiers.answers import after_reasoning
from deliberate.verifiers.browser.modules import IMPORTS

_BLOCK = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w.+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.M | re.S)
_PAGE = re.compile(r"<!doctype html|<html[\s>]|<body[\s>]|<script[\s>]|<canvas[\s>]", re.I)
_PAGES = ("html", "htm", "xhtml")
_SCRIPTS = ("javascript", "js", "mjs", "jsx", "module")

# Scripts alone may count on THREE and on the page that the documentation of three.js begins with.
_AROUND = """<!doctype html>
<html><head><meta charset="utf-8"><title>Script</title>
<style>html, body { margin: 0; height: 100%; overflow: hidden } canvas { display: block }</style>
<script type="importmap">IMPORTS</script></head>
<body><script type="module">SCRIPT</script></body></html>
"""
_GLOBAL = 'import * as THREE from "three";\n'


@dataclass(frozen=True, slots=True)
class Page:
    """What to show."""

    html: str
    whole: bool
    """The block that holds it is closed: the reply was not cut within it."""


def page_of(reply: str) -> Page | None:
    """The last block of HTML, else of JavaScript (in a page that is made for it), else the reply if it is a page."""
    text = after_reasoning(reply)
    blocks = [(match[2].lower(), match[3], match[0].rstrip().endswith(match[1])) for match in _BLOCK.finditer(text)]
    pages = [Page(code, closed) for tag, code, closed in blocks if tag in _PAGES or (not tag and _PAGE.search(code))]
    scripts = [Page(_around(code), closed) for tag, code, closed in blocks if tag in _SCRIPTS]
    found = pages or scripts
    if found:
        return found[-1]
    return Page(text, True) if _PAGE.search(text) else None


def _around(script: str) -> str:
    """The page for a script. Modules bring their own THREE, or none."""
    imports_three = re.search(r"""\bTHREE\b""", script) and not re.search(r"\bas\s+THREE\b", script)
    code = (_GLOBAL if imports_three else "") + script.replace("</script", "<\\/script")
    return _AROUND.replace("IMPORTS", json.dumps({"imports": IMPORTS})).replace("SCRIPT", code)
