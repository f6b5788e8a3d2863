"""Programs that try to do harm, each in a few lines of Python; `host` says what there is to harm.

What one prints as LOOT got out of its box. What the programs themselves say counts for nothing else: the tests look at
the host. `LATE` ones end by the time limit at most.
"""

PRELUDE = """
import json, os, signal, socket, struct, sys, threading, time
try:
    import ctypes, resource
    LIBC = ctypes.CDLL(None, use_errno=True)
except ImportError:  # In WebAssembly: what needs them fails, all else goes on.
    pass
def tries(*attempts):
    for attempt in attempts:
        try:
            print(attempt())
        except BaseException:
            pass
def read(path):
    with open(path, "rb") as file:
        return file.read(1000)
def fork_and(action):
    try:
        if os.fork() == 0:
            action()
            os._exit(0)
    except (OSError, AttributeError):
        pass
"""

ATTACKS: dict[str, str] = {
    # The network.
    "connects over TCP": """
        socket.create_connection(("127.0.0.1", host["tcp"]), timeout=1).sendall(b"out")""",
    "connects over IPv6": """
        socket.create_connection(("::1", host["tcp"]), timeout=1).sendall(b"out")""",
    "sends a datagram": """
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", host["udp"]))""",
    "sends raw packets": """
        tries(lambda: ("LOOT", socket.socket(socket.AF_PACKET, socket.SOCK_RAW)))""",
    "talks to a socket in a folder": """
        s = socket.socket(socket.AF_UNIX); s.connect(host["unix"]); s.sendall(b"out")""",
    "talks to an abstract socket": """
        s = socket.socket(socket.AF_UNIX); s.connect("\\0" + host["abstract"]); s.sendall(b"out")""",
    "listens to the kernel": """
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); s.bind((0, 1)); s.settimeout(0.2); s.recv(9)""",
    "connects by io_uring": """
        ring = LIBC.syscall(425, 8, ctypes.create_string_buffer(120))
        if ring >= 0: print("LOOT", ring)""",
    # The host's files.
    "reads a secret": """
        tries(lambda: read(host["secret"]))""",
    "reads password hashes": """
        tries(*[lambda p=p: ("LOOT", read(p)) for p in ("/etc/shadow", "/root/.bashrc", "/etc/gshadow")])""",
    "reads through another root": """
        tries(*[lambda p=p: read(f"/proc/{p}/root" + host["secret"]) for p in (1, host["server"], os.getppid())])""",
    "reads through another's folder": """
        tries(*[lambda p=p: read(f"/proc/{p}/cwd/" + "../" * 9 + host["secret"]) for p in (1, host["server"])])""",
    "reads up from its folder": """
        tries(lambda: read("../" * 20 + host["secret"].lstrip("/")))""",
    "reads by a symbolic link": """
        os.symlink(host["secret"], "link"); tries(lambda: read("link"))""",
    "reads by a hard link": """
        os.link(host["secret"], "link"); tries(lambda: read("link"))""",
    "reads by a file handle": """
        handle = ctypes.create_string_buffer(struct.pack("II", 120, 0), 128)
        LIBC.syscall(303, -100, host["secret"].encode(), handle, ctypes.byref(ctypes.c_int()), 0)
        tries(lambda: os.read(LIBC.syscall(304, 3, handle, 0), 99))""",
    "reads a device": """
        for device in ("/dev/mem", "/dev/vda", "/dev/sda", "/dev/kmsg", "/proc/kcore"):
            tries(lambda: ("LOOT", read(device)))""",
    "makes a device": """
        os.mknod("disk", 0o60666, os.makedev(254, 0)); tries(lambda: ("LOOT", read("disk")))""",
    "writes to a folder of everybody's": """
        open(host["folder"] + "/written", "w").write("harm")""",
    "removes a file": """
        os.unlink(host["victim"])""",
    "changes a file's rights": """
        os.chmod(host["victim"], 0o4777); os.truncate(host["victim"], 0)""",
    "writes to shared memory": """
        open("/dev/shm/" + host["mark"], "w").write("harm")""",
    "writes to the temporary folder": """
        open("/tmp/" + host["mark"], "w").write("harm")""",
    "overwrites the programs of boxes": """
        for folder in ("/programs", host["programs"]):
            try: open(folder + "/fork_server.py", "w").write("harm")
            except OSError: pass""",
    "changes the kernel's settings": """
        open("/proc/sys/kernel/core_pattern", "w").write("|/bin/false " + host["mark"])""",
    # Names and environment.
    "reads the server's environment": """
        tries(*[lambda p=p: read(f"/proc/{p}/environ") for p in (host["server"], os.getppid(), host["sentinel"])])""",
    "reads the server's command line": """
        tries(*[lambda p=p: read(f"/proc/{p}/cmdline") for p in (host["server"], host["sentinel"])])""",
    "reads its own environment": """
        if host["variable"] in str(os.environ): print("LOOT", os.environ)""",
    # Other processes.
    "signals everybody": """
        os.kill(-1, signal.SIGKILL)""",
    "kills the server": """
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
            for victim in (host["sentinel"], host["server"], -host["server"]):
                try: os.kill(victim, number)
                except OSError: pass""",
    "kills by another call": """
        fd = LIBC.syscall(434, host["sentinel"], 0)
        LIBC.syscall(424, fd, 9, 0, 0); LIBC.syscall(234, host["sentinel"], host["sentinel"], 9)
        LIBC.syscall(129, host["sentinel"], 9, ctypes.create_string_buffer(128))""",
    "kills by a signal's owner": """
        import fcntl
        here, there = os.pipe()
        fcntl.fcntl(here, fcntl.F_SETOWN, host["sentinel"]); fcntl.fcntl(here, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(here, fcntl.F_SETFL, os.O_ASYNC); os.write(there, b"now")""",
    "traces the server": """
        if LIBC.ptrace(16, host["sentinel"], 0, 0) == 0: print("LOOT")""",
    "reads the server's memory": """
        buffer = ctypes.create_string_buffer(8)
        vector = struct.pack("PN", ctypes.addressof(buffer), 8)
        remote = struct.pack("PN", id(None), 8)
        if LIBC.syscall(310, host["server"], vector, 1, remote, 1, 0) > 0: print("LOOT")
        tries(lambda: read(f"/proc/{host['server']}/mem"))""",
    "starves others": """
        os.setpriority(os.PRIO_USER, 0, -20); os.nice(-20); os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        print("LOOT")""",
    "limits others": """
        resource.prlimit(host["sentinel"], resource.RLIMIT_CPU, (0, 0))""",
    # Becoming more than it is.
    "becomes root": """
        os.setuid(0); print("LOOT", read("/etc/shadow"))""",
    "runs a program of root's": """
        import subprocess
        for program in ("/usr/bin/su", "/usr/bin/sudo", "/usr/bin/pkexec"):
            tries(lambda: ("LOOT", subprocess.check_output([program, "-c", "id"], timeout=0.2).index(b"uid=0")))""",
    "makes namespaces": """
        if LIBC.unshare(0x10000000) == 0 or LIBC.unshare(0x20000) == 0: print("LOOT")""",
    "makes namespaces by clone": """
        if LIBC.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) == 0: os._exit(0)
        class Arguments(ctypes.Structure): _fields_ = [(n, ctypes.c_uint64) for n in "abcdefghijk"]
        child = LIBC.syscall(435, ctypes.byref(Arguments(a=0x10000000, e=17)), 88)
        if child == 0: os._exit(0)
        if child > 0: print("LOOT")""",
    "mounts": """
        if LIBC.mount(b"proc", b".", b"proc", 0, None) == 0: print("LOOT")""",
    "changes its root": """
        os.mkdir("r"); os.chroot("r"); [os.chdir("..") for _ in range(99)]; os.chroot(".")
        print("LOOT", read("/etc/shadow"))""",
    "loads code into the kernel": """
        for call in (175, 313, 321, 298, 323, 246, 169, 250):
            if LIBC.syscall(call, 0, 0, 0, 0, 0) > 0: print("LOOT", call)""",
    # Processes without end.
    "bombs with forks": """
        while True: fork_and(lambda: [fork_and(lambda: time.sleep(99)) for _ in range(99)])""",
    "bombs with threads": """
        while True:
            try: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
            except RuntimeError: pass""",
    "leaves a daemon": """
        fork_and(lambda: (os.setsid(), fork_and(lambda: (time.sleep(1.5), open(host["folder"] + "/late", "w")))))""",
    "leaves a daemon that holds its output": """
        fork_and(lambda: (os.setsid(), [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)], time.sleep(99)))
        os._exit(0)""",
    "never ends": "while True: pass",
    "sleeps for ever": """
        [signal.signal(s, signal.SIG_IGN) for s in range(1, 32) if s not in (9, 19)]
        while True: time.sleep(99)""",
    # Memory.
    "takes memory": """
        taken = []
        while True: taken.append(bytearray(b"x") * (8 << 20))""",
    "takes memory in many processes": """
        def take():
            taken = bytearray(b"x") * (48 << 20)
            time.sleep(99)
        for _ in range(30): fork_and(take)
        time.sleep(99)""",
    "takes memory in files without names": """
        files = [LIBC.memfd_create(b"hog", 0) for _ in range(60)]
        for file in files:
            for _ in range(60): os.write(file, bytes(1 << 20))
        time.sleep(99)""",
    "takes memory that outlives it": """
        segment = LIBC.shmget(0x7E57, 32 << 20, 0o1600)
        LIBC.shmat.restype = ctypes.c_void_p
        ctypes.memset(LIBC.shmat(segment, 0, 0), 1, 32 << 20)""",
    # Disks.
    "fills the disk with a file": """
        with open("big", "wb") as file:
            while True: file.write(bytes(1 << 20))""",
    "fills the disk with many files": """
        for number in range(10**9): open(f"f{number}", "wb").write(bytes(4096))""",
    "nests folders": """
        while True: os.mkdir("d"); os.chdir("d")""",
    # Output.
    "writes without end": """
        while True: os.write(1, b"x" * 65536)""",
    "complains without end": """
        while True: os.write(2, b"x" * 65536)""",
    "closes its output and stays": """
        [os.close(n) for n in (0, 1, 2)]; time.sleep(99)""",
    "fills every open file": """
        while True:
            for number in range(64):
                try: os.set_blocking(number, False); os.write(number, b"x" * 65536)
                except OSError: pass""",
    # Where it runs.
    "stops its parent": """
        for number in (signal.SIGSTOP, signal.SIGKILL): os.kill(os.getppid(), number)""",
    "writes its parent's memory": """
        open(f"/proc/{os.getppid()}/mem", "r+b").write(b"harm")""",
    "leaves files for the next": """
        open("left", "w").write("LOOT"); os.mkdir("locked"); open("locked/in", "w"); os.chmod("locked", 0)""",
    "crashes": "ctypes.string_at(0)",
    "talks on every open file": """
        for number in range(3, 64):
            try: os.write(number, b'{"ended": 0, "code": 0, "dirty": false}\\n')
            except OSError: pass""",
}
