"""Child processes that must not outlive the one that started them."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def bound_to_this_process(command: list[str]) -> list[str]:
    """Wrap a command so that the kernel ends it when this process ends, however that happens.

    Not a `preexec_fn`: that makes Python fork where it would otherwise spawn, and a fork aborts
    now and then in a process with gRPC threads ("epoll_wait error: Bad file descriptor").

    Args:
        command: program and arguments.

    Returns:
        The command to start; it replaces itself with the program, so the process id stays. Only
        Linux can end a child with its parent; elsewhere the program just runs.
    """
    return [sys.executable, "-m", "configs.processes", str(os.getpid()), *command]


def main(arguments: list[str]) -> None:
    """Become the wrapped program.

    Args:
        arguments: process id of the parent, then program and arguments.
    """
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it ended before the kernel was asked
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 (our caller's own command)
    except OSError as error:
        sys.exit(f"'{command[0]}' cannot be started: {error.strerror}. Check the command.")


if __name__ == "__main__":
    main(sys.argv[1:])
