"""TensorBoard's own reader on what a run leaves for it."""

import logging
import sys
from pathlib import Path
from typing import cast

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deliberate.training.recording.tensorboard import open_tensorboard


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    names = cast(list[str], events.Tags()["scalars"])
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def write(folder: Path, steps: range, loss: float, *, resumed_step: int = 0, close: bool = True) -> None:
    recorder = open_tensorboard(folder, resumed_step=resumed_step)
    assert recorder is not None
    for step in steps:
        recorder.add({"step": step, "max_steps": 9, "tokens": 100 * step, "loss": loss})
    if close:
        recorder.close()


def test_every_named_value_is_a_curve(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4), 0.5)
    assert scalars(tmp_path) == {"tokens": [(1, 100), (2, 200), (3, 300)], "loss": [(1, 0.5), (2, 0.5), (3, 0.5)]}


def test_what_a_resumed_run_writes_again_is_there_once(tmp_path: Path) -> None:
    write(tmp_path, range(1, 7), 0.5, close=False)
    write(tmp_path, range(5, 9), 0.25, resumed_step=4)
    assert scalars(tmp_path)["loss"] == [(step, 0.5 if step <= 4 else 0.25) for step in range(1, 9)]


def test_a_run_that_starts_anew_replaces_all(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4), 0.5)
    write(tmp_path, range(1, 3), 0.25)
    assert scalars(tmp_path)["loss"] == [(1, 0.25), (2, 0.25)]


def test_without_tensorboard_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with caplog.at_level(logging.WARNING):
        assert open_tensorboard(tmp_path, resumed_step=0) is None
    (said,) = caplog.messages
    assert "pip install 'deliberate[training]'" in said
    assert not list(tmp_path.iterdir())
