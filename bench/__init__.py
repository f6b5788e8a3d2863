"""Measurements: each module is one question, answered by ratios within one run."""
