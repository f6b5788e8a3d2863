"""Sampling from models that no stage changes, and scoring what they say: what rollouts and distillation are made of."""
