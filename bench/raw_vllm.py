"""vLLM by itself, for comparison: reads one JSON request per line, answers with the tokens drawn and the seconds.

    {"prompts": [[1, 2, 3], ...], "at_once": 8, "n": 16, "sampling": {...}}  ->  {"tokens": 8192, "seconds": 1.9}

`at_once` prompts go into each call of `LLM.generate`, as that many concurrent callers would.
"""

import json
import os
import sys
import time
from typing import Any

from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]


def answer(llm: Any, request: dict[str, Any]) -> dict[str, float]:
    """Draw n samples of each prompt."""
    prompts: list[list[int]] = request["prompts"]
    start = time.perf_counter()
    tokens = 0
    for first in range(0, len(prompts), request["at_once"]):
        batch = prompts[first : first + request["at_once"]]
        params = [SamplingParams(n=request["n"], seed=first + i, **request["sampling"]) for i in range(len(batch))]
        outputs = llm.generate([{"prompt_token_ids": ids} for ids in batch], params, use_tqdm=False)
        tokens += sum(len(sample.token_ids) for output in outputs for sample in output.outputs)
    return {"tokens": tokens, "seconds": time.perf_counter() - start}


def main() -> None:
    """The model's path and vLLM's options (JSON) are the arguments."""
    # What libraries and the processes they start print to stdout must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    llm = LLM(sys.argv[1], **json.loads(sys.argv[2]))
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(llm, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
