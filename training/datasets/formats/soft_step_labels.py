"""The soft labels of lines of the format `step_labels`: the share of completions after each step that end right."""

from deliberate.training.datasets.formats.step_labels import StepLabels

FORMAT = StepLabels("soft_step_labels", "soft_labels")
