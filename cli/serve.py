"""`deliberate serve`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deliberate.cli.terminal import told_plainly

out = Console(highlight=False, soft_wrap=True)


def serve(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder, or a Hugging Face id.")] = "tiny",
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8000")] = None,
    api_key: Annotated[str | None, typer.Option(help="Key that callers must send; several with commas.")] = None,
    served_model_name: Annotated[str | None, typer.Option(help="Name of the model in requests.")] = None,
    verifier_model: Annotated[Path | None, typer.Option(help="Model that scores the candidates.")] = None,
    strategy: Annotated[str | None, typer.Option(help="For requests that name none.", show_default="none")] = None,
    verifier: Annotated[
        str | None, typer.Option(help="Default verifier; `likelihood` where there is a model that scores.")
    ] = None,
    max_batch: Annotated[int | None, typer.Option(min=1, help="Sequences that run at once.")] = None,
    max_model_len: Annotated[int | None, typer.Option(min=2, help="A context shorter than the model's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "auto",
    chat_template: Annotated[Path | None, typer.Option(help="Jinja file instead of the model's template.")] = None,
    queue_limit: Annotated[
        int | None, typer.Option(min=1, help="Candidates that may run or wait at once.", show_default="1024")
    ] = None,
    max_candidates: Annotated[
        int | None, typer.Option(min=1, help="Most candidates of one request.", show_default="256")
    ] = None,
    request_timeout: Annotated[
        float | None, typer.Option(help="Seconds that a request may take.", show_default="600")
    ] = None,
    drain_timeout: Annotated[
        int | None, typer.Option(help="Seconds for running requests after SIGTERM.", show_default="30")
    ] = None,
    cors_origin: Annotated[list[str] | None, typer.Option(help="Web origin that may call; may be repeated.")] = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="Certificate (PEM); turns TLS on.")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Private key (PEM).")] = None,
    root_path: Annotated[str | None, typer.Option(help="Path under which a proxy shows the server.")] = None,
    log_level: Annotated[str | None, typer.Option(help="critical … debug.", show_default="info")] = None,
) -> None:
    """Serve a model with an OpenAI-compatible API.

    Settings are read from the environment too, as in `DELIBERATE_QUEUE_LIMIT=256`; options win.

    **Examples**

        deliberate serve

        deliberate serve Qwen/Qwen3-0.6B --strategy adaptive-vote-8 --port 9000

        deliberate serve ./models/tiny --verifier-model ./models/tiny-verifier --api-key secret
    """
    from deliberate.server.loading import EngineOptions, find_model, load_model
    from deliberate.server.run import serve as run

    with told_plainly():
        settings = read_settings(
            host=host,
            port=port,
            api_key=api_key,
            strategy=strategy,
            verifier=verifier,
            queue_limit=queue_limit,
            max_candidates=max_candidates,
            request_timeout_seconds=request_timeout,
            drain_timeout_seconds=drain_timeout,
            cors_origins=tuple(cors_origin) if cors_origin else None,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            root_path=root_path,
            log_level=log_level,
        )
        companion = None if verifier_model is None else str(verifier_model)
        source = find_model(model, name=served_model_name, companion=companion)
        with out.status(f"Loading {source.path}"):
            ready = load_model(source, EngineOptions(device, dtype, max_batch, max_model_len, threads, chat_template))
        run(settings, [ready], lambda url: announce(url, ready.name))


def read_settings(**given: Any) -> Any:
    """Settings from the options that were given and the environment. Raises InvalidRequest."""
    from pydantic import ValidationError

    from deliberate.engines.errors import InvalidRequest
    from deliberate.search.registry import explain
    from deliberate.server.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise InvalidRequest(f"Settings: {explain(error)}") from error


def announce(url: str, model: str) -> None:
    """One line with the address, and something to try."""
    out.print(f"[bold green]Ready:[/] {model} at [bold]{url}[/]")
    out.print(
        f"Try:   curl {url}/chat/completions -H 'Content-Type: application/json' -d "
        f"""'{{"model": "{model}:best-of-16", "messages": """
        """[{"role": "user", "content": "Mia has 12 apples. She buys 30 more. How many are there now?"}]}'""",
        markup=False,
    )
