"""Modules of three.js as scripts around a global `THREE`, which releases before r160 had and many pages ask for."""

import re

_IMPORT = re.compile(r"^import\s*(\{[^}]*\})\s*from\s*'([^']+)';", re.M)
_EXPORT = re.compile(r"^export\s*\{([^}]*)\}\s*(from\s*'[^']+')?;", re.M)
_MODULE = re.compile(r"^(import|export)\b", re.M)


def global_build(core: str, module: str) -> str | None:
    """The script that defines `THREE`; None where the modules are not as expected."""
    inner = _script(module, "CORE")
    if inner is None:
        return None
    outer = _script(core, "undefined") or "{}"
    return f"var THREE = (() => {{\nconst CORE = {outer};\nreturn {{ ...CORE, ...{inner} }};\n}})();"


def global_addon(module: str) -> str | None:
    """The script that adds an addon to `THREE`; None for one that stands on other addons."""
    script = _script(module, "THREE", only="three")
    return None if script is None else f"Object.assign(THREE, {script});"


def _script(module: str, source: str, only: str | None = None) -> str | None:
    """An expression for what a module exports, when what it imports is found in `source`."""
    if only is not None and any(match[2] != only for match in _IMPORT.finditer(module)):
        return None
    names = ", ".join(_exported(match[1]) for match in _EXPORT.finditer(module) if match[2] is None)
    body = _EXPORT.sub("", _IMPORT.sub(lambda match: f"const {match[1].replace(' as ', ': ')} = {source};", module))
    return None if _MODULE.search(body) else f"(() => {{\n{body}\nreturn {{ {names} }};\n}})()"


def _exported(names: str) -> str:
    """`A, B as C` as the members `A, C: B`."""
    return ", ".join(re.sub(r"(\S+) as (\S+)", r"\2: \1", name.strip()) for name in names.split(",") if name.strip())
