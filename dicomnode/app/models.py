"""``dicomnode zoo``: what the registry knows, for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.markdown import Markdown

from dicomnode.app import show
from dicomnode.app.documents import print_document
from dicomnode.app.selftest import selftest
from dicomnode.config.load import load_config
from dicomnode.config.whole import built_in_config, holds_bundles
from dicomnode.errors import ConfigError
from dicomnode.execute.backends.local import ModelWorkerSettings
from dicomnode.language import model_name
from dicomnode.store.engine import Store
from dicomnode.store.opening import Schema, existing_store, schema_at
from dicomnode.store.ops.studies import note_deed
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.importing.importer import Imported, coded_as, threshold_of
from dicomnode.zoo.registry import BUILT_IN, RegisteredBundle, Registry

CARD = Path("docs/README.md")


def registry_of(config: Path | None) -> Registry:
    """The built-in bundles and those of a configuration.

    Raises
    ------
    BundleError : a bundle is at fault.
    ConfigError : the configuration is.
    """
    if config is None:
        return Registry()
    loaded = load_config(config, serving=False)
    return Registry(loaded.bundle_paths, loaded.zoo.digests, loaded.zoo.thresholds, loaded.zoo.horizons_h)


def bundles_table(registry: Registry, *, as_json: bool) -> None:
    """One line a bundle."""
    manifests = registry.list()
    if as_json:
        print_document({"models": [{**_plain(manifest), "from": _origin(manifest)} for manifest in manifests]})
        return
    show.table(
        "Models",
        ["name", "version", "what it does", "trained on", "cleared", "from"],
        [
            [m.name, m.version, m.title, m.trained_on, "no: research" if m.research else "yes", _origin(m)]
            for m in manifests
        ],
    )


def bundle_card(registry: Registry, name: str, *, as_json: bool) -> None:
    """The model card, with version and digest above it."""
    bundle = registry.get(name)
    if as_json:
        print_document({**_plain(bundle.manifest), "digest": bundle.digest, "parameters": bundle.parameters})
        return
    show.out.print(
        f"[bold]{name}[/bold] {bundle.manifest.version}, {bundle.parameters:,} parameters\n{bundle.digest}\n"
    )
    show.out.print(Markdown((bundle.manifest.path / CARD).read_text(encoding="utf-8")))


def verify_table(registry: Registry, *, as_json: bool) -> None:
    """Every bundle with its digest."""
    verified = registry.verify()
    if as_json:
        print_document({"models": [_verified(bundle) for bundle in verified]})
        return
    rows = [[b.manifest.name, b.manifest.version, b.digest, "pinned" if b.pinned else "not pinned"] for b in verified]
    show.table("Verified", ["name", "version", "digest", "configuration"], rows)


def _verified(bundle: RegisteredBundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {"name": manifest.name, "version": manifest.version, "digest": bundle.digest, "pinned": bundle.pinned}


def _origin(manifest: BundleManifest) -> str:
    if manifest.origin is not None:
        return "imported"
    return "built in" if manifest.path.is_relative_to(BUILT_IN) else "configured"


def by_channel(option: str, given: Sequence[str]) -> dict[int, str]:
    """``["1=hemorrhage"]`` -> ``{1: "hemorrhage"}``.

    Raises
    ------
    ConfigError : naming the option and what is wrong with it.
    """
    pairs = [text.partition("=") for text in given]
    wrong = [text for text, (number, _, value) in zip(given, pairs, strict=True) if not (number.isdigit() and value)]
    if wrong:
        raise ConfigError([f"{option} {wrong[0]}: use CHANNEL=TEXT, such as 1=hemorrhage"])
    return {int(number): value for number, _, value in pairs}


def models_folder(config: Path | None, into: Path | None) -> Path:
    """Where an import goes.

    Raises
    ------
    ConfigError : neither or both are given, or the configuration is wrong.
    """
    if (config is None) == (into is None):
        raise ConfigError(["give either --config FILE (the node's own models folder) or --into FOLDER"])
    if into is not None:
        return into
    assert config is not None
    return load_config(config, serving=False).models_dir


def only_bundle(sources: Sequence[Path]) -> Path:
    """The one bundle that is imported at a time.

    Raises
    ------
    ConfigError : there are several.
    """
    if len(sources) > 1:
        raise ConfigError([f"{sources[1]}: one bundle at a time; several files belong to --layout blast-ct"])
    return sources[0]


def require_no_options_of_bundles(given: Mapping[str, object]) -> None:
    """Refuse what says nothing about weights alone.

    Raises
    ------
    ConfigError : naming the options that were given all the same.
    """
    wrong = [option for option, value in given.items() if value]
    if wrong:
        raise ConfigError([f"{option}: belongs to a MONAI bundle, not to weights" for option in wrong])


def known_names(config: Path | None, folder: Path) -> set[str]:
    """Names that an imported model may not take."""
    registry = registry_of(config) if config is not None else Registry([folder] if holds_bundles(folder) else [])
    return {manifest.name for manifest in registry.list()}


@contextmanager
def history_of(config: Path | None) -> Iterator[Callable[[Imported, str], None]]:
    """Gives what writes into a node's history which model came in, and who (second argument) brought it in.

    Opened before the import: where the history cannot be written, nothing comes in. Without a configuration, and before
    the first start of a node, there is no history.

    Raises
    ------
    ConfigError : the configuration is wrong.
    DatabaseUnusable : see :func:`~dicomnode.store.opening.existing_store`.
    """
    loaded = None if config is None else load_config(config, serving=False)
    if loaded is None or schema_at(loaded.database_url) is Schema.NONE:
        yield lambda imported, user: None
        return
    with existing_store(loaded.database_url) as store:
        yield partial(_note_import, store)


def _note_import(store: Store, imported: Imported, user: str) -> None:
    manifest = imported.manifest
    came_as = "" if manifest.origin is None else f"{manifest.origin.name} {manifest.origin.version}"
    about = {"name": manifest.name, "version": manifest.version, "digest": imported.digest, "came_as": came_as}
    with store.write() as session:
        note_deed(session, "import", user, job_id=None, **about, research=manifest.research)


def imported_page(imported: Imported, *, named_folder: Path | None, as_json: bool) -> None:
    """What came in, and the lines for the configuration. ``named_folder``: where it is not the node's own."""
    manifest = imported.manifest
    if as_json:
        print_document({**_plain(manifest), "digest": imported.digest, "executed": imported.executed})
        return
    show.out.print(f"{manifest.name} {manifest.version} lies in {manifest.path}\n{imported.digest} (pinned)\n")
    rows = [[output.label, coded_as(output), threshold_of(output)] for output in manifest.gives]
    show.table("It gives", ["label", "coded as", "threshold"], rows)
    if manifest.research:
        show.out.print("Its results are marked research, not for diagnosis.")
    lines = [f"[zoo]\npaths = [{str(named_folder.absolute())!r}]"] if named_folder is not None else []
    lines += [f'[[protocol]]\nmodels = ["{manifest.name}"]']
    show.out.print("\nFor the configuration:\n" + "\n".join(lines), markup=False)


def selftest_page(names: Sequence[str], config: Path | None, device: str, *, keep: bool, as_json: bool) -> bool:
    """Run or record selftests; whether none failed.

    Raises
    ------
    BundleError : an unknown name, or an answer that is not worth keeping.
    ConfigError : ``keep`` without names, or the configuration is wrong.
    """
    if keep and not names:
        raise ConfigError(["--record needs the names of models"])
    loaded = built_in_config() if config is None else load_config(config, serving=False)
    # without the hours that are configured: the known answer is that of the bundle's own
    registry = Registry(loaded.bundle_paths if config is not None else (), loaded.zoo.digests, loaded.zoo.thresholds)
    names = [model_name(name) for name in names] or [manifest.name for manifest in registry.list()]
    execution = loaded.execution
    settings = ModelWorkerSettings(
        device=device or execution.devices[0],
        models=(),
        zoo_paths=loaded.bundle_paths if config is not None else (),
        zoo_digests=loaded.zoo.digests,
        zoo_thresholds=loaded.zoo.thresholds,
        cpu_threads=execution.cpu_threads,
        precision=execution.precision,
    )
    with show.err.status("making a head and asking the models"):
        verdicts = selftest(
            [registry.get(name) for name in names],
            settings,
            execution.run_timeout_s,
            execution.start_timeout_s,
            keep=keep,
        )
    if as_json:
        print_document({"selftests": verdicts})
    else:
        words = {True: "ok", False: "FAILED", None: "none"}
        show.table("Selftest", ["name", "answer", ""], [[v.name, words[v.ok], v.says] for v in verdicts])
    return all(verdict.ok is not False for verdict in verdicts)


def _plain(manifest: BundleManifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json")
