"""Go, by its own tool, with the standard library alone."""

import re
from dataclasses import dataclass, field, replace

from deliberate.verifiers.programs.languages.c_family import native
from deliberate.verifiers.programs.languages.sources import driver, joined, names_of, parted
from deliberate.verifiers.programs.languages.toolchains import Toolchain, in_shell
from deliberate.verifiers.programs.protocol import Executable
from deliberate.verifiers.sandbox.launching import PATH
from deliberate.verifiers.sandbox.protocol import MIB, Limits
from deliberate.verifiers.sandbox.sandbox import Sandbox

_PACKAGE = re.compile(r"^package[ \t]+\w+", re.MULTILINE)
_MAIN = re.compile(r"^func[ \t]+main[ \t]*\(", re.MULTILINE)
_TEST = re.compile(r"^func[ \t]+(Test\w*)[ \t]*\([ \t]*\w+[ \t]+\*testing\.T[ \t]*\)", re.MULTILINE)
_IMPORT = re.compile(r"^import[ \t]*(?:\([^)]*\)|[^\n]*)", re.MULTILINE)
_FEW_THREADS = {"GOMAXPROCS": "2"}
"""However many CPUs there are: boxes hold few threads."""
_ENVIRONMENT = {
    **_FEW_THREADS,
    "GO111MODULE": "off",
    "CGO_ENABLED": "0",
    "GOFLAGS": "",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
}

_GENUINE = """
func deliberateGenuine() int { panic(len("")) }
const _ = len("genuine")
var _ = map[bool]int{1 == 2: 0, true: 0}
"""
"""Compiles only where `panic`, `len` and `true` are the language's own, and not the candidate's."""


_ALL = """
each := func(t *testing.T) {
%s
}
all := func(t *testing.T) {
if t.Run("all", each) {
%s
}
}
matching := func(string, string) (bool, error) { return true, nil }
testing.Main(matching, []testing.InternalTest{{"all", all}}, nil, nil)
"""
"""Also waits for tests that run in parallel."""


@dataclass(frozen=True, slots=True)
class Go:
    """Package main."""

    path: str = PATH
    name: str = "go"
    fence_names: frozenset[str] = field(default=frozenset({"go", "golang"}))

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """Compiled and linked; a source without `main` is compiled too, to a program that panics."""
        parts = [_main_package(part) for part in parted(source)]
        if not any(map(_MAIN.search, parts)):
            parts[-1] += '\nfunc main() { panic("there is no main function") }\n'
        files = {f"part{number}.go": part.encode(errors="replace") for number, part in enumerate(parts)}
        script = f"go build -ldflags='-s -w' -o program {' '.join(files)} && cat program"
        compiler = Executable((), environment=_ENVIRONMENT, address_space_bytes=4096 * MIB)
        go = Toolchain(("go",), "install Go (Debian package: golang-go)", self.path)
        program = native(await go.compile(in_shell(script, files, compiler), sandbox, limits))
        return replace(program, environment=_FEW_THREADS, address_space_bytes=2048 * MIB)

    def with_calls(self, source: str, function: str) -> str:
        """The driver in a file of its own. A method is one of a pointer to an empty value, new for
        each call."""
        *owner, name = names_of(source, function)
        target = f"(&{owner[0]}{{}}).{name}" if owner else name
        main = f"\nfunc main() {{ deliberateAnswerCalls(func() interface{{}} {{ return {target} }}) }}\n"
        return joined(_without_main(source, "deliberateUnusedMain"), driver("calls.go") + main)

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """The tests in a file of their own: functions `TestX(t *testing.T)`, a `main`, or statements."""
        body = _without_main(_main_package(tests), "deliberateTestsMain")
        names = _TEST.findall(tests)
        imports = 'import "os"\n'
        run = f"deliberateTestsMain()\n{_signed(mark)}"
        if names:
            imports += 'import "testing"\n'
            run = _ALL % ("\n".join(f't.Run("{name}", {name})' for name in names), _signed(mark))
        elif not _MAIN.search(tests):
            kept = "\n".join(_IMPORT.findall(tests))
            body = f"package main\n{kept}\nfunc deliberateTestsMain() {{\n{_IMPORT.sub('', tests)}\n}}\n"
        main = f"func main() {{\n{run}\n}}\n"
        return joined(_without_main(source, "deliberateUnusedMain"), body, f"package main\n{imports}{_GENUINE}{main}")


def _signed(mark: str) -> str:
    return f'os.Stdout.WriteString("\\n{mark}\\n")'


def _main_package(source: str) -> str:
    if _PACKAGE.search(source) is None:
        return f"package main\n{source}"
    return _PACKAGE.sub("package main", source, count=1)


def _without_main(source: str, name: str) -> str:
    return _MAIN.sub(f"func {name}(", source)
