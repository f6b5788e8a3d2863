"""What vLLM's cores report after each of their steps, added up."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false
from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase

from deliberate.engines.protocol import EngineStats


class Counters:
    """Sums over the cores of one engine: as many as its data parallelism."""

    def __init__(self) -> None:
        self._cores: list[_CoreCounters] = []
        self.read = 0
        """Tokens that were drawn only because vLLM draws one after reading, and thrown away."""

    def add_core(self, config: Any, index: int = 0) -> "_CoreCounters":
        """The logger that vLLM asks for, one per core."""
        self._cores.append(_CoreCounters(config, index))
        return self._cores[-1]

    def stats(self, unfinished: int) -> EngineStats:
        """`unfinished`: requests that vLLM still owes an end to. Cores report while they work and say nothing when
        they stop, so that what they last said counts only while there is some."""
        cores = self._cores
        running = sum(core.running for core in cores) if unfinished else 0
        return EngineStats(
            running=running,
            waiting=max(0, unfinished - running),
            prefill_tokens_total=sum(core.prefilled for core in cores),
            cached_tokens_total=sum(core.cached for core in cores),
            generated_tokens_total=sum(core.generated for core in cores) - self.read,
            decode_steps_total=sum(core.decode_steps for core in cores),
            decode_sequences_total=sum(core.decode_sequences for core in cores),
            preemptions_total=sum(core.preemptions for core in cores),
        )


class _CoreCounters(StatLoggerBase):
    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self.running = 0
        self.prefilled = 0
        self.cached = 0
        self.generated = 0
        self.decode_steps = 0
        self.decode_sequences = 0
        self.preemptions = 0

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        if scheduler_stats is not None:
            self.running = scheduler_stats.num_running_reqs
        if iteration_stats is not None:
            prompts = iteration_stats.prompt_token_stats
            self.prefilled += prompts.computed
            self.cached += prompts.cached_tokens
            self.generated += iteration_stats.num_generation_tokens
            self.preemptions += iteration_stats.num_preempted_reqs
            # A latency since the last token is measured for each sequence that was past its first.
            decoded = len(iteration_stats.inter_token_latencies_iter)
            self.decode_steps += decoded > 0
            self.decode_sequences += decoded

    def log_engine_initialized(self) -> None:
        pass
