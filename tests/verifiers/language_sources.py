"""One program of each language that does as its input says, its tests, and programs that cheat at such tests."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sources:
    """What is tried of one language."""

    obedient: str
    """Reads a line: `sum A B` prints the sum, `loop` never ends, `hog` takes memory and then prints `survived`."""
    broken: str
    """Is no program."""
    right: str
    """Has a function `add`."""
    tests: str
    """Of `add`."""
    wrong: str
    """Has one that subtracts."""
    cheats: dict[str, str] = field(default_factory=dict[str, str])
    """Subtract, and try to pass nevertheless."""


C = Sources(
    obedient="""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  char word[9]; long a, b;
  if (scanf("%8s", word) != 1) return 1;
  if (!strcmp(word, "sum") && scanf("%ld %ld", &a, &b) == 2) printf("%ld\\n", a + b);
  volatile int turns = 0;
  while (!strcmp(word, "loop")) turns = 1;
  if (!strcmp(word, "hog")) {
    for (int i = 0; i < 1000; i++) { char *taken = malloc(1 << 20); if (!taken) abort(); memset(taken, 1, 1 << 20); }
    puts("survived");
  }
}""",
    broken="int main(void) { return 0 }",
    right='#include <stdio.h>\nint add(int a, int b) { return a + b; }\nint main(void) { puts("a demonstration"); }',
    tests="#include <assert.h>\nint main() { assert(add(1, 2) == 3); assert(add(-1, 1) == 0); }",
    wrong="int add(int a, int b) { return a - b; }",
    cheats={
        "exits": "#include <stdlib.h>\nint add(int a, int b) { exit(0); }",
        "exits at once": "#include <unistd.h>\nint add(int a, int b) { _exit(0); }",
        "prints": '#include <stdio.h>\nint add(int a, int b) { puts("OK\\nPASS\\nall tests passed"); return a - b; }',
        "exits at exit": "#include <stdlib.h>\n#include <unistd.h>\nvoid f(void) { _exit(0); }\n"
        "int add(int a, int b) { atexit(f); return a - b; }",
        "no assert": "#define NDEBUG\n#define assert(x)\nint add(int a, int b) { return a - b; }",
        "no if": "#define if(x) if (0)\n#define assert(x) (void)0\nint add(int a, int b) { return a - b; }",
        "starts before main": "#include <unistd.h>\n__attribute__((constructor)) void f(void) { _exit(0); }\n"
        "int add(int a, int b) { return a - b; }",
        "own failure": "#include <stdlib.h>\n"
        "void __assert_fail(const char *a, const char *b, unsigned c, const char *d) { exit(0); }\n"
        "int add(int a, int b) { return a - b; }",
        "signals": "#include <signal.h>\n#include <unistd.h>\nvoid f(int n) { _exit(0); }\n"
        "int add(int a, int b) { for (int n = 1; n < 32; n++) signal(n, f); return a - b; }",
        "comment": "int add(int a, int b) { return a - b; }\n/*",
        "own start": "int mine(int a, char **b) { return 0; }\n#define deliberate_tests mine\n"
        "int add(int a, int b) { return a - b; }",
    },
)

CPP = Sources(
    obedient="""
#include <iostream>
#include <string>
#include <vector>
int main() {
  std::string word; long a, b;
  std::cin >> word;
  if (word == "sum") { std::cin >> a >> b; std::cout << a + b << "\\n"; }
  volatile int turns = 0;
  while (word == "loop") turns = 1;
  if (word == "hog") {
    std::vector<std::string> taken;
    for (int i = 0; i < 1000; i++) taken.emplace_back(1 << 20, 'x');
    std::cout << "survived\\n";
  }
}""",
    broken="int main() { return missing; }",
    right="#include <iostream>\nauto add = [](int a, int b) { return a + b; };\nint main() { std::cout << 1; }",
    tests="#include <cassert>\nint main() { auto candidate = add; assert(candidate(1, 2) == 3); }",
    wrong="int add(int a, int b) { return a - b; }",
    cheats={
        "exits before main": "#include <cstdlib>\nstruct S { S() { exit(0); } } s;\n"
        "int add(int a, int b) { return a - b; }",
        "exits": "#include <cstdlib>\nint add(int a, int b) { std::quick_exit(0); }",
        "no assert": "#include <cassert>\n#define NDEBUG\n#undef assert\n#define assert(x)\n"
        "int add(int a, int b) { return a - b; }",
        "throws": "int add(int a, int b) { throw 1; }",
    },
)

RUST = Sources(
    obedient="""
use std::io::Read;
fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words[0] == "sum" { println!("{}", words[1].parse::<i64>().unwrap() + words[2].parse::<i64>().unwrap()); }
    while words[0] == "loop" { std::hint::black_box(0); }
    if words[0] == "hog" {
        let taken: Vec<Vec<u8>> = (0..1000).map(|_| vec![1u8; 1 << 20]).collect();
        println!("survived {}", taken.len());
    }
}""".replace("std::hint::black_box(0)", "std::hint::spin_loop()"),
    broken="fn main() { missing(); }",
    right='fn add(a: i32, b: i32) -> i32 { a + b }\nfn main() { println!("a demonstration"); }',
    tests="#[cfg(test)]\nmod tests {\n use super::*;\n #[test]\n fn adds() { assert_eq!(add(1, 2), 3); }\n}",
    wrong="fn add(a: i32, b: i32) -> i32 { a - b }",
    cheats={
        "exits": "fn add(a: i32, b: i32) -> i32 { std::process::exit(0) }",
        "no assert": "macro_rules! assert_eq { ($($t:tt)*) => {} }\nfn add(a: i32, b: i32) -> i32 { a - b }",
        "left out": "#![cfg(any())]\nfn add(a: i32, b: i32) -> i32 { a - b }",
        "hook": "fn add(a: i32, b: i32) -> i32 { std::panic::set_hook(Box::new(|_| std::process::exit(0))); a - b }",
        "closes its module": "fn add(a: i32, b: i32) -> i32 { a - b }\n"
        "pub mod deliberate_tests { pub fn deliberate_run() {} }\n}\n"
        "mod other { fn add(a: i32, b: i32) -> i32 { a - b }",
    },
)

JAVA = Sources(
    obedient="""
import java.util.*;
public class Main {
    public static void main(String[] arguments) {
        Scanner input = new Scanner(System.in);
        String word = input.next();
        if (word.equals("sum")) System.out.println(input.nextLong() + input.nextLong());
        while (word.equals("loop")) Thread.onSpinWait();
        if (word.equals("hog")) {
            List<byte[]> taken = new ArrayList<>();
            for (int i = 0; i < 1000; i++) {
                byte[] part = new byte[1 << 20];
                Arrays.fill(part, (byte) 1);
                taken.add(part);
            }
            System.out.println("survived");
        }
    }
}""",
    broken="public class Main { int f() { return missing; } }",
    right="public class Main { static int add(int a, int b) { return a + b; }\n"
    'public static void main(String[] a) { System.out.println("a demonstration"); } }\n'
    "class Solution { int add(int a, int b) { return Main.add(a, b); } }",
    tests="import java.util.*;\npublic class Main { public static void main(String[] arguments) {\n"
    "if (!Objects.equals(new Solution().add(1, 2), 3)) throw new AssertionError(); } }",
    wrong="class Solution { int add(int a, int b) { return a - b; } }",
    cheats={
        "exits": "class Solution { int add(int a, int b) { System.exit(0); return 0; } }",
        "exits when loaded": "class Solution { static { Runtime.getRuntime().halt(0); }\n"
        "int add(int a, int b) { return 0; } }",
        "own Objects": "class Objects { static boolean equals(Object a, Object b) { return true; } }\n"
        "class Solution { int add(int a, int b) { return a - b; } }",
        "own errors": "class Solution { int add(int a, int b) { Thread.currentThread()"
        ".setUncaughtExceptionHandler((t, e) -> System.exit(0)); return a - b; } }",
    },
)

JAVASCRIPT = Sources(
    obedient="""
const [word, a, b] = require("fs").readFileSync(0, "utf8").split(/\\s+/);
if (word === "sum") console.log(Number(a) + Number(b));
while (word === "loop");
if (word === "hog") {
  const taken = [];
  for (let i = 0; i < 1000; i++) taken.push(Buffer.alloc(1 << 20, 1));
  console.log("survived");
}""",
    broken="const f = ;",
    right='const add = (a, b) => a + b;\nconsole.log("a demonstration");\nmodule.exports = { add };',
    tests='const assert = require("node:assert");\nassert.deepStrictEqual(add(1, 2), 3);\n'
    "console.assert(add(1, 1) === 2);",
    wrong="function add(a, b) { return a - b; }",
    cheats={
        "exits": "function add(a, b) { process.exit(0); }",
        "exits at exit": 'process.on("exit", () => { process.exitCode = 0; process.reallyExit(0); });\n'
        "function add(a, b) { return a - b; }",
        "other assert": 'const real = require("assert"); try { real.deepStrictEqual = () => {}; } catch {}\n'
        "function add(a, b) { return a - b; }",
        "other require": "require = () => new Proxy({}, { get: () => () => {} }); console.assert = () => {};\n"
        "function add(a, b) { return a - b; }",
        "swallows": 'process.on("uncaughtException", () => {}); process.on("unhandledRejection", () => {});\n'
        "function add(a, b) { return a - b; }",
        "catches the end": 'process.once = process.on = (_, call) => call(0);\nprocess.emit("beforeExit", 0);\n'
        "function add(a, b) { process.emit('beforeExit', 0); return a - b; }",
        "comment": "function add(a, b) { return a - b; }\n/*",
        "own runner": "try { deliberate$.runTests = (_, mark) => console.log(mark); } catch {}\n"
        "function add(a, b) { return a - b; }",
        "returns": "function add(a, b) { return a - b; }\nreturn;",
    },
)

TYPESCRIPT = Sources(
    obedient=JAVASCRIPT.obedient.replace("const taken = []", "const taken: any[] = []").replace(
        "const [word, a, b]", "const [word, a, b]: string[]"
    ),
    broken='const f: number = "text";',
    right="export function add(a: number, b: number): number { return a + b; }",
    tests='import assert from "node:assert";\nassert.strictEqual(add(1, 2), 3);',
    wrong="export const add = (a: number, b: number): number => a - b;",
    cheats={"exits": "export function add(a: number, b: number): number { process.exit(0); return 0; }"},
)

GO = Sources(
    obedient="""
package main
import "fmt"
func main() {
	var word string
	var a, b int
	fmt.Scan(&word, &a, &b)
	if word == "sum" { fmt.Println(a + b) }
	for word == "loop" {}
	if word == "hog" {
		taken := [][]byte{}
		for i := 0; i < 1000; i++ {
			part := make([]byte, 1<<20)
			for j := range part { part[j] = 1 }
			taken = append(taken, part)
		}
		fmt.Println("survived", len(taken))
	}
}""",
    broken="package main\nfunc main() { missing() }",
    right="package main\nfunc add(a, b int) int { return a + b }\nfunc main() { println(1) }",
    tests='package main\nimport "testing"\nfunc TestAdd(t *testing.T) {\n'
    't.Run("one", func(t *testing.T) { t.Parallel(); if add(1, 2) != 3 { t.Error("not 3") } })\n}',
    wrong="package main\nfunc add(a, b int) int { return a - b }",
    cheats={
        "exits": 'package main\nimport "os"\nfunc add(a, b int) int { os.Exit(0); return 0 }',
        "exits first": 'package main\nimport "os"\nfunc init() { os.Exit(0) }\nfunc add(a, b int) int { return a - b }',
        "leaves": 'package main\nimport "runtime"\nfunc add(a, b int) int { runtime.Goexit(); return 0 }',
        "own panic": "package main\nfunc panic(v interface{}) {}\nfunc add(a, b int) int { return a - b }",
        "own true": "package main\nconst true = false\nfunc add(a, b int) int { return a - b }",
    },
)

PHP = Sources(
    obedient="""<?php
ini_set("memory_limit", -1);
[$word, $a, $b] = array_pad(explode(" ", trim(fgets(STDIN))), 3, 0);
if ($word === "sum") echo $a + $b, "\\n";
while ($word === "loop");
if ($word === "hog") {
  for ($taken = [], $i = 0; $i < 1000; $i++) $taken[] = str_repeat(chr($i % 256), 1 << 20);
  echo "survived";
}
""",
    broken="<?php function f( { }",
    right="<?php\nfunction add($a, $b) { return $a + $b; }\n?>",
    tests="<?php\nassert(add(1, 2) === 3);",
    wrong="<?php\nfunction add($a, $b) { return $a - $b; }",
    cheats={
        "exits": "<?php\nfunction add($a, $b) { exit(0); }",
        "no assert": '<?php\nini_set("assert.exception", "0");\nfunction add($a, $b) { return $a - $b; }',
    },
)

RUBY = Sources(
    obedient="""
word, a, b = gets.split
puts a.to_i + b.to_i if word == "sum"
loop {} if word == "loop"
if word == "hog"
  taken = (0...1000).map { |i| (i % 256).chr * (1 << 20) }
  puts "survived #{taken.size}"
end""",
    broken="def f(",
    right="def add(a, b) = a + b",
    tests='raise "not 3" unless add(1, 2) == 3',
    wrong="def add(a, b) = a - b",
    cheats={"exits": "def add(a, b) = exit!(0)", "ends": "def add(a, b) = a - b\nat_exit { exit!(0) }\n__END__"},
)

PERL = Sources(
    obedient="""
my ($word, $x, $y) = split " ", <STDIN>;
print $x + $y, "\\n" if $word eq "sum";
while ($word eq "loop") {}
if ($word eq "hog") { my @taken; push @taken, ("x" . $_) x 1 . "x" x (1 << 20) for 1 .. 1000; print "survived"; }
""",
    broken="sub f {",
    right="sub add { return $_[0] + $_[1]; }",
    tests='die "not 3" unless add(1, 2) == 3;',
    wrong="sub add { return $_[0] - $_[1]; }",
    cheats={"exits": "sub add { exit 0; }", "ends": "sub add { return $_[0] - $_[1]; }\n__END__"},
)

LUA = Sources(
    obedient="""
local word, a, b = io.read("l"):match("(%S+)%s*(%S*)%s*(%S*)")
if word == "sum" then print(tonumber(a) + tonumber(b)) end
while word == "loop" do end
if word == "hog" then
  local taken = {}
  for i = 1, 1000 do taken[i] = string.rep(string.char(i % 256), 1 << 20) end
  print("survived")
end""",
    broken="function f(",
    right="function add(a, b) return a + b end",
    tests="assert(add(1, 2) == 3)",
    wrong="function add(a, b) return a - b end",
    cheats={
        "exits": "function add(a, b) os.exit(0) end",
        "own assert": "deliberate_assert = function() end\nassert = deliberate_assert\n"
        "function add(a, b) return a - b end",
        "no assert": "assert = function() end\nfunction add(a, b) return a - b end",
    },
)

OCAML = Sources(
    obedient="""
let () = Scanf.scanf "%s" (fun word ->
  if word = "sum" then Scanf.scanf " %d %d" (fun a b -> Printf.printf "%d\\n" (a + b));
  while word = "loop" do () done;
  if word = "hog" then begin
    let taken = List.init 1000 (fun i -> Bytes.make (1 lsl 20) (Char.chr (i mod 256))) in
    Printf.printf "survived %d" (List.length taken)
  end)""",
    broken="let f = ;;",
    right="let add a b = a + b",
    tests="let () = assert (add 1 2 = 3)",
    wrong="let add a b = a - b",
    cheats={"exits": "let add _ _ = exit 0", "own equality": "let (=) _ _ = true\nlet add a b = a - b"},
)

SOURCES = {
    "c": C,
    "cpp": CPP,
    "rust": RUST,
    "java": JAVA,
    "javascript": JAVASCRIPT,
    "typescript": TYPESCRIPT,
    "go": GO,
    "php": PHP,
    "ruby": RUBY,
    "perl": PERL,
    "lua": LUA,
    "ocaml": OCAML,
}
