"""The switches of pydicom and pynetdicom that hold for a whole process: set here, by whoever begins one, nowhere else.

Importing a module of this package sets none, so that the order of imports changes nothing.
"""

from __future__ import annotations

import pydicom.config


def set_up_pydicom() -> None:
    """Read values as they are, without warnings.

    Scanners break value rules every day (a 17-character SH, "1.0" as IS). A header is read for what it says: the rules
    are kept where we write. And a warning would quote the value, into the node's log. pydicom converts values lazily
    and offers no narrower switch.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def set_up_pynetdicom() -> None:
    """Send files as they lie on disk, and format no message for a log that is never written."""
    # the receiving and the sending process alone load it
    from pynetdicom import _config

    # A path given to send_c_store is then read as it lies on disk instead of being parsed and encoded again.
    _config.STORE_SEND_CHUNKED_DATASET = True
    # Else every answer is formatted, with warnings that quote a patient's values.
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
