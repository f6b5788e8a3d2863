"""Where this machine has its provers."""

import shutil

from deliberate.verifiers.provers.protocol import Undecidable


def installed(name: str, source: str) -> str:
    """The program's path. Raises Undecidable, saying where it is to be had."""
    path = shutil.which(name)
    if path is None:
        raise Undecidable(f"{name} is not installed ({source})")
    return path


def outside_usr(folder: str) -> tuple[str, ...]:
    """What a box must be shown of the host so that the folder can be read: nothing beneath `/usr`."""
    return () if f"{folder}/".startswith("/usr/") else (folder,)
