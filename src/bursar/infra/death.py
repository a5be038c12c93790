"""Children that do not outlive their parent."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(with_signal: signal.Signals) -> Callable[[], None] | None:
    """Make the `preexec_fn` for a child that gets `with_signal` when its parent dies, however that happened.

    The kernel watches the thread that started the child, not the process: so this gives None outside the main thread.
    It gives None on systems other than Linux, too; there, what is left over is found and ended by the next start.
    It must run after a change of user, which would clear it: subprocess calls `preexec_fn` after `user=`.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent, number = os.getpid(), int(with_signal)

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
