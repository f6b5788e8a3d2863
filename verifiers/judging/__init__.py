"""How a language model is asked for its judgement: one file for each mode, and what the modes share."""
