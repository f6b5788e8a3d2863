"""The page on data from models, as a reader would try it."""

import re
from pathlib import Path

import pytest
import yaml

from deliberate.training.stages import load_stage

PAGE = (Path(__file__).parents[3] / "docs" / "training-data.md").read_text(encoding="utf-8")


def test_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/training-data.md", "exec"), {})


@pytest.mark.parametrize("stage", ["rollouts", "distill", "sft"])
def test_the_configurations_are_those_of_their_stages(stage: str) -> None:
    (text,) = re.findall(rf"```yaml\n# {stage}\.yaml\n(.*?)```", PAGE, re.DOTALL)
    load_stage(stage).config.model_validate(yaml.safe_load(text))


def test_every_reason_is_told() -> None:
    source = (Path(__file__).parents[3] / "training" / "selection").glob("*.py")
    code = "".join(path.read_text(encoding="utf-8") for path in source)
    reasons = {*re.findall(r'dropped\["(\w+)"\]', code), *re.findall(r'        return "(\w+)"', code)}
    assert len(reasons) == 12
    told = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == reasons
