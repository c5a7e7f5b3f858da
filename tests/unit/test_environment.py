"""Which errors pass and which stay: the one table that every stage asks."""

from __future__ import annotations

import errno
import os

import pytest
from pydicom.errors import InvalidDicomError
from sqlalchemy import exc

from dicomnode.environment import Fault, fault_of, raise_unless_it_stays, said_by
from dicomnode.errors import EnvironmentFault, Refusal, SeriesError

PASSING = """EIO ESTALE EMFILE ENFILE ENOSPC EACCES EPERM EROFS EDQUOT ENODEV ENXIO ENOTCONN EHOSTDOWN
    EHOSTUNREACH ETIMEDOUT ENOLCK EBUSY EAGAIN EFBIG EREMOTEIO"""


@pytest.mark.parametrize("number", PASSING.split())
def test_what_disk_mount_and_limits_answer_passes(number: str) -> None:
    code = getattr(errno, number)
    assert fault_of(OSError(code, os.strerror(code))) is Fault.PASSES


@pytest.mark.parametrize("number", ["EINVAL", "EISDIR", "ENAMETOOLONG", "ELOOP", "EOVERFLOW"])
def test_what_no_repetition_mends_stays(number: str) -> None:
    code = getattr(errno, number)
    assert fault_of(OSError(code, os.strerror(code))) is Fault.STAYS


def test_an_absent_file_is_neither_until_its_folder_was_looked_for() -> None:
    assert fault_of(FileNotFoundError(errno.ENOENT, "x")) is Fault.ABSENT
    assert fault_of(NotADirectoryError(errno.ENOTDIR, "x")) is Fault.ABSENT


def test_what_decoders_and_parsers_raise_on_damaged_bytes_stays() -> None:
    damaged = OSError("image file is truncated (3 bytes not processed)")  # as Pillow says it
    for error in (damaged, InvalidDicomError("x"), EOFError(), ValueError("x"), SeriesError(Refusal.UNREADABLE)):
        assert fault_of(error) is Fault.STAYS
        raise_unless_it_stays(error)


def test_too_little_memory_may_pass_and_is_told_apart_since_it_may_be_the_jobs_own() -> None:
    assert fault_of(MemoryError()) is Fault.MEMORY
    assert fault_of(OSError(errno.ENOMEM, "x")) is Fault.MEMORY
    with pytest.raises(MemoryError):
        raise_unless_it_stays(MemoryError())


def test_what_was_told_apart_before_passes() -> None:
    assert fault_of(RuntimeError("can't start new thread")) is Fault.PASSES
    assert fault_of(RuntimeError("CUDA error")) is Fault.STAYS
    assert fault_of(EnvironmentFault("the spool is away")) is Fault.PASSES


def test_a_database_that_is_away_passes_and_a_row_that_it_never_takes_stays() -> None:
    away = exc.OperationalError("x", None, Exception()), exc.InterfaceError("x", None, Exception()), exc.TimeoutError()
    for error in away:
        assert fault_of(error) is Fault.PASSES
    for error in (exc.IntegrityError("x", None, Exception()), exc.DataError("x", None, Exception())):
        assert fault_of(error) is Fault.STAYS


def test_what_is_said_names_neither_path_nor_value() -> None:
    assert said_by(FileNotFoundError(errno.ENOENT, "No such file or directory", "/spool/Doe^John")) == (
        "FileNotFoundError: No such file or directory"
    )
    assert said_by(ValueError("Doe^John")) == "ValueError"
