"""A tokenizer of a task's text, as a stage."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.run_folder import OtherRun
from deliberate.training.stages import tokenizer
from deliberate.training.stages.tokenizer import TokenizerConfig
from deliberate.training.tasks import load_task

TASK = "agent_json+word_problems"


def made(folder: Path, **changes: Any) -> Any:
    settings = {"name": "words", "output_dir": folder, "task": TASK, "problems": 60, "vocab_size": 600, **changes}
    return tokenizer.run(TokenizerConfig.model_validate(settings), lambda _: None)


def test_it_leaves_a_tokenizer_that_transformers_loads(tmp_path: Path) -> None:
    artifact = made(tmp_path)
    assert (artifact.stage, artifact.task) == ("tokenizer", TASK)
    loaded: Any = AutoTokenizer.from_pretrained(tmp_path)  # pyright: ignore[reportUnknownMemberType]
    assert len(loaded) == 600
    chat = ChatTokenizer(tmp_path)
    for problem in load_task(TASK).problems("train", 9, 6):
        assert loaded.decode(chat.encode(problem.solution or "")) == problem.solution
        assert chat.conversation(problem.messages)


def test_a_finished_one_is_not_made_again_and_another_is_refused(tmp_path: Path) -> None:
    first = made(tmp_path)
    written = (tmp_path / "tokenizer.json").stat().st_mtime_ns
    assert made(tmp_path) == first
    assert (tmp_path / "tokenizer.json").stat().st_mtime_ns == written
    with pytest.raises(OtherRun):
        made(tmp_path, vocab_size=700)


def test_one_that_was_killed_is_made_anew(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole")
    (tmp_path / "cut" / "partial").mkdir(parents=True)
    (tmp_path / "cut" / "partial" / "tokenizer.json").write_text("{")
    (tmp_path / "cut" / "tokenizer_config.json").write_text("{")
    assert made(tmp_path / "cut").weights_hash == whole.weights_hash
    assert not (tmp_path / "cut" / "partial").exists()
