"""What a thread dies of stands in the log as one line, without the message that might quote a value."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import threading
from dicomnode.config.operations import Operations
from dicomnode.logs import configure_logging

class Untidy:
    def __del__(self):
        raise ValueError("Muster^Erika")

def dies():
    raise KeyError("Muster^Erika")

configure_logging(Operations())
thread = threading.Thread(target=dies, name="AcceptorThread")
thread.start()
thread.join()
untidy = Untidy()
del untidy
"""


def test_nothing_raw_reaches_standard_error() -> None:

    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    died, untidy = (json.loads(line) for line in done.stderr.splitlines())
    assert (died["message"], died["thread_name"], died["error"]) == ("a thread died", "AcceptorThread", "KeyError")
    assert (untidy["message"], untidy["error"]) == ("an error that nobody can catch", "ValueError")
    assert "Muster" not in done.stderr
