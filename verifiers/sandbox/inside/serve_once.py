"""A fresh Python interpreter that serves once: what the fork server's children do, where there is no fork.

Called with the name of the driver (a module with `serve(channel)`, beside this one) and the number of its only
socket, the channel; the first line written there says that the interpreter has started. Imports nothing but the
standard library and its neighbours.
"""

import importlib
import os
import socket
import sys
import traceback


def main(driver: str, number: int) -> int:
    """Serve; the exit status."""
    # A stream: no family says what it really is, and none is asked for.
    channel = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=number)
    serve = importlib.import_module(driver).serve
    channel.sendall(b"ready\n")
    try:
        serve(channel)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    finally:
        channel.detach()
    return 0


if __name__ == "__main__":
    code = 1
    try:
        code = main(sys.argv[1], int(sys.argv[2]))
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        os._exit(code & 0xFF)
