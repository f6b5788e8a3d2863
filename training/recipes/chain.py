"""A recipe as it was laid out: its stages in order, where each is, and whose results it uses. Kept as recipe.json."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from deliberate.training.artifact import FILE_NAME as ARTIFACT

FILE_NAME = "recipe.json"

State: TypeAlias = Literal["finished", "started", "waiting"]


class Link(BaseModel):
    """One stage of the chain."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="Its name in the recipe.")
    stage: str = Field(description="The kind of stage, such as `grpo`.")
    folder: str = Field(description="Where its result is, within the recipe's folder: `03-train`.")
    uses: tuple[str, ...] = Field(default=(), description="Folders of the stages whose results it uses.")
    round: int | None = Field(default=None, description="From 1, where its group of stages is repeated.")

    def state(self, folder: Path) -> State:
        """How far it is, in the recipe's folder."""
        if (folder / self.folder / ARTIFACT).exists():
            return "finished"
        return "started" if (folder / self.folder).exists() else "waiting"


class Chain(BaseModel):
    """All stages, each after those that it uses."""

    model_config = ConfigDict(frozen=True)

    name: str
    summary: str
    paper: str = ""
    links: tuple[Link, ...]

    def save(self, folder: Path) -> None:
        """Write recipe.json, whole or not at all."""
        partial = folder / f"{FILE_NAME}.partial"
        partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(partial, folder / FILE_NAME)

    @classmethod
    def load(cls, folder: Path) -> "Chain | None":
        """The chain that was laid out in a folder; None where there is none that can be read."""
        try:
            return cls.model_validate_json((folder / FILE_NAME).read_bytes())
        except (OSError, ValueError):
            return None
