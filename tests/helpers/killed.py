"""`python -m tests.helpers.killed FOLDER KIND NUMBER MODULE ARGUMENTS…`: run a module that dies while it writes.

KIND is "call" for SIGKILL before the NUMBER-th call that changes a file or folder below FOLDER, or "byte" for the death
in the middle of a write: of SIGXFSZ, as soon as a file would get more than NUMBER bytes. A module that makes fewer
calls, or writes less, ends as usual.
"""

import os
import resource
import runpy
import signal
import sys

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")


def die_at_call(folder: str, number: int) -> None:
    """Kill this process before a call that changes something below a folder.

    Args:
        folder: The folder.
        number: Which of the calls, from 1 on.
    """
    calls = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal calls
        if event not in _CHANGES and not (event == "open" and arguments[2] & _WRITING):
            return
        path = str(arguments[0])
        # The removal of a folder names its files without their folder.
        if path.startswith(folder) or (event in ("os.remove", "os.rmdir") and not path.startswith("/")):
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def die_at_byte(number: int) -> None:
    """End this process as soon as a file gets larger.

    Args:
        number: Bytes that each file may have.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
    # Python ignores it, so that a write raises OSError.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def main(folder: str, kind: str, number: str, module: str, *arguments: str) -> None:
    """Run the module."""
    if kind == "call":
        die_at_call(folder, int(number))
    else:
        die_at_byte(int(number))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
