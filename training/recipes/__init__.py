"""Recipes: stages in a row, each with the results of those before it, as one command that can be killed and goes on."""
