"""Boxes that run hostile programs: what a model wrote can harm nothing but its own verdict.

`Sandbox` is what verifiers use. A tier is a way to build a box; the strongest one that passes the self-test on this
host is taken, and none below `min_tier`. Verdicts are made outside, from what comes out of a box.
"""
