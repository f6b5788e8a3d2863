"""The filter of system calls: a deny-list, as a program for the kernel's classic BPF machine (seccomp(2)).

Everything that reaches out of a box, or that few programs need and many exploits do, fails with EPERM; so does setsid,
because the kernel shares out the processors by sessions and a box is to stay one. Runs inside boxes too, so it imports
nothing but the standard library.
"""

import ctypes
import errno
import platform
import struct
from functools import cache

_LIBC = ctypes.CDLL(None, use_errno=True)

# Offsets in struct seccomp_data; arguments are 64 bits wide and both machines are little-endian.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_X32_BIT = 0x40000000

CLONE_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWTIME, NS, CGROUP, UTS, IPC, USER, PID and NET."""

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Number on x86_64, number on aarch64; None where the machine has no such call.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "clone": (56, 220),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "socket": (41, 198),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "personality": (135, 92),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
}

_OF_NEIGHBOURS = frozenset(
    [
        *("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal", "pidfd_open"),
        *("process_madvise", "process_mrelease", "migrate_pages", "move_pages", "execve", "execveat", "setpgid"),
        *("memfd_create", "memfd_secret", "shmat"),
    ]
)
"""Denied to programs that share their namespaces with others, who must not feel them."""
_OF_NAMESPACES = frozenset(["socket", "shmget", "semget", "msgget", "mq_open", "setpriority", "ioprio_set"])
"""Denied where network, shared memory and processes are not the program's own."""
_OF_ONESELF = frozenset(["prlimit64", "sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr"])
"""Allowed there on oneself alone, which is process 0 to them."""

_SIGNAL_OWNERS = {"fcntl": (8, 10, 15), "ioctl": (0x8901, 0x8902)}
"""F_SETOWN, F_SETSIG, F_SETOWN_EX, FIOSETOWN, SIOCSPGRP: through them the kernel signals others in one's place."""
_TERMINAL_INPUT = 0x5412
"""TIOCSTI types into the terminal of who started the program."""


@cache
def program(*, namespaces: bool = False, neighbours: bool = False) -> bytes:
    """The filter, as an array of struct sock_filter.

    `namespaces`: network, shared memory and processes are the program's own, so there it may do as it likes.
    `neighbours`: they are its own and another's, whom it must not signal; it runs no other programs either.
    Raises OSError on machines that are neither x86_64 nor aarch64.
    """
    machine = platform.machine()
    column = list(_MACHINES).index(machine) if machine in _MACHINES else None
    if column is None:
        raise OSError(f"no filter of system calls for {machine!r}; known: {', '.join(_MACHINES)}")
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_EQUAL, _MACHINES[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_ABOVE, _X32_BIT, 0, 1),
        _fail(errno.ENOSYS),
    ]
    for name, numbers in _CALLS.items():
        number = numbers[column]
        if number is not None:
            rule = _rule(name, namespaces, neighbours)
            code += [_instruction(_JUMP_EQUAL, number, 0, len(rule)), *rule] if rule else []
    return b"".join([*code, _instruction(_RETURN, _ALLOW)])


def install(filter_program: bytes) -> None:
    """Put the calling thread, and all it starts, under the filter for good. Raises OSError."""
    buffer = ctypes.create_string_buffer(filter_program, len(filter_program))
    header = struct.pack("HxxxxxxP", len(filter_program) // 8, ctypes.addressof(buffer))
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    for arguments in ((no_new_privileges, 1, 0, 0, 0), (set_seccomp, filter_mode, header, 0, 0)):
        if _LIBC.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl: the kernel has no filter of system calls")


def _rule(name: str, namespaces: bool, neighbours: bool) -> list[bytes]:
    """What a call meets once its number matched; empty for no objection. Ends with the call's number loaded again."""
    if name == "clone3":  # Its flags lie in memory, where no filter sees them; libraries then fall back on clone.
        return [_fail(errno.ENOSYS)]
    if name == "clone":
        return _when_set(CLONE_NEW_NAMESPACES)
    if name in _SIGNAL_OWNERS:
        terminal = (_TERMINAL_INPUT,) if name == "ioctl" else ()
        refused = (*_SIGNAL_OWNERS[name], *terminal) if neighbours else terminal
        return _when_argument(1, refused) if refused else []
    if name in _OF_ONESELF:
        return [] if namespaces else _unless_argument(0, (0,))
    if name in _OF_NAMESPACES:
        return [] if namespaces else [_fail(errno.EPERM)]
    return [_fail(errno.EPERM)] if neighbours or name not in _OF_NEIGHBOURS else []


def _when_set(bits: int) -> list[bytes]:
    return [
        _instruction(_LOAD, _ARGUMENTS),
        _instruction(_JUMP_SET, bits, 0, 1),
        _fail(errno.EPERM),
        _instruction(_LOAD, _NUMBER),
    ]


def _when_argument(position: int, values: tuple[int, ...]) -> list[bytes]:
    """Fail where the argument is one of the values."""
    tests = [_instruction(_JUMP_EQUAL, value, len(values) - index - 1, 0) for index, value in enumerate(values[:-1])]
    return [
        _instruction(_LOAD, _ARGUMENTS + 8 * position),
        *tests,
        _instruction(_JUMP_EQUAL, values[-1], 0, 1),
        _fail(errno.EPERM),
        _instruction(_LOAD, _NUMBER),
    ]


def _unless_argument(position: int, values: tuple[int, ...]) -> list[bytes]:
    """Fail where the argument is none of the values."""
    tests = [_instruction(_JUMP_EQUAL, value, len(values) - index, 0) for index, value in enumerate(values)]
    return [
        _instruction(_LOAD, _ARGUMENTS + 8 * position),
        *tests,
        _fail(errno.EPERM),
        _instruction(_LOAD, _NUMBER),
    ]


def _fail(number: int) -> bytes:
    return _instruction(_RETURN, _FAIL | number)


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, when_true, when_false, value)
