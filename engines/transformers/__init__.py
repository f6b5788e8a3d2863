"""The embedded engine: any Hugging Face causal language model or reward model, on CPU or one GPU, with torch alone.

One thread owns the model and repeats three things (`scheduler`): admit waiting work, run one prefill chunk,
run one decode step for every running sequence. `work` is what it schedules, `kv_rows` holds the batch's keys
and values, `prefix_cache` those of finished work, and `sampler` draws tokens.
`network` is what transformers loads, with `reward_heads` of models that it does not know; `model` runs it (`fused` for
the common architectures, with `attention` inside). `thread` takes the calls in and hands their results out; `engine`
(language models) and `scorer` (reward models) are the asynchronous faces of it all, and `loading` makes them.
"""

from deliberate.engines.transformers.engine import TransformersEngine
from deliberate.engines.transformers.loading import load, load_scorer
from deliberate.engines.transformers.network import architecture, is_reward_model
from deliberate.engines.transformers.scorer import TransformersScorer

__all__ = ["TransformersEngine", "TransformersScorer", "architecture", "is_reward_model", "load", "load_scorer"]
