"""The prompt transforms, one file each. A module here that defines a `PromptTransform` is found by its `registry`."""
