"""Models that learn: loading and keeping them, and what they think of completions."""
