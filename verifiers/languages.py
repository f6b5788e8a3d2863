"""How much of a text is in a language. Runs in worker processes, each of which loads the classifier once."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

import regex

PLAUSIBLE = 0.1
"""A sentence may be in a language that the classifier finds this likely, beside the likeliest one: few words, and close
languages, leave it in doubt."""
CERTAIN = 0.4
"""Probability from which a prompt is taken to be in a language."""

_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts without spaces between words: each character counts as one."""
_WORD = regex.compile(rf"(?P<alone>[{_ALONE}]\p{{M}}*)|[\p{{L}}--[{_ALONE}]][\p{{L}}\p{{M}}--[{_ALONE}]]*", regex.V1)
_SENTENCE = regex.compile(r"[^\n.!?\u3002\uff01\uff1f]+")
_NO_LANGUAGE = regex.compile(
    r"```.*?(?:```|\Z)"  # code
    r"|`[^`\n]*`"
    r"|\$\$.*?\$\$|\$[^$\n]+\$|\\\(.*?\\\)|\\\[.*?\\\]"  # formulas
    r"|\\[A-Za-z]+(?:\{[^{}\n]*\})?"
    r"|https?://\S+"
    r"|</?[A-Za-z_][^<>\n]*>",  # tags
    regex.DOTALL,
)
_SCRIPTS = {
    r"\p{Cyrillic}": "ba be bg kk ky mk mn ru tg tt uk",
    r"\p{Cyrillic}\p{Latin}": "sr",
    r"\p{Arabic}": "ar ary arz fa ps sdh ug ur uzs",
    r"\p{Devanagari}": "gom hi mr ne sa",
    r"\p{Bengali}": "as bn",
    r"\p{Hebrew}": "hbo he",
    r"\p{Han}": "wuu yue zh",
    r"\p{Han}\p{Hiragana}\p{Katakana}": "ja",
    r"\p{Hangul}\p{Han}": "ko",
    r"\p{Greek}": "el grc",
    r"\p{Gurmukhi}": "pa",
    r"\p{Gujarati}": "gu",
    r"\p{Oriya}": "or",
    r"\p{Tamil}": "ta",
    r"\p{Telugu}": "te",
    r"\p{Kannada}": "kn",
    r"\p{Malayalam}": "ml",
    r"\p{Sinhala}": "si",
    r"\p{Thai}": "th",
    r"\p{Lao}": "lo",
    r"\p{Myanmar}": "my",
    r"\p{Khmer}": "km",
    r"\p{Georgian}": "ka",
    r"\p{Armenian}": "hy",
    r"\p{Ethiopic}": "am",
    r"\p{Tibetan}": "dz",
}
"""Of the languages that are not written in Latin letters."""


class UnknownLanguage(ValueError):
    """The classifier does not know a language, or cannot tell which one a text is in."""


@dataclass(frozen=True, slots=True)
class Share:
    """Words of a text that are in a language."""

    language: str
    words: int
    of: int
    """All words; not counted are code, formulas, tags and single letters."""


def share_of(language: str | None, text: str, prompt: str) -> Share:
    """How much of the text is in the language, or in the prompt's. Raises UnknownLanguage.

    Words in other scripts are not; of the rest of a sentence the classifier decides, in favour of the language where it
    is in doubt.
    """
    wanted = _spoken_in(prompt) if language is None else language
    if wanted not in _classifier().labels:
        raise UnknownLanguage(f"no language {wanted!r} is known; known are {', '.join(sorted(_classifier().labels))}")
    script = regex.compile(rf"[{_script(wanted)}]")
    words = of = 0
    for sentence in _sentences(text):
        own = [word for word in sentence if script.match(word)]
        of += len(sentence)
        words += len(own) if own and _may_be(wanted, own) else 0
    return Share(wanted, words, of)


def _spoken_in(text: str) -> str:
    """The language of most words."""
    likely = defaultdict[str, float](float)
    words = 0
    for sentence in _sentences(text):
        words += len(sentence)
        for language, probability in _probabilities(sentence).items():
            likely[language] += probability * len(sentence)
    best, weight = max(likely.items(), key=lambda item: item[1], default=("", 0.0))
    if words == 0 or weight < CERTAIN * words:
        raise UnknownLanguage("the prompt's language cannot be told; name the wanted one as `language`")
    return best


def _may_be(language: str, words: list[str]) -> bool:
    probabilities = _probabilities(words)
    return probabilities[language] >= PLAUSIBLE * max(probabilities.values())


def _probabilities(words: list[str]) -> dict[str, float]:
    return dict(_classifier().rank(_joined(words)))


def _sentences(text: str) -> Iterator[list[str]]:
    """The words of each."""
    for sentence in _SENTENCE.findall(_NO_LANGUAGE.sub(" ", text)):
        words = [match[0] for match in _WORD.finditer(sentence) if match["alone"] or len(match[0]) > 1]
        if words:
            yield words


def _joined(words: list[str]) -> str:
    """As they are written: characters that stand alone side by side, words between spaces."""
    return "".join(word if _WORD.fullmatch(word)["alone"] else f" {word} " for word in words).strip()  # pyright: ignore[reportOptionalSubscript]


def _script(language: str) -> str:
    return next((script for script, languages in _SCRIPTS.items() if language in languages.split()), r"\p{Latin}")


class _Classifier(Protocol):
    labels: list[str]

    def rank(self, text: str) -> list[tuple[str, float]]: ...


@lru_cache(maxsize=1)
def _classifier() -> _Classifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # Only workers need it.

    return cast(_Classifier, LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True))
