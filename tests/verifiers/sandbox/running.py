"""A driver for warm interpreters, in tests: runs the program it is sent."""

import json
import socket
import sys
import traceback


def serve(channel: socket.socket) -> None:
    with channel.makefile("rb") as lines:
        source = json.loads(lines.readline())
    sys.excepthook = traceback.print_exception
    try:
        exec(source, {"__name__": "__main__"})
    finally:
        sys.stdout.flush()
