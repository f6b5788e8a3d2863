"""Serves the scripted model of these tests: `python -m tests.server.serve_scripted PORT`, until it is stopped."""

import sys

from deliberate.engines.scripted import ScriptedEngine
from deliberate.server.run import serve
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

from .support import CANDIDATES

if __name__ == "__main__":
    settings = Settings(port=int(sys.argv[1]), verifier="calculator", log_level="warning")
    serve(settings, [ServedModel("tiny", ScriptedEngine(CANDIDATES))], lambda url: print(url, flush=True))
