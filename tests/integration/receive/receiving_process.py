"""``python -m tests.integration.receive.receiving_process URL DATA_DIR``: a reception to be killed; prints its port."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from dicomnode.store.engine import Store
from tests.integration.receive.world import Reception

if __name__ == "__main__":
    reception = Reception(Store(sys.argv[1]), Path(sys.argv[2]), owner="receiver-1", senders=())
    print(reception.port, flush=True)
    signal.sigwait([signal.SIGTERM])
    reception.scp.stop()
