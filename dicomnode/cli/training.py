"""``train``, ``evaluate`` and ``manifest``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli.common import exit_codes, require_device, require_folder, require_known, training_extra
from dicomnode.errors import ConfigError

if TYPE_CHECKING:
    from dicomnode.train.manifest import Manifest

app = typer.Typer()
manifest_app = typer.Typer(help="The table of exams that training and evaluation read.", no_args_is_help=True)
app.add_typer(manifest_app, name="manifest")


@app.command()
def train(
    model: Annotated[
        str,
        typer.Argument(help="deterioration, edema, hemorrhage, hemorrhage-student or -paper, or prognosis."),
    ],
    manifest: Annotated[Path, typer.Option("--manifest", "-m", help="CSV file; see docs/training.md.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; the same call again goes on where it stopped.")],
    epochs: Annotated[
        int, typer.Option(min=0, help="At most; it stops early. 0, with --start: only what follows the epochs.")
    ] = 30,
    steps: Annotated[int, typer.Option(min=1, help="Batches of an epoch, where they are drawn.")] = 100,
    batch: Annotated[int, typer.Option(min=2, help="Slices or exams of a batch; even.")] = 16,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    patience: Annotated[int, typer.Option(min=0, help="Epochs without a better validation score; 0: never stop.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same training.")] = 1,
    folds: Annotated[int, typer.Option(min=0, help="5: five-fold cross-validation by patient.")] = 0,
    teacher: Annotated[
        Path | None, typer.Option(help="Weights of a teacher: train its noisy student on the unlabelled exams too.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Weights of another training to begin with, as far as they fit.")
    ] = None,
    averaging: Annotated[
        float, typer.Option(min=0.0, max=0.9999, help="Moving average of the weights, such as 0.998; 0: none.")
    ] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 0,
    skip_unusable: Annotated[bool, typer.Option(help="Leave out exams that cannot be used, and say which.")] = False,
) -> None:
    """Train a model on the exams of a manifest; weights and one report folder come out.

    Examples:

    `dicomnode train hemorrhage --manifest manifest.csv --out training`

    `dicomnode train hemorrhage --manifest manifest.csv --out cross-validation --folds 5`

    `dicomnode train deterioration --manifest manifest.csv --out training --batch 128`

    `dicomnode train edema --manifest manifest.csv --out training --batch 128`

    `dicomnode train followup --manifest pairs.csv --out taught --epochs 0 --start other/best.safetensors`

    `dicomnode train hemorrhage --manifest manifest.csv --out student --teacher training/best.safetensors`
    """
    with exit_codes(), training_extra():
        from dicomnode.train.engine import FitSettings
        from dicomnode.train.learners import learner_named
        from dicomnode.train.run import train_model
        from dicomnode.train.settings import TrainSettings

        require_folder("--out", out)
        require_device(device)
        if not epochs and start is None:
            raise ConfigError(["--epochs 0 trains nothing: name weights to begin with by --start"])
        fit = FitSettings(
            epochs=epochs, learning_rate=rate, patience=patience, seed=seed, device=device, averaging=averaging
        )
        settings = TrainSettings(
            fit=fit,
            steps=steps,
            batch=batch,
            folds=folds,
            teacher=teacher,
            start=start,
            workers=workers,
            skip_unusable=skip_unusable,
            progress=sys.stderr.isatty(),
        )
        typer.echo(str(train_model(manifest, out, learner_named(model), settings)))


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(help="deterioration, edema, hemorrhage, hemorrhage-student or -paper, or prognosis."),
    ],
    manifest: Annotated[Path, typer.Option("--manifest", "-m", help="CSV file; see docs/training.md.")],
    weights: Annotated[Path, typer.Option("--weights", "-w", help="A safetensors file, such as best.safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report.")],
    split: Annotated[str, typer.Option(help="train, validation, calibration, test, unlabelled or all.")] = "test",
    compare: Annotated[
        Path | None, typer.Option(help="results.csv of another model's report, to compare with exam by exam.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="calibration.json of the training: tell what the weights give as corrected, too."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 1,
    skip_unusable: Annotated[bool, typer.Option(help="Leave out exams that cannot be used, and say which.")] = False,
) -> None:
    """Score the exams of a manifest with given weights; one report folder comes out.

    Examples:

    `dicomnode evaluate hemorrhage -m manifest.csv -w training/best.safetensors -o report`

    `dicomnode evaluate hemorrhage -m m.csv -w student/best.safetensors -o report --compare training/report/results.csv`
    """
    with exit_codes(), training_extra():
        from dicomnode.train.learners import learner_named
        from dicomnode.train.manifest import Split
        from dicomnode.train.run import evaluate_model

        require_known("--split", split, [*Split, "all"])
        require_folder("--out", out)
        report = evaluate_model(
            manifest,
            weights,
            out,
            learner_named(model),
            split=None if split == "all" else Split(split),
            compare=compare,
            calibration=calibration,
            seed=seed,
            skip_unusable=skip_unusable,
            progress=sys.stderr.isatty(),
        )
        typer.echo(str(report))


@manifest_app.command("check")
def manifest_check(
    manifest: Annotated[Path, typer.Argument(help="CSV file; see docs/training.md.")],
    model: Annotated[str | None, typer.Option(help="Check what this model needs, too.")] = None,
) -> None:
    """List every fault of a manifest, or say how many exams stand in each split.

    Examples:

    `dicomnode manifest check manifest.csv`

    `dicomnode manifest check manifest.csv --model hemorrhage`
    """
    from collections import Counter

    with exit_codes():
        read = _read(manifest, model)
        count = Counter(case.split.value if case.split else "not drawn yet" for case in read.cases)
        parts = ", ".join(f"{name} {number}" for name, number in sorted(count.items()))
        patients = len({case.patient for case in read.cases})
        typer.echo(f"{len(read.cases)} exams of {patients} patients ({parts}){', synthetic' if read.synthetic else ''}")


def _read(manifest: Path, model: str | None) -> Manifest:
    if model is None:
        from dicomnode.train.manifest import read_manifest

        return read_manifest(manifest)
    with training_extra():
        from dicomnode.train.learners import learner_named
        from dicomnode.train.run import read_for

        return read_for(learner_named(model), manifest)


@manifest_app.command("import")
def manifest_import(
    layout: Annotated[str, typer.Argument(help="rsna2019, cq500, ct-ich, bhsd or cohort.")],
    folder: Annotated[Path, typer.Argument(help="Where the data set lies, as its owners give it out.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest to write.")] = Path("manifest.csv"),
) -> None:
    """Write the manifest of a public data set and show its licence. Nothing is downloaded.

    Example: `dicomnode manifest import ct-ich ./ct-ich-1.3.1 --out manifest.csv`
    """
    with exit_codes(), training_extra():
        from dicomnode.train.importers.layouts import import_layout

        typer.echo(import_layout(layout, folder, out).licence)
        typer.echo(str(out))
