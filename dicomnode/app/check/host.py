"""What the node stands on: disk, clock, database, port, and who may send to it."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from dicomnode.app.check.finding import Finding
from dicomnode.config.sections import Sender
from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, DatabaseUnusable
from dicomnode.store.deliver import holding, outbox
from dicomnode.store.opening import Schema, existing_store, require_existing, schema_at
from dicomnode.store.pausing import list_paused

GIB = 1024**3
EARLIEST_CLOCK = 1_767_225_600.0  # 2026-01-01: a clock before this release is wrong


def check_host(config: Config) -> Iterator[Finding]:
    """Check what the node stands on; nothing is made."""
    yield _disk(config)
    yield _clock()
    yield from _database(config)
    yield _port(config)
    yield from _senders(config)


def _disk(config: Config) -> Finding:
    """Room and rights; nothing is made: made by another user than the node's, a folder would lock the node out."""
    folder = config.node.data_dir
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    for one in (existing, config.spool_dir, config.work_dir):
        if one.exists() and (fault := cannot_write(one)):
            return Finding("disk", False, f"folder {one} cannot be written by this user ({fault})")
    free_gb = shutil.disk_usage(existing).free / GIB
    reserve = config.reception.min_free_gb
    unmade = "" if existing == folder else ", which the node makes when it starts"
    says = f"{free_gb:.1f} GB free in {folder}{unmade}, {reserve:g} GB are kept as reserve"
    if free_gb <= reserve:
        return Finding("disk", False, f"{says}: every C-STORE would be refused with 0xA700")
    return Finding("disk", True, says)


def cannot_write(folder: Path) -> str:
    """Why nothing can be written to a folder: rights, a file system that is read-only or full; empty where it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as fault:
        return fault.strerror or type(fault).__name__
    return ""


def _clock() -> Finding:
    now = time.time()
    return Finding("clock", now > EARLIEST_CLOCK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _database(config: Config) -> Iterator[Finding]:
    """The database as it is; the node makes it, or brings it up to date, when it starts."""
    url = config.database_url
    try:
        schema = schema_at(url)
        if schema is Schema.CURRENT:
            yield from _waiting(config)
        if config.node.require_existing:
            require_existing(url)
    except (ConfigError, DatabaseUnusable) as fault:
        yield Finding("database", False, str(fault))
        return
    none = "none yet: the node makes it when it starts (if it has worked before, its disk is not mounted)"
    told = {Schema.NONE: none, Schema.CURRENT: "schema up to date"}
    says = told.get(schema, "of an older version: the node brings it up to date when it starts")
    yield Finding("database", True, f"{make_url(url).get_backend_name()}, {says}")


def _waiting(config: Config) -> Iterator[Finding]:
    """Results that wait for somebody's decision, or for a destination that is gone."""
    with existing_store(config.database_url) as store, store.read() as session:
        orphaned = outbox.orphaned(session, [destination.name for destination in config.destination])
        held = holding.count_held(session)
        paused = list_paused(session)
    for one in paused:
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.since_at))
        says = f"paused since {since}{f' by {one.by}' if one.by else ''}: resume it when that is over"
        yield Finding(f"{one.part} {one.name}".rstrip(), False, says, fatal=False)
    for name, count in orphaned.items():
        says = f"{count} results wait for it, but it is not configured; 'dicomnode jobs withdraw {name}' ends that"
        yield Finding(f"destination {name}", False, says)
    for name, count in held.items():
        says = f"{count} results are held until somebody decides: see 'dicomnode jobs held'"
        yield Finding(f"destination {name}", False, says, fatal=False)


def _port(config: Config) -> Finding:
    where = f"{config.node.host}:{config.node.port}"
    with socket.socket() as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((config.node.host, config.node.port))
        except OSError as fault:
            says = f"{where} cannot be used ({fault.strerror}); fine if the node is running already"
            return Finding("port", False, says, fatal=False)
    try:
        secured = server_context(config.reception.tls) is not None
    except ConfigError as fault:
        return Finding("port", False, str(fault))
    return Finding("port", True, f"{where} is free, {'TLS only' if secured else 'plain DICOM'}")


def _senders(config: Config) -> Iterator[Finding]:
    """Who may send that nobody vouches for."""
    what, tls = "senders", config.reception.tls
    if not config.sender:
        says = "none is listed: anyone who reaches the port may send; list them: [[sender]], ae_title, host"
        yield Finding(what, False, says, fatal=False)
    for sender in filter(_is_open, config.sender):
        says = f"{sender.ae_title} has no host: any machine that calls itself so may send; give it its host"
        yield Finding(what, False, says, fatal=False)
    if not tls.cert:
        says = "no TLS: images arrive in the clear, and an AE title is only what a sender says; see reception.tls"
        yield Finding(what, False, says, fatal=False)
    elif not tls.require_client_cert:
        says = "require_client_cert = false: senders are encrypted, but an AE title is only what a sender says"
        yield Finding(what, False, says, fatal=False)
    if config.sender and not any(map(_is_open, config.sender)):
        yield Finding(what, True, f"{len(config.sender)} listed, each with its host")


def _is_open(sender: Sender) -> bool:
    return not sender.host or ipaddress.ip_network(sender.host, strict=False).prefixlen == 0
