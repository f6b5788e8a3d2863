"""A driver for warm interpreters, in tests: runs the program it is sent."""

import json
import socket
import sys


def serve(channel: socket.socket) -> None:
    with channel.makefile("rb") as lines:
        source = json.loads(lines.readline())
    try:
        exec(source, {"__name__": "__main__"})
    finally:
        sys.stdout.flush()
