"""What a stage is: a configuration, and a function that turns it into an artifact."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from deliberate.training.artifact import Artifact
from deliberate.training.recording.metrics import Reporter


class StageConfig(BaseModel):
    """What every stage is told. Names are TRL's and transformers' where they have one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_effect: ClassVar[frozenset[str]] = frozenset({"name", "summary", "command", "output_dir"})
    """Fields that do not change the result: a run may go on with others."""

    name: str = Field(description="Name of the result.")
    output_dir: Path = Field(description="Folder of the result; checkpoints and metrics.jsonl go there too.")
    summary: str = Field(default="", description="What the result is for; goes into its artifact and card.")
    command: str = Field(default="", description="The command to record as the one that makes the result.")
    seed: int = Field(default=0, description="Of all that is random in the stage.")

    def portable(self) -> dict[str, Any]:
        """The part that decides the result, the same on every machine."""
        return self.model_dump(mode="json", exclude=set(self.no_effect))


Config = TypeVar("Config", bound=StageConfig)


@dataclass(frozen=True, slots=True)
class Stage(Generic[Config]):
    """One stage. `run` may be killed at any moment and called again with the same configuration: it goes on."""

    name: str
    """The module's name, by which `load_stage` finds it."""
    config: type[Config]
    run: Callable[[Config, Reporter], Artifact]
    """Tells the reporter how far it is. A stage that had finished returns its artifact at once."""
    several_processes: bool = False
    """Several that were started together do the work of one, faster."""
