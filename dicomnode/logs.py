"""Structured logs: one JSON object a line (or plain text), constant message, facts in ``extra``.

No patient attribute ever reaches a log line: stages log UIDs, row ids and coded reasons only.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from dicomnode.config.operations import Operations

log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# These libraries log what peers send, patient attributes included, or every poll of a timer.
_QUIET = {
    "pynetdicom": logging.CRITICAL,
    "pydicom": logging.ERROR,
    "apscheduler": logging.ERROR,
    "alembic": logging.WARNING,
    "uvicorn": logging.WARNING,
    "asyncio": logging.WARNING,
    "highdicom": logging.WARNING,  # it tells of every module it copies
    "httpx": logging.WARNING,  # it logs each request with its URL
    "httpcore": logging.WARNING,  # at DEBUG it logs headers
}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON: at, level, logger, message, then its ``extra`` fields."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **facts_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Formats a record for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message, then ``key=value`` of its ``extra`` fields."""
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        facts = " ".join(f"{key}={_in_text(value)}" for key, value in facts_of(record).items())
        line = f"{clock} {record.levelname:<7} {record.getMessage()} {facts}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as ``extra``, in the words of configurations and rows of the database."""
    return {key: _plain(value) for key, value in vars(record).items() if key not in _STANDARD}


def _plain(value: Any) -> Any:
    """A member of an enum as its value, also within others.

    >>> from dicomnode.kinds import Kind
    >>> _plain({"kinds": (Kind.SEG, Kind.SR)}), _plain(frozenset({2, 1}))
    ({'kinds': ['seg', 'sr']}, [1, 2])
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=str)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _in_text(value: Any) -> str:
    """A value in a line for a person: several with commas, and no line of its own, whatever a peer sent.

    >>> _in_text(["seg", "sr"]), _in_text({"negative": 2}), _in_text("CT1\\n12:00:00 ERROR")
    ('seg,sr', 'negative:2', 'CT1\\\\n12:00:00 ERROR')
    """
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{_in_text(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ",".join(map(_in_text, value))
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what is standard error at that moment: the stream of before may be closed."""

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self.operations = operations

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(operations: Operations) -> None:
    """Send all logs to standard error in the configured format, what threads and this process die of included."""
    handler = _StandardError(operations)
    # The handler has the level too: the audit trail hears some loggers at INFO, whatever is kept here.
    handler.setLevel(operations.log_level)
    handler.setFormatter(JsonFormatter() if operations.log_format == "json" else TextFormatter())
    logging.basicConfig(level=operations.log_level, handlers=[handler], force=True)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    threading.excepthook, sys.unraisablehook = _log_dead_thread, _log_unraisable
    sys.excepthook = _log_dead_process


def change_level(operations: Operations) -> None:
    """Take over another level; handlers and format stay."""
    root = logging.getLogger()
    root.setLevel(operations.log_level)
    for handler in root.handlers:
        if isinstance(handler, _StandardError):
            handler.operations = operations
            handler.setLevel(operations.log_level)


def logging_in_use() -> Operations:
    """What a process that this one starts is to configure; as text for a person where nothing is configured here."""
    used = (handler.operations for handler in logging.getLogger().handlers if isinstance(handler, _StandardError))
    return next(used, Operations(log_format="text", log_level="WARNING"))


def _log_dead_thread(args: threading.ExceptHookArgs) -> None:
    """One line in place of a traceback on standard error, whose message may quote a value."""
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread is not None else ""
    facts = {"thread_name": name, "error": args.exc_type.__name__, "place": _place_of(args.exc_traceback)}
    log.error("a thread died", extra=facts)


def _log_dead_process(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """The same for the main thread, with which the process ends."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, trace)
        return
    log.critical("a process died", extra={"error": kind.__name__, "place": _place_of(trace)})


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    """The same for what is raised where nobody can catch it, such as in the clean-up of an object."""
    facts = {"error": args.exc_type.__name__, "place": _place_of(args.exc_traceback)}
    log.error("an error that nobody can catch", extra=facts)


def _place_of(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
