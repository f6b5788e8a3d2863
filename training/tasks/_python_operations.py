"""The operations that functions are composed of: their Python, and the English that asks for them.

An operation's name is its identity in the train / held-out division (see `python_functions`): another name moves
problems from one split to the other. Its Python is the only definition of what it does: solutions are written with it,
and expected values computed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["xs", "s", "words", "n"]
"""What a value is, by the name of the variable that holds it: integers, a text, words, an integer."""
Constant = int | str

DIGITS = tuple(range(2, 10))
FEW = (1, 2, 3)
LETTERS = tuple("aeiorst")


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a function. `{k}` stands for its constant in all texts."""

    name: str
    takes: Kind
    gives: Kind
    code: str
    """An expression on the variable of the kind that it takes."""
    plan: str
    """What a solution says of it before the code, in short."""
    texts: tuple[str, ...]
    """Orders that say exactly this."""
    constants: tuple[Constant, ...] = ()
    """Those it may have; empty for an operation without."""
    family: str = ""
    """Operations that may be taken for each other."""
    apply: Callable[[Any, Constant | None], Any] = field(init=False, compare=False, repr=False)
    """The value that it makes of a value, with its constant."""

    def __post_init__(self) -> None:
        # Our own text, from the table below.
        function = eval(f"lambda {self.takes}, k: {self.code.replace('{k}', 'k')}")
        object.__setattr__(self, "apply", function)


class _Make(Protocol):
    def __call__(
        self, name: str, code: str, plan: str, *texts: str, k: tuple[Constant, ...] = (), family: str = ""
    ) -> Operation: ...


def _from(takes: Kind, gives: Kind) -> _Make:
    """What makes operations on values of these kinds."""

    def make(name: str, code: str, plan: str, *texts: str, k: tuple[Constant, ...] = (), family: str = "") -> Operation:
        return Operation(name, takes, gives, code, plan, texts, k, family)

    return make


_list, _count, _number, _digits = _from("xs", "xs"), _from("xs", "n"), _from("n", "n"), _from("n", "xs")
_text, _split, _measure = _from("s", "s"), _from("s", "words"), _from("s", "n")
_words, _lengths, _amount, _join = (
    _from("words", "words"),
    _from("words", "xs"),
    _from("words", "n"),
    _from("words", "s"),
)


def _each(name: str, code: str, *texts: str, k: tuple[Constant, ...] = (), family: str = "") -> Operation:
    """Every integer of a list becomes another."""
    return _list(name, f"[{code} for x in xs]", code, *texts, k=k, family=family)


def _keep(name: str, test: str, *texts: str, k: tuple[Constant, ...] = (), family: str = "") -> Operation:
    """Integers of a list that pass a test stay."""
    return _list(name, f"[x for x in xs if {test}]", f"keep {test}", *texts, k=k, family=family)


OPERATIONS: tuple[Operation, ...] = (
    _keep("above", "x > {k}", "keep numbers greater than {k}", "drop numbers up to {k}", k=DIGITS, family="high"),
    _keep("from", "x >= {k}", "keep numbers of at least {k}", "drop numbers less than {k}", k=DIGITS, family="high"),
    _keep("below", "x < {k}", "keep numbers less than {k}", "drop numbers of at least {k}", k=DIGITS, family="low"),
    _keep("up_to", "x <= {k}", "keep numbers up to {k}", "drop numbers greater than {k}", k=DIGITS, family="low"),
    _keep("even", "x % 2 == 0", "keep even numbers", "drop odd numbers", family="parity"),
    _keep("odd", "x % 2 == 1", "keep odd numbers", "drop even numbers", family="parity"),
    _keep("multiples", "x % {k} == 0", "keep multiples of {k}", k=DIGITS[1:], family="multiples"),
    _keep("others", "x % {k} != 0", "drop multiples of {k}", k=DIGITS[1:], family="multiples"),
    _keep("without", "x != {k}", "remove every {k}", "drop all numbers equal to {k}", k=DIGITS),
    _keep("positive", "x > 0", "keep positive numbers", family="sign"),
    _keep("negative", "x < 0", "keep negative numbers", family="sign"),
    _each("plus", "x + {k}", "add {k} to each number", "raise each number by {k}", k=DIGITS, family="move"),
    _each("minus", "x - {k}", "subtract {k} from each number", k=DIGITS, family="move"),
    _each("from_k", "{k} - x", "subtract each number from {k}", k=DIGITS, family="move"),
    _each("distance", "abs(x - {k})", "take each number's distance from {k}", k=DIGITS, family="move"),
    _each("times", "x * {k}", "multiply each number by {k}", k=DIGITS, family="scale"),
    _each("divide", "x // {k}", "divide each number by {k}, rounding down", k=DIGITS, family="scale"),
    _each("modulo", "x % {k}", "replace each number by its remainder modulo {k}", k=DIGITS, family="scale"),
    _each("square", "x * x", "square each number", family="power"),
    _each("negate", "-x", "negate each number", "flip the sign of each number", family="power"),
    _each("absolute", "abs(x)", "take absolute values", family="power"),
    _each("cap", "min(x, {k})", "cap each number at {k}", k=DIGITS, family="bound"),
    _each("floor", "max(x, {k})", "raise smaller numbers to {k}", k=DIGITS, family="bound"),
    _each("even_twice", "x * 2 if x % 2 == 0 else x", "double the even numbers, keep odd ones", family="twice"),
    _each("odd_twice", "x * 2 if x % 2 == 1 else x", "double the odd numbers, keep even ones", family="twice"),
    _each("lower", "x - {k} if x > {k} else x", "subtract {k} from the numbers above {k}", k=DIGITS),
    _each("no_debt", "0 if x < 0 else x", "replace negative numbers by 0", "set numbers below 0 to 0"),
    _list("ascending", "sorted(xs)", "sort up", "sort in ascending order", "sort from low to high", family="sort"),
    _list(
        "descending",
        "sorted(xs, reverse=True)",
        "sort down",
        "sort in descending order",
        "sort from high to low",
        family="sort",
    ),
    _list("reverse", "xs[::-1]", "reverse", "reverse the order", "turn the list around"),
    _list("first", "xs[:{k}]", "first {k}", "keep the first {k}", k=FEW, family="ends"),
    _list("last", "xs[-{k}:]", "last {k}", "keep the last {k}", k=FEW, family="ends"),
    _list("skip", "xs[{k}:]", "skip {k}", "drop the first {k}", k=FEW, family="cut"),
    _list("trim", "xs[:-{k}]", "trim {k}", "drop the last {k}", k=FEW, family="cut"),
    _list("second", "xs[::2]", "every 2nd from 0", "keep every second one, starting with the first", family="second"),
    _list("other", "xs[1::2]", "every 2nd from 1", "keep every second one, starting with the second", family="second"),
    _list("unique", "list(dict.fromkeys(xs))", "unique", "remove duplicates", "keep only the first of equal numbers"),
    _list("append", "xs + [{k}]", "add {k} at end", "put a {k} at the end", k=DIGITS, family="place"),
    _list("prepend", "[{k}] + xs", "add {k} in front", "put a {k} in front", k=DIGITS, family="place"),
    _list("steps", "[b - a for a, b in zip(xs, xs[1:])]", "b - a", "take each number minus the one before"),
    _count("sum", "sum(xs)", "sum", "take the sum", "add them up", family="total"),
    _count("length", "len(xs)", "length", "take their number", "count them", family="total"),
    _count("maximum", "max(xs, default=0)", "maximum", "take the largest, or 0 if there is none", family="extreme"),
    _count("minimum", "min(xs, default=0)", "minimum", "take the smallest, or 0 if there is none", family="extreme"),
    _count(
        "spread",
        "max(xs, default=0) - min(xs, default=0)",
        "max - min",
        "take the largest minus the smallest",
        family="extreme",
    ),
    _count("average", "sum(xs) // max(len(xs), 1)", "sum // length", "take the average, rounded down", family="total"),
    _count("kinds", "len(set(xs))", "different", "count the different ones", family="total"),
    _count("count_k", "xs.count({k})", "count {k}", "count how often {k} occurs", k=DIGITS),
    _count("count_above", "sum(x > {k} for x in xs)", "count x > {k}", "count the numbers greater than {k}", k=DIGITS),
    _number("n_plus", "n + {k}", "n + {k}", "add {k}", k=DIGITS, family="n_move"),
    _number("n_minus", "n - {k}", "n - {k}", "subtract {k}", k=DIGITS, family="n_move"),
    _number("n_times", "n * {k}", "n * {k}", "multiply by {k}", k=DIGITS, family="n_scale"),
    _number("n_modulo", "n % {k}", "n % {k}", "take the remainder modulo {k}", k=DIGITS, family="n_scale"),
    _number("n_square", "n * n", "n * n", "square it", family="n_power"),
    _number("n_absolute", "abs(n)", "abs(n)", "take the absolute value", family="n_power"),
    _number("n_cap", "min(n, {k})", "min(n, {k})", "cap it at {k}", k=DIGITS, family="n_bound"),
    _number("n_floor", "max(n, {k})", "max(n, {k})", "raise it to {k} if it is less", k=DIGITS, family="n_bound"),
    _number("n_half", "n // 2 if n % 2 == 0 else n", "even: n // 2", "halve it if it is even", family="n_if"),
    _number("n_odd", "n + {k} if n % 2 == 1 else n", "odd: n + {k}", "add {k} if it is odd", k=DIGITS, family="n_if"),
    _digits("digits", "[int(d) for d in str(abs(n))]", "digits", "take its digits", "list its digits"),
    _text("upper", "s.upper()", "upper", "change to upper case", "make all letters capital", family="case"),
    _text("title", "s.title()", "title", "capitalize each word", family="case"),
    _text("mirror", "s[::-1]", "reverse", "reverse the text", "write it backwards"),
    _text("erase", "s.replace({k}, '')", "drop {k}", "remove every {k}", "delete all {k}", k=LETTERS),
    _text("star", "s.replace({k}, '*')", "{k} to *", "replace every {k} by a star", k=LETTERS),
    _text("join_up", "s.replace(' ', '')", "no spaces", "remove spaces", "delete all spaces", family="space"),
    _text("dash", "s.replace(' ', '-')", "space to -", "replace spaces by dashes", family="space"),
    _text("head", "s[:{k}]", "first {k}", "keep the first {k} letters", k=DIGITS[:4], family="s_ends"),
    _text("tail", "s[-{k}:]", "last {k}", "keep the last {k} letters", k=DIGITS[:4], family="s_ends"),
    _text("behead", "s[{k}:]", "skip {k}", "drop the first {k} letters", k=FEW, family="s_cut"),
    _text("dock", "s[:-{k}]", "trim {k}", "drop the last {k} letters", k=FEW, family="s_cut"),
    _text("again", "s + s", "twice", "write it twice"),
    _text("shout", "s + '!'", "add !", "put a ! at the end", family="s_place"),
    _text("alert", "'!' + s", "! in front", "put a ! in front", family="s_place"),
    _text("letters", "''.join(sorted(s))", "sort letters", "sort the letters"),
    _split("split", "s.split()", "split", "split it into words", "take its words"),
    _measure("size", "len(s)", "length", "take its length", "count its letters", family="s_count"),
    _measure("count_in", "s.count({k})", "count {k}", "count every {k}", k=LETTERS),
    _measure("vowels", "sum(c in 'aeiou' for c in s)", "count vowels", "count the vowels", family="s_count"),
    _words("w_sort", "sorted(words)", "sort", "sort the words", "put the words in alphabetical order", family="w_sort"),
    _words("w_size", "sorted(words, key=len)", "sort by length", "sort the words by length", family="w_sort"),
    _words("w_reverse", "words[::-1]", "reverse", "reverse the order of the words"),
    _words(
        "w_long", "[w for w in words if len(w) > {k}]", "len > {k}", "keep words longer than {k} letters", k=(3, 4, 5)
    ),
    _words(
        "w_short", "[w for w in words if len(w) < {k}]", "len < {k}", "keep words shorter than {k} letters", k=(4, 5, 6)
    ),
    _words("w_with", "[w for w in words if {k} in w]", "with {k}", "keep words with {k}", k=LETTERS, family="w_letter"),
    _words(
        "w_not", "[w for w in words if {k} not in w]", "no {k}", "drop words with {k}", k=LETTERS, family="w_letter"
    ),
    _words("w_upper", "[w.upper() for w in words]", "upper", "change each word to upper case", family="w_each"),
    _words("w_mirror", "[w[::-1] for w in words]", "reverse each", "reverse each word", family="w_each"),
    _words(
        "w_head",
        "[w[:{k}] for w in words]",
        "first {k}",
        "cut each word to its first {k} letters",
        k=FEW,
        family="w_cut",
    ),
    _words(
        "w_tail",
        "[w[-{k}:] for w in words]",
        "last {k}",
        "cut each word to its last {k} letters",
        k=FEW,
        family="w_cut",
    ),
    _words("w_unique", "list(dict.fromkeys(words))", "unique", "remove repeated words"),
    _words("w_first", "words[:{k}]", "first {k} words", "keep the first {k} words", k=FEW, family="w_ends"),
    _words("w_last", "words[-{k}:]", "last {k} words", "keep the last {k} words", k=FEW, family="w_ends"),
    _lengths("lengths", "[len(w) for w in words]", "lengths", "take the length of each word"),
    _amount("w_count", "len(words)", "count", "take the number of words", "count the words"),
    _join("spaced", "' '.join(words)", "join by space", "join them with spaces", family="join"),
    _join("glued", "''.join(words)", "join", "join them without spaces", family="join"),
    _join("dashed", "'-'.join(words)", "join by -", "join them with dashes", family="join"),
    _join("longest", "max(words, key=len, default='')", "longest", "take the longest word", family="pick"),
    _join(
        "least", "min(words, default='')", "first in abc", "take the word that is first in the alphabet", family="pick"
    ),
)

VAGUE: Mapping[str, str] = {
    "high": "keep the high numbers, {k} being the limit",
    "low": "keep the low numbers, {k} being the limit",
    "move": "replace each number by its difference with {k}",
    "sort": "put the numbers in order",
    "ends": "keep {k} from one end",
    "cut": "take {k} off one end",
    "second": "keep every second one",
    "place": "add a {k} to the list",
    "extreme": "take the extreme value",
    "s_ends": "keep {k} letters from one end",
    "s_cut": "take {k} letters off one end",
    "w_sort": "put the words in order",
    "w_cut": "cut each word to {k} letters",
    "w_ends": "keep {k} of the words",
    "join": "join them",
}
"""Of some families an order that fits all: only the examples tell which is meant."""

WORDS = (
    "red", "blue", "green", "tree", "apple", "stone", "river", "bird", "cat", "dog", "house", "sea", "sun", "moon",
    "star", "rain", "snow", "wind", "fire", "boat", "road", "table", "chair", "lion", "tiger", "rose", "to", "is", "on",
)  # fmt: skip
"""Of which texts are made."""

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a Python programmer.",
    "Write the function in Python.",
    "Plan in <think> tags, then write the code.",
)
