"""An association for one service of a peer: whether it offers it, and what is said where it is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext

from dicomnode.config.destinations import Destination
from dicomnode.deliver.association import end_association, request_association
from dicomnode.errors import AssociationRejected, DeliveryError


@contextmanager
def association_for(
    service: str,
    destination: Destination,
    calling_ae: str,
    context: PresentationContext,
    *,
    refused: DeliveryError,
    handlers: Sequence[tuple[Any, Any]] = (),
    extended: Sequence[SOPClassExtendedNegotiation] = (),
) -> Iterator[Association]:
    """An association that takes ``context``; released at the end.

    Parameters
    ----------
    service : that is asked for, such as ``C-FIND``.
    refused : raised where the peer does not take the context.
    handlers, extended : as of :func:`~dicomnode.deliver.association.request_association`.

    Raises
    ------
    AssociationRejected : no association, or it was lost before the question was sent.
    DeliveryError : ``refused``.
    """
    assoc = request_association(destination, calling_ae, [context], handlers, extended)
    try:
        if not assoc.is_established:
            raise refused
        yield assoc
    except RuntimeError as fault:
        raise AssociationRejected(f"the association was lost before the {service}") from fault
    finally:
        end_association(assoc)
