"""What the rows of an image cost the processor: ``python -m benchmarks.rows`` (decisions 075, 078).

Writes the rows of images that arrive, in groups of one and of four images of as many series, into a SQLite database
that waits for no disk. Printed in microseconds of processor time an image, the best of ten rounds.
"""

from __future__ import annotations

import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import event

from dicomnode.records import ReceivedInstance
from dicomnode.store.engine import Store
from dicomnode.store.receive.indexing import index_instances
from dicomnode.store.receive.receptions import open_association
from dicomnode.store.receive.series_now import Arrived

ROUNDS, GROUPS = 10, 100
HEADER = {f"Keyword{number}": "a value" for number in range(60)}


def image(number: int, series: int) -> ReceivedInstance:
    """An image of a series."""
    uid = f"1.2.3.{series}.{number}"
    return ReceivedInstance(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        study_uid="1.2.3",
        series_uid=f"1.2.3.{series}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path("1.2.3", f"1.2.3.{series}", f"{uid}.dcm"),
        digest="0" * 64,
        size_bytes=524_288,
        header=HEADER,
    )


def microseconds(store: Store, association_id: int, series: int, numbers: count[int]) -> float:
    """Of processor time for an image, in groups of one image of each series."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for number, _ in zip(numbers, range(GROUPS), strict=False):
            group = [Arrived(image(number, one), association_id, "CT") for one in range(series)]
            with store.write() as session:
                index_instances(session, group, settle_s=1.0, max_instances=1_000_000)
        rounds.append(1e6 * (time.thread_time() - began) / GROUPS / series)
    return min(rounds)


def wait_for_no_disk(connection: Any, _record: Any) -> None:
    """Only the processor is measured."""
    connection.execute("PRAGMA synchronous = OFF")


def main() -> None:
    """Measure and print."""
    table = Table("images of a group, each of another series", "processor µs an image")
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/node.db")
        event.listen(store.engine, "connect", wait_for_no_disk)
        store.migrate()
        with store.write() as session:
            opened = open_association(
                session, receiver="benchmark", calling_ae="CT", called_ae="NODE", peer_address="127.0.0.1"
            )
        for series in (1, 4):
            table.add_row(str(series), f"{microseconds(store, opened, series, numbers):.0f}")
        store.close()
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
