"""Languages that need no more than a line each: programs and tests as source, no calls."""

from dataclasses import dataclass

from deliberate.verifiers.programs.languages.toolchains import Toolchain, in_shell
from deliberate.verifiers.programs.protocol import Executable, Unsupported
from deliberate.verifiers.sandbox.launching import PATH
from deliberate.verifiers.sandbox.protocol import Limits
from deliberate.verifiers.sandbox.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Listed:
    """A language of the table."""

    name: str
    fence_names: frozenset[str]
    programs: tuple[str, ...]
    install: str
    file: str
    compile: str
    """Checks the file, or compiles it; `cat` hands out what is to be run under the file's name."""
    run: str
    signed: str
    """Prints MARK on a line of its own. Here and below MARK stands for what no candidate knows."""
    genuine: str = ""
    """Before the tests: puts back what they rely on and a candidate may have replaced."""
    begun: str = ""
    """What a file begins with; `ended` ends it. They stand once around candidate and tests together."""
    ended: str = ""
    path: str = PATH

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """Checked or compiled."""
        files = {self.file: source.encode(errors="replace")}
        tools = Toolchain(self.programs, self.install, self.path)
        made = await tools.compile(in_shell(f"{self.compile} && cat {self.file}", files), sandbox, limits)
        return in_shell(self.run, {self.file: made})

    def with_calls(self, source: str, function: str) -> str:
        """Never. Raises Unsupported."""
        raise Unsupported(
            f"functions of {self.name} cannot be called by name; test such programs by their standard input and "
            "output, or by `test_source`"
        )

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """One after the other, in one file."""
        parts = [part.strip().removeprefix(self.begun).removesuffix(self.ended) for part in (source, tests)]
        begun, genuine, signed = (text.replace("MARK", mark) for text in (self.begun, self.genuine, self.signed))
        return "\n".join([begun, parts[0], genuine, parts[1], signed, ""])


TABLE = (
    Listed(
        "php",
        frozenset({"php"}),
        ("php",),
        "install PHP (Debian package: php-cli)",
        "program.php",
        "php -l program.php >&2",
        "exec php -d zend.assertions=1 -d assert.exception=1 -d display_errors=stderr program.php",
        'echo "\\nMARK\\n";',
        genuine='ini_set("zend.assertions", 1); ini_set("assert.active", 1); ini_set("assert.exception", 1);',
        begun="<?php",
        ended="?>",
    ),
    Listed(
        "ruby",
        frozenset({"ruby", "rb"}),
        ("ruby",),
        "install Ruby (Debian package: ruby)",
        "program.rb",
        "ruby -c program.rb >&2",
        "exec ruby program.rb",
        'STDOUT.write("\\nMARK\\n")',
    ),
    Listed(
        "perl",
        frozenset({"perl", "pl"}),
        ("perl",),
        "install Perl (Debian package: perl)",
        "program.pl",
        "perl -c program.pl >&2",
        "exec perl program.pl",
        'print STDOUT "\\nMARK\\n";',
    ),
    Listed(
        "lua",
        frozenset({"lua"}),
        ("lua5.4",),
        "install Lua 5.4 (Debian package: lua5.4)",
        "program.lua",
        "lua5.4 -e 'assert(loadfile(\"program.lua\"))'",
        "exec lua5.4 program.lua",
        'io.stdout:write("\\nMARK\\n")',
        genuine="assert, error = assert_MARK, error_MARK",
        begun="local assert_MARK, error_MARK = assert, error",
    ),
    Listed(
        "ocaml",
        frozenset({"ocaml", "ml"}),
        ("ocamlopt",),
        "install OCaml (Debian package: ocaml-nox)",
        "program.ml",
        "ocamlopt -w -a program.ml -o program >&2 && mv program program.ml",
        "mv program.ml program && chmod +x program && exec ./program",
        'let () = print_string "\\nMARK\\n"',
        genuine=";;\nlet (=) = Stdlib.(=) let (<>) = Stdlib.(<>) let (==) = Stdlib.(==) let (!=) = Stdlib.(!=)\n;;",
    ),
)
