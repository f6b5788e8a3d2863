"""What this machine gives, as `deliberate doctor` finds and tells it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deliberate.cli import checks
from deliberate.cli.checks import Check, Checkup
from deliberate.cli.main import app
from deliberate.models import bundled_models
from deliberate.verifiers.programs.registry import LANGUAGES
from deliberate.verifiers.provers.registry import PROVERS
from deliberate.verifiers.sandbox.protocol import Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox

COMMAND = [sys.executable, "-c", "from deliberate.cli.main import app; app(prog_name='deliberate')", "doctor"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of this machine, as if it had no Coq."""
    programs = tmp_path_factory.mktemp("bin")
    for program in Path("/usr/bin").iterdir():
        if not program.name.startswith("coq"):
            (programs / program.name).symlink_to(program)
    environment = os.environ | {"PATH": str(programs)}
    done = subprocess.run([*COMMAND, "--json"], capture_output=True, check=True, timeout=110, env=environment)
    return json.loads(done.stdout)


async def test_the_tier_is_the_one_that_programs_run_in(found: dict[str, Any]) -> None:
    sandbox = Sandbox()
    try:
        told = await sandbox.describe()
    finally:
        await sandbox.close()
    assert (f"tier {found['tier']}." in told) if found["tier"] else ("cannot be judged" in told)
    tiers = [check for check in found["checks"] if check["room"] == "Sandbox"]
    assert [check["name"] for check in tiers] == [f"tier {tier}" for tier in Tier]
    assert [check["name"] for check in tiers if "in use" in check["detail"]] == (
        [f"tier {found['tier']}"] if found["tier"] else []
    )


def test_every_language_and_prover_was_tried(found: dict[str, Any]) -> None:
    names = {room: [c["name"] for c in found["checks"] if c["room"] == room] for room in ("Programs", "Proofs")}
    assert names == {"Programs": ["python", *(language.name for language in LANGUAGES)], "Proofs": list(PROVERS)}


def test_what_is_missing_comes_with_a_command(found: dict[str, Any]) -> None:
    (coq,) = [check for check in found["checks"] if check["name"] == "coq"]
    assert coq["status"] == "missing"
    assert coq["install"] == "apt-get install coq"
    assert all(check["install"] is None for check in found["checks"] if check["status"] != "missing")


def test_models_and_engines(found: dict[str, Any]) -> None:
    by_name = {check["name"]: check for check in found["checks"]}
    assert (by_name["bundled"]["status"], by_name["bundled"]["detail"]) == ("ok", ", ".join(bundled_models()))
    assert "torch 2." in by_name["transformers"]["detail"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tier | None], None]:
    """Makes this machine one with boxes of that tier."""

    def become(tier: Tier | None) -> None:
        async def check_all(*_: object) -> Checkup:
            missing = Check("Sandbox", "tier A", "missing", "bwrap is not installed (Debian package: bubblewrap)")
            vllm = Check("Engines", "vllm", "note", "pip install 'deliberate[vllm]'")
            return Checkup(tier, (missing, Check("Web pages", "three.js", "missing", checks.TO_INSTALL), vllm))

        monkeypatch.setattr(checks, "check_all", check_all)

    return become


@pytest.mark.parametrize(
    ("tier", "required", "status"),
    [
        (Tier.A, "A", 0),
        (Tier.A, "B", 0),
        (Tier.B, "A", 1),
        (Tier.B, "B", 0),
        (Tier.D, "C", 1),
        (None, "D", 1),
        (None, None, 0),
    ],
)
def test_a_required_tier_is_the_exit_status(
    machine: Callable[[Tier | None], None], tier: Tier | None, required: str | None, status: int
) -> None:
    machine(tier)
    result = CliRunner().invoke(app, ["doctor", *(["--require", required] if required else [])])
    assert result.exit_code == status
    assert ("is required" in result.stderr) == (status == 1)


def test_people_see_marks_and_commands(machine: Callable[[Tier | None], None]) -> None:
    machine(Tier.B)
    shown = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "120"}).stdout
    assert "✗ │ tier A" in shown
    assert "pip install 'deliberate[vllm]'" in shown
    assert "    apt-get install bubblewrap\n" in shown
    assert "    npm install --prefix $VIRTUAL_ENV three\n" in shown


def test_settings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELIBERATE_SANDBOX_MIN_TIER", "Z")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 2
    assert "sandbox_min_tier" in result.stderr
