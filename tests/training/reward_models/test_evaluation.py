"""What a judge is measured on."""

from pathlib import Path

import pytest

from deliberate.training.datasets import DatasetConfig
from deliberate.training.reward_models.evaluation import Examination, examination
from deliberate.training.reward_models.layouts import Layouts
from deliberate.training.reward_models.sources import TaskChains, as_steps
from deliberate.verifiers.aggregate import Aggregation
from tests.training.stages.toy_judges import make_toy, rollouts, stepwise


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy"))


def made_of(toy: Path) -> TaskChains:
    return TaskChains.of("word_problems", Layouts("chat", str(toy), "\n"), as_steps, None, 3)


def exam(toy: Path, *datasets: tuple[str, Path], rule: Aggregation | None = "min") -> Examination:
    layouts, streamed = Layouts("chat", str(toy), "\n"), made_of(toy)
    configs = [DatasetConfig(format=format, source=str(source)) for format, source in datasets]
    return examination(configs, streamed, 5, layouts, seed=0, rule=rule)


def test_answers_are_the_policys_where_there_are_any(toy: Path, tmp_path: Path) -> None:
    made = exam(toy, ("rollouts", rollouts(tmp_path / "rollouts.jsonl", 7)))
    assert [len(group.chains) for group in made.answered] == [4] * 7
    assert len(made.labelled) == 10, "a right chain and a wrong one of each of the task's problems"


def test_else_they_are_the_tasks_own(toy: Path, tmp_path: Path) -> None:
    made = exam(toy, ("trl", stepwise(tmp_path / "stepwise.jsonl", 6)))
    assert [len(group.chains) for group in made.answered] == [4] * 5
    answers = [(problem.answer, chains) for problem, chains in made_of(toy).held_out(0, 5)]
    assert [group.right for group in made.answered] == [
        tuple(chain.steps[-1] == f"<answer>{answer}</answer>" for chain in chains) for answer, chains in answers
    ]
    assert all(group.right[0] and False in group.right for group in made.answered)
    assert len(made.labelled) == 6 + 10
    assert exam(toy, rule=None).labelled == ()
