"""``dicomnode zoo``: what the registry knows, for people and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.markdown import Markdown

from dicomnode.app import show
from dicomnode.config import load_config
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.registry import Registry

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
    zoo = load_config(config, serving=False).zoo
    return Registry(zoo.paths, zoo.digests)


def bundles_table(registry: Registry, *, as_json: bool) -> None:
    """One line a bundle."""
    manifests = registry.list()
    if as_json:
        show.as_json([_plain(manifest) for manifest in manifests])
        return
    show.table(
        "Models",
        ["name", "version", "what it does", "trained on", "cleared"],
        [[m.name, m.version, m.title, m.trained_on, "no: research" if m.research else "yes"] for m in manifests],
    )


def bundle_card(registry: Registry, name: str, *, as_json: bool) -> None:
    """The model card, with version and digest above it."""
    bundle = registry.get(name)
    if as_json:
        show.as_json({**_plain(bundle.manifest), "digest": bundle.digest, "parameters": bundle.parameters})
        return
    show.out.print(
        f"[bold]{name}[/bold] {bundle.manifest.version}, {bundle.parameters:,} parameters\n{bundle.digest}\n"
    )
    show.out.print(Markdown((bundle.manifest.path / CARD).read_text(encoding="utf-8")))


def verify_table(registry: Registry, *, as_json: bool) -> None:
    """Every bundle with its digest."""
    verified = registry.verify()
    if as_json:
        show.as_json([{"name": b.manifest.name, "digest": b.digest, "pinned": b.pinned} for b in verified])
        return
    rows = [[b.manifest.name, b.manifest.version, b.digest, "pinned" if b.pinned else "not pinned"] for b in verified]
    show.table("Verified", ["name", "version", "digest", "configuration"], rows)


def _plain(manifest: BundleManifest) -> dict[str, Any]:
    plain: dict[str, Any] = TypeAdapter(BundleManifest).dump_python(manifest, mode="json")
    return plain
