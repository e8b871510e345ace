"""Python as it is on another system: `python other_systems.py WITHOUT,… ARGUMENTS` runs `tunegate ARGUMENTS` there."""

from __future__ import annotations

import os
import signal
import sys

POSIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix_ipc", "crypt", "syslog")
"""Modules of Python that Windows does not have (and two packages')."""


POSIX_ONLY_NAMES = {
    os: ("O_NOFOLLOW", "O_DIRECTORY", "getuid", "geteuid", "getpgid", "killpg", "setsid", "uname"),
    signal: ("SIGALRM", "SIGKILL", "SIGHUP", "alarm", "setitimer"),
}
"""The same of modules that both systems have."""


def run_without(modules: str, arguments: list[str]) -> None:
    """End this process as `tunegate` ends where these modules cannot be imported."""
    for name in modules.split(","):
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]
    for module, names in POSIX_ONLY_NAMES.items():
        for name in names:
            delattr(module, name)
    sys.argv[1:] = arguments
    from tunegate.cli import console_main

    console_main()


if __name__ == "__main__":
    run_without(sys.argv[1], sys.argv[2:])
