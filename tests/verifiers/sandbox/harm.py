"""A host with things to harm, and what became of them."""

import os
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

LOOT = b"LOOT"


@dataclass
class Host:
    """Bait for hostile programs, all of it where any user of the machine may go."""

    folder: Path
    programs: Path

    def __enter__(self) -> Self:
        self.mark = f"canary-{uuid.uuid4().hex}"
        self.loot = f"LOOT {uuid.uuid4().hex}"
        """What only the host knows."""
        self.secret = self._file("secret", self.loot)
        self.victim = self._file("victim", "as it was")
        self.victim.chmod(0o666)
        self.tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = self._listener(str(self.folder / "socket"))
        (self.folder / "socket").chmod(0o777)
        self.abstract = self._listener(f"\0{self.mark}")
        self.listeners = (self.tcp, self.udp, self.unix, self.abstract)
        for listener in self.listeners:
            listener.setblocking(False)
        os.environ["DELIBERATE_TEST_SECRET"] = self.loot
        sleeper = "import time; time.sleep(600)"
        self.sentinel = subprocess.Popen([sys.executable, "-c", sleeper, self.loot])
        self.core_pattern = _read("/proc/sys/kernel/core_pattern")
        self.shared = _read("/proc/sysvipc/shm")
        self.places = {place: set(os.listdir(place)) for place in ("/dev/shm", "/tmp")}
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self.listeners:
            listener.close()
        self.sentinel.kill()
        self.sentinel.wait()
        del os.environ["DELIBERATE_TEST_SECRET"]

    def facts(self) -> dict[str, Any]:
        """What a hostile program would find out anyhow."""
        return {
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "unix": str(self.folder / "socket"),
            "abstract": self.mark,
            "secret": str(self.secret),
            "victim": str(self.victim),
            "folder": str(self.folder),
            "programs": str(self.programs),
            "mark": self.mark,
            "variable": "DELIBERATE_TEST_SECRET",
            "server": os.getpid(),
            "sentinel": self.sentinel.pid,
        }

    def harm(self) -> list[str]:
        """All that was done to the host."""
        found = [f"{listener} was reached" for listener in self.listeners if _reached(listener)]
        found += [f"{file} appeared" for file in self.folder.iterdir() if file.name in ("written", "late")]
        if not self.victim.exists() or self.victim.read_text() != "as it was" or self.victim.stat().st_mode & 0o4000:
            found.append("a file was changed")
        if self.sentinel.poll() is not None:
            found.append(f"a process of the host's ended with {self.sentinel.returncode}")
        if "harm" in (self.programs / "fork_server.py").read_text():
            found.append("a program for boxes was changed")
        if _read("/proc/sys/kernel/core_pattern") != self.core_pattern:
            found.append("a setting of the kernel's was changed")
        if _read("/proc/sysvipc/shm") != self.shared:
            found.append("shared memory is left")
        for place, before in self.places.items():
            found += [f"{place}/{name} appeared" for name in set(os.listdir(place)) - before if self.mark in name]
        return found

    def _file(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o644)
        return path

    def _listener(self, address: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        return listener


def _reached(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_DGRAM:
            listener.recv(1)
        else:
            listener.accept()
    except BlockingIOError:
        return False
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
