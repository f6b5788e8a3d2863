"""Which completions of rollouts are worth learning from: right, finished, readable, not said before, not of a test."""
