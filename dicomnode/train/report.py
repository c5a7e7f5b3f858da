"""One report folder: ``report.json``, ``report.md``, ``results.csv`` and the plots as PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from dicomnode.records import RESEARCH_NOTICE
from dicomnode.train import plots
from dicomnode.train.outputs.figures import Figures, by_group, differences_of, figures_of, titles_of
from dicomnode.train.outputs.output import Account, Output, Section, figures_of_all, truths_of_all
from dicomnode.train.results import Results, matched, write_results
from dicomnode.train.statistics import RESAMPLES, Difference, Estimate

TRAINING = "training.png"
NO_ACCURACY = "All figures come from **synthetic** exams; they say nothing about accuracy on patients."
MOST_SUBGROUPS = 12
"""A column with more words tells exams apart, not groups of them."""
History = Sequence[Mapping[str, float]]
"""Per epoch ``epoch``, ``loss``, ``score``, as ``engine.fit`` gives it."""
Named = tuple[str, Results]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a report is about.

    Attributes
    ----------
    synthetic : every figure of the report then says so.
    settings : what else shapes the figures, JSON-able.
    """

    title: str
    model: str
    data: str
    synthetic: bool
    seed: int = 1
    resamples: int = RESAMPLES
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """To be put after what a figure, table or plot shows."""
        return f" ({plots.SYNTHETIC})" if self.synthetic else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is said of some results."""

    results: Results
    figures: Mapping[str, Estimate]
    accounts: Mapping[str, Account]
    differences: Mapping[str, Difference]
    titles: Mapping[str, str]


def write_report(
    out: Path,
    about: About,
    results: Results,
    outputs: Sequence[Output],
    history: History = (),
    other: Named | None = None,
) -> Path:
    """Write the report folder.

    Parameters
    ----------
    outputs : what the model gives, as its learner says.
    other : name and results of a second model, to compare with on the same exams.

    Returns
    -------
    Path of ``report.md``.

    Raises
    ------
    ManifestError : the other model's results share no exam with these, or contradict them about a truth.
    """
    out.mkdir(parents=True, exist_ok=True)
    judged = _judged(about, results, outputs, other)
    write_results(out / "results.csv", results)
    write_json(out / "report.json", _content(about, judged, history, other))
    drawn = _draw(out, about, results, outputs, history, other)
    text = "\n\n".join(_sections(about, judged, figures_of_all(outputs), other, drawn)) + "\n"
    (out / "report.md").write_text(text, encoding="utf-8")
    return out / "report.md"


def _judged(about: About, results: Results, outputs: Sequence[Output], other: Named | None) -> Judged:
    figures, truths = figures_of_all(outputs), truths_of_all(outputs)
    titles, found = titles_of(figures), {}
    if other:
        found = differences_of(results, other[1], figures, truths, about.seed, about.resamples)
        pair = matched(results, other[1], truths)
        for output in outputs:
            for key, (title, difference) in output.other_differences(*pair).items():
                titles[key], found[key] = title, difference
    return Judged(
        results=results,
        figures=figures_of(results, figures, about.seed, about.resamples),
        accounts={output.name: output.account(results) for output in outputs},
        differences=found,
        titles=titles,
    )


def _content(about: About, judged: Judged, history: History, other: Named | None) -> dict[str, object]:
    return {
        "notice": RESEARCH_NOTICE,
        "about": asdict(about),
        "exams": len(judged.results),
        "patients": len({*judged.results.patients}),
        "figures": {name: asdict(figure) for name, figure in judged.figures.items()},
        "outputs": {name: account.content for name, account in judged.accounts.items()},
        "compared_with": other[0] if other else None,
        "differences": {name: asdict(difference) for name, difference in judged.differences.items()},
        "history": [dict(entry) for entry in history],
    }


def write_json(path: Path, content: object) -> None:
    """Write JSON in which what is not defined is null: JSON knows no NaN."""
    path.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _draw(
    out: Path,
    about: About,
    results: Results,
    outputs: Sequence[Output],
    history: History,
    other: Named | None,
) -> list[str]:
    sets = {about.model: results, **({other[0]: other[1]} if other else {})}
    drawn = [name for output in outputs for name in output.draw(out, sets, about.synthetic)]
    if history:
        plots.training_plot(out / TRAINING, history, about.synthetic)
        drawn.append(TRAINING)
    return drawn


def _sections(about: About, judged: Judged, figures: Figures, other: Named | None, drawn: Sequence[str]) -> list[str]:
    tables = [
        Section(
            ("figure", "value (95 % interval)"),
            [(judged.titles[name], figure.text()) for name, figure in judged.figures.items()],
        ),
        *(section for account in judged.accounts.values() for section in account.sections),
        *([_difference_section(about, judged, other[0])] if other else []),
        *subgroup_sections(judged.results, figures, about.seed, about.resamples),
    ]
    return [
        f"# {about.title}{about.kind}",
        f"{RESEARCH_NOTICE}. {NO_ACCURACY * about.synthetic}".strip(),
        f"Model: {about.model}. Data: {about.data}: {_counts(judged)}. Intervals: 95 %, bootstrap over patients, "
        f"{about.resamples} resamples, seed {about.seed}.",
        *(section_text(section, about.kind) for section in tables),
        *(picture_text(name, about.kind) for name in drawn),
    ]


def _counts(judged: Judged) -> str:
    counted = f"{len(judged.results)} exams of {len({*judged.results.patients})} patients"
    return ", ".join([counted, *(account.sentence for account in judged.accounts.values() if account.sentence)])


def _difference_section(about: About, judged: Judged, other: str) -> Section:
    rows = [
        (judged.titles[name], item.estimate.text(), _p_value(item.p_value)) for name, item in judged.differences.items()
    ]
    return Section((f"{about.model} minus {other}", "difference (95 % interval)", "p"), rows)


def subgroup_sections(results: Results, figures: Figures, seed: int, resamples: int) -> list[Section]:
    """For each column of words with two to ``MOST_SUBGROUPS`` of them: every figure in every subgroup."""
    sections = []
    for name in results.groups:
        parts = by_group(results, name)
        if 2 <= len(parts) <= MOST_SUBGROUPS:
            rows = [(word, *figure_row(part, figures, seed, resamples)) for word, part in parts.items()]
            sections.append(Section((name, "exams", *titles_of(figures).values()), rows))
    return sections


def figure_row(results: Results, figures: Figures, seed: int, resamples: int, digits: int = 2) -> tuple[str, ...]:
    """How many exams, then each figure with its interval, empty where it is not defined."""
    found = figures_of(results, figures, seed, resamples)
    texts = [found[figure.key].text(digits) if figure.key in found else "" for figure in figures]
    return (str(len(results)), *texts)


def _p_value(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:.4f}"


def section_text(section: Section, kind: str = "") -> str:
    """A table in Markdown.

    Parameters
    ----------
    kind : to be put after its first header, such as that its figures are of synthetic exams.
    """
    header = [f"{section.header[0]}{kind}", *section.header[1:]]
    lines = [header, ["---"] * len(header), *section.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture_text(name: str, kind: str = "") -> str:
    """A plot in Markdown."""
    return f"![{name.removesuffix('.png').replace('_', ' ')}{kind}]({name})"
