"""The node's HTTP port, put together: what its pages ask beyond the database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from sqlalchemy.orm import Session

from dicomnode.app.context_shown import pages_of
from dicomnode.clinical.variables import VARIABLES
from dicomnode.config.whole import Config
from dicomnode.errors import BundleError
from dicomnode.ops.http.board import Board, KnownValue, ModelCard, StudyContext
from dicomnode.ops.http.server import HttpServer
from dicomnode.ops.readiness import Readiness
from dicomnode.ops.state import StateOf
from dicomnode.store.engine import Store
from dicomnode.zoo.registry import RegisteredBundle, Registry

CARD = "docs/README.md"


def http_server(config: Config, state_of: StateOf) -> HttpServer:
    """The HTTP port of a node, not started, with a connection to the database of its own.

    Raises
    ------
    ConfigError : a certificate, the token or the accounts cannot be used.
    """
    store = Store(config.database_url)

    def board_of(config: Config) -> Board:
        shelf = Shelf(config)
        return Board(
            config=config,
            store=store,
            state_of=state_of,
            readiness=Readiness(config, store),
            context_of=shelf.context_of,
            model_cards=shelf.cards,
        )

    return HttpServer(board_of(config), board_of)


class Shelf:
    """The models of a configuration, read when they are first asked for: their digests take a while."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @cached_property
    def _bundles(self) -> dict[str, RegisteredBundle | str]:
        names = dict.fromkeys(model for protocol in self._config.protocol for model in protocol.models)
        try:
            registry = Registry(self._config.bundle_paths, self._config.zoo.digests)
        except BundleError as fault:
            return dict.fromkeys(names, str(fault))
        found: dict[str, RegisteredBundle | str] = {}
        for name in names:
            try:
                found[name] = registry.get(name)
            except BundleError as fault:
                found[name] = str(fault)
        return found

    def cards(self) -> Sequence[ModelCard]:
        """The models that the protocols name."""
        return [self._card(name, bundle) for name, bundle in self._bundles.items()]

    def _card(self, name: str, bundle: RegisteredBundle | str) -> ModelCard:
        protocols = [protocol.name for protocol in self._config.protocol if name in protocol.models]
        if isinstance(bundle, str):
            return ModelCard(name=name, protocols=protocols, fault=bundle)
        manifest, path = bundle.manifest, bundle.manifest.path / CARD
        return ModelCard(
            name=manifest.name,
            version=manifest.version,
            digest=bundle.digest,
            pinned=bundle.pinned,
            research=manifest.research,
            trained_on=manifest.trained_on,
            protocols=protocols,
            card=path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "",
        )

    def context_of(self, session: Session, study_uid: str) -> StudyContext:
        """What is known of the patient of a study, and what the models ask for beside it."""
        pages = pages_of(session, self._config, study_uid)
        lines = [line for page in pages for line in page.known]
        known = [KnownValue(_label(one.name), one.value, one.source, one.observed_at, one.verdict) for one in lines]
        used = {one.name for one in lines if one.verdict == "used"}.union(*(page.derived for page in pages))
        bundles = [bundle for bundle in self._bundles.values() if isinstance(bundle, RegisteredBundle)]
        needs = [need for bundle in bundles for need in bundle.manifest.needs.variables]
        return StudyContext(known, list(dict.fromkeys(str(need.label) for need in needs if need.name not in used)))


def _label(name: str) -> str:
    """Of a variable, as a radiologist reads it; a section of a report has its name."""
    return VARIABLES[name].label if name in VARIABLES else name
