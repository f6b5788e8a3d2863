"""GET /v1/models, /v1/models/{model}."""

from typing import Annotated

from fastapi import APIRouter, Depends

from deliberate.engines.errors import InvalidRequest
from deliberate.search.registry import parse_strategy
from deliberate.server.replies import ModelCard, ModelList
from deliberate.server.serving import ServedModel
from deliberate.server.state import Server, server_of

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(server: Annotated[Server, Depends(server_of)]) -> ModelList:
    """The served models."""
    return ModelList(data=[_card(model) for model in server.pool.models.values()])


@router.get("/v1/models/{model:path}")
async def retrieve_model(model: str, server: Annotated[Server, Depends(server_of)]) -> ModelCard:
    """One served model, or one with a strategy such as `tiny:best-of-16`."""
    served, suffix = server.pool.find(model)
    if suffix is None:
        return _card(served)
    try:
        strategy = parse_strategy(suffix, "model")
    except InvalidRequest as error:
        raise InvalidRequest(str(error), param="model", code="model_not_found") from error
    return _card(served).model_copy(update={"id": model, "parent": served.name, "strategy": strategy.describe()})


def _card(model: ServedModel) -> ModelCard:
    length = model.engine.capabilities.context_length
    return ModelCard(id=model.name, created=model.created, root=model.root or model.name, max_model_len=length)
