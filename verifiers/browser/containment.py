"""The command that runs Chromium in a box: no network, no files, no processes but its own.

Chromium's own sandbox stays on inside, so a page has to escape twice. bubblewrap runs without root, because as root it
would map the box's user to the host's root: a root server gives the box a user of its own first.
"""

import os
import shutil
from pathlib import Path

from deliberate.verifiers.browser.errors import BrowserMissing
from deliberate.verifiers.sandbox.bubblewrap import as_user

FIRST_USER = 64_100
"""Users from here on, one for each browser, own nothing on the host."""

_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--user-data-dir=/tmp/profile",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider",
    "--disable-hang-monitor",
    "--deny-permission-prompts",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--metrics-recording-only",
    "--mute-audio",
    "--password-store=basic",
    # Once more, should the box leave a network: everything resolves to nothing and goes through a proxy that is none.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=socks5://0.0.0.0:9",
    "--proxy-bypass-list=<-loopback>",
)
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_TO_INSTALL = "install Chromium, such as Debian's package `chromium`"
_SHARED = ("/usr", "/etc/fonts", "/etc/chromium.d", "/etc/alternatives", "/etc/ld.so.cache", "/opt/google/chrome")
_LINKED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")


def browser_command(number: int, *, contained: bool) -> list[str]:
    """The command of browser `number`; without containment it is a program like any other of this user.

    Raises BrowserMissing, which says what to install.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        raise BrowserMissing(f"no browser: {_TO_INSTALL}")
    if not contained:
        return [program, *_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), "about:blank"]
    user = as_user(_tool("setpriv", "util-linux"), FIRST_USER + number) if os.geteuid() == 0 else ()
    return [*user, *_box(), program, *_FLAGS, "about:blank"]


def _box() -> list[str]:
    shared = [part for path in _SHARED for part in ("--ro-bind-try", path, path)]
    return [
        _tool("bwrap", "bubblewrap"),
        *("--unshare-user", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session"),
        *(
            "--clearenv",
            "--setenv",
            "HOME",
            "/home",
            "--setenv",
            "PATH",
            "/usr/bin:/bin",
            "--setenv",
            "LANG",
            "C.UTF-8",
        ),
        *shared,
        *(part for path in _LINKED if os.path.lexists(path) for part in _link(Path(path))),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(512 << 20), "--tmpfs", "/tmp", "--size", str(64 << 20), "--tmpfs", "/home"),
        *("--chdir", "/home", "--"),
    ]


def _link(path: Path) -> tuple[str, ...]:
    """A folder of the system's root as it is: a link into /usr, or on older systems a folder."""
    if path.is_symlink():
        return "--symlink", str(path.readlink()), str(path)
    return "--ro-bind", str(path), str(path)


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BrowserMissing(f"no {name}, without which no browser runs here: install `{package}`")
    return found
