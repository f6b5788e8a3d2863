"""The report in a real browser, opened from the disk."""

import json
from pathlib import Path
from typing import Any

from deliberate.training.recipes.chain import Chain, Link
from deliberate.training.report import write_report

from .browsing import Opened, opened
from .runs import evaluation, write_metrics, write_record, write_samples

HOSTILE = (
    "</script><script>window.hacked = 1</script><!--<script><img src=x onerror='window.hacked = 2'>"
    "<iframe srcdoc='<script>parent.hacked = 3</script>'></iframe>&lt;b&gt;\u2028\u2029\u202e$data ${title} \\u003c 4"
)
"""As a completion it holds a 4."""


async def texts(page: Opened, selector: str) -> list[str]:
    return await page.value(f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.textContent)")


async def hover(page: Opened, chart: int, share: float) -> str:
    """What is told with the pointer at a share of a chart's width."""
    place = (
        f"const at = box.getBoundingClientRect(); const clientX = at.left + {share} * at.width, clientY = at.top + 50;"
    )
    move = "box.dispatchEvent(new PointerEvent('pointermove', { clientX, clientY, bubbles: true }));"
    find = f"const box = document.querySelectorAll('.chart svg')[{chart}];"
    return await page.value(f"(() => {{ {find} {place} {move} return document.querySelector('.tip').innerText }})()")


async def slide(page: Opened, selector: str, value: float) -> None:
    await page.value(
        f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.value = {value}; "
        "one.dispatchEvent(new Event('input')) })()"
    )


async def choose(page: Opened, selector: str, value: str) -> None:
    await page.value(
        f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.value = {json.dumps(value)}; "
        "one.dispatchEvent(new Event('change')) })()"
    )


async def test_nothing_that_a_model_writes_is_run(tmp_path: Path) -> None:
    run = tmp_path / "<img src=x onerror='window.hacked = 4'>"
    write_metrics(run, [{HOSTILE: 0.5, "loss": 1.0}] * 3)
    write_samples(run, {1: [HOSTILE, "\ud83d"]}, prompt=HOSTILE)
    write_record(run, summary=HOSTILE, config={HOSTILE: [HOSTILE]})
    links = (Link(name=HOSTILE, stage=HOSTILE, folder=HOSTILE),)
    Chain(name=HOSTILE, summary=HOSTILE, paper=HOSTILE, links=links).save(tmp_path)
    (tmp_path / "figures.json").write_text(json.dumps(evaluation(model=HOSTILE, task=HOSTILE)))
    report = write_report(tmp_path)
    async with opened(report) as page:
        assert page.wrong == []
        assert page.asked == [report.as_uri()], "it asks nobody for anything"
        assert await page.value(
            "window.hacked === undefined && document.querySelector('iframe, img, main script') === null"
        )
        assert await texts(page, ".samples pre") == [HOSTILE, HOSTILE, "\ud83d"]
        assert HOSTILE in "".join(await texts(page, "figcaption"))
        assert HOSTILE in "".join(await texts(page, "#records td"))


async def test_the_policy_of_the_page_stops_what_would_still_get_in(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"loss": 1.0}])
    async with opened(write_report(tmp_path)) as page:
        script = "Object.assign(document.createElement('script'), { textContent: 'window.hacked = 1' })"
        image = "<img src=x onerror='window.hacked = 2'>"
        await page.value(f"document.body.append({script})")
        await page.value(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(image)})")
        await page.value("new Promise(done => setTimeout(() => done(0), 100))")
        assert await page.value("window.hacked === undefined")
        assert len(page.wrong) >= 2, "the browser tells what it refused"


async def test_curves_of_several_runs(tmp_path: Path) -> None:
    write_metrics(tmp_path / "01-first", [{"reward": step / 10, "loss": 1.0} for step in range(11)])
    write_metrics(tmp_path / "02-second", [{"reward": 1 - step / 10, "odd/name": -1.0} for step in range(11)])
    async with opened(write_report(tmp_path)) as page:
        assert [text.removesuffix("log") for text in await texts(page, "figcaption")] == ["reward", "loss", "odd/name"]
        assert await texts(page, ".legend label") == ["01-first", "02-second"]
        assert await page.value("document.querySelectorAll('.chart')[0].querySelectorAll('.curve').length") == 2
        await slide(page, "#curves input", 0)
        told = await hover(page, 0, 0.99)
        assert told.split("\n") == ["step 11", "01-first", "1", "02-second", "0"], "the values of both at the last step"
        cursors = "[...document.querySelectorAll('.cursor')].map(one => one.getAttribute('visibility'))"
        assert await page.value(cursors) == ["visible"] * 3, "the place is shown in all charts"
        await page.value("document.querySelector('.legend input').click()")
        assert (await hover(page, 0, 0.99)).split("\n") == ["step 11", "02-second", "0"]


async def test_smoothing_and_other_axes(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"reward": float(step % 2)} for step in range(100)])
    async with opened(write_report(tmp_path)) as page:
        await slide(page, "#curves input", 0.95)
        smooth = (await hover(page, 0, 0.99)).split()
        assert 0.4 < float(smooth[-2]) < 0.6 and smooth[-1] == "(1)"
        await choose(page, "#curves select", "tokens")
        assert (await hover(page, 0, 0.99)).startswith("tokens 10")
        await choose(page, "#curves select", "seconds")
        assert (await hover(page, 0, 0.99)).startswith("time 5")


async def test_samples_step_by_step(tmp_path: Path) -> None:
    write_samples(tmp_path, {1: ["3", "5"], 2: ["4", "3", "undecided", "and so on …"], 9: ["4", "4"]})
    async with opened(write_report(tmp_path)) as page:
        completions = "tbody tr:not(.prompt) pre"
        assert await texts(page, completions) == ["4", "4"], "the last step first"
        await page.value("document.querySelector('[aria-label=earlier]').click()")
        assert await texts(page, completions) == ["4", "3", "undecided", "and so on …"]
        assert await texts(page, ".prompt pre") == ["2 + 2?"]
        colours: list[str] = await page.value(
            "[...document.querySelectorAll('tbody td:first-child.number')]"
            ".map(one => getComputedStyle(one).backgroundColor)"
        )
        right, wrong, undecided, cut = colours
        assert len({right, wrong, undecided}) == 3 and cut == wrong
        assert await texts(page, ".cut") == ["cut off"]
        await choose(page, "[aria-label=order]", "worst first")
        assert await texts(page, completions) == ["3", "and so on …", "4", "undecided"]
        await page.value("document.querySelector('[aria-label=earlier]').click()")
        assert await texts(page, completions) == ["3", "5"]
        assert "step 1 · 2 samples" in await texts(page, "#samples .facts")


async def test_a_recipe_with_its_result(tmp_path: Path) -> None:
    links = (
        Link(name="cold-start", stage="sft", folder="01-cold-start"),
        Link(name="reinforce", stage="grpo", folder="02-reinforce", uses=("01-cold-start",)),
        Link(name="again", stage="sft", folder="03-again", uses=("01-cold-start", "02-reinforce"), round=2),
    )
    Chain(name="r1", summary="All of it.", paper="arXiv:2501.12948", links=links).save(tmp_path)
    write_record(tmp_path / "01-cold-start", parents={"base": "abc123"})
    write_metrics(tmp_path / "02-reinforce", [{"loss": 1.0}])
    (tmp_path / "figures.json").write_text(json.dumps(evaluation()))
    async with opened(write_report(tmp_path)) as page:
        assert await texts(page, ".chain .node title") == [
            "01-cold-start: finished",
            "02-reinforce: under way",
            "03-again: not begun",
        ]
        assert await page.value("document.querySelectorAll('.chain .arc').length") == 3
        assert "again, round 2" in await texts(page, ".chain text")
        assert "abc123" in "".join(await texts(page, "#records details td"))
        assert await texts(page, ".unfinished") == ["02-reinforce not finished"]
        assert await texts(page, "#scaling .legend label") == [
            "best_of_n",
            "none, tiny",
            "pass@n, which no choice can beat",
        ]
        chart = await page.value("document.querySelectorAll('.chart').length") - 1
        told = await hover(page, chart, 0.99)
        assert "n = 4, 80 tokens: 80.0 ± 4.0 %" in told and "90.0 ± 3.0 %" in told


async def test_light_and_dark(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"loss": 1.0}])
    brightness: list[int] = []
    async with opened(write_report(tmp_path)) as page:
        for scheme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            colour: Any = await page.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            brightness.append(sum(colour))
    assert brightness[0] > 700 and brightness[1] < 100
