"""Functions in forked children of a process that has imported already, and never used, all."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any

HUNG = "it hung"


def child(act: Callable[[], Any], seconds: int = 120) -> tuple[int, Any]:
    """Do something in a child; return its exit code and what came of it, None where it was killed.

    Code 1 comes with a traceback; a child that takes too long is ended by SIGALRM.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        signal.alarm(seconds)
        code = 0
        try:
            answer = act()
        except BaseException:
            code, answer = 1, traceback.format_exc()
        with os.fdopen(writing, "wb", closefd=False) as pipe:
            pickle.dump(answer, pipe)
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGALRM:
        return 1, HUNG
    return code, pickle.loads(content) if content else None
