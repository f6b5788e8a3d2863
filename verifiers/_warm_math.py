"""Imported by the process that workers are forked from: pays sympy's slow first import and first comparison once."""

from deliberate.verifiers.equality_job import equal

equal("x(x+1)", r"x^2 + \frac{x}{1}")
