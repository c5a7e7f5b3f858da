"""TLS for associations and HTTPS (DICOM PS3.15 annex B, BCP 195): contexts from PEM files, never below TLS 1.2."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from dicomnode.config.destinations import DestinationTls, WebTls
from dicomnode.config.sections import ReceptionTls
from dicomnode.errors import ConfigError


def server_context(tls: ReceptionTls, where: str = "reception.tls") -> ssl.SSLContext | None:
    """The TLS context of one of the node's own ports; None where it speaks plain DICOM, or plain HL7.

    Parameters
    ----------
    where : the section, for what is said of faults.

    Raises
    ------
    ConfigError : a file cannot be read, or certificate and key do not belong together.
    """
    if not tls.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, where, tls.cert, tls.key, tls.ca)
    if tls.require_client_cert:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: DestinationTls, name: str) -> ssl.SSLContext | None:
    """The TLS context for associations with a destination; None where it speaks plain DICOM.

    The destination's certificate must be signed by ``ca``, or by what the system trusts, and name its host.

    Raises
    ------
    ConfigError : a file cannot be read, or certificate and key do not belong together.
    """
    return _client_context(tls, f"destination {name}") if tls.enabled else None


def web_context(tls: WebTls, where: str) -> ssl.SSLContext:
    """The TLS context towards an HTTP server, whose certificate is signed by ``ca``, or by what the system trusts.

    Raises
    ------
    ConfigError : a file cannot be read, or certificate and key do not belong together.
    """
    return _client_context(tls, where)


def _client_context(tls: DestinationTls | WebTls, where: str) -> ssl.SSLContext:
    context = ssl.create_default_context() if not tls.ca else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, f"{where}: tls", tls.cert, tls.key, tls.ca)
    return context


def open_to_others(secret: Path) -> str:
    """What is wrong with the permissions of a file that holds a secret, and what mends it; empty where nothing is.

    The rule of ssh: a file of one's own must be readable by nobody else. One of another user, such as a key that root
    lends to a group, or a secret that a container is given, is that user's to protect.
    """
    state = secret.stat()
    if state.st_uid != os.getuid() or not state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ""
    return f"{secret} can be read by others (mode {stat.S_IMODE(state.st_mode):04o}): chmod 600 {secret}"


def _load(context: ssl.SSLContext, where: str, cert: str, key: str, ca: str) -> None:
    for path in filter(None, (cert, key, ca)):
        if not Path(path).is_file():
            raise ConfigError([f"{where}: {path} is no file"])
    if key and (fault := open_to_others(Path(key))):
        raise ConfigError([f"{where}: {fault}"])
    try:
        if cert:
            # Without this an encrypted key would ask for its password on the terminal.
            context.load_cert_chain(cert, key, password=lambda: "")
        if ca:
            context.load_verify_locations(ca)
    except OSError as fault:  # ssl.SSLError is one
        raise ConfigError([f"{where}: the certificates cannot be used ({fault.strerror or fault})"]) from fault
