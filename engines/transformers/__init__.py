"""The embedded engine: any Hugging Face causal language model, on CPU or one GPU, with torch alone.

One thread owns the model and repeats three things (`scheduler`): admit waiting work, run one prefill chunk,
run one decode step for every running sequence. `work` is what it schedules, `kv_rows` holds the batch's keys
and values, `prefix_cache` those of finished work, `sampler` draws tokens,
`model` loads the network and runs it (`fused` for the common architectures, with `attention` inside). `thread` takes
the calls in and hands their results out, and `engine` is the asynchronous face of it all.
"""

from deliberate.engines.transformers.engine import TransformersEngine, load

__all__ = ["TransformersEngine", "load"]
