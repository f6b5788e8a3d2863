"""Learning to judge: reward models of whole answers and of their steps, their data and their figures.

Chains are laid out by the very formats by which the server reads them, so that a model learns what it will be asked.
"""
