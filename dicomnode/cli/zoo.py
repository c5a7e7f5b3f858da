"""``zoo``: the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import FAILED, AsJson, exit_codes, require_device, require_folder, require_known, user_here

BundlesOf = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Also the bundles of this configuration.", envvar="DICOMNODE_CONFIG"),
]

app = typer.Typer(help="The models: list them, read their cards, verify their digests.", no_args_is_help=True)


@app.command("list")
def zoo_list(
    config: BundlesOf = None,
    json: AsJson = False,
) -> None:
    """The models this node can run.

    Example: `dicomnode zoo list --config config.toml`
    """
    from dicomnode.app.models import bundles_table, registry_of

    with exit_codes():
        bundles_table(registry_of(config), as_json=json)


@app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="As in zoo list.")],
    config: BundlesOf = None,
    json: AsJson = False,
) -> None:
    """The card of a model: what it does, on what it was trained, its figures and limits.

    Example: `dicomnode zoo show hemorrhage`
    """
    from dicomnode.app.models import bundle_card, registry_of

    with exit_codes():
        bundle_card(registry_of(config), name, as_json=json)


@app.command("verify")
def zoo_verify(
    config: BundlesOf = None,
    json: AsJson = False,
) -> None:
    """Compare every bundle with its pinned digest and read its weights' header.

    Example: `dicomnode zoo verify --config config.toml`
    """
    from dicomnode.app.models import registry_of, verify_table

    with exit_codes():
        verify_table(registry_of(config), as_json=json)


@app.command("selftest")
def zoo_selftest(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="As in zoo list; without any, all models.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also the bundles of this configuration, on its device.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0; default: the first of the configuration.")] = "",
    record: Annotated[bool, typer.Option("--record", help="Keep what it answers now as the known answer.")] = False,
    json: AsJson = False,
) -> None:
    """Let the models read a head with a known answer; exit code 1 when an answer differs.

    Example: `dicomnode zoo selftest hemorrhage`
    """
    from dicomnode.app.models import selftest_page

    with exit_codes():
        require_device(device)
        raise typer.Exit(0 if selftest_page(names or [], config, device, keep=record, as_json=json) else FAILED)


@app.command("import")
def zoo_import(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Folder or zip file of a MONAI bundle for CT; with --layout blast-ct the files of weights, one a "
            "network.",
        ),
    ],
    layout: Annotated[
        str,
        typer.Option(
            help="monai: a bundle; blast-ct: weights of that tool (model_1.pt, model_1.torch_model, ...), whose "
            "networks are averaged."
        ),
    ] = "monai",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Import into the models folder of this node (data_dir/models)."),
    ] = None,
    into: Annotated[Path | None, typer.Option(help="Import into this folder instead.")] = None,
    name: Annotated[str, typer.Option(help="How the configuration calls it; default: from its metadata.")] = "",
    title: Annotated[str, typer.Option(help="What results call it; default: from its metadata.")] = "",
    finding: Annotated[
        list[str] | None,
        typer.Option(
            help="CHANNEL=CODE, a word such as hemorrhage, or VALUE,SCHEME,MEANING; may be given again. Where given, "
            "these channels alone are reported."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="CHANNEL=TEXT that the radiologist reads; may be given again.")
    ] = None,
    trained_on: Annotated[str, typer.Option(help="Stands in every result; default: data_source of its metadata.")] = "",
    cleared: Annotated[bool, typer.Option("--cleared", help="Do not mark its results as research.")] = False,
    any_body_part: Annotated[
        bool, typer.Option("--any-body-part", help="Run it on series without a brain within a skull, too.")
    ] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Its configuration may run as code on this machine.")] = False,
    json: AsJson = False,
) -> None:
    """Bring in a model of others: a MONAI bundle, or the weights of blast-ct.

    Without --trust a bundle is not taken: it is said what code it would run. Weights are no code and need no trust.

    Example: `dicomnode zoo import ./spleen.zip --config config.toml --finding 1=78961009,SCT,Spleen --trust`

    Example: `dicomnode zoo import --layout blast-ct model_1.pt model_2.pt model_3.pt --config config.toml`
    """
    from dicomnode.app.models import (
        by_channel,
        history_of,
        imported_page,
        known_names,
        models_folder,
        only_bundle,
        require_no_options_of_bundles,
    )
    from dicomnode.zoo.importing.blast_ct import import_weights
    from dicomnode.zoo.importing.foreign import ImportOptions
    from dicomnode.zoo.importing.importer import import_bundle
    from dicomnode.zoo.importing.layout import Layout, WeightsOptions

    with exit_codes():
        require_known("--layout", layout, Layout)
        folder = models_folder(config, into)
        require_folder("the models folder", folder)
        if Layout(layout) is Layout.BLAST_CT:
            others = {"--finding": finding, "--label": label, "--cleared": cleared}
            require_no_options_of_bundles({**others, "--any-body-part": any_body_part, "--trust": trust})
            said = WeightsOptions(name=name, title=title, trained_on=trained_on)
            with history_of(config) as note:
                imported = import_weights(sources, folder, said, known_names(config, folder))
                note(imported, user_here())
            imported_page(imported, named_folder=into, as_json=json)
            return
        options = ImportOptions(
            trusted=trust,
            name=name,
            title=title,
            findings=by_channel("--finding", finding or []),
            labels=by_channel("--label", label or []),
            trained_on=trained_on,
            research=not cleared,
            require_head=not any_body_part,
        )
        with history_of(config) as note:
            imported = import_bundle(only_bundle(sources), folder, options, known_names(config, folder))
            note(imported, user_here())
        imported_page(imported, named_folder=into, as_json=json)
