"""What everything that is read from callers shares: no unknown fields, no text that is not text."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationInfo, field_validator, model_validator

from deliberate.server.validation import malformed, unknown_field, unsupported

MAX_DEPTH = 100
"""Of lists and objects in a body."""


class RequestModel(BaseModel):
    """Base of everything that is read from callers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_unknown_fields(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for name in cast(dict[str, Any], value):
                if name not in known:
                    raise unknown_field(name, known)
        return handler(value)


Refusals = Mapping[str, tuple[str, Sequence[Any]]]
"""Fields that may only be absent, null, empty or one of the values, because their meaning would be lost: what to do
instead, and the values."""


class RequestBody(RequestModel):
    """Base of whole bodies. Half characters, which JSON can escape, and bottomless nesting are refused here."""

    refused: ClassVar[Refusals] = {}

    @model_validator(mode="before")
    @classmethod
    def _check_all_text(cls, value: Any) -> Any:
        _check(value, "", 0)
        return value

    @field_validator("*")
    @classmethod
    def _keeps_its_meaning(cls, value: Any, info: ValidationInfo) -> Any:
        instead, allowed = cls.refused.get(str(info.field_name), ("", [value]))
        if value is None or value in ([], {}) or value in allowed:
            return value
        raise unsupported(str(info.field_name), value, instead)


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise malformed(path[:80], f"is nested more than {MAX_DEPTH} levels deep")
    match value:
        case str():
            if not _is_unicode(value):
                raise malformed(path, "holds half of a surrogate pair, which is not a character")
        case dict():
            for key, item in cast(dict[str, Any], value).items():
                _check(key, path, depth)
                _check(item, f"{path}.{key}".removeprefix("."), depth + 1)
        case list():
            for index, item in enumerate(cast(list[Any], value)):
                if not isinstance(item, int):  # prompts are long lists of them
                    _check(item, f"{path}[{index}]", depth + 1)
        case _:
            pass


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
