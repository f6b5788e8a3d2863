# ruff: noqa: RUF001 - letters of other scripts
import time
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier

TEXTS = {
    "en": "First we add the apples. There are three apples and four pears, so there are seven fruits in total.",
    "de": "Zuerst addieren wir die Äpfel. Es gibt drei Äpfel und vier Birnen, also insgesamt sieben Früchte.",
    "fr": "D'abord nous ajoutons les pommes. Il y a trois pommes et quatre poires, donc sept fruits au total.",
    "es": "Primero sumamos las manzanas. Hay tres manzanas y cuatro peras, así que hay siete frutas en total.",
    "zh": "首先我们把苹果加起来。一共有三个苹果和四个梨，所以总共有七个水果。",
    "ja": "まず、りんごを足します。りんごは三個、梨は四個なので、合計は七個です。",
    "ko": "먼저 사과를 더합니다. 사과가 세 개 있고 배가 네 개 있으므로 모두 일곱 개입니다.",
    "ru": "Сначала сложим яблоки. Всего три яблока и четыре груши, значит семь фруктов.",
    "uk": "Спочатку додамо яблука. Усього три яблука і чотири груші, отже сім фруктів.",
    "ar": "أولا نجمع التفاح. هناك ثلاث تفاحات وأربع كمثرى، إذن هناك سبع فواكه.",
    "hi": "पहले हम सेब जोड़ते हैं। तीन सेब और चार नाशपाती हैं, इसलिए कुल सात फल हैं।",
    "el": "Πρώτα προσθέτουμε τα μήλα. Υπάρχουν τρία μήλα και τέσσερα αχλάδια, άρα επτά φρούτα.",
}


async def judge(resources: Resources, text: str, prompt: Any = "", **options: Any) -> Verdict:
    verifier = parse_verifier({"kind": "language_consistency", **options}).build(resources)
    problem = Problem(({"role": "user", "content": prompt}, {"role": "assistant", "content": "x"}))
    (verdict,) = await verifier.verify(problem, [Candidate(text)])
    return verdict


@pytest.mark.parametrize("language", TEXTS)
async def test_a_text_is_in_its_own_language_and_in_no_other(language: str, resources: Resources) -> None:
    assert (await judge(resources, TEXTS[language], language=language)).score == 1
    for other in TEXTS:
        if other != language:
            verdict = await judge(resources, TEXTS[language], language=other)
            assert verdict.score is not None and verdict.score < 0.4, (other, verdict)


@pytest.mark.parametrize("language", TEXTS)
async def test_the_wanted_language_is_that_of_the_question(language: str, resources: Resources) -> None:
    assert (await judge(resources, TEXTS[language], TEXTS[language])).score == 1
    verdict = await judge(resources, TEXTS["en"], [{"type": "text", "text": TEXTS[language]}])
    assert verdict.score == (language == "en")


async def test_the_share_is_that_of_the_words(resources: Resources) -> None:
    verdict = await judge(resources, "We add three apples and four pears here. 所以总共有七个水果。", language="en")
    assert verdict.reason == "8 of 17 words are 'en'"
    assert verdict.score == pytest.approx(8 / 17)
    within = await judge(resources, "The sum of the numbers is 七 in total.", language="en")
    assert within.score == pytest.approx(8 / 9), "one character in another script"


async def test_code_formulas_and_letters_are_no_words(resources: Resources) -> None:
    code = "```python\nfor apple in the_basket: print(apple)\n```"
    text = f"Das ist der Code:\n{code}\nDann gilt $let~us = see$, \\(a by b\\), x und y."
    verdict = await judge(resources, text, language="de")
    assert (verdict.score, verdict.reason) == (1.0, "7 of 7 words are 'de'")
    assert (
        await judge(resources, "`x = y` $a + b$ https://example.org <think></think> 12", language="en")
    ).score is None


async def test_parts(resources: Resources) -> None:
    text = f"<think>{TEXTS['zh']}</think>{TEXTS['en']}"
    assert (await judge(resources, text, language="en", part="reasoning")).score == 0
    assert (await judge(resources, text, language="en", part="reply")).score == 1


@pytest.mark.parametrize(("language", "prompt"), [(None, "7 * 8 = ?"), (None, ""), ("xx", "")])
async def test_what_cannot_be_told_is_no_score(language: str | None, prompt: str, resources: Resources) -> None:
    verdict = await judge(resources, TEXTS["en"], prompt, language=language)
    assert (verdict.status, verdict.score) == ("unavailable", None)
    assert "language" in verdict.reason


@pytest.mark.parametrize(
    "text",
    ["```" * 50_000, "$" * 150_000, "\\[" * 75_000, "<a" * 75_000, "a " * 75_000, "\ud800" * 1_000, "字" * 100_000],
)
async def test_hostile_texts_cost_one_verdict(text: str, resources: Resources) -> None:
    started = time.monotonic()
    verdict = await judge(resources, text, language="en", timeout_s=3)
    assert verdict.status in ("ok", "timeout", "unavailable")
    assert time.monotonic() - started < 20
    assert (await judge(resources, TEXTS["en"], language="en")).score == 1


@pytest.mark.parametrize("language", ["", "English", "EN", "e", "en-US"])
def test_codes_that_are_none_are_refused(language: str) -> None:
    with pytest.raises(ValidationError):
        parse_verifier({"kind": "language_consistency", "language": language})
