"""How many of three.js' means a page uses: a cheap and static stand-in for creativity.

It counts kinds of things, not how well they go together, and text that is never run counts too: good enough to break
ties between candidates. Whoever optimizes for it (training) should rather ask a judge that sees the screenshot.
"""

import re

ENOUGH = 14
"""Different features of a page that scores 1."""

_COMMENTS_AND_TEXTS = re.compile(
    r"""/\*.*?(?:\*/|\Z)|<!--.*?(?:-->|\Z)|(?<![:\w])//[^\n]*|`(?:\\.|[^`\\])*(?:`|\Z)"""
    r"""|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\"""",
    re.S,
)
_KINDS = "Geometry|Material|Light|Curve|Curve3|Texture|Pass|Loader|Controls|Helper"
_OBJECTS = (
    "AnimationMixer|Audio|BatchedMesh|EffectComposer|Fog|FogExp2|Group|InstancedMesh|LOD|Line|LineLoop|LineSegments"
    "|Points|PositionalAudio|Raycaster|Reflector|SkinnedMesh|Sky|Sprite|Water"
)
_CONSTRUCTED = re.compile(rf"\bnew\s+(?:THREE\.)?(\w+(?:{_KINDS})|{_OBJECTS})\b")
_TECHNIQUES = {
    "shadows": re.compile(r"\bshadowMap\b|\bcastShadow\b"),
    "tone mapping": re.compile(r"\btoneMapping\b"),
    "own shaders": re.compile(r"\bonBeforeCompile\b|\bvertexShader\b|\bfragmentShader\b"),
    "environment": re.compile(r"\bscene\.environment\b|\benvMap\b"),
    "vertex colors": re.compile(r"\bvertexColors\b|\bsetHSL\b"),
    "changing shapes": re.compile(r"\bneedsUpdate\b|\bmorphTarget\w*\b"),
    "input": re.compile(r"\baddEventListener\s*\("),
    "transparency": re.compile(r"\btransparent\s*:|\bblending\s*:"),
    "particles": re.compile(r"\bBufferAttribute\b"),
}


def features(page: str) -> tuple[str, ...]:
    """What the page uses, each once, sorted; comments and texts do not count."""
    code = _COMMENTS_AND_TEXTS.sub(" ", page)
    built = {match[1] for match in _CONSTRUCTED.finditer(code)}
    return tuple(sorted(built | {name for name, pattern in _TECHNIQUES.items() if pattern.search(code)}))


def creativity(page: str) -> float:
    """Share of ENOUGH features, in [0, 1]."""
    return min(1.0, len(features(page)) / ENOUGH)
