"""MSH, character sets, escape sequences, and whose a message is."""

from __future__ import annotations

import pytest

from dicomnode.clinical.sources.hl7.escapes import unescaped
from dicomnode.clinical.sources.hl7.header import Separators, header_of
from dicomnode.clinical.sources.hl7.message import MAX_SEPARATORS
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, MessageRefused
from tests.tools.hl7_messages import GLUCOSE, INR, message, obr, obx, pid
from tests.unit.clinical.hl7.reading import read, rules, texts, values


def refusal(text: str | bytes, **hl7: object) -> str:
    with pytest.raises(MessageRefused) as caught:
        read(text, rules(**hl7))
    return caught.value.why.value


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("MSH", "MSG"), "not_hl7"),
        (("|^~\\&|", "|^^\\&|"), "odd_separators"),
        (("|^~\\&|", "|^~\\&A|"), "odd_separators"),
        (("|^~\\&|", "|"), "odd_separators"),
        (("UNICODE UTF-8", "UNICODE UTF-16"), "unknown_charset"),
        (("UNICODE UTF-8", "8859/1~8859/2"), "unknown_charset"),
        (("ORU^R01^ORU_R01", "SIU^S12"), "wrong_type"),
        (("ORU^R01^ORU_R01", "ORU^R40"), "wrong_event"),
        (("ORU^R01^ORU_R01", "ADT^A03"), "wrong_event"),
        (("|M1|", "||"), "no_control_id"),
        (("|P|", "|T|"), "wrong_processing_id"),
        (("|2.5.1|", "|3.0|"), "wrong_version"),
        (("|2.5.1|", "||"), "wrong_version"),
        (("\rPID", "\rPIX"), "missing_segment"),
        (("4711^^^HOSPITAL^MR", ""), "no_patient"),
        (("4711^^^HOSPITAL^MR", "4711^^^TAX^SS"), "no_patient"),
        (("19440502", "1944-05-02"), "odd_patient"),
        (("|F\r", "|X\r"), "odd_patient"),
        (("\rOBR", "\rMSH|^~\\&|\rOBR"), "several_messages"),
        (("\rOBR", "\rPV1|" + "^" * MAX_SEPARATORS + "\rOBR"), "too_many_parts"),
    ],
)
def test_a_message_that_is_not_taken_has_a_coded_reason(change: tuple[str, str], why: str) -> None:
    good = message(pid(), obr(), obx(INR, "2.4"))
    assert values(read(good)) == {"inr": 2.4}
    assert change[0] in good
    assert refusal(good.replace(*change, 1)) == why


def test_only_the_processing_ids_that_are_named_are_taken() -> None:
    training = message(pid(), obr(), obx(INR, "2.4"), processing="T")
    assert values(read(training, rules(processing_ids=["P", "T"]))) == {"inr": 2.4}


@pytest.mark.parametrize("version", ["2.1", "2.3.1", "2.5", "2.8.2", "2.5^DEU^2.6"])
def test_every_version_of_hl7_v2_is_read(version: str) -> None:
    assert values(read(message(pid(), obr(), obx(INR, "2.4"), version=version))) == {"inr": 2.4}


def test_other_separators_are_those_of_the_message() -> None:
    usual = message(pid(), obr(), obx(GLUCOSE, "7", "mmol/L"), obx("59776-5^F^LN", "a$b", kind="TX"))
    other = usual.translate(str.maketrans("|^~\\&", "#*@!%"))
    assert values(read(other)) == {"glucose": 7.0}
    assert values(read(usual.replace("\r", "\r\n"))) == values(read(usual.replace("\r", "\n"))) == {"glucose": 7.0}


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("UNICODE UTF-8", "utf-8", "Größe 出血 é"),
        ("8859/1", "latin-1", "Größe é"),
        ("8859/15", "iso8859-15", "Größe € œ"),
        ("8859/2", "iso8859-2", "krwawienie łóźć"),
        ("GB18030-2000", "gb18030", "脑出血 |"),
        ("GB 18030-2000", "gb18030", "脑出血"),
        ("BIG-5", "big5", "腦出血"),
        ("KS X 1001", "euc_kr", "뇌출혈"),
        ("ISO IR6~ISO IR87", "iso2022_jp", "脳出血 plain"),
        ("ASCII~ISO IR87", "iso2022_jp", "脳出血"),
        ("~ISO IR87", "iso2022_jp", "脳出血"),
        ("ASCII", "ascii", "plain"),
        ("", "ascii", "plain"),
    ],
)
def test_texts_are_read_in_the_character_set_of_the_message(charset: str, codec: str, text: str) -> None:
    sent = message(pid(), obr(), obx("59776-5^F^LN", text.replace("|", "\\F\\"), kind="TX"), charset=charset)
    assert texts(read(sent.encode(codec))) == {"findings": text}


def test_bytes_that_are_not_in_the_character_set_refuse_the_message() -> None:
    text = message(pid(), obr(), obx("59776-5^F^LN", "Größe", kind="TX"), charset="")
    assert refusal(text.encode("latin-1")) == "not_in_charset"
    assert texts(read(text.encode("latin-1"), rules(charset="8859/1"))) == {"findings": "Größe"}
    assert refusal(text.replace("RADIOLOGY", "RÖNTGEN").encode("latin-1")) == "not_in_charset"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("\\XC3A4\\ \\X41\\", "ä A"),
        ("\\H\\bold\\N\\", "bold"),
        ("one\\.br\\two\\.sp2\\three\\.sk\\x", "one\ntwo\n\nthree x"),
        ("\\.sp999\\x", "\n" * 10 + "x"),
        ("\\.sp999999999999\\", "\\.sp999999999999\\"),
        ("\\.in+5\\a\\.ti-3\\b\\.fi\\\\.nf\\c", "abc"),
        ("\\C2842\\\\M1A2B3C\\", "\ufffd\ufffd"),
        ("\\Zlocal\\x", "x"),
        ("C:\\folder", "C:\\folder"),
        ("\\Q\\", "\\Q\\"),
        ("\\X4\\", "\\X4\\"),
        ("\\\\", "\\\\"),
        ("\\X00\\", "\x00"),
    ],
)
def test_escape_sequences_are_undone(written: str, meant: str) -> None:
    assert unescaped(written, Separators(field="|", component="^"), "utf-8") == meant


def test_characters_that_no_database_takes_are_left_out() -> None:
    assert texts(read(message(pid(), obr(), obx("59776-5^F^LN", "a\\X00\\b", kind="TX")))) == {"findings": "ab"}


@pytest.mark.parametrize(
    ("pid_3", "issuer", "expected"),
    [
        ("1^^^HOSPITAL^MR", "HOSPITAL", ("1", "HOSPITAL")),
        ("9^^^OTHER^MR~1^^^HOSPITAL^PI", "HOSPITAL", ("1", "HOSPITAL")),
        ("8^^^HOSPITAL^VN~1^^^HOSPITAL^MR", "HOSPITAL", ("1", "HOSPITAL")),
        ("1^^^KIS&1.2.3&ISO^MR", "1.2.3", ("1", "1.2.3")),
        ("1^^^KIS&1.2.3&ISO^MR", "", ("1", "KIS")),
        ("1^^^&1.2.3&ISO^MR", "", ("1", "1.2.3")),
        ("7^^^TAX^SS~1^^^OTHER^PI~2^^^OTHER^MR", "HOSPITAL", ("2", "OTHER")),
        ("1", "HOSPITAL", ("1", "HOSPITAL")),
        ("~1^^^^PI", "", ("1", "")),
        ('""~1', "", ("1", "")),
    ],
)
def test_the_identifier_is_the_issuers_else_the_best_of_its_type(
    pid_3: str, issuer: str, expected: tuple[str, str]
) -> None:
    sent = message(pid().replace("4711^^^HOSPITAL^MR", pid_3), obr(), obx(INR, "2"))
    patient = read(sent, rules(issuer=issuer)).told[0].patient
    assert (patient.patient_id, patient.issuer) == expected


@pytest.mark.parametrize(("born", "stated"), [("194405021530", "19440502"), ("1944", ""), ("194405", ""), ('""', "")])
def test_a_birth_date_is_a_day_or_nothing(born: str, stated: str) -> None:
    assert read(message(pid(born=born), obr(), obx(INR, "2"))).told[0].patient.birth_date == stated


def test_every_part_of_the_header_is_there_for_the_answer() -> None:
    header = header_of(message(pid(), acks=("AL", "NE")).encode(), "ASCII")
    assert (header.sender, header.receiver) == (("LAB", "HOSPITAL"), ("DICOMNODE", "RADIOLOGY"))
    assert (header.accept_ack, header.application_ack, header.control_id) == ("AL", "NE", "M1")


def test_codes_units_and_charset_of_the_configuration_are_checked_against_what_is_known() -> None:
    with pytest.raises(ConfigError) as caught:
        rules(charset="EBCDIC", codes={"A": "glukose", "B": "glucose"}, units={"B": "kg", "C": "kg"})
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "clinical.hl7.charset",
        "clinical.hl7.codes",
        "clinical.hl7.units",
        "clinical.hl7.units",
    ]
    assert "did you mean 'glucose'" in caught.value.faults[1]
    with pytest.raises(ValueError, match="neither an IP address"):
        Config.model_validate({"clinical": {"hl7": {"senders": [{"host": "lab"}]}}})
