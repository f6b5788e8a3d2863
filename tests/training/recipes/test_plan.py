"""Recipes laid out: what refers to what, and what is said of those that cannot run. Nothing runs here."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.errors import UnknownName
from deliberate.models import bundled
from deliberate.training.recipes.chain import Chain
from deliberate.training.recipes.document import BadRecipe
from deliberate.training.recipes.library import find_recipe, recipe_names
from deliberate.training.recipes.plan import Plan, read_plan

Laid = Callable[..., Plan]


@pytest.fixture
def lay(tmp_path: Path) -> Laid:
    """Lays a recipe out whose stages, and other fields, are given as YAML."""

    def lay(stages: str, more: str = "", **options: Any) -> Plan:
        file = tmp_path / "recipe.yaml"
        file.write_text(f"name: toy\nsummary: A toy.\n{more}\nstages:\n{stages}\n", encoding="utf-8")
        return read_plan(file, output=tmp_path / "out", **options)

    return lay


def select(name: str, source: str, **config: Any) -> str:
    more = "".join(f", {field}: {json.dumps(value)}" for field, value in config.items())
    data = f'datasets: [{{format: rollouts, source: "{source}"}}]'
    return f"- {{name: {name}, stage: rejection_sampling, config: {{{data}{more}}}}}"


def sources(plan: Plan) -> list[str]:
    return [planned.config.model_dump()["datasets"][0]["source"] for planned in plan.stages]


def test_stages_have_folders_and_the_results_of_those_before(lay: Laid, tmp_path: Path) -> None:
    plan = lay("\n".join([select("first", "data.jsonl"), select("second", "${stages.first}/data.jsonl")]))
    assert [link.folder for link in plan.chain.links] == ["01-first", "02-second"]
    assert [link.uses for link in plan.chain.links] == [(), ("01-first",)]
    assert sources(plan) == ["data.jsonl", f"{tmp_path}/out/01-first/data.jsonl"]
    configs = [planned.config for planned in plan.stages]
    assert [config.output_dir for config in configs] == [tmp_path / "out" / "01-first", tmp_path / "out" / "02-second"]
    assert [config.name for config in configs] == ["toy-01-first", "toy-02-second"]


def test_variables_keep_their_kind_and_may_be_set(lay: Laid) -> None:
    variables = "variables: {most: 3, share: 0.5, place: '${variables.folder}/x', folder: data}"
    stage = select(
        "only", "${variables.place}.jsonl", max_per_problem="${variables.most}", max_pass_rate="${variables.share}"
    )
    config = lay(stage, variables).stages[0].config.model_dump()
    assert (config["max_per_problem"], config["max_pass_rate"]) == (3, 0.5)
    assert config["datasets"][0]["source"] == "data/x.jsonl"
    changed = lay(stage, variables, settings=["most=null", "folder=else"]).stages[0].config.model_dump()
    assert (changed["max_per_problem"], changed["datasets"][0]["source"]) == (None, "else/x.jsonl")


def test_smoke_takes_the_small_values_and_settings_go_before_them(lay: Laid) -> None:
    variables = "variables: {most: 300, choose: best}\nsmoke: {most: 2}"
    stage = select("only", "d", max_per_problem="${variables.most}", choose="${variables.choose}")

    def most(**options: Any) -> int:
        return lay(stage, variables, **options).stages[0].config.model_dump()["max_per_problem"]

    assert (most(), most(smoke=True), most(smoke=True, settings=["most=7"])) == (300, 2, 7)


def test_rounds_go_on_with_what_the_round_before_left(lay: Laid) -> None:
    loop = f"""
- repeat: 3
  first: {{again: "${{stages.begin}}"}}
  stages:
    {select("sample", "${previous.again}/data.jsonl", seed="${round}")}
    {select("again", "${stages.sample}/data.jsonl")}"""
    plan = lay("\n".join([select("begin", "d"), loop, select("end", "${stages.again}/data.jsonl")]))
    links = {link.folder: (link.uses, link.round) for link in plan.chain.links}
    assert links == {
        "01-begin": ((), None),
        "02-sample-1": (("01-begin",), 1),
        "03-again-1": (("02-sample-1",), 1),
        "04-sample-2": (("03-again-1",), 2),
        "05-again-2": (("04-sample-2",), 2),
        "06-sample-3": (("05-again-2",), 3),
        "07-again-3": (("06-sample-3",), 3),
        "08-end": (("07-again-3",), None),
    }
    assert [planned.config.seed for planned in plan.stages] == [0, 1, 0, 2, 0, 3, 0, 0]


def test_bundled_models_can_be_named(lay: Laid) -> None:
    stage = (
        "- {name: tune, stage: sft, config: {model_name_or_path: '${bundled.tiny}', task: word_problems, max_steps: 1}}"
    )
    assert lay(stage).stages[0].config.model_dump()["model_name_or_path"] == str(bundled("tiny"))


ONE = select("only", "d")


@pytest.mark.parametrize(
    ("stages", "more", "line", "said"),
    [
        (
            "- {name: a, stage: rejection}",
            "",
            5,
            "Unknown stage 'rejection'; known: .*Did you mean 'rejection_sampling'",
        ),
        (
            select("a", "d", max_per_prob=1),
            "",
            5,
            "'max_per_prob' is no field of rejection_sampling; .*'max_per_problem'",
        ),
        (select("a", "d", choose="worst"), "", 5, "choose of rejection_sampling: Input should be 'first', "),
        ("- {name: a, stage: rejection_sampling}", "", 5, "datasets of rejection_sampling: Field required"),
        (
            select("a", "${stages.b}") + "\n" + select("b", "d"),
            "",
            5,
            r"'b' \(.*recipe.yaml, line 6\) has no result yet",
        ),
        (select("a", "${stages.a}"), "", 5, "the stage 'a' .* has no result yet here; name one before it"),
        (
            ONE + "\n" + select("b", "${stages.onyl}"),
            "",
            6,
            r"no stage 'onyl'; there are: only \(did you mean 'only'\?\)",
        ),
        (ONE + "\n" + ONE, "", 6, r"'only' is there already \(.*line 5\)"),
        (select("Capital", "d"), "", 5, "'Capital' cannot name a folder"),
        (select("a", "d", output_dir="x"), "", 5, "output_dir cannot be set here"),
        (select("a", "${variables.x}"), "", 5, "no variable 'x'; there are: none"),
        (
            select("a", "${variables.x}"),
            "variables: {x: '${variables.y}', y: '${variables.x}'}",
            3,
            "in a circle: x -> y -> x",
        ),
        (ONE, "variables: {x: 1}", 3, "nothing uses the variable 'x'"),
        (ONE, "smoke: {x: 1}", 3, "`smoke` sets 'x', which is no variable"),
        (select("a", "${round}"), "", 5, "has a meaning only in a group with `repeat`"),
        (select("a", "${previous.a}"), "", 5, r"only in a group with `repeat`; write \$\{stages.a\}"),
        (select("a", "${models.tiny}"), "", 5, r"\$\{models.tiny\} means nothing; write \$\{variables.NAME\}"),
        (select("a", "${bundled.huge}"), "", 5, "no bundled model 'huge'; there are: tiny"),
        (select("a", "x${variables.x}"), "variables: {x: [1]}", 5, "cannot stand within a text"),
        (f"- {{repeat: 0, stages: [{ONE[2:]}]}}", "", 5, "0 is no number of rounds"),
        (
            f"- {{repeat: 2, first: {{b: x}}, stages: [{ONE[2:]}]}}",
            "",
            5,
            "`first` names 'b', which is no stage of the group",
        ),
        ("- {repeat: 2, stages: [" + select("a", "${previous.a}")[2:] + "]}", "", 5, "give the group `first: {a: …}`"),
        (
            "- {repeat: 2, stages: [" + select("a", "${stages.a}")[2:] + "]}",
            "",
            5,
            r"no result yet here; .* \$\{previous.a\}",
        ),
        (
            "- {name: a, stage: sft, confg: {}}",
            "",
            5,
            r"'confg' is nothing that is known here; .*did you mean 'config'",
        ),
        ("- {name: a}", "", 5, "'stage' is missing; needed here: name, stage"),
        ("- select", "", 5, "'select' should be a mapping"),
        (ONE, "name: again", 3, "'name' stands here twice"),
        (ONE, "steps: 3", 3, "'steps' is nothing that is known here"),
        (ONE, "more: [", 5, "is not YAML: "),
        ("- {name: a, stage: ${x}}", "", 5, "is not YAML: .* write references in quotes"),
    ],
)
def test_mistakes_are_told_with_their_line(
    lay: Laid, tmp_path: Path, stages: str, more: str, line: int, said: str
) -> None:
    with pytest.raises(BadRecipe) as raised:
        lay(stages, more)
    assert re.search(rf"recipe\.yaml, line {line}\b.*{said}", str(raised.value)), str(raised.value)
    assert not (tmp_path / "out").exists()


def test_all_mistakes_in_configurations_are_told_at_once(lay: Laid) -> None:
    with pytest.raises(BadRecipe) as raised:
        lay(
            "\n".join(
                [select("a", "d", choose="worst", ngram=0), "- {name: b, stage: none}", select("c", "${stages.a}", x=1)]
            )
        )
    places = re.findall(r"recipe\.yaml, line (\d)", str(raised.value))
    assert places == ["5", "5", "6", "7"]


@pytest.mark.parametrize("setting", ["unknown=1", "most"])
def test_settings_name_variables(lay: Laid, setting: str) -> None:
    stage = select("only", "d", max_per_problem="${variables.most}")
    with pytest.raises(BadRecipe, match=rf"--set {setting} sets no variable of the recipe; there are: most"):
        lay(stage, "variables: {most: 1}", settings=[setting])


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"nowhere.yaml cannot be read"):
        read_plan(tmp_path / "nowhere.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(BadRecipe, match=r"empty.yaml is empty; write a recipe"):
        read_plan(tmp_path / "empty.yaml")


@pytest.mark.parametrize("name", recipe_names())
def test_bundled_recipes_fit_their_stages(name: str, tmp_path: Path) -> None:
    plans = [read_plan(find_recipe(name), output=tmp_path, smoke=smoke) for smoke in (False, True)]
    chain = plans[0].chain
    assert len(chain.summary) > 100 and "arXiv:" in chain.paper
    assert chain.name.replace("-", "_") == name
    folders = [link.folder for link in chain.links]
    for number, link in enumerate(chain.links):
        assert set(link.uses) <= set(folders[:number]), "each stage uses those before it"


def test_the_recipe_of_the_documentation_can_be_laid_out(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    plan = read_plan(tmp_path / "recipe.yaml", smoke=True)
    assert [link.folder for link in plan.chain.links][::3] == ["01-sample-1", "04-sample-2"]
    assert plan.folder == Path("runs/improve-smoke")


def test_unknown_recipes_name_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"Unknown recipe 'r2'; known: distillation, .*r1_zero"):
        find_recipe("r2")


def test_a_chain_comes_back_from_its_folder(lay: Laid, tmp_path: Path) -> None:
    chain = lay(ONE).chain
    chain.save(tmp_path)
    assert Chain.load(tmp_path) == chain
    (tmp_path / "recipe.json").write_text("{")
    assert Chain.load(tmp_path) is None
