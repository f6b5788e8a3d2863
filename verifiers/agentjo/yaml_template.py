"""parse_yaml: its template in a prompt, and a reply beside it."""

import re
from collections.abc import Mapping
from typing import Any, cast

import yaml
from pydantic import BaseModel

from deliberate.verifiers.agentjo.checked import Rejected, Unreadable
from deliberate.verifiers.agentjo.yaml_repairs import mended
from deliberate.verifiers.agentjo.yaml_types import model_of

BEGINNINGS = (
    "this yaml schema (without changing the schema):\n```yaml\n",
    "Then update the values of this yaml schema:\n```yaml\n",
)
END = "\n```\nList format:"

_FENCE = re.compile(r"```yaml\s*(.*)\s*```", re.DOTALL)


class _Loader(yaml.SafeLoader):
    """Plain data alone; `None` is one more way to write null."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|None)$"), list("~nN"))


def read_template(text: str) -> tuple[Mapping[str, Any], type[BaseModel]]:
    """The template's descriptions by key, and what it takes. Raises Unreadable."""
    try:
        fields = _load(text, yaml.BaseLoader)  # Descriptions are texts, even one such as `None`.
    except Rejected as error:
        raise Unreadable(f"the prompt's YAML template cannot be read: {error}") from error
    if not isinstance(fields, dict) or not fields:
        raise Unreadable("the prompt's YAML template is no mapping with keys")
    by_key = cast(dict[str, Any], fields)
    return by_key, model_of(by_key)


def read_reply(reply: str) -> Any:
    """What stands between the first ```` ```yaml ```` and the last fence, or all of it. Raises Rejected."""
    fenced = _FENCE.search(reply)
    text = reply if fenced is None else fenced[1]
    try:
        return _load(text, _Loader)
    except Rejected:
        return _load(mended(text), _Loader)


def _load(text: str, loader: type[yaml.BaseLoader | yaml.SafeLoader]) -> Any:
    try:
        return yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Rejected(f"the YAML does not parse: {' '.join(str(error).split())[:160]}") from error
