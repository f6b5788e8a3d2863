"""Models behind addresses, whose answers follow from prompt and seed, and the stages that ask them."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deliberate.engines.scripted import Reply, ScriptedEngine
from tests.server.support import live

COMMAND = [sys.executable, "-c", "from deliberate.cli.main import app; app(prog_name='deliberate')"]


def write_lines(path: Path, *rows: Mapping[str, Any] | bytes) -> Path:
    """A file of JSON lines; bytes are written as they are."""
    path.write_bytes(b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def sums(count: int) -> list[dict[str, Any]]:
    """Problems whose answers are known."""
    return [{"id": f"sum-{i}", "prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(count)]


class Calculating(ScriptedEngine):
    """Adds, and is wrong every third time. What it says is a function of the prompt and the seed alone."""

    def __init__(self, *, seconds_per_token: float = 0.0, brief: bool = False) -> None:
        super().__init__(self._reply, context_length=4096)
        self._seconds = seconds_per_token
        self._brief = brief

    def _reply(self, prompt: str, number: int) -> Reply:
        found = re.search(r"What is (\d+) \+ (\d+)\?", prompt)
        assert found is not None, prompt
        chance = hashlib.blake2b(f"{prompt}{self.calls[-1].sampling.seed}".encode()).digest()[0]
        right = int(found[1]) + int(found[2])
        said = right if chance % 3 else right + 1
        words = ("I add both of the numbers.", "Both numbers are added here.", "This is a sum of two.")[chance % 5 % 3]
        if self._brief:
            return Reply(f"{found[1]} + {found[2]} = {said}", seconds_per_token=self._seconds)
        text = f"<think>\n{words}\n{found[1]} + {found[2]} = {said}\n</think>\n<answer>{said}</answer>"
        return Reply(text, seconds_per_token=self._seconds)


@contextmanager
def calculating(
    *, seconds_per_token: float = 0.0, brief: bool = False
) -> Generator[tuple[str, Calculating], None, None]:
    """The base URL of a server with such a model, and its engine."""
    engine = Calculating(seconds_per_token=seconds_per_token, brief=brief)
    with live(engine=engine) as server:
        yield f"{server.url}/v1", engine


def started(stage: str, config: Mapping[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    """`deliberate train STAGE` in a process of its own."""
    file = folder / f"{stage}.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(config, default=str))))
    command = [*COMMAND, "train", stage, "--config", str(file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Wait for its good end."""
    _, told = process.communicate(timeout=seconds)
    assert process.returncode == 0, told.decode()


def whole_lines(paths: Sequence[Path]) -> int:
    """In all of these files that are there."""
    return sum(path.read_bytes().count(b"\n") for path in paths if path.exists())
