"""Step labels: which steps of a solution are right, found by letting a model go on from them.

Algorithms are functions over a `Completer`, which draws completions of a problem's prefixes and says which of them end
right; they know no engine. What could not be decided is None, and never counts as wrong.
"""
