"""The OpenAPI description: what FastAPI derives, without the 422 that this server never sends."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from deliberate.search import trace
from deliberate.server.replies import ChatCompletionChunk, DeliberationTrace

_REFERENCES = "#/components/schemas/{model}"
_EVENT = "Event"
"""Before the names of events and of what they hold, some of which replies have too."""
_UNUSED = ("HTTPValidationError", "ValidationError")


def install_schema(app: FastAPI) -> None:
    """Make `app.openapi()` and /openapi.json tell the truth."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = openapi


def _any_event() -> dict[str, Any]:
    refs = {kind: _REFERENCES.format(model=_EVENT + event.__name__) for kind, event in trace.KINDS.items()}
    return {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "kind", "mapping": refs},
    }


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of all routes."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    schemas = schema["components"]["schemas"]
    for name in _UNUSED:
        schemas.pop(name, None)
    chunk = ChatCompletionChunk.model_json_schema(ref_template=_REFERENCES)
    schemas |= chunk.pop("$defs") | {ChatCompletionChunk.__name__: chunk}
    schemas |= trace.schemas(_EVENT, _REFERENCES)
    schemas[DeliberationTrace.__name__]["properties"]["events"]["items"] = _any_event()
    schema["components"]["schemas"] = dict(sorted(schemas.items()))
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"key": []}, {}]
    return schema
