"""The report of a training run, or of a whole recipe: one page that needs nothing but a browser.

runs.py      which folders are runs, and how far they are
curves.py    their metrics, thinned for drawing
samples.py   some of what they wrote, step by step
scaling.py   what the results are worth: accuracy against tokens
chain.py     a recipe's stages, drawn
records.py   how each result was made
page.py      all of it in one file; page/ holds its HTML, style and scripts
"""

from deliberate.training.report.page import write_report

__all__ = ["write_report"]
