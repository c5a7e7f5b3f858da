"""Which requests belong into a presentation context: to another one a peer would hear nothing, or the wrong answer."""

from __future__ import annotations

from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import VERIFICATION, is_storage
from dicomnode.receive.commands import Command, Field

_STORE = frozenset({Field.C_STORE})
_REQUESTS = {
    VERIFICATION: frozenset({Field.C_ECHO}),
    STORAGE_COMMITMENT: frozenset({Field.N_EVENT_REPORT, Field.N_ACTION}),
}


def is_foreign_request(command: Command, abstract_syntax: str) -> bool:
    """Whether a request (PS3.7 table E.1-1) is one for a service that a context is not for.

    Answers to what nobody asked, and cancellations, are no requests.

    >>> echo = Command({}, Field.C_ECHO, has_data_set=False)
    >>> is_foreign_request(echo, VERIFICATION), is_foreign_request(echo, "1.2.840.10008.5.1.4.1.1.2")
    (False, True)
    """
    known = _STORE if is_storage(abstract_syntax) else _REQUESTS.get(abstract_syntax, frozenset())
    return command.is_request and command.field not in known
