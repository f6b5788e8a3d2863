from pathlib import Path

import pytest

from tests.training.policy_optimization.toy_policies import make_policy, make_problems


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="session")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_problems(tmp_path_factory.mktemp("problems") / "problems.jsonl")
