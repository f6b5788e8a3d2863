"""Changing weights: the loop that all stages with a model share, with its optimizer, rates and checkpoints."""
