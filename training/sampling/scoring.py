"""Who scores the answers to each row of data, and what it says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Prompt, Sample
from deliberate.search.registry import explain
from deliberate.search.templating import template_messages
from deliberate.training.datasets.problems import columns
from deliberate.training.datasets.rows import Row
from deliberate.training.datasets.sources import BadData
from deliberate.verifiers.filling import filled
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.registry import parse_verifier

UNSCORED = "none"
"""Written in the place of a verifier where nothing is to be scored."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """The verifier of each row: the configured one, or the row's own."""

    spec: object | None
    """As a request would write it; None for the rows' own."""
    fill: Mapping[str, str]
    """Options of `spec` that stand in the rows: the row's field for each."""

    def check(self, rows: Iterable[Row], resources: Resources) -> None:
        """Raises BadData naming the first row whose verifier is missing or cannot be built."""
        for row in rows:
            try:
                config = self.verifier(row)
                if config is not None:
                    build_guarded(config, resources)
            except InvalidRequest as error:
                raise BadData(f"{row.place}: {error} Nothing was written.") from error

    def verifier(self, row: Row) -> VerifierConfig | None:
        """None where nothing is scored. Raises InvalidRequest."""
        if self.spec == UNSCORED:
            return None
        spec = row.verifier if self.spec is None else filled(self.spec, self.fill, columns(row))
        if spec is None:
            raise InvalidRequest(
                "the row has no answer and no verifier. Add one, or name a verifier in the configuration "
                f"({UNSCORED!r} scores nothing)."
            )
        try:
            return parse_verifier(spec)
        except ValidationError as error:
            raise InvalidRequest(f"its verifier cannot be read: {explain(error)}.", param="verifier") from error

    async def verdicts(
        self, row: Row, prompt: Prompt, samples: Sequence[Sample], resources: Resources
    ) -> list[Verdict | None]:
        """On all samples of a row together, because some verifiers compare; None where nothing is scored."""
        config = self.verifier(row)
        if config is None:
            return [None] * len(samples)
        assert prompt.conversation is not None, "rows are conversations"
        problem = Problem(template_messages(prompt.conversation.messages), prompt.token_ids, prompt.conversation.tools)
        return [*await build_guarded(config, resources).verify(problem, [_candidate(sample) for sample in samples])]


def _candidate(sample: Sample) -> Candidate:
    return Candidate(
        sample.text,
        sample.token_ids or None,
        sample.logprobs or None,
        finished=sample.finish.reason == "stop",
        top_logprobs=sample.top_logprobs,
    )
