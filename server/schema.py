"""The OpenAPI description: what FastAPI derives, without the 422 that this server never sends."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from deliberate.server.replies import ChatCompletionChunk

_REFERENCES = "#/components/schemas/{model}"
_UNUSED = ("HTTPValidationError", "ValidationError")


def install_schema(app: FastAPI) -> None:
    """Make `app.openapi()` and /openapi.json tell the truth."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = openapi


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
    schema["components"]["schemas"] = dict(sorted(schemas.items()))
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"key": []}, {}]
    return schema
