"""HL7 messages, spoiled at random, and what must be in the database of those that are acknowledged all the same.

What must be there is known without reading messages: lines of a good message that arrive as they were must count,
unless another line that is no more as it was speaks of the same code.
"""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

from tests.tools.hl7_messages import CR, FS, VT, Ack, Hl7Peer, message, obr, obx, pid

ANSWER_S = 60.0
"""A machine that is busy with something else is slow, too: this is about answers that never come."""
LABS = {
    "2345-7": ("glucose", "7.5", "mmol/L", 7.5),
    "6301-6": ("inr", "2.4", "", 2.4),
    "718-7": ("haemoglobin", "125", "g/L", 125.0),
    "2951-2": ("sodium", "139", "mmol/L", 139.0),
    "48065-7": ("d_dimer", "0.9", "mg/L", 0.9),
    "9269-2": ("gcs", "10", "", 10.0),
    "777-3": ("platelets", "180", "10*9/L", 180.0),
    "3255-7": ("fibrinogen", "3.1", "g/L", 3.1),
}
AT = "202601011000+0000"
JUNK = (
    b"",
    b'""',
    b"9" * 400,
    b"\xff\xfe",
    b"\\X",
    b"\\.sp999\\",
    b"\\X00\\",
    b"~" * 50,
    b"&" * 50,
    b"^" * 50,
    b"1e999",
    b"nan",
)
CHARSETS = (b"", b"8859/1", b"GB18030-2000", b"ISO IR6~ISO IR87", b"UNICODE UTF-16", b"\xc3\xa4", b"ASCII")


@dataclass(frozen=True)
class Expected:
    """What an acknowledged message must have left: ``values`` under a patient ID; empty where none can be told."""

    number: int
    patient_id: str
    values: tuple[tuple[str, float], ...] = ()
    merged_into: str = ""


@dataclass(frozen=True)
class Sent:
    """One message as it goes out. ``good``: as it was before it was spoiled."""

    number: int
    good: bytes
    spoiled: bytes
    names_one_variable: tuple[tuple[bytes, str, float], ...]
    is_merge: bool
    tail: bytes


def made(seed: str, number: int) -> Sent:
    """The same seed and number make the same bytes."""
    rng = random.Random(f"hl7 {seed} {number}")
    kind = rng.choice(["labs"] * 6 + ["report", "admission", "merge"])
    chosen = rng.sample(sorted(LABS), rng.randint(1, 6)) if kind == "labs" else []
    lines = {
        code: obx(f"{code}^x^LN", LABS[code][1], LABS[code][2], at=AT, number=place)
        for place, code in enumerate(chosen)
    }
    whose, control = pid(f"Z{number}"), f"C{number}"
    good = {
        "labs": lambda: message(whose, obr(), *lines.values(), control_id=control),
        "report": lambda: message(
            whose,
            obr(section="RAD"),
            obx("R^Report^L", "FINDINGS: Blutung links~IMPRESSION: ICB", kind="TX"),
            control_id=control,
        ),
        "admission": lambda: message(whose, "PV1|1|I", "DG1|1||I48.0^AF^I10", kind="ADT^A01", control_id=control),
        "merge": lambda: message(whose, f"MRG|Y{number}^^^HOSPITAL^MR", kind="ADT^A40", control_id=control),
    }[kind]().encode()
    spoiled = good
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 5])):
        spoiled = _spoil(spoiled, rng)
    known = tuple((lines[code].encode(), LABS[code][0], LABS[code][3]) for code in chosen)
    return Sent(number, good, spoiled, known, kind == "merge", rng.choice([FS + CR] * 8 + [FS, b"", CR]))


def _spoil(content: bytes, rng: random.Random) -> bytes:
    return rng.choice((_spoil_bytes, _spoil_lines))(content, rng)


def _spoil_bytes(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    spot = min(place, max(0, len(content) - 1))
    marks = (b"|^~\\|", b"|^^\\&|", b"||", b"|^~\\&#|", b"|")
    floods = (VT, FS, VT + VT, b"\0" * 20, b"|" * 60_000, b"x" * 300_000)
    return rng.choice(
        (
            content[:spot] + bytes([(content[spot] if content else 0) ^ (1 << rng.randrange(8))]) + content[spot + 1 :],
            content[:place] + content[place + rng.randint(1, 20) :],
            content[:place] + bytes([rng.randrange(256)]) + content[place:],
            content[:place],
            content[:place] + content[max(0, place - 60) :],
            content.replace(b"|^~\\&|", rng.choice(marks), 1),
            content.replace(b"UNICODE UTF-8", rng.choice(CHARSETS), 1),
            content[:place] + rng.choice(floods) + content[place:],
        )
    )


def _spoil_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(CR)
    which, way = rng.randrange(len(lines)), rng.randrange(5)
    if way == 0:
        rng.shuffle(lines)
    elif way == 1:
        del lines[which]
    elif way == 2:
        lines.insert(rng.randrange(len(lines) + 1), lines[which])
    elif way == 3:
        cells = lines[which].split(b"|")
        cells[rng.randrange(len(cells))] = rng.choice(JUNK)
        lines[which] = b"|".join(cells)
    else:
        lines[which] += b"|" * rng.randint(1, 200)
    return CR.join(lines)


def play(port: int, sent: Sent) -> tuple[str, Expected | None, list[str]]:
    """Send one; how it ended, what must be stored, and what was wrong with the answer."""
    try:
        with Hl7Peer(port, timeout_s=ANSWER_S) as peer:
            peer.socket.sendall(VT + sent.spoiled + sent.tail)
            peer.socket.shutdown(socket.SHUT_WR)
            ack = peer.answer()
    except TimeoutError:
        return "hung", None, [f"no answer to message {sent.number} for {ANSWER_S:.0f} s"]
    except (ConnectionError, OSError):
        return "hung up on", None, []
    return _judged(sent, ack)


def _judged(sent: Sent, ack: Ack) -> tuple[str, Expected | None, list[str]]:
    try:
        code, control_id = ack.code, ack.control_id
    except IndexError:
        return "odd answer", None, [f"message {sent.number} had an answer without MSA"]
    if code not in ("AA", "AE", "AR", "CA", "CE", "CR"):
        return "odd answer", None, [f"message {sent.number} had the answer {code!r}"]
    if code[1] != "A":
        return code, None, []
    is_one = VT not in sent.spoiled and FS not in sent.spoiled
    faults = []
    if is_one and sent.spoiled.split(CR)[0] == sent.good.split(CR)[0] and control_id != f"C{sent.number}":
        faults.append(f"message {sent.number} was acknowledged as {control_id!r}")
    return code, expected(sent) if is_one else None, faults


def expected(sent: Sent) -> Expected:
    """What must be there once it is acknowledged."""
    lines, good = sent.spoiled.split(CR), sent.good.split(CR)
    patient = f"Z{sent.number}"
    if lines[:2] != good[:2] or any(line.startswith((b"PID", b"MSH")) for line in lines[2:]):
        return Expected(sent.number, patient)  # it is somebody else's now, or nobody's
    odd = b"\r".join(line for line in lines[2:] if line not in good)
    values = [
        (name, value)
        for line, name, value in sent.names_one_variable
        if line in lines and line.split(b"|")[3].split(b"^")[0] not in odd
    ]
    merged = sent.is_merge and good[2] in lines and not odd
    return Expected(sent.number, patient, tuple(values), f"Y{sent.number}" if merged else "")
