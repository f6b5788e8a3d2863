"""The recipes that come with the project."""

from pathlib import Path

from deliberate.engines.errors import UnknownName

_FOLDER = Path(__file__).parent


def recipe_names() -> list[str]:
    """Names of all of them, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def find_recipe(asked: str) -> Path:
    """A file, or one of ours by its name. Raises UnknownName, with the names there are."""
    if Path(asked).is_file():
        return Path(asked)
    if asked not in recipe_names():
        raise UnknownName("recipe", asked, recipe_names())
    return _FOLDER / f"{asked}.yaml"
