"""Which boxes are taken, and what is said where there are none."""

import platform

import pytest

from deliberate.verifiers.sandbox import sandbox as module
from deliberate.verifiers.sandbox.inside import seccomp
from deliberate.verifiers.sandbox.protocol import Job, SandboxUnavailable, Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox, SandboxConfig


async def test_the_strongest_tier_is_taken() -> None:
    sandbox = Sandbox()
    assert (await sandbox.boxes()).tier is Tier.A
    assert await sandbox.describe() == "Programs run in boxes of tier A."
    await sandbox.close()


async def test_the_self_test_tells_the_tiers_apart() -> None:
    sandbox = Sandbox()
    found = {finding.tier: finding for finding in await sandbox.examine_all()}
    assert found[Tier.A].passed and found[Tier.B].passed
    assert {"the network", "reading the host's files", "writing the host's files"} <= set(found[Tier.D].escapes)
    await sandbox.close()


async def test_without_bubblewrap_the_next_tier_is_taken_and_the_reason_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _hide(monkeypatch, "bwrap")
    sandbox = Sandbox()
    assert (await sandbox.boxes()).tier is Tier.B
    assert "Tier A: bwrap is not installed (Debian package: bubblewrap)" in await sandbox.describe()
    await sandbox.close()


async def test_below_the_least_tier_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    _hide(monkeypatch, "bwrap")
    sandbox = Sandbox(SandboxConfig(min_tier=Tier.A))
    with pytest.raises(SandboxUnavailable, match=r"no sandbox of tier A or better here .*bwrap is not installed"):
        await sandbox.run(Job(("/bin/true",)))
    await sandbox.close()


async def test_on_a_machine_of_another_kind_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seccomp.program.cache_clear()
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    sandbox = Sandbox(SandboxConfig(min_tier=Tier.A))
    with pytest.raises(SandboxUnavailable, match="no filter of system calls for 'riscv64'; known: x86_64, aarch64"):
        await sandbox.run(Job(("/bin/true",)))
    await sandbox.close()


async def test_no_isolation_takes_more_than_the_lowest_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    def builder(self: Sandbox, tier: Tier) -> object:
        if tier is not Tier.D:
            raise SandboxUnavailable("not on this host")
        return original(self, tier)

    original = Sandbox._builder  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(Sandbox, "_builder", builder)
    careful, careless = Sandbox(SandboxConfig(Tier.D)), Sandbox(SandboxConfig(Tier.D, unsafe=True))
    with pytest.raises(SandboxUnavailable, match="not on this host"):
        await careful.run(Job(("/bin/true",)))
    assert (await careless.run(Job(("/bin/true",)))).succeeded
    await careful.close()
    await careless.close()


async def test_an_interpreter_that_nobody_reads_is_refused() -> None:
    sandbox = Sandbox(SandboxConfig(python="/root/python3"))
    with pytest.raises(SandboxUnavailable, match="no Python interpreter that the boxes' users can read"):
        await sandbox.boxes()
    await sandbox.close()


def _hide(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    which = module.shutil.which
    monkeypatch.setattr(
        module.shutil, "which", lambda tool, **options: None if tool == name else which(tool, **options)
    )
