"""How long programs of each language take: to build in a box, and to read a line and print a number in another.

The fastest of several rounds counts: what else the machine does only makes rounds slower.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deliberate.verifiers.programs.protocol import Language
from deliberate.verifiers.programs.registry import LANGUAGES
from deliberate.verifiers.sandbox.protocol import MIB, Limits, SandboxUnavailable
from deliberate.verifiers.sandbox.sandbox import Sandbox

_LIMITS = Limits(seconds=60.0, memory_bytes=1024 * MIB)

_DOUBLING = {
    "c": '#include <stdio.h>\nint main(void) { int n; scanf("%d", &n); printf("%d\\n", 2 * n); }',
    "cpp": "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << 2 * n; }",
    "rust": "fn main() { let mut s = String::new(); std::io::stdin().read_line(&mut s).unwrap();\n"
    'println!("{}", 2 * s.trim().parse::<i32>().unwrap()); }',
    "java": "import java.util.Scanner;\nclass Main { public static void main(String[] a) {\n"
    "System.out.println(2 * new Scanner(System.in).nextInt()); } }",
    "javascript": 'console.log(2 * Number(require("fs").readFileSync(0, "utf8")));',
    "typescript": 'const n: number = Number(require("fs").readFileSync(0, "utf8"));\nconsole.log(2 * n);',
    "go": 'package main\nimport "fmt"\nfunc main() { var n int; fmt.Scan(&n); fmt.Println(2 * n) }',
    "php": "<?php echo 2 * (int) fgets(STDIN);",
    "ruby": "puts 2 * gets.to_i",
    "perl": "print 2 * <STDIN>;",
    "lua": 'print(2 * io.read("n"))',
    "ocaml": 'let () = Scanf.scanf "%d" (fun n -> print_int (2 * n))',
}


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of one build and one run, boxes included."""

    build: float
    run: float


async def measure(language: Language, sandbox: Sandbox) -> Taken:
    """Build and run once. Raises SandboxUnavailable where the toolchain is missing."""
    start = time.perf_counter()
    executable = await language.build(_DOUBLING[language.name], sandbox, _LIMITS)
    built = time.perf_counter()
    outcome = await sandbox.run(executable.job(_LIMITS, b"21\n"))
    assert outcome.stdout.strip() == b"42", outcome
    return Taken(built - start, time.perf_counter() - built)


async def _measure_all(rounds: int) -> dict[str, list[Taken] | str]:
    """By language; what is missing where one cannot be had."""
    sandbox = Sandbox()
    found = dict[str, list[Taken] | str]()
    try:
        await sandbox.boxes()
        for language in LANGUAGES:
            try:
                found[language.name] = [await measure(language, sandbox) for _ in range(rounds)]
            except SandboxUnavailable as error:
                found[language.name] = str(error)
    finally:
        await sandbox.close()
    return found


def main(rounds: Annotated[int, typer.Option(min=1, help="Programs of each language.")] = 7) -> None:
    """Measure builds and runs of a small program in every language."""
    table = Table("language", "build ms", "run ms")
    for name, taken in asyncio.run(_measure_all(rounds)).items():
        if isinstance(taken, str):
            table.add_row(name, taken, "")
            continue
        build, run = min(one.build for one in taken), min(one.run for one in taken)
        table.add_row(name, f"{1000 * build:.0f}", f"{1000 * run:.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
