"""`deliberate serve`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deliberate.cli.engine_names import EngineName
from deliberate.cli.terminal import told_plainly

out = Console(highlight=False, soft_wrap=True)

_ENGINE = "How the model runs"
_UPSTREAM = "Upstreams (--engine openai)"
_VERIFIER = "The model that scores"
_LIMITS = "Limits"
_NETWORK = "Network"


def serve(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A bundled model, a folder, or a Hugging Face id; with upstreams, the model's name there.",
            show_default="tiny, or the only model of the upstreams",
        ),
    ] = None,
    *,
    strategy: Annotated[str | None, typer.Option(help="For requests that name none.", show_default="none")] = None,
    verifier: Annotated[
        str | None, typer.Option(help="Default verifier; by itself, that of the model that scores.")
    ] = None,
    served_model_name: Annotated[str | None, typer.Option(help="Name of the model in requests.")] = None,
    engine: Annotated[
        EngineName | None,
        typer.Option(help="What runs the model.", show_default="transformers; openai with --upstream"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:1 … (transformers).", show_default="auto", rich_help_panel=_ENGINE),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16, float16 or auto.", show_default="auto", rich_help_panel=_ENGINE),
    ] = None,
    max_batch: Annotated[
        int | None, typer.Option(min=1, help="Sequences that run at once.", rich_help_panel=_ENGINE)
    ] = None,
    max_model_len: Annotated[
        int | None, typer.Option(min=2, help="A context shorter than the model's.", rich_help_panel=_ENGINE)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads (transformers).", rich_help_panel=_ENGINE)
    ] = None,
    chat_template: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Jinja file instead of the model's.", rich_help_panel=_ENGINE),
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(help="Base URL of a server; once for each replica.", rich_help_panel=_UPSTREAM),
    ] = None,
    upstream_kind: Annotated[
        str | None,
        typer.Option(
            help="vllm (takes token ids), chat (vendors, Ollama, llama.cpp) or auto.",
            show_default="auto",
            rich_help_panel=_UPSTREAM,
        ),
    ] = None,
    upstream_api_key: Annotated[str | None, typer.Option(help="Sent to them.", rich_help_panel=_UPSTREAM)] = None,
    upstream_timeout: Annotated[
        float | None,
        typer.Option(help="Longest silence in seconds.", show_default="60", rich_help_panel=_UPSTREAM),
    ] = None,
    upstream_concurrency: Annotated[
        int | None,
        typer.Option(help="Samples on their way to each.", show_default="256", rich_help_panel=_UPSTREAM),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="The model's tokenizer, where theirs is not here.", rich_help_panel=_UPSTREAM),
    ] = None,
    verifier_model: Annotated[
        str | None,
        typer.Option(help="A language model or a reward model; the same kinds of name.", rich_help_panel=_VERIFIER),
    ] = None,
    verifier_engine: Annotated[
        EngineName | None, typer.Option(help="What runs it.", show_default="transformers", rich_help_panel=_VERIFIER)
    ] = None,
    verifier_device: Annotated[
        str | None, typer.Option(help="Its device (transformers).", show_default="auto", rich_help_panel=_VERIFIER)
    ] = None,
    verifier_options: Annotated[
        str, typer.Option(help="vLLM's options for it, in quotes.", rich_help_panel=_VERIFIER)
    ] = "",
    verifier_upstream: Annotated[
        list[str] | None,
        typer.Option(help="It runs on the servers at these base URLs.", rich_help_panel=_VERIFIER),
    ] = None,
    queue_limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Candidates that may run or wait at once.", show_default="1024", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_candidates: Annotated[
        int | None,
        typer.Option(min=1, help="Most candidates of one request.", show_default="256", rich_help_panel=_LIMITS),
    ] = None,
    max_tokens_total: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most tokens of one request, all its candidates together.",
            show_default="unlimited",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which a search ends with the best answer so far.",
            show_default="none",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    request_timeout: Annotated[
        float | None,
        typer.Option(help="Seconds after which a request is an error.", show_default="600", rich_help_panel=_LIMITS),
    ] = None,
    drain_timeout: Annotated[
        int | None,
        typer.Option(help="Seconds for running requests after SIGTERM.", show_default="30", rich_help_panel=_LIMITS),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1", rich_help_panel=_NETWORK)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8000", rich_help_panel=_NETWORK)
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Key that callers must send; several with commas.", rich_help_panel=_NETWORK)
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="Web origin that may call; may be repeated.", rich_help_panel=_NETWORK),
    ] = None,
    ssl_certfile: Annotated[
        Path | None, typer.Option(help="Certificate (PEM); turns TLS on.", rich_help_panel=_NETWORK)
    ] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Private key (PEM).", rich_help_panel=_NETWORK)] = None,
    root_path: Annotated[
        str | None,
        typer.Option(help="Path under which a proxy shows the server.", rich_help_panel=_NETWORK),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="critical … debug.", show_default="info")] = None,
) -> None:
    """Serve a model with an OpenAI-compatible API.

    Settings are read from the environment too, as in `DELIBERATE_QUEUE_LIMIT=256`; options win. With `--engine vllm`,
    every engine option of `vllm serve` may follow the model, LoRA modules too.

    **Examples**

        deliberate serve

        deliberate serve Qwen/Qwen3-0.6B --strategy adaptive-vote-8 --port 9000

        deliberate serve Qwen/Qwen3-32B --engine vllm --tensor-parallel-size 4 --gpu-memory-utilization 0.9

        deliberate serve --upstream http://gpu-0:8000/v1 --upstream http://gpu-1:8000/v1

        deliberate serve ./models/tiny --verifier-model ./models/tiny-verifier --api-key secret
    """
    from deliberate.cli.engine_options import check_words, engine_options, source_of
    from deliberate.server.loading import load_models
    from deliberate.server.run import serve as run

    with told_plainly():
        settings = read_settings(
            host=host,
            port=port,
            api_key=api_key,
            strategy=strategy,
            verifier=verifier,
            upstreams=tuple(upstream) if upstream else None,
            upstream_kind=upstream_kind,
            upstream_api_key=upstream_api_key,
            upstream_timeout_seconds=upstream_timeout,
            upstream_concurrency=upstream_concurrency,
            verifier_upstreams=tuple(verifier_upstream) if verifier_upstream else None,
            queue_limit=queue_limit,
            max_candidates=max_candidates,
            max_tokens_total=max_tokens_total,
            deadline_seconds=deadline,
            request_timeout_seconds=request_timeout,
            drain_timeout_seconds=drain_timeout,
            cors_origins=tuple(cors_origin) if cors_origin else None,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            root_path=root_path,
            log_level=log_level,
        )
        words = context.args if model is None or not model.startswith("-") else [model, *context.args]
        check_words(words, engine, [name for option in context.command.params for name in option.opts])
        shared = {
            "device": device,
            "dtype": dtype,
            "max_batch": max_batch,
            "max_model_len": max_model_len,
            "threads": threads,
            "chat_template": chat_template,
            "tokenizer": tokenizer,
        }
        options = engine_options(engine, settings.upstreams, model, shared, context.args, settings)
        companion = engine_options(
            verifier_engine,
            settings.verifier_upstreams,
            verifier_model,
            {"device": verifier_device},
            shlex.split(verifier_options),
            settings,
        )
        source = source_of(model, options, served_model_name, verifier_model, companion)
        with out.status(f"Loading {source.path}"):
            ready = load_models(source, options, companion)
        run(settings, ready, lambda url: announce(url, ready[0].name))


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
