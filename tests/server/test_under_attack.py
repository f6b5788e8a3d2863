"""While hostile programs are judged, the server goes on answering others, and none of them gets out."""

import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from deliberate.verifiers.sandbox.bubblewrap import Bubblewrap
from deliberate.verifiers.sandbox.protocol import SandboxUnavailable, Tier
from tests.verifiers.sandbox.attacks import ATTACKS, PRELUDE
from tests.verifiers.sandbox.harm import Host

from .support import live

pytestmark = pytest.mark.alone

SECONDS_TO_ANSWER = 2.0


@pytest.mark.parametrize("tier", [Tier.A, Tier.B])
def test_others_are_answered_while_programs_attack(
    tier: Tier, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bait = _open_to_all(tmp_path_factory.mktemp("bait"))
    if tier is Tier.B:
        monkeypatch.setattr(Bubblewrap, "launch", _missing)
    with live(sandbox_min_tier=tier) as server, Host(bait, bait) as host:
        programs = [
            f"{PRELUDE}\nhost = {host.facts()!r}\n{textwrap.dedent(source)}\nprint('passed')"
            for source in ATTACKS.values()
        ]
        attack = _Verification(server.url, programs)
        attack.start()
        waits = list[float]()
        while attack.is_alive():
            start = time.perf_counter()
            assert server.chat(model="tiny:vote-4").status_code == 200
            waits.append(time.perf_counter() - start)
            time.sleep(0.02)
        attack.join()
        assert host.harm() == []
    verdicts = attack.reply["data"]
    assert len(verdicts) == len(ATTACKS)
    assert max(waits) < SECONDS_TO_ANSWER
    assert [v["reason"] for v in verdicts if v["status"] != "ok"] == []
    ended = {
        name: verdict for name, verdict in zip(ATTACKS, verdicts, strict=True) if "never" in name or "takes" in name
    }
    assert not any(verdict["passed"] for verdict in ended.values())


def _missing(*_: object) -> None:
    raise SandboxUnavailable("bubblewrap does not work here")


class _Verification(threading.Thread):
    """Has the programs judged, all in one request."""

    def __init__(self, url: str, programs: list[str]) -> None:
        super().__init__()
        self._url, self._programs = url, programs
        self.reply: dict[str, Any] = {}

    def run(self) -> None:
        verifier = {
            "kind": "code",
            "language": "python",
            "tests": [{"stdin": "", "stdout": "passed"}],
            "timeout_s": 1,
            "memory_mb": 128,
        }
        body = {
            "messages": [{"role": "user", "content": "Print a word."}],
            "candidates": [f"```python\n{program}\n```" for program in self._programs],
            "verifier": verifier,
        }
        self.reply = httpx.post(f"{self._url}/v1/verify", json=body, timeout=300).raise_for_status().json()


def _open_to_all(folder: Path) -> Path:
    for place in (folder, folder.parent, folder.parent.parent):
        place.chmod(0o755)
    folder.chmod(0o777)
    (folder / "fork_server.py").write_text("")
    return folder
