"""Tasks: problems of graded difficulty, with a verifier that grades and, mostly, a worked solution.

A newcomer adds a task by adding one module here whose `TASK` satisfies the `Task` protocol. Modules whose names begin
with an underscore are not tasks.
"""

from deliberate.training.tasks._protocol import Problem, Spec, Split, Task, as_question
from deliberate.training.tasks._registry import UnknownTaskError, load_task, task_names

__all__ = ["Problem", "Spec", "Split", "Task", "UnknownTaskError", "as_question", "load_task", "task_names"]
