"""Every language, in boxes of both strong tiers. A machine without a toolchain fails here, because CI has them all."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deliberate.verifiers.programs import results
from deliberate.verifiers.programs.boxed import BoxedProgram
from deliberate.verifiers.programs.languages.javascript import TypeScript
from deliberate.verifiers.programs.languages.toolchains import Toolchain, in_shell
from deliberate.verifiers.programs.protocol import CompileError, Raised, Reply, Returned, Stopped, Unsupported
from deliberate.verifiers.programs.registry import LANGUAGES
from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.protocol import MIB, Limits, SandboxUnavailable, Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox, SandboxConfig
from tests.verifiers.language_sources import SOURCES

LANGUAGE = {language.name: language for language in LANGUAGES}
LIMITS = Limits(seconds=20.0, memory_bytes=256 * MIB)
TEST_LIMITS = results.TestLimits(seconds=20.0, total_seconds=20.0, memory_bytes=256 * MIB)

pytestmark = pytest.mark.timeout(300)
everywhere = pytest.mark.parametrize("tier", ["A", "B"])
every_language = pytest.mark.parametrize("name", LANGUAGE)


class OneTier(Sandbox):
    """Only boxes of that tier."""

    def __init__(self, tier: Tier) -> None:
        super().__init__(SandboxConfig(slots=1))
        boxes = self.boxes_of(tier)
        assert isinstance(boxes, Boxes), boxes
        self._only = boxes

    async def boxes(self) -> Boxes:
        return self._only


@pytest.fixture
def tier() -> str:
    """The strongest, where a test does not say which."""
    return "A"


@pytest.fixture
async def box(tier: str) -> AsyncIterator[Sandbox]:
    sandbox = OneTier(Tier(tier))
    yield sandbox
    await sandbox.close()


def program(name: str, source: str, box: Sandbox) -> BoxedProgram:
    return BoxedProgram(LANGUAGE[name], source, box)


def test_sources_are_tried_of_every_language() -> None:
    assert set(SOURCES) == set(LANGUAGE)


@everywhere
@every_language
async def test_programs_read_and_print_within_limits(tier: str, name: str, box: Sandbox) -> None:
    obedient = program(name, SOURCES[name].obedient, box)
    summed = await obedient.run(b"sum 40 2\n", LIMITS)
    assert summed.succeeded and summed.stdout.strip() == b"42", summed
    looping = await obedient.run(b"loop\n", replace(LIMITS, seconds=1.0))
    assert looping.ended == "timeout"
    hog = await obedient.run(b"hog\n", LIMITS)
    assert not hog.succeeded and b"survived" not in hog.stdout


@everywhere
@every_language
async def test_what_does_not_compile_is_the_candidates_fault(tier: str, name: str, box: Sandbox) -> None:
    with pytest.raises(CompileError) as refused:
        await program(name, SOURCES[name].broken, box).build()
    assert 0 < len(str(refused.value)) <= 2_000


@everywhere
@every_language
async def test_tests_as_source(tier: str, name: str, box: Sandbox) -> None:
    sources = SOURCES[name]
    assert (await program(name, sources.right, box).judge_assertions(sources.tests, TEST_LIMITS)).passed == 1
    found = await program(name, sources.wrong, box).judge_assertions(sources.tests, TEST_LIMITS)
    assert found.passed == 0 and found.reason


@pytest.mark.parametrize(("name", "cheat"), [(name, cheat) for name in SOURCES for cheat in SOURCES[name].cheats])
async def test_cheats_do_not_pass_tests_as_source(name: str, cheat: str, box: Sandbox) -> None:
    candidate = program(name, SOURCES[name].cheats[cheat], box)
    try:
        found = await candidate.judge_assertions(SOURCES[name].tests, TEST_LIMITS)
    except CompileError:
        return
    assert found.passed == 0


GREET = {
    "cpp": """
#include <iostream>
#include <map>
#include <string>
#include <vector>
using namespace std;
#define int long long
pair<string, vector<double>> greet(const string& name, vector<int> numbers, map<string, bool>& flags) {
  cout << "noise" << endl;
  if (numbers.empty()) throw invalid_argument("no numbers");
  return {"é " + name, {numbers[0] + 0.5, (double) flags.size()}};
}
signed main() { return 1; }""",
    "rust": """
use std::collections::HashMap;
fn greet(name: &str, numbers: Vec<i64>, flags: &HashMap<String, bool>) -> (String, Vec<f64>) {
    println!("noise");
    if numbers.is_empty() { panic!("no numbers"); }
    (format!("é {}", name), vec![numbers[0] as f64 + 0.5, flags.len() as f64])
}
fn main() {}""",
    "java": """
import java.util.*;
public class Solution {
    public Object[] greet(String name, int[] numbers, Map<String, Boolean> flags) {
        System.out.println("noise");
        if (numbers.length == 0) throw new IllegalArgumentException("no numbers");
        return new Object[] {"é " + name, List.of(numbers[0] + 0.5, (double) flags.size())};
    }
    public static void main(String[] arguments) {}
}""",
    "javascript": """
console.log();
function greet(name, numbers, flags) {
  console.log("noise");
  process.stdout.write("half a line");
  if (!numbers.length) throw new Error("no numbers");
  return [`é ${name}`, [numbers[0] + 0.5, Object.keys(flags).length]];
}""",
    "typescript": """
type Flags = Record<string, boolean>;
export async function greet(name: string, numbers: number[], flags: Flags): Promise<[string, number[]]> {
  console.log("noise");
  if (!numbers.length) throw new Error("no numbers");
  return [`é ${name}`, [numbers[0] + 0.5, Object.keys(flags).length]];
}""",
    "go": """
package main
import ("errors"; "fmt")
func init() { fmt.Println() }
func greet(name string, numbers []int, flags map[string]bool) (string, []float64, error) {
	fmt.Println("noise")
	if len(numbers) == 0 { return "", nil, errors.New("no numbers") }
	return "é " + name, []float64{float64(numbers[0]) + 0.5, float64(len(flags))}, nil
}
func main() {}""",
}


@everywhere
@pytest.mark.parametrize("name", GREET)
async def test_functions_answer_one_call_after_the_other(tier: str, name: str, box: Sandbox) -> None:
    replies = await ask(
        program(name, GREET[name], box),
        "greet",
        [['a\n"b"', [1, 2], {"x": True}], ["z", [], {}], ["z"], [[], "", {}], ["ü😀", [3], {}]],
    )
    assert replies[0] == Returned(['é a\n"b"', [1.5, 1]])
    assert isinstance(replies[1], Raised) and "no numbers" in replies[1].text
    assert all(isinstance(reply, Raised | Returned) for reply in replies[2:4])
    assert replies[4] == Returned(["é ü😀", [3.5, 0]])


VALUES = {
    "cpp": (
        "#include <optional>\n#include <set>\n#include <map>\n#include <tuple>\nusing namespace std;\n"
        "tuple<set<char>, map<int, bool>, optional<int>, double> f(set<int> a, map<int, bool> b, optional<int> c,"
        " double d) { return {set<char>{'x'}, b, c, d / 0.0}; }"
    ),
    "rust": (
        "use std::collections::*;\nfn f(a: BTreeSet<i64>, b: HashMap<i64, bool>, c: Option<i64>, d: f64)"
        " -> (HashSet<char>, HashMap<i64, bool>, Option<i64>, f64) { (HashSet::from(['x']), b, c, d / 0.0) }"
    ),
    "java": (
        "import java.util.*;\nclass P { static List<Object> f(Set<Integer> a, Map<Integer, Boolean> b,"
        " Optional<Integer> c, double d) { return Arrays.asList(Set.of('x'), b, c, d / 0); } }"
    ),
    "javascript": "const f = (a, b, c, d) => [new Set(['x']), b, c, d / 0];",
    "typescript": "const f = (a: Set<number>, b: any, c: any, d: number): any => [new Set(['x']), b, c, d / 0];",
    "go": (
        'package main\nimport "math"\nfunc f(a []int, b map[int]bool, c *int, d float64) (map[string]struct{},'
        ' map[int]bool, *int, float64) { return map[string]struct{}{"x": {}}, b, c, math.Inf(1) }'
    ),
}


@pytest.mark.parametrize("name", VALUES)
async def test_values_that_json_lacks_travel_both_ways(name: str, box: Sandbox) -> None:
    arguments = [{"$set": [1, 2]}, {"$dict": [[7, True]]}, None, 1.5]
    (reply,) = await ask(program(name, VALUES[name], box), "f", [arguments])
    assert reply == Returned([{"$set": ["x"]}, {"$dict": [[7, True]]}, None, {"$float": "inf"}])


METHODS = {
    "cpp": "class Counter { int count = 0; public: int add(int a) { return count += a; } };",
    "java": "class Counter { int count = 0; int add(int a) { return count += a; } }",
    "javascript": "class Counter { count = 0; add(a) { return this.count += a; } }",
    "typescript": "class Counter { count = 0; add(a: number) { return this.count += a; } }",
    "go": "package main\ntype Counter struct { count int }\n"
    "func (c *Counter) Add(a int) int { c.count += a; return c.count }",
    "rust": "struct Counter; impl Counter { pub fn add(a: i32) -> i32 { a } }",
}


@pytest.mark.parametrize("name", METHODS)
async def test_methods_are_those_of_a_new_object_for_each_call(name: str, box: Sandbox) -> None:
    method = "Counter.Add" if name == "go" else "Counter.add"
    assert await ask(program(name, METHODS[name], box), method, [[2], [3]]) == [Returned(2), Returned(3)]


@pytest.mark.parametrize("name", sorted(GREET))
async def test_a_function_that_is_not_there_is_the_candidates_fault(name: str, box: Sandbox) -> None:
    with pytest.raises(CompileError, match="missing"):
        await program(name, SOURCES[name].right, box).build("missing")


@pytest.mark.parametrize("name", sorted(set(LANGUAGE) - set(GREET)))
async def test_languages_whose_functions_cannot_be_called_say_what_can_be_done(name: str, box: Sandbox) -> None:
    with pytest.raises(Unsupported, match=r"standard input and output.*test_source"):
        await program(name, SOURCES[name].right, box).build("add")


async def test_a_call_that_ends_the_program_gives_no_reply(box: Sandbox) -> None:
    (reply,) = await ask(program("javascript", "function f() { process.exit(0); }", box), "f", [[]])
    assert reply == Stopped("exited", "")


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file of the host's that everybody may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "secret")
        path.write_text('"for nobody\'s eyes"')
        path.chmod(0o644)
        yield path


READS = {
    "c": [
        '#include <stdio.h>\nconst char *s =\n#include "{path}"\n;\nint main(void) {{ puts(s); }}',
        '#include <stdio.h>\n__asm__("s: .incbin \\"{path}\\"\\n.byte 0");\n'
        "extern char s[];\nint main(void) {{ puts(s); }}",
    ],
    "cpp": ['#include <cstdio>\nconst char* s =\n#include "{path}"\n;\nint main() {{ puts(s); }}'],
    "rust": [
        'fn main() {{ println!("{{}}", include_str!("{path}")); }}',
        'fn main() {{ println!("{{}}", include!("{path}")); }}',
    ],
    "go": ['package main\nimport _ "embed"\n//go:embed {path}\nvar s string\nfunc main() {{ println(s) }}'],
    "typescript": ['/// <reference path="{path}" />\nimport * as s from "{path}";\nconsole.log(s);'],
    "ocaml": ['let () = print_string [%blob "{path}"]'],
}


@everywhere
@pytest.mark.parametrize(("name", "source"), [(name, source) for name in READS for source in READS[name]])
async def test_compilers_read_nothing_of_the_hosts(
    tier: str, name: str, source: str, secret: Path, box: Sandbox
) -> None:
    for path in (secret, "/etc/passwd"):
        candidate = program(name, source.format(path=path), box)
        try:
            outcome = await candidate.run(b"", LIMITS)
        except CompileError as error:
            assert "nobody's" not in str(error) and "root:" not in str(error)
            continue
        printed = outcome.stdout + outcome.stderr
        assert b"nobody's" not in printed and b"root:" not in printed


@every_language
async def test_a_missing_toolchain_is_no_verdict(name: str, box: Sandbox) -> None:
    language: Any = LANGUAGE[name]
    with pytest.raises(SandboxUnavailable, match="install"):
        await replace(language, path="").build(SOURCES[name].right, box, LIMITS)


async def test_a_missing_typescript_says_where_it_was_looked_for(box: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match=f"{tmp_path}.*npm install"):
        await TypeScript(folders=(str(tmp_path),)).build("1", box, LIMITS)


async def test_compilers_that_take_too_much_time_are_ended(box: Sandbox) -> None:
    bomb = """
template <int N, int M> struct F { static const int v = F<N - 1, 2 * M>::v + F<N - 1, 2 * M + 1>::v; };
template <int M> struct F<0, M> { static const int v = M; };
int x = F<28, 0>::v;"""
    with pytest.raises(CompileError, match="cc1plus"):
        await LANGUAGE["cpp"].build(bomb, box, replace(LIMITS, seconds=1.0, memory_bytes=4096 * MIB))


async def test_compilers_that_get_no_time_are_no_verdict(box: Sandbox) -> None:
    with pytest.raises(SandboxUnavailable, match="busy"):
        await Toolchain(("sleep",), "").compile(in_shell("sleep 20", {}), box, replace(LIMITS, seconds=0.1))


async def ask(candidate: BoxedProgram, function: str, questions: list[list[Any]]) -> list[Reply]:
    async with candidate.calls(function, questions, LIMITS) as session:
        return [await session.reply(10.0) for _ in questions]
