"""Places that the receivers of a node share, in processes of their own."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

from dicomnode.receive.places import Places


def _take_a_place(connection: Connection, places: Places) -> None:
    with places.locked():
        places.publish(["FAR", *places.elsewhere().elements()])
        connection.send("published")
        connection.recv()


def test_another_process_writes_its_part_of_the_same_table_and_its_lock_dies_with_it() -> None:
    places = Places(2)
    places.publish(["NEAR"])
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_take_a_place, args=(theirs, places.seen_by(1)))
    process.start()
    assert ours.recv() == "published"
    process.kill()
    process.join()
    with places.locked():
        assert places.elsewhere() == {"FAR": 1, "NEAR": 1}
    for end in (ours, theirs):
        end.close()
