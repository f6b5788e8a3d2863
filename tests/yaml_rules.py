"""strictjson changes PyYAML's rules for the whole process whenever it parses: tests that run it put them back."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import yaml


@contextmanager
def kept_yaml_rules() -> Generator[None]:
    """Afterwards, PyYAML reads documents as before."""
    loader: Any = yaml.SafeLoader
    before = {first: list(rules) for first, rules in loader.yaml_implicit_resolvers.items()}
    try:
        yield
    finally:
        loader.yaml_implicit_resolvers = before
