"""Which series a node runs, and by which protocols: one rule for what comes by network and what lies in a folder."""

from __future__ import annotations

from collections.abc import Sequence

from dicomnode.assemble.gate import volume_gate
from dicomnode.assemble.protocols import explain
from dicomnode.assemble.selection import candidate_of, rank
from dicomnode.assemble.triage import refusal_of_series
from dicomnode.config.protocols import Protocol, in_turn
from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.errors import Refusal, SeriesError
from dicomnode.records import Header


def protocols_for(headers: Sequence[Header], protocols: Sequence[Protocol]) -> list[Protocol]:
    """The protocols that a complete series is fit for.

    Parameters
    ----------
    headers : of all its instances; those that are no slices are left out.

    Raises
    ------
    SeriesError : triage or the volume gate refuses the series, or no protocol matches it (``NO_PROTOCOL``, with the
        conditions that failed and the values seen).
    """
    refusal = refusal_of_series(headers)
    if refusal is not None:
        raise SeriesError(*refusal)
    slices = [header for header in headers if reason_not_used(header) is None]
    volume_gate(slices)
    failed = {protocol.name: _failed(protocol, slices) for protocol in protocols}
    if all(failed.values()):
        raise SeriesError(Refusal.NO_PROTOCOL, "; ".join(f"{name}: {why}" for name, why in failed.items()))
    return [protocol for protocol in protocols if not failed[protocol.name]]


def protocols_in_turn(headers: Sequence[Header], protocols: Sequence[Protocol], study_uid: str) -> list[Protocol]:
    """The same, of a canary and the protocol that it stands in for the one that is this study's.

    Raises
    ------
    SeriesError : as :func:`protocols_for`; a canary alone is no protocol.
    """
    fit = in_turn(protocols_for(headers, protocols), study_uid)
    # Only canaries match: those that they stand in for say why they do not.
    return fit or protocols_for(headers, [protocol for protocol in protocols if not protocol.canary_of])


def _failed(protocol: Protocol, slices: Sequence[Header]) -> str:
    """The conditions of a protocol that the slices do not fulfil, in words."""
    return ", ".join(clause.sentence() for clause in explain(protocol.match, slices) if not clause.ok)


def best_series(reconstructions: Sequence[Sequence[Header]], protocol: Protocol) -> int:
    """Index of the reconstruction that a protocol prefers among several of one acquisition.

    Parameters
    ----------
    reconstructions : the slices of each, at least one.
    """
    ranks = [rank(candidate_of(slices), protocol.preferred_thickness_mm) for slices in reconstructions]
    return ranks.index(min(ranks))
