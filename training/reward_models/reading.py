"""Rows of datasets as chains, with what is wrong with them told by file and line before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.loading import Dataset
from deliberate.training.datasets.mixing import Part
from deliberate.training.datasets.rows import PreferenceRow, RolloutRow, Row, StepwiseRow, UnpairedRow
from deliberate.training.datasets.sources import BadData
from deliberate.training.reward_models.chains import Chain, Group
from deliberate.training.reward_models.layouts import LaidOut, Layouts


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to one prompt, no two alike, with how good they are, in [0, 1]."""

    row: Row
    quality: Mapping[str, float]


def read_answers(config: DatasetConfig) -> tuple[Answers, ...]:
    """Of rollouts with scores, preferences, and single answers with labels; the last by prompt.

    Raises BadData for what cannot be read, and for rows of other kinds.
    """
    data = read_dataset(config)
    found: dict[str, Answers] = {}
    for row in data.rows:
        quality = _quality(row, data)
        key = repr(row.prompt) if isinstance(row, UnpairedRow) else row.id
        known = found.get(key)
        found[key] = Answers(row, quality) if known is None else Answers(known.row, {**known.quality, **quality})
    return tuple(answers for answers in found.values() if answers.quality)


def outcome_groups(
    datasets: Sequence[DatasetConfig], layouts: Layouts, *, max_length: int | None, compared: bool
) -> list[Part[Group]]:
    """Groups of answers that are read at their ends; with `compared` only those of answers that differ in quality.

    Raises BadData, also where nothing is left.
    """
    parts = list[Part[Group]]()
    for config in datasets:
        answers = read_answers(config)
        groups = [group for group in (_outcomes(each, layouts, max_length) for each in answers) if group.chains]
        mixed = [group for group in groups if group.is_mixed]
        if compared and not mixed:
            raise BadData(
                f"{answers[0].row.place if answers else config.source}: all answers to this prompt have the same "
                "score, and so it is with every other prompt of these data: there is nothing to compare. Sample more "
                "answers to each, or take harder problems. Nothing was written."
            )
        parts.append(_part(config, mixed if compared else groups, max_length))
    return parts


def step_groups(datasets: Sequence[DatasetConfig], layouts: Layouts, *, max_length: int | None) -> list[Part[Group]]:
    """Chains that are read at the end of each step, each a group of its own. Raises BadData."""
    parts = list[Part[Group]]()
    for config in datasets:
        rows = read_dataset(config).of(StepwiseRow)
        chains = ((row.place, step_chain(row, layouts)) for row in rows)
        parts.append(_part(config, [Group(p, (c,)) for p, c in chains if _fits(c, max_length)], max_length))
    return parts


def step_chain(row: StepwiseRow, layouts: Layouts) -> Chain:
    """Raises BadData for steps that the format would cut elsewhere."""
    layout = layouts(row.prompt, layouts.separator.join(row.steps))
    if len(layout.ends) != len(row.labels):
        inside = next((number for number, step in enumerate(row.steps, 1) if layouts.separator in step), None)
        fault = "some of its steps are blank" if inside is None else f"step {inside} holds the separator itself"
        raise BadData(
            f"{row.place} has {len(row.labels)} labels, but between the separators {layouts.separator!r} there are "
            f"{len(layout.ends)} steps: {fault}. Choose another step_separator, or mend the line. Nothing was written."
        )
    return Chain.labelled(layout, row.labels)


def _quality(row: Row, data: Dataset) -> dict[str, float]:
    match row:
        case RolloutRow():
            return {s.text: s.score for s in row.samples if s.score is not None and s.text.strip()}
        case PreferenceRow():
            return {row.chosen: 1.0, row.rejected: 0.0}
        case UnpairedRow():
            return {row.completion: float(row.label)}
        case _:
            raise BadData(
                f"{row.place} is a {type(row).__name__}, but this stage compares answers: give it rollouts with "
                f"scores, preferences, or answers with labels, and not {data.config.format}. Nothing was written."
            )


def _outcomes(answers: Answers, layouts: Layouts, max_length: int | None) -> Group:
    laid = [(layouts(answers.row.prompt, text), quality) for text, quality in answers.quality.items()]
    chains = [Chain.judged(layout, quality) for layout, quality in laid if layout.ends]
    return Group(answers.row.place, tuple(chain for chain in chains if _fits(chain, max_length)))


def _fits(chain: Chain | LaidOut, max_length: int | None) -> bool:
    return max_length is None or len(chain) <= max_length


def _part(config: DatasetConfig, groups: Sequence[Group], max_length: int | None) -> Part[Group]:
    if not groups:
        raise BadData(f"{config.source} has nothing to learn from within max_length {max_length}; allow more tokens.")
    return Part(groups, config.weight)
