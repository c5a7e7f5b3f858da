"""A port for HL7 with a database behind it, and what became of what was sent to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomnode.app.hl7 import hl7_listener
from dicomnode.config.whole import Config
from dicomnode.receive.mllp.listener import MllpListener
from dicomnode.records import Patient
from dicomnode.store.clinical.observations import KnownOfPatient, known_of
from dicomnode.store.engine import Store


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Hl7World:
    """A listening port."""

    listener: MllpListener
    store: Store

    @property
    def port(self) -> int:
        return self.listener.port

    def known(self, patient_id: str = "4711", issuer: str = "HOSPITAL") -> KnownOfPatient:
        """What is stored about a patient."""
        with self.store.read() as session:
            return known_of(session, Patient(patient_id=patient_id, issuer=issuer))

    def values(self, patient_id: str = "4711", issuer: str = "HOSPITAL") -> dict[str, object]:
        """Name -> value."""
        return {one.name: one.value for one in self.known(patient_id, issuer).observations}


def hl7_config(folder: Path, **hl7: Any) -> Config:
    """A configuration with a port for HL7."""
    raw = {"port": free_port(), "host": "127.0.0.1", "message_timeout_s": 10.0, **hl7}
    return Config.model_validate({"node": {"data_dir": folder}, "clinical": {"issuer": "HOSPITAL", "hl7": raw}})


@contextmanager
def listening(store: Store, folder: Path, **hl7: Any) -> Iterator[Hl7World]:
    """A port that is closed again."""
    listener = hl7_listener(hl7_config(folder, **hl7), store)
    assert listener is not None
    listener.start()
    try:
        yield Hl7World(listener, store)
    finally:
        listener.stop(drain_s=0.2)
