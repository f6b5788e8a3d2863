"""Rust, by rustc, with the standard library alone."""

import re
from dataclasses import dataclass, field

from deliberate.verifiers.programs.languages.c_family import native
from deliberate.verifiers.programs.languages.sources import driver, names_of
from deliberate.verifiers.programs.languages.toolchains import Toolchain, in_shell
from deliberate.verifiers.programs.protocol import Executable
from deliberate.verifiers.sandbox.launching import PATH
from deliberate.verifiers.sandbox.protocol import MIB, Limits
from deliberate.verifiers.sandbox.sandbox import Sandbox

_MAIN = re.compile(r"\bfn\s+main\b")
_MODULE = re.compile(r"^[ \t]*(?:pub[ \t]+)?mod[ \t]+(\w+)[ \t\n]*\{", re.MULTILINE)
_TEST_ONLY = re.compile(r"#\[[ \t]*cfg[ \t]*\([ \t]*test[ \t]*\)[ \t]*\]")
_TEST = re.compile(r"#\[[ \t]*test[ \t]*\]\s*((?:#\[[^\]\n]*\]\s*)*)(?:pub\s+)?fn\s+(\w+)")
_PASSED = """
trait DeliberatePassed { fn require(self); }
impl DeliberatePassed for () { fn require(self) {} }
impl<E: ::std::fmt::Debug> DeliberatePassed for Result<(), E> { fn require(self) { self.unwrap(); } }
"""
"""What a test returns when all is well."""
_ASSERTIONS = ("assert", "assert_eq", "assert_ne", "debug_assert", "debug_assert_eq", "debug_assert_ne", "panic")


@dataclass(frozen=True, slots=True)
class Rust:
    """One crate of edition 2021, optimized, with overflow checks."""

    path: str = PATH
    name: str = "rust"
    fence_names: frozenset[str] = field(default=frozenset({"rust", "rs"}))

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """Compiled and linked; a source without `main` is compiled too, to a program that panics."""
        if _MAIN.search(source) is None:
            source = f'{source}\nfn main() {{ panic!("there is no main function"); }}\n'
        flags = "--edition 2021 --cap-lints allow -C opt-level=1 -C debug-assertions=on -C strip=symbols"
        script = f"rustc {flags} program.rs -o program && cat program"
        compiler = Executable((), address_space_bytes=4096 * MIB)
        rustc = Toolchain(("rustc", "cc"), "install Rust for all users (Debian package: rustc)", self.path)
        files = {"program.rs": source.encode(errors="replace")}
        return native(await rustc.compile(in_shell(script, files, compiler), sandbox, limits))

    def with_calls(self, source: str, function: str) -> str:
        """The candidate in a module, where its `main` is not the program's; a method must be one without `self`."""
        names = names_of(source, function)
        target = "::".join(names)
        answering = f"pub fn deliberate_answer() {{ crate::deliberate::answer_calls({target}); }}"
        return f"{_module(source, answering)}\n{driver('calls.rs')}\nfn main() {{ candidate::deliberate_answer(); }}\n"

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """The tests in a module within the candidate's, with the standard library's assertions, called from outside.

        They are a `main`, functions marked `#[test]`, or statements.
        """
        macros = "\n".join(
            f"macro_rules! {name} {{ ($($t:tt)*) => {{ ::std::{name}!($($t)*) }} }}" for name in _ASSERTIONS
        )
        # Under a name that the candidate cannot know, so that it cannot put another module in the place of this one.
        inner = f"#[allow(unused)]\npub mod tests_{mark} {{\nuse super::*;\n{macros}\n{_runnable(tests)}\n}}"
        main = f'candidate::tests_{mark}::deliberate_run();\n::std::println!("\\n{mark}");'
        return f"{_module(source, inner)}\nfn main() {{\n{main}\n}}\n"


def _module(source: str, inner: str) -> str:
    return f"#[allow(unused)]\nmod candidate {{\n{source}\n/**/\n{inner}\n}}"


def _runnable(tests: str) -> str:
    """The tests and a function that runs them."""
    if _MAIN.search(tests) is not None:
        return f"{tests}\npub fn deliberate_run() {{ let _ = main(); }}"
    calls = [_call(tests, test) for test in _TEST.finditer(tests)]
    if not calls:
        return f"pub fn deliberate_run() {{\n{tests}\n}}"
    # rustc drops what is marked as a test from a program.
    shown = _MODULE.sub(r"pub mod \1 {", _TEST.sub(r"pub fn \2", _TEST_ONLY.sub("", tests)))
    return f"{shown}\npub fn deliberate_run() {{\n{''.join(calls)}}}\n{_PASSED}"


def _call(tests: str, test: re.Match[str]) -> str:
    modules = _MODULE.findall(tests, 0, test.start())
    name = "::".join([*modules[-1:], test[2]])
    if "should_panic" in test[1]:
        return f"assert!(::std::panic::catch_unwind(|| {{ {name}(); }}).is_err());\n"
    return f"DeliberatePassed::require({name}());\n"
