"""Runs a command beside a server of scripted replies: `python -m tests.with_scripted_server COMMAND...`.

The command finds the server's address in `DELIBERATE_TEST_BASE_URL`. For client libraries that need an environment of
their own.
"""

import os
import socket
import subprocess
import sys


def main(command: list[str]) -> int:
    """The command's exit status."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [sys.executable, "-m", "tests.server.serve_scripted", str(port)]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            if not server.stdout.readline():
                return server.wait() or 1
            environment = os.environ | {"DELIBERATE_TEST_BASE_URL": f"http://127.0.0.1:{port}/v1"}
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
