"""The production engine: vLLM in this process, on GPUs or a CPU."""
