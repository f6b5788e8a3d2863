"""Stages in two processes on this machine, as launchers start them."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_RUN = """
import json, sys
from deliberate.training.optimization import processes
from deliberate.training.stages import load_stage

with processes.joined():
    for name, fields in json.loads(sys.argv[1]):
        stage = load_stage(name)
        stage.run(stage.config.model_validate(fields), lambda _: None)
"""


def run_by_two(jobs: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Stages with their fields, one after the other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", _RUN, json.dumps(list(jobs), default=str)]
    pair = [
        subprocess.Popen(command, env={**known, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    try:
        for process in pair:
            _, told = process.communicate()
            assert process.returncode == 0, told
    finally:
        for process in pair:
            process.kill()


def torchrun(*arguments: object) -> subprocess.Popen[str]:
    """`deliberate train` in two processes, by torchrun itself."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [*launcher, str(Path(sys.executable).with_name("deliberate")), "train", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def workers(launcher: subprocess.Popen[str]) -> list[int]:
    """Their process ids."""
    return [int(pid) for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]
