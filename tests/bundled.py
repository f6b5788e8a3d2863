"""The bundled model behind `deliberate serve`, as a user starts it."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(*options: str) -> Generator[str, None, None]:
    """The base URL of a server of `tiny` that is ready."""
    command = [str(Path(sys.executable).with_name("deliberate")), "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("Ready: tiny at http://"), ready
            yield ready.split()[-1]
        finally:
            process.terminate()
