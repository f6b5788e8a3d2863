"""C and C++, by GCC."""

import re
from dataclasses import dataclass, field

from deliberate.verifiers.programs.languages.sources import driver, names_of
from deliberate.verifiers.programs.languages.toolchains import Toolchain, in_shell
from deliberate.verifiers.programs.protocol import Executable, Unsupported
from deliberate.verifiers.sandbox.launching import PATH
from deliberate.verifiers.sandbox.protocol import Limits
from deliberate.verifiers.sandbox.sandbox import Sandbox

_ASSERT_HEADER = re.compile(r"^[ \t]*#[ \t]*include[ \t]*[<\"](?:assert\.h|cassert)[>\"][^\n]*$", re.MULTILINE)
_MAIN = re.compile(r"\bmain\s*\(")
_OWN_MAIN_ASIDE = "#define main deliberate_unused_main\n#line 1\n"
"""The candidate's `main`, if it has one, is not the program's."""


@dataclass(frozen=True, slots=True)
class _Gcc:
    """What C and C++ have in common."""

    name: str
    fence_names: frozenset[str]
    compiler: str
    suffix: str
    install: str
    path: str = PATH

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """Compiled and linked; a source without `main` is compiled too, to a program that crashes."""
        files = {f"program.{self.suffix}": source.encode(errors="replace")}
        if self.suffix == "cpp":
            files["deliberate_calls.hpp"] = driver("calls.hpp").encode()
        script = (
            f"{self.compiler} -c program.{self.suffix} -o program.o && "
            "{ nm program.o | grep -q ' [TW] main$' || without=-Wl,--defsym=main=0; } && "
            f"{self.compiler} program.o $without -s -o program -lm -pthread && cat program"
        )
        gcc = Toolchain((self.compiler.split()[0],), self.install, self.path)
        program = await gcc.compile(in_shell(script, files), sandbox, limits)
        return native(program)

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """The tests with a `main` of their own, after the candidate and with an `assert` that it cannot touch.

        Without a `main` they are statements. The program's real start calls theirs and then prints the mark.
        """
        body = _ASSERT_HEADER.sub("", tests)
        if _MAIN.search(body) is None:
            body = f"int main(void) {{\n{body}\n;return 0;\n}}"
        before, between, after = (driver(f"tests_{part}.h") for part in ("before", "between", "after"))
        text = f'{before}{_OWN_MAIN_ASIDE}{source}\n/**/\n{between}#line 1 "tests"\n{body}\n{after}'
        return text.replace("DELIBERATE_MARK", mark)


@dataclass(frozen=True, slots=True)
class C(_Gcc):
    """C, by gcc. Functions cannot be called by name and JSON: their types say too little."""

    name: str = "c"
    fence_names: frozenset[str] = field(default=frozenset({"c", "h", "c99", "c11"}))
    compiler: str = "gcc -std=gnu17 -O1 -w"
    suffix: str = "c"
    install: str = "install GCC (Debian package: gcc libc6-dev)"

    def with_calls(self, source: str, function: str) -> str:
        """Never. Raises Unsupported."""
        raise Unsupported(
            f"{function[:100]!r} cannot be called: a pointer in C does not say how much it points to; test C programs "
            "by their standard input and output, or by `test_source`"
        )


@dataclass(frozen=True, slots=True)
class Cpp(_Gcc):
    """C++, by g++. Functions whose parameters and results JSON can say are called by a template."""

    name: str = "cpp"
    fence_names: frozenset[str] = field(default=frozenset({"cpp", "c++", "cc", "cxx", "hpp"}))
    compiler: str = "g++ -std=gnu++20 -O1 -w"
    suffix: str = "cpp"
    install: str = "install G++ (Debian package: g++)"

    def with_calls(self, source: str, function: str) -> str:
        """The driver before the candidate, a `main` that hands it the function behind."""
        target = "::".join(names_of(source, function))
        begun = f'#include "deliberate_calls.hpp"\n{_OWN_MAIN_ASIDE}{source}'
        return f"{begun}\n/**/\n#undef main\nsigned main() {{ return deliberate::answer_calls(&{target}); }}\n"


def native(program: bytes) -> Executable:
    """What a compiler made for this machine."""
    return in_shell("chmod +x program && exec ./program", {"program": program})
