"""Frames of MLLP, however their bytes arrive."""

from __future__ import annotations

from dicomnode.receive.mllp.framing import KEPT_OF_TOO_LARGE, Frame, Framer, framed


def fed(*parts: bytes, max_bytes: int = 100) -> tuple[list[Frame], Framer]:
    framer = Framer(max_bytes)
    return [frame for part in parts for frame in framer.feed(part)], framer


def contents(*parts: bytes) -> list[bytes]:
    return [frame.content for frame in fed(*parts)[0]]


def test_messages_are_found_whole_halved_and_together() -> None:
    one, two = framed(b"MSH|one"), framed(b"MSH|two\rPID|")
    assert contents(one) == [b"MSH|one"]
    assert contents(one + two) == contents(*(bytes([byte]) for byte in one + two)) == [b"MSH|one", b"MSH|two\rPID|"]
    assert contents(one[:4], one[4:] + two[:3], two[3:]) == [b"MSH|one", b"MSH|two\rPID|"]


def test_an_end_without_cr_ends_a_message_too() -> None:
    assert contents(b"\x0bMSH|one\x1c", b"\x0bMSH|two\x1c\n") == [b"MSH|one", b"MSH|two"]


def test_what_stands_between_messages_is_counted_until_the_next() -> None:
    frames, framer = fed(b"GET / HTTP/1.1\r\n")
    assert (frames, framer.strays) == ([], len(b"GET / HTTP/1.1"))
    frames, framer = fed(b"rubbish", framed(b"MSH|one"), b"\r\n\r\n")
    assert ([frame.content for frame in frames], framer.strays) == ([b"MSH|one"], 0)


def test_a_message_that_is_begun_anew_is_the_new_one() -> None:
    assert contents(b"\x0bMSH|ha", b"\x0bMSH|whole\x1c\r") == [b"MSH|whole"]


def test_of_a_message_that_is_too_large_only_the_beginning_is_kept() -> None:
    parts = [b"\x0bMSH|", *[b"x" * 1000] * 100]
    frames, framer = fed(*parts, max_bytes=20_000)
    assert (frames, framer.is_within) == ([], True)
    assert len(framer._content) <= KEPT_OF_TOO_LARGE
    (frame,) = framer.feed(b"\x1c\r")
    assert (frame.is_whole, len(frame.content)) == (False, KEPT_OF_TOO_LARGE)
    (after,) = framer.feed(framed(b"MSH|small"))
    assert after == Frame(b"MSH|small")


def test_a_flood_of_marks_is_read_in_one_pass() -> None:
    frames, _ = fed(b"\x0b" * 1_000_000 + b"\x1c" * 1_000_000)
    assert frames == [Frame(b"")]
