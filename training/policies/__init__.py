"""Models that learn: loading and keeping them, what they think of completions, and sampling from them as they are."""
