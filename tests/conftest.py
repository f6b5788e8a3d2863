"""How the tests are divided where several processes run them, as `make test` has it: a file goes to one of them."""

import os

import pytest


def pytest_configure() -> None:
    # The consoles of our commands would have this width for ever, whatever a test asks for.
    os.environ.pop("COLUMNS", None)


# Before xdist's own, which looks at the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            file = item.path.relative_to(config.rootpath / "tests").with_suffix("")
            item.add_marker(pytest.mark.xdist_group(file.as_posix()))
