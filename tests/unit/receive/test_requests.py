"""A-ASSOCIATE-RQ: what can be understood is, whatever else stands in it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation

from dicomnode.dicom.commitment import STORAGE_COMMITMENT as COMMITMENT
from dicomnode.receive.negotiation import answers_to
from dicomnode.receive.requests import AssociationRequest, UnreadableRequest

CT, MR, ECHO = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def item(kind: int, value: bytes, *, reserved: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BBH", kind, reserved, len(value) if length is None else length) + value


def context(number: int, abstract: bytes = CT.encode(), *syntaxes: bytes, reserved: bytes = bytes(3)) -> bytes:
    named = b"".join(item(0x40, uid) for uid in syntaxes or (EXPLICIT.encode(),))
    return item(0x20, bytes([number]) + reserved + item(0x30, abstract) + named)


def user(*items: bytes) -> bytes:
    return item(0x50, b"".join(items))


def body(*items: bytes, called: bytes = b"NODE", calling: bytes = b"CT", version: int = 1) -> bytes:
    return struct.pack(">HH", version, 0) + called.ljust(16) + calling.ljust(16) + bytes(32) + b"".join(items)


def read(*items: bytes, **fields: object) -> AssociationRequest:
    return AssociationRequest.of(body(*items, **fields))


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"CT 7            ", "CT 7"),
        (b"      CT 7      ", "CT 7"),
        (b"CT 7" + bytes(12), "CT 7"),
        (b"CT 7\x00junk of C   "[:16], "CT 7"),
        (b"\x00\x00CT 7          ", "CT 7"),
        (bytes(16), ""),
        (b" " * 16, ""),
        (b"K\xd6LN            ", "K?LN"),
        ("KÖLN".encode().ljust(16), "K??LN"),
        (b"A\\B\x07C".ljust(16), "A?B?C"),
    ],
)
def test_titles_lose_their_padding_and_are_printable(field: bytes, title: str) -> None:
    assert read(calling=field).calling_ae == read(called=field).called_ae == title


def test_every_other_bit_of_the_version_is_for_others() -> None:
    assert read(version=0xFFFF).speaks_version_1
    assert not read(version=0xFFFE).speaks_version_1


def test_one_bad_context_costs_that_context() -> None:
    asked = read(
        context(1),
        context(2, MR.encode()),
        context(0),
        context(3, b"no uid"),
        context(5, CT.encode(), b"1.2.3.4"),
        context(7, CT.encode(), b""),
        item(0x20, bytes([9, 0, 0, 0]) + item(0x30, CT.encode())),
        item(0x20, b"\x0b"),
        context(13, MR.encode(), IMPLICIT.encode(), reserved=b"\xff\xff\xff"),
    )
    assert {number: one.abstract_syntax for number, one in asked.proposed.items()} == {1: CT, 13: MR}
    assert asked.refused == {2: 1, 0: 1, 3: 3, 5: 4, 7: 4, 9: 4}


def test_of_two_contexts_with_one_number_the_first_counts() -> None:
    asked = read(context(1), context(1, MR.encode()))
    assert asked.proposed[1].abstract_syntax == CT
    assert not asked.refused


def test_padding_of_uids_is_padding() -> None:
    asked = read(item(0x10, b"1.2.840.10008.3.1.1.1\x00"), context(1, CT.encode() + b"\x00", EXPLICIT.encode() + b" "))
    assert asked.application_context == "1.2.840.10008.3.1.1.1"
    assert asked.proposed[1].transfer_syntaxes == (EXPLICIT,)


def test_unknown_and_cut_off_items_are_ignored() -> None:
    asked = read(item(0x99, b"whatever"), context(1), user(item(0x77, b"x")), item(0x20, b"\x03", length=9_000))
    assert list(asked.proposed) == [1]


@pytest.mark.parametrize(("told", "taken"), [(0, 0), (1, 8), (7, 8), (8, 8), (16_384, 16_384), (2**32 - 1, 2**32 - 1)])
def test_a_peer_that_takes_next_to_nothing_is_told_what_fits_just_so(told: int, taken: int) -> None:
    assert read(user(item(0x51, struct.pack(">L", told)))).max_length == taken


def test_a_length_of_another_size_is_no_length() -> None:
    assert read(user(item(0x51, b"\x00\x01"))).max_length == 16_384


def test_ten_thousand_transfer_syntaxes_are_those_that_the_node_knows() -> None:
    many = b"".join(item(0x40, b"%d" % number) for number in range(8_000)) + item(0x40, IMPLICIT.encode())
    assert read(item(0x20, bytes([1, 0, 0, 0]) + item(0x30, CT.encode()) + many)).proposed[1].transfer_syntaxes == (
        IMPLICIT,
    )


def test_what_says_not_even_who_asks_is_no_request() -> None:
    with pytest.raises(UnreadableRequest):
        AssociationRequest.of(body()[:67])


def answer(asked: AssociationRequest) -> A_ASSOCIATE:
    """The answer to a request, as pynetdicom understands it."""
    pdu = A_ASSOCIATE_AC()
    pdu.decode(asked.accepted(answers_to(asked, may_report=True), 4096))
    return pdu.to_primitive()


def role(uid: str, *roles: int) -> bytes:
    return item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes(roles))


def test_pynetdicom_understands_the_answer() -> None:
    asked = read(
        context(1, CT.encode(), IMPLICIT.encode(), EXPLICIT.encode()),
        context(3, ECHO.encode()),
        context(5, COMMITMENT.encode(), b"1.2.840.10008.1.2.4.50"),
        context(7, COMMITMENT.encode()),
        context(9, b"1.2.840.10008.5.1.4.1.2.2.1"),
        user(role(CT, 1, 1), role(COMMITMENT, 0, 1)),
        called=b"NODE\x00",
    )
    answered = answer(asked)
    results = {one.context_id: one.result for one in answered.presentation_context_definition_results_list}
    assert results == {1: 0, 3: 0, 5: 4, 7: 0, 9: 3}
    chosen = {one.context_id: one.transfer_syntax for one in answered.presentation_context_definition_results_list}
    assert chosen[1] == [EXPLICIT]
    assert answered.maximum_length_received == 4096
    roles = [one for one in answered.user_information if isinstance(one, SCP_SCU_RoleSelectionNegotiation)]
    assert [(one.sop_class_uid, one.scu_role, one.scp_role) for one in roles] == [(COMMITMENT, False, True)]


def test_who_may_take_no_role_at_all_gets_no_context() -> None:
    answered = answer(read(context(1, COMMITMENT.encode()), user(role(COMMITMENT, 0, 0))))
    assert [one.result for one in answered.presentation_context_definition_results_list] == [1]


@given(st.binary(max_size=400), st.integers(0, 400))
def test_whatever_comes_pynetdicom_understands_the_answer(noise: bytes, at: int) -> None:
    good = body(item(0x10, b"1.2.840.10008.3.1.1.1"), context(1), user(item(0x51, bytes(4))))
    spoiled = good[:at] + noise + good[at + len(noise) :]
    try:
        asked = AssociationRequest.of(spoiled)
    except UnreadableRequest:
        assert len(spoiled) < 68
        return
    A_ASSOCIATE_AC().decode(asked.accepted(answers_to(asked), 131_072))
