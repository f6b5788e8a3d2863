"""Search spends samples of an engine and verdicts of verifiers to find a better answer.

`events` is what a search says, `strategy` what every strategy is, `strategies/` holds one file per strategy,
`deliberation` runs one, `log` reads its events into candidates, usage and the choice.
"""
