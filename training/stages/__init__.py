"""Stages: one file each, from a configuration to an artifact.

A newcomer adds a stage by adding one module here whose `STAGE` is a `Stage`. Modules whose names begin with an
underscore are not stages.
"""

from deliberate.training.stages._protocol import Stage, StageConfig
from deliberate.training.stages._registry import load_stage, stage_names, stage_summary

__all__ = ["Stage", "StageConfig", "load_stage", "stage_names", "stage_summary"]
