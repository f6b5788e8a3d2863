"""Java, by a JDK of version 11 or later."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from deliberate.verifiers.programs.languages.sources import driver, joined, names_of, parted
from deliberate.verifiers.programs.languages.toolchains import Toolchain, in_shell
from deliberate.verifiers.programs.protocol import CompileError, Executable
from deliberate.verifiers.sandbox.launching import PATH
from deliberate.verifiers.sandbox.protocol import MIB, Limits
from deliberate.verifiers.sandbox.sandbox import Sandbox

_TYPE = re.compile(r"\b(?:class|interface|enum|record)[ \t\n]+(\w+)")
_PUBLIC = re.compile(
    r"^[ \t]*public[ \t]+(?:(?:final|abstract|sealed|strictfp)[ \t]+)*(?:class|interface|enum|record)[ \t\n]+(\w+)",
    re.M,
)
_MAIN = re.compile(r"\bstatic[ \t]+(?:final[ \t]+)?void[ \t]+main\b")
_IMPORT = re.compile(r"^[ \t]*import[ \t][^\n;]*;", re.MULTILINE)
_PACKAGE = re.compile(r"^[ \t]*package[ \t][^\n;]*;", re.MULTILINE)
_QUICK = "-XX:ActiveProcessorCount=2 -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto -Xss16m"
"""One thread collects, one compiler works: what short runs want."""

_LANG = "AssertionError Boolean Character Double Error Exception Float Integer Long Math Object RuntimeException String"
_UTIL = "ArrayList Arrays Collections HashMap HashSet List Map Objects Optional Set"


@dataclass(frozen=True, slots=True)
class Java:
    """Classes without a package."""

    path: str = PATH
    name: str = "java"
    fence_names: frozenset[str] = field(default=frozenset({"java"}))

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """Classes in an archive; the program is the class of the last file's `main`."""
        parts = [_PACKAGE.sub("", part) for part in parted(source)]
        files = {f"{_file_name(part, number)}.java": part.encode(errors="replace") for number, part in enumerate(parts)}
        flags = " ".join(f"-J{flag}" for flag in _QUICK.split())
        script = f"javac {flags} -nowarn -proc:none -encoding UTF-8 -d classes {' '.join(files)} && tar -c classes"
        jvm = Executable((), readable=_settings(), address_space_bytes=6144 * MIB)
        jdk = Toolchain(("javac", "java"), "install a JDK (Debian package: default-jdk-headless)", self.path)
        classes = await jdk.compile(in_shell(script, files, jvm), sandbox, limits)
        run = f"tar -xf classes.tar && exec java -ea {_QUICK} -Xmx1g -cp classes {_main_class(parts[-1])}"
        return in_shell(run, {"classes.tar": classes}, jvm)

    def with_calls(self, source: str, function: str) -> str:
        """The driver in a file of its own; the method is looked for in all classes, or in the one named."""
        *owner, name = names_of(source, function)
        owners = owner or list(dict.fromkeys(_TYPE.findall(source)))
        if not owners:
            raise CompileError("there is no class in the program")
        words = ", ".join(f'"{word}"' for word in (name, *owners))
        main = f"DeliberateCalls.serve({words});"
        started = f"class DeliberateStart {{ public static void main(String[] a) throws Exception {{ {main} }} }}\n"
        return joined(source, driver("DeliberateCalls.java"), started)

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """The tests in a file of their own: a class with a `main`, or statements.

        Names of the library that they are likely to use are imported one by one, which goes before the candidate's.
        """
        for name in set(_TYPE.findall(source)) & set(_TYPE.findall(tests)):
            tests = re.sub(rf"\b{name}\b", f"{name}OfTests", tests)
        if not _MAIN.search(tests):
            imports = "\n".join(_IMPORT.findall(tests))
            body = _IMPORT.sub("", tests)
            main = f"public static void main(String[] arguments) throws Exception {{\n{body}\n}}"
            tests = f"{imports}\nclass TestsOfCandidate {{ {main} }}"
        pins = [f"import java.lang.{name};" for name in _LANG.split()] + [
            f"import java.util.{name};" for name in _UTIL.split()
        ]
        own = set(_TYPE.findall(tests))
        pinned = " ".join(pin for pin in pins if pin[:-1].rpartition(".")[2] not in own)
        run = f'{_main_class(tests)}.main(new String[0]);\njava.lang.System.out.println("\\n{mark}");'
        start = f"class Start{mark} {{ public static void main(String[] a) throws Exception {{\n{run}\n}} }}\n"
        return joined(source, f"{pinned} {_PACKAGE.sub('', tests)}", f"{pinned} {start}")


def _settings() -> tuple[str, ...]:
    """Debian keeps a JDK's settings outside of its folder."""
    return tuple(map(str, Path("/etc").glob("java-*")))


def _file_name(part: str, number: int) -> str:
    public = _PUBLIC.search(part)
    return public[1] if public else f"Part{number}"


def _main_class(part: str) -> str:
    """The class around its `main`, else its first class, else a name that none has."""
    main = _MAIN.search(part)
    before = _TYPE.findall(part, 0, main.start()) if main else []
    return (before[-1:] or _TYPE.findall(part)[:1] or ["Main"])[0]
