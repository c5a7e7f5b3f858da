"""The whole configuration, and the one that is built in."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from dicomnode.config.clinical import Clinical
from dicomnode.config.destinations import AnyDestination, DestinationTable
from dicomnode.config.operations import Operations
from dicomnode.config.priors import Priors
from dicomnode.config.protocols import HEAD_CT, Protocol
from dicomnode.config.sections import Database, Execution, Node, Reception, Section, Sender, Zoo


class Config(Section):
    """The whole configuration."""

    node: Node = Node()
    database: Database = Database()
    reception: Reception = Reception()
    sender: tuple[Sender, ...] = ()
    destination: tuple[DestinationTable, ...] = ()
    protocol: tuple[Protocol, ...] = ()
    execution: Execution = Execution()
    zoo: Zoo = Zoo()
    clinical: Clinical = Clinical()
    priors: Priors = Priors()
    operations: Operations = Operations()

    @model_validator(mode="after")
    def _several_share_a_server(self) -> Config:
        if self.node.name and not self.database.url.startswith("postgresql"):
            raise ValueError("node.name is for nodes that share a database: that must be PostgreSQL (database.url)")
        return self

    @property
    def database_url(self) -> str:
        """URL of the database; SQLite below ``data_dir`` when none is configured."""
        return self.database.url or f"sqlite:///{self.node.data_dir / 'node.db'}"

    @property
    def spool_dir(self) -> Path:
        """Folder of the received instances."""
        return self.node.data_dir / "spool"

    @property
    def work_dir(self) -> Path:
        """Folder of findings and encoded results."""
        return self.node.data_dir / "work"

    @property
    def models_dir(self) -> Path:
        """Folder of the imported models."""
        return self.node.data_dir / "models"

    @property
    def bundle_paths(self) -> tuple[Path, ...]:
        """Bundles and folders of bundles beyond the built-in ones: those named, and the imported ones."""
        return (*self.zoo.paths, *([self.models_dir] if holds_bundles(self.models_dir) else ()))

    @property
    def accounts_file(self) -> Path:
        """Who may use the status page: names, roles and hashes of passwords."""
        return self.node.data_dir / "accounts"

    @property
    def upgrades_dir(self) -> Path:
        """Folder of the copies of the database that are made before its schema changes."""
        return self.node.data_dir / "upgrades"

    @property
    def export_key_file(self) -> Path:
        """The key of the pseudonyms in exported cases."""
        return self.node.data_dir / "export.key"

    def destinations_of(self, protocol: Protocol) -> tuple[AnyDestination, ...]:
        """The destinations a protocol names, in its order; none of one that runs in shadow."""
        if protocol.shadow:
            return ()
        by_name = {destination.name: destination for destination in self.destination}
        return tuple(by_name[name] for name in protocol.destinations if name in by_name)

    def protocol_named(self, name: str) -> Protocol | None:
        """The protocol with this name, or None."""
        return next((protocol for protocol in self.protocol if protocol.name == name), None)


def holds_bundles(folder: Path) -> bool:
    """Whether a folder is a bundle or has bundles directly below it."""
    return any(any(folder.glob(f"{below}configs/metadata.json")) for below in ("", "*/"))


class BuiltInConfig(Config):
    """Without a file there is no node: ``data/models`` below the working directory is another program's."""

    @property
    def bundle_paths(self) -> tuple[Path, ...]:
        """Bundles beyond the built-in ones."""
        return self.zoo.paths


def built_in_config() -> Config:
    """What ``process`` and ``demo`` use without a file: one protocol for any non-contrast head CT."""
    return BuiltInConfig(protocol=(Protocol(name="head-ct", match=HEAD_CT, models=("hemorrhage",), priority="stat"),))
