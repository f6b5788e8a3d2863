"""training: makes the policies and verifiers that are served.

A stage takes a frozen configuration and leaves an artifact: a model folder with the record of its making.
"""
