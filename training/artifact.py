"""What a training stage leaves behind: a model folder and the record, `deliberate.json`, of how it was made."""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

FILE_NAME = "deliberate.json"


class ArtifactError(ValueError):
    """A folder that should hold a trained model has no readable record of one."""


class Artifact(BaseModel):
    """The record of one trained model. `save` and `load` move it in and out of the model's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the model, and of its folder.")
    stage: str = Field(description="The training stage that made it, such as `sft`.")
    summary: str = Field(default="", description="What the model is for, in a sentence.")
    command: str = Field(description="The command that makes it again.")
    task: str = Field(description="The task whose problems it learned from.")
    config: dict[str, Any] = Field(description="The stage's configuration, without paths.")
    data_hash: str = Field(description="Chained blake2b over every training batch, in order.")
    weights_hash: str = Field(description="sha256 of model.safetensors.")
    parents: dict[str, str] = Field(default_factory=dict, description="Models it started from: name to weights hash.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Figures measured while and after training.")
    versions: dict[str, str] = Field(description="Versions of Python and of the libraries that made it.")
    step_separator: str = Field(default="\n", description="The text between two reasoning steps.")
    format: str | None = Field(
        default=None, description="How a reward model reads chains, as in the option `format` of `reward_model`."
    )
    verifier: str | None = Field(default=None, description="Folder, beside this one, of the model that scores it.")

    def save(self, folder: Path) -> None:
        (folder / FILE_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Artifact":
        """Read a folder's record.

        Raises:
            ArtifactError: the folder has none, or one that does not parse.
        """
        path = folder / FILE_NAME
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ArtifactError(f"{folder} holds no {FILE_NAME}: not a model that training finished") from error
        except ValueError as error:
            raise ArtifactError(f"{path} is not an artifact record: {error}") from error


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
