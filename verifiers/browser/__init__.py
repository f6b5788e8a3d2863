"""Web pages of strangers in a contained browser: what they draw, and how they answer to people."""
