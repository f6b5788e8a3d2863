"""Who judges when a request's strategy does not say."""

import json

from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest
from deliberate.search.registry import explain
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings
from deliberate.verifiers.protocol import VerifierConfig
from deliberate.verifiers.registry import VERIFIERS, parse_verifier


def default_verifier(settings: Settings, model: ServedModel) -> VerifierConfig | None:
    """The operator's choice, else the model's own, else what its companion is for: `reward_model`, `likelihood`, or
    `judge` where it scores no given tokens."""
    if settings.verifier is not None:
        return read_verifier(settings.verifier)
    if model.default_verifier is not None:
        return model.default_verifier
    if model.reward_model is not None or (model.scorer is not None and model.scorer.format is not None):
        return parse_verifier("reward_model")
    if model.scorer is None:
        return None
    return parse_verifier("likelihood" if model.scorer.engine.capabilities.scores else "judge")


def read_verifier(text: str) -> VerifierConfig:
    """A verifier from a setting: its kind, or JSON. Raises InvalidRequest."""
    try:
        return parse_verifier(json.loads(text) if text.lstrip()[:1] in ("{", "[") else text)
    except ValidationError as error:
        known = ", ".join(VERIFIERS)
        raise InvalidRequest(f"Verifier {text!r}: {explain(error)} (known: {known})", param="verifier") from error
    except ValueError as error:
        raise InvalidRequest(f"Verifier {text!r} is not valid JSON: {error}", param="verifier") from error
