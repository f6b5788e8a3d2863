"""Engines turn token ids into sampled tokens and log-probabilities. This room imports nothing of ours.

`protocol` says what every engine is, `errors` is the project's one tree of domain errors.
`scripted` and `transformers` are engines; one more engine is one more module beside them.
"""
