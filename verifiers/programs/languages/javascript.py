"""JavaScript and TypeScript, on Node."""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from deliberate.verifiers.node_modules import folders_of_packages
from deliberate.verifiers.programs.languages.sources import driver, names_of
from deliberate.verifiers.programs.languages.toolchains import Toolchain, in_shell
from deliberate.verifiers.programs.protocol import Executable
from deliberate.verifiers.sandbox.interpreters import everybody_reads
from deliberate.verifiers.sandbox.launching import PATH
from deliberate.verifiers.sandbox.protocol import MIB, Limits, SandboxUnavailable
from deliberate.verifiers.sandbox.sandbox import Sandbox

_NODE = "install Node.js (Debian packages: nodejs npm)"
_MODULE_LINE = re.compile(r"^[ \t]*(?:import[ \t]*[\w{*\"']|export[ \t{])", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import\b[^\n]*$", re.MULTILINE)
_HASHBANG = re.compile(r"\A#![^\n]*")
_CLOSED = "\n/**/;"
"""Ends what a candidate may have left open: a line, a comment, a statement."""

_NODE_RUN = Executable((), environment={"OPENSSL_CONF": "/dev/null"}, address_space_bytes=8192 * MIB)
"""V8 reserves far more addresses than it uses. OpenSSL's settings lie where boxes do not look."""


@dataclass(frozen=True, slots=True)
class JavaScript:
    """Scripts, and modules where `import` or `export` stand at the beginning of a line."""

    path: str = PATH
    name: str = "javascript"
    fence_names: frozenset[str] = field(default=frozenset({"javascript", "js", "mjs", "cjs", "node"}))

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """As it stands, once node says that it parses."""
        file = "program.mjs" if _MODULE_LINE.search(source) else "program.cjs"
        files = {file: source.encode(errors="replace")}
        node = Toolchain(("node",), _NODE, self.path)
        await node.compile(in_shell(f"exec node --check {file}", files, _NODE_RUN), sandbox, limits)
        return in_shell(f"exec node {file}", files, _NODE_RUN)

    def with_calls(self, source: str, function: str) -> str:
        """The driver before the candidate, and a question to it behind, in the same scope."""
        names = names_of(source, function)
        found = _found(names)
        if len(names) == 1 and not _MODULE_LINE.search(source):
            found = f'typeof {names[0]} === "function" ? {names[0]} : module.exports.{names[0]}'
        return f"{_begun(source, source)}{_CLOSED}deliberate$.answerCalls(() => {found});\n"

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """The tests in a function in the candidate's scope, with assertions that it cannot have replaced."""
        imports, body = _hoisted(tests)
        return f"{_begun(source, source + imports)}{_CLOSED}\n{imports}\n{_tested(body, mark)}"


@dataclass(frozen=True, slots=True)
class TypeScript:
    """Compiled to CommonJS by tsc; errors of types are errors."""

    path: str = PATH
    folders: tuple[str, ...] = field(default_factory=lambda: tuple(str(f.absolute()) for f in folders_of_packages()))
    """Where npm may have put `typescript`."""
    name: str = "typescript"
    fence_names: frozenset[str] = field(default=frozenset({"typescript", "ts", "mts", "cts"}))

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """To one script."""
        folder = self._modules()
        flags = "--module commonjs --target es2022 --moduleDetection force --noEmitOnError --strict false --types ''"
        script = f"node {folder}/typescript/bin/tsc {flags} program.ts node.d.ts >&2 && cat program.js"
        files = {"program.ts": source.encode(errors="replace"), "node.d.ts": driver("node.d.ts").encode()}
        environment = {**_NODE_RUN.environment, "GOMAXPROCS": "2"}  # From version 7 on tsc is a program in Go.
        tsc = replace(_NODE_RUN, environment=environment, readable=(folder,), address_space_bytes=32 * 1024 * MIB)
        node = Toolchain(("node",), _NODE, self.path)
        compiled = await node.compile(in_shell(script, files, tsc), sandbox, limits)
        return in_shell("exec node program.cjs", {"program.cjs": compiled}, _NODE_RUN)

    def with_calls(self, source: str, function: str) -> str:
        """As in JavaScript; the driver is a text there, so that its types are nobody's concern."""
        found = _found(names_of(source, function))
        return f"{_script(source)}{_CLOSED}deliberate$.answerCalls(() => {found});\n"

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """As in JavaScript."""
        imports, body = _hoisted(tests)
        return f"{_script(source)}{_CLOSED}\n{imports}\n{_tested(body, mark)}"

    def _modules(self) -> str:
        for folder in self.folders if self.path else ():
            tsc = Path(folder, "typescript/bin/tsc")
            if tsc.is_file() and everybody_reads(str(tsc)):
                return folder
        raise SandboxUnavailable(
            f"no TypeScript compiler that the boxes' users can read in {', '.join(self.folders)}; run `npm install "
            "--global typescript`"
        )


def _begun(source: str, decisive: str) -> str:
    """The driver and the candidate, as a module where the decisive text makes it one."""
    if not _MODULE_LINE.search(decisive):
        return _script(source)
    required = 'import { createRequire as deliberate$require } from "node:module";'
    made = "(deliberate$require(import.meta.url), process, new URL(import.meta.url).pathname)"
    return f"{required} {_loaded()}{made}; {_HASHBANG.sub('', source)}"


def _script(source: str) -> str:
    return f"{_loaded()}(require, process, __filename); {_HASHBANG.sub('', source)}"


def _loaded() -> str:
    """The driver, on the candidate's first line, so that what node complains of keeps its line number."""
    return f'const deliberate$ = new Function("require", "process", "__filename", {json.dumps(driver("node.js"))})'


def _found(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f'deliberate$.method({names[0]}, "{names[1]}")'


def _hoisted(tests: str) -> tuple[str, str]:
    """Imports, which stand in no function, and the rest."""
    return "\n".join(_IMPORT.findall(tests)), _IMPORT.sub("", tests)


def _tested(body: str, mark: str) -> str:
    return f'deliberate$.runTests(async (require, console) => {{\n{body}\n}}, "{mark}");\n'
