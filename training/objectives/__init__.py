"""The losses of training, as pure functions on tensors: no models, no files, one idea a module.

Shapes: `groups` are the prompts of a batch, each with `completions` sampled from it; `tokens` are a completion's,
without its prompt, padded on the right. A bool mask says which entries count; what stands at the others is never
read, not even nan. All is computed in float32 (float64 where that is given), under autocast too; log-probabilities are
in nats.
"""
