"""What a tree of processes, or a folder, takes up."""

import os
from collections.abc import Iterator

_BLOCK = 512
_CHUNK = 1 << 16
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(process: int) -> int:
    """Resident memory of the process and all its descendants; pages they share count for each."""
    return sum(map(_resident, _tree(process)))


def exceeds(folder: str, size: int, entries: int, depth: int) -> bool:
    """Whether the files beneath a folder take more bytes, are more, or lie deeper than that; looks no further than it
    must."""
    folders = [(folder, 1)]
    while folders:
        path, level = folders.pop()
        try:
            with os.scandir(path) as found:
                for entry in found:
                    entries -= 1
                    size -= entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                    if size < 0 or entries < 0 or level > depth:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, level + 1))
        except OSError:  # Gone again.
            continue
    return False


def _tree(process: int) -> Iterator[int]:
    pending = [process]
    while pending:
        current = pending.pop()
        yield current
        try:
            threads = os.listdir(f"/proc/{current}/task")
        except OSError:  # It ended.
            continue
        for thread in threads:
            pending += map(int, _content(f"/proc/{current}/task/{thread}/children").split())


def _resident(process: int) -> int:
    sizes = _content(f"/proc/{process}/statm").split()
    return int(sizes[1]) * _PAGE if sizes else 0


def _content(path: str) -> bytes:
    """Of a file on a process; nothing where that has ended. By the plainest calls: boxes are looked at all the time."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return b"".join(iter(lambda: os.read(file, _CHUNK), b""))
    except OSError:
        return b""
    finally:
        os.close(file)
