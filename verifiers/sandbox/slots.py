"""Places for boxes: each with a user and a folder of its own, so that what runs in one cannot see another."""

import os
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

_INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place where one box at a time stands."""

    uid: int | None
    """User and group of its programs; None where the server may not change users."""
    folder: Path
    """Empty while no box stands here; belongs to the user."""
    _claim: socket.socket | None = field(default=None, repr=False)


class Ground:
    """The folder where boxes stand, and the users who live there."""

    def __init__(self, first_uid: int) -> None:
        self._next_uid = first_uid if os.geteuid() == 0 else None
        self._root = Path(tempfile.mkdtemp(prefix="deliberate-sandbox-"))
        self._root.chmod(0o711)
        self.slots: list[Slot] = []
        """All places there are."""
        self.inside = self._root / "inside"
        """The programs for inside of boxes, where every user can read them."""
        self.inside.mkdir()
        self.add_programs(_INSIDE)
        self.inside.chmod(0o755)

    def add_programs(self, folder: Path) -> None:
        """Copies of the Python programs there, which may import each other, readable by every user."""
        for program in folder.glob("*.py"):
            copy = self.inside / program.name
            copy.write_bytes(program.read_bytes())
            copy.chmod(0o644)

    def slot(self) -> Slot:
        """A new place, whose user no other server on this host uses."""
        claim = self._claim_uid()
        folder = self._root / f"slot-{len(self.slots)}"
        folder.mkdir(mode=0o700)
        uid = None if claim is None else claim[0]
        if uid is not None:
            os.chown(folder, uid, uid)
        slot = Slot(uid, folder, None if claim is None else claim[1])
        self.slots.append(slot)
        return slot

    def close(self) -> None:
        """Give everything back. No box may stand here any more."""
        for slot in self.slots:
            if slot._claim is not None:  # pyright: ignore[reportPrivateUsage]
                slot._claim.close()  # pyright: ignore[reportPrivateUsage]
        shutil.rmtree(self._root, ignore_errors=True)

    def _claim_uid(self) -> tuple[int, socket.socket] | None:
        """A user id; the name of an abstract socket says to other servers that it is taken, until this one ends."""
        while self._next_uid is not None:
            uid = self._next_uid
            self._next_uid += 1
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0deliberate-sandbox-uid-{uid}")
            except OSError:
                claim.close()
                continue
            return uid, claim
        return None
