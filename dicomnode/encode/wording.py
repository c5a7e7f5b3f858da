"""The sentences of reports and pictures, in the language of the results: the same words wherever a finding is told.

What is said stands in :mod:`dicomnode.encode.words`, one table for each language; figures are rounded in
:mod:`dicomnode.measure.figures`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from dicomnode.decision import Decision, Grounds
from dicomnode.dicom import codes
from dicomnode.encode.translation import translated
from dicomnode.encode.words import english, german, german_scores
from dicomnode.encode.words.nouns import Noun
from dicomnode.errors import Refusal
from dicomnode.language import Language
from dicomnode.measure.figures import (
    SPECK_ML,
    decimals_of_ml,
    rounded_hu,
    rounded_ml,
    rounded_mm,
    rounded_probability,
)
from dicomnode.records import (
    BrainPart,
    Case,
    Contribution,
    Finding,
    ImageFinding,
    MaskFinding,
    ModelRef,
    NotApplicable,
    ReferenceScore,
    Region,
    ScoreFinding,
    ScoreInput,
    Side,
)

MOSTLY = 0.5
"""Share of a lesion in the ventricles from which it is said to lie there."""
LEAST_SHARE = 0.1
"""A region with less of a lesion is not named."""
MOST_CONTRIBUTIONS = 10
"""Inputs whose part in a score is told: beyond the largest lies noise."""
LEAST_SHIFT_MM = 2
"""A smaller midline shift is within the error of its measurement (``docs/anatomy.md``)."""

_TABLES = {Language.BRITISH: english, Language.AMERICAN: english, Language.GERMAN: german}


class Wording:
    """All that is said in one language."""

    def __init__(self, language: Language = Language.BRITISH) -> None:
        self.language = language

    # --- words and figures

    def say(self, key: str, **figures: object) -> str:
        """The sentence called ``key`` with its places filled in.

        Raises
        ------
        LookupError : there is no such sentence, or a place stays empty.
        """
        return self._spelled(_TABLES[self.language].SENTENCES[key].format(**figures))

    def _spelled(self, text: str) -> str:
        if self.language is Language.AMERICAN:
            for british, american in english.AMERICAN.items():
                text = text.replace(british, american)
        return text

    def number(self, value: float, decimals: int | None = None) -> str:
        """A figure with this many decimals, or as many as it has; Germans write a comma."""
        text = f"{value:g}" if decimals is None else f"{value:.{decimals}f}"
        return text.replace(".", ",") if self.language is Language.GERMAN else text

    def millilitres(self, volume_ml: float) -> str:
        """A volume: ``16.1 mL``, ``0.32 mL``."""
        return f"{self.number(rounded_ml(volume_ml), decimals_of_ml(volume_ml))} mL"

    def limit(self, finding: MaskFinding) -> str:
        """The detection limit as the bundle states it: ``0.5 mL``."""
        return f"{self.number(finding.detection_limit_ml)} mL"

    def millimetres(self, length_mm: float) -> str:
        """A length: ``37 mm``."""
        return f"{self.number(rounded_mm(length_mm), 0)} mm"

    def in_unit(self, value: float, unit: str) -> str:
        """A value as people read it: ``0.42``, ``42 %``, ``3``, ``16.1 mL``."""
        if unit == "1":
            return self.number(value, 2)
        if unit == "mL":
            return self.millilitres(value)
        return self.number(value) if unit.startswith("{") else f"{self.number(value)} {unit}"

    def noun(self, finding: MaskFinding) -> Noun:
        """How a finding is named within sentences; one that the tables do not know by its label."""
        concepts, table = codes.concepts_of(finding), _TABLES[self.language]
        forms = table.NOUNS.get(codes.known_as(finding)) or table.OTHER.of(concepts.noun)
        return Noun(*map(self._spelled, forms))

    def localised(self, case: Case) -> Case:
        """The case with its findings, what its models were trained on, and its reference scores in this language."""
        findings, reference = map(self._localised, case.findings), map(self._localised_score, case.reference)
        return replace(case, findings=tuple(findings), reference=tuple(reference))

    def _localised_score(self, score: ReferenceScore) -> ReferenceScore:
        inputs = (replace(item, label=self.text(item.label), value=self.text(item.value)) for item in score.inputs)
        return replace(
            score,
            label=self.text(score.label),
            meaning=self.text(score.meaning),
            working=self.text(score.working),
            headline=self.text(score.headline),
            inputs=tuple(inputs),
            missing=tuple(map(self.text, score.missing)),
        )

    def text(self, told: str) -> str:
        """What was told in English; figures as this language writes them."""
        if self.language is Language.GERMAN:
            return translated(told, german_scores.SCORES, lambda figure: figure.replace(".", ","))
        return self._spelled(str(told))

    def _localised(self, finding: Finding) -> Finding:
        model = finding.model
        trained_on = self._translated(model.trained_on, model.translations)
        label = self._translated(finding.label, finding.translations)
        return replace(finding, label=label, model=replace(model, trained_on=trained_on))

    def _translated(self, text: str, translations: tuple[tuple[str, str], ...]) -> str:
        return dict(translations).get(self.language) or self._spelled(text)

    def refusal(self, refusal: Refusal) -> str:
        """Why something was refused."""
        own = german.REFUSALS.get(refusal) if self.language is Language.GERMAN else None
        return own or self._spelled(refusal.sentence())

    # --- what every result says

    @cached_property
    def research(self) -> str:
        """``Research, not for diagnosis``."""
        return self.say("research")

    def disclaimer(self) -> str:
        """The limits of use."""
        return self.say("disclaimer", research=self.research)

    def notice(self) -> str:
        """The limits of use, and how volumes are measured."""
        return f"{self.disclaimer()} {self.say('how volumes are measured')}"

    def series(self, key: str, findings: tuple[MaskFinding, ...] = ()) -> str:
        """SeriesDescription of a kind, without the word about research; of one finding it has its name."""
        if f"{key} of several" not in _TABLES[self.language].SENTENCES:
            return self.say(key)
        if len(findings) != 1:
            return self.say(f"{key} of several")
        return self.say(key, noun=self.noun(findings[0]).plain)

    # --- the decision

    def headline(self, finding: MaskFinding) -> str:
        """The answer in one line."""
        noun, grounds = self.noun(finding), finding.grounds
        volume = "" if finding.total is None else self.millilitres(finding.total.volume_ml)
        if grounds is Grounds.EXAM_BELOW:
            return self.say("headline uncertain marks", volume=volume, possible=noun.possible)
        if grounds is Grounds.NO_MARKS:
            return self.say("headline uncertain exam", possible=noun.possible)
        if finding.decision is Decision.POSITIVE:
            return self.say("headline positive", label=finding.label, volume=volume)
        return self.say("headline negative hidden" if finding.may_be_contrast else "headline negative", none=noun.none)

    def subline(self, finding: MaskFinding) -> str:
        """What stands below the headline."""
        if finding.grounds is Grounds.EXAM_BELOW:
            return self.say("subline uncertain marks", lesions=self.lesion_count(finding))
        if finding.grounds is Grounds.NO_MARKS:
            return self.say("subline uncertain exam")
        if finding.decision is Decision.POSITIVE:
            return self.lesion_count(finding)
        return self._and_hidden(finding, self._subline_negative(finding))

    def _subline_negative(self, finding: MaskFinding) -> str:
        excluded = self.noun(finding).excluded
        if finding.dense_pieces:
            return self.say("subline negative dense", excluded=excluded, **self._dense(finding))
        return self.say("subline negative", excluded=excluded)

    def _and_hidden(self, finding: MaskFinding, text: str) -> str:
        """With the warning that belongs to a negative answer where contrast medium may lie above blood."""
        return f"{text} {self.say('hidden by contrast')}" if finding.may_be_contrast else text

    def impression(self, finding: MaskFinding) -> str:
        """What the exam comes to and why: the marks or that there are none, and how likely the exam shows it at all."""
        return " ".join(
            filter(None, (self._marked(finding), self.exam_sentence(finding), self.dense_sentence(finding)))
        )

    def _marked(self, finding: MaskFinding) -> str:
        noun, limits = self.noun(finding), self.limits(finding)
        lesions = self.lesion_count(finding)
        volume = "" if finding.total is None else self.millilitres(finding.total.volume_ml)
        if finding.grounds is Grounds.EXAM_BELOW:
            return self.say("marked uncertain", volume=volume, possible=noun.possible, lesions=lesions)
        if finding.grounds is Grounds.NO_MARKS:
            return self.say("unmarked uncertain", noun=noun.plain, excluded=noun.excluded, limits=limits)
        if finding.decision is Decision.POSITIVE:
            return self.say("marked positive", label=finding.label, volume=volume, lesions=lesions)
        return self._and_hidden(
            finding, self.say("marked negative", none=noun.none, excluded=noun.excluded, limits=limits)
        )

    def exam_sentence(self, finding: MaskFinding) -> str:
        """``Exam probability 0.93, at or above its threshold 0.40.``, or that the bundle gives none."""
        if finding.exam_probability is None or finding.exam_threshold is None:
            return self.say("no exam probability")
        side = "at or above" if finding.exam_probability >= finding.exam_threshold else "below"
        return self.say(
            f"exam {side}", probability=self.exam_figure(finding), threshold=self.number(finding.exam_threshold)
        )

    def exam_figure(self, finding: MaskFinding) -> str:
        """The exam probability on the side of its threshold, so that no sentence contradicts its own figures."""
        assert finding.exam_probability is not None
        return self.number(rounded_probability(finding.exam_probability, finding.exam_threshold), 2)

    def dense_sentence(self, finding: MaskFinding) -> str:
        """What was marked but is too dense to be the finding; empty where nothing is."""
        if not finding.dense_pieces:
            return ""
        return self.say("dense", noun=self.noun(finding).plain, **self._dense(finding))

    def _dense(self, finding: MaskFinding) -> dict[str, str]:
        count = finding.dense_pieces
        pieces = self.say("piece") if count == 1 else self.say("pieces", count=count)
        return {"pieces": pieces, "volume": self.millilitres(finding.dense_ml)}

    def dense_row(self, finding: MaskFinding) -> str:
        """``2 pieces, 0.42 mL``."""
        return "{pieces}, {volume}".format(**self._dense(finding))

    def nothing_marked(self, finding: MaskFinding) -> str:
        """That no lesion reached the limit, with the limits."""
        return self.say("nothing marked", none=self.noun(finding).none, limits=self.limits(finding))

    def limits(self, finding: MaskFinding) -> str:
        """``detection limit 0.5 mL, threshold 0.5``."""
        return self.say("limits", limit=self.limit(finding), threshold=self.number(finding.threshold))

    def lesion_count(self, finding: MaskFinding) -> str:
        """``1 lesion`` or ``3 lesions`` of at least the detection limit."""
        count, limit = len(finding.lesions), self.limit(finding)
        return self.say("lesion", limit=limit) if count == 1 else self.say("lesions", count=count, limit=limit)

    def segment_label(self, finding: MaskFinding) -> str:
        """What a viewer lists the marks as; uncertain ones say so."""
        if finding.decision is Decision.UNCERTAIN:
            return self.say("uncertain label", label=finding.label)
        return finding.label

    # --- regions

    def measurements(self, region: Region, images: str) -> str:
        """All figures of a region in one sentence.

        Parameters
        ----------
        images : where it lies, such as ``image 11-17``.
        """
        length = self.millimetres(region.longest_diameter_mm)
        parts = [self.millilitres(region.volume_ml), self.estimate(region)]
        parts += [self.say("longest diameter", length=length), self.attenuation(region), self.across(region)]
        parts += [self.place(region), self.spread(region)]
        return f"{'; '.join(part for part in parts if part)}; {images}."

    def attenuation(self, region: Region) -> str:
        """Mean and, of what is no speck, maximum."""
        mean = self.number(rounded_hu(region.mean_hu), 0)
        if is_speck(region):
            return self.say("mean attenuation", mean=mean)
        return self.say("attenuation", mean=mean, maximum=self.number(rounded_hu(region.max_hu), 0))

    def across(self, region: Region) -> str:
        """``31 HU across the midline``; empty where it was not measured, and of a speck."""
        if region.mirror_hu is None or is_speck(region):
            return ""
        return self.say("across", hu=self.number(rounded_hu(region.mirror_hu), 0))

    def place(self, region: Region) -> str:
        """``left, basal ganglia``; ``left, middle third`` where the region is not known.

        Of what has no side of its own, none is said: ``brainstem``. What lies in the ventricles for the most part is
        said to lie there.
        """
        where = self.parts(region) or ("" if region.level is None else self.say(region.level))
        side = None if region.side is Side.MIDLINE and region.parts == (BrainPart.BRAINSTEM,) else region.side
        return ", ".join(part for part in ("" if side is None else self.say(side), where) if part)

    def parts(self, region: Region) -> str:
        """``basal ganglia``, ``frontal lobe or parietal lobe``, ``ventricles``; empty where it is not known."""
        if (region.ventricular_share or 0.0) >= MOSTLY:
            return self.say("ventricles")
        first, *others = [self.say(part) for part in region.parts] or [""]
        return self.say("or", one=first, other=others[0]) if others else first

    def spread(self, region: Region) -> str:
        """``frontal lobe 71 %, ventricles 29 %``: how a lesion spreads; empty where it lies in one region."""
        inner = ((self.say("ventricles"), region.ventricular_share or 0.0),)
        shares = [*((self.say(part), share) for part, share in region.shares), *inner]
        told = [(name, round(100 * share)) for name, share in shares if share >= LEAST_SHARE]
        return ", ".join(f"{name} {percent} %" for name, percent in told) if len(told) > 1 else ""

    def shift(self, finding: MaskFinding) -> str:
        """``3 mm to the left``, ``none of 2 mm or more``, or that it could not be measured; empty without a frame."""
        if finding.head is None:
            return ""
        if finding.head.midline_shift_mm is None:
            return self.say("shift unseen")
        length_mm = round(finding.head.midline_shift_mm)
        if abs(length_mm) < LEAST_SHIFT_MM:
            return self.say("shift none", length=f"{LEAST_SHIFT_MM} mm")
        return self.say("shift to the left" if length_mm > 0 else "shift to the right", length=f"{abs(length_mm)} mm")

    def evans(self, finding: MaskFinding) -> str:
        """``0.31``; empty where it could not be measured."""
        if finding.head is None or finding.head.evans_index is None:
            return ""
        return self.number(round(finding.head.evans_index, 2), 2)

    def hypodense(self, finding: MaskFinding) -> str:
        """``about 5 %``, ``less than 1 %``; empty where it was not measured."""
        if finding.head is None or finding.head.hypodense_percent is None:
            return ""
        percent = round(finding.head.hypodense_percent)
        return self.say("hypodense", percent=percent) if percent else self.say("hypodense none")

    def hypodense_figure(self, finding: MaskFinding) -> str:
        """``5 %``, ``less than 1 %``; empty where it was not measured."""
        if finding.head is None or finding.head.hypodense_percent is None:
            return ""
        percent = round(finding.head.hypodense_percent)
        return f"{percent} %" if percent else self.say("hypodense none")

    def head_lines(self, finding: MaskFinding) -> dict[str, str]:
        """What the head shows as a whole, a sentence each, by the name of the reference score that judges it."""
        shift, evans, dark = self.shift(finding), self.evans(finding), self.hypodense(finding)
        lines = {"midline_shift": self.say("shift line", shift=shift)} if shift else {}
        lines |= {"evans_index": self.say("evans line", evans=evans)} if evans else {}
        return lines | ({"hypodense_share": self.say("hypodense line", share=dark)} if dark else {})

    def estimate(self, region: Region) -> str:
        """ABC/2 and how far it is from the volume: ``ABC/2 17.0 mL (+0.90 mL, +6 %)``; empty where it says nothing."""
        if region.abc2_ml is None or is_speck(region):
            return ""
        volume_ml, abc2_ml = rounded_ml(region.volume_ml), rounded_ml(region.abc2_ml)
        difference_ml = abc2_ml - volume_ml
        share = f", {100 * difference_ml / volume_ml:+.0f} %"
        sign = "+" if difference_ml >= 0 else "-"
        difference = f"{sign}{self.millilitres(abs(difference_ml))}"
        return self.say("estimate", volume=self.millilitres(abc2_ml), difference=difference, share=share)

    def lesion_name(self, finding: MaskFinding, index: int) -> str:
        """Tracking identifier of lesion ``index`` (0-based): ``Intracranial haemorrhage, lesion 1``."""
        return self.say("lesion name", label=finding.label, number=index + 1)

    # --- scores, predicted scans, models

    def score_sentence(self, score: ScoreFinding) -> str:
        """Value, interval, threshold and category of a score in one sentence."""
        parts = [f"{score.label}: {self.in_unit(score.value, score.unit)}"]
        if score.interval is not None:
            low, high = (self.in_unit(limit, score.unit) for limit in score.interval)
            parts.append(self.say("interval", low=low, high=high))
        if score.threshold is not None:
            side = "score at or above" if score.value >= score.threshold else "score below"
            parts.append(self.say(side, threshold=self.in_unit(score.threshold, score.unit)))
        if score.category is not None:
            parts.append(score.category[2])
        return f"{'; '.join(parts)}."

    def contribution_phrases(self, score: ScoreFinding) -> list[str]:
        """The largest contributions, each as ``D-dimer +0.04``."""
        largest = score.contributions[:MOST_CONTRIBUTIONS]
        return [f"{self.text(one.label)} {self.change(one, score.unit)}" for one in largest]

    def change(self, contribution: Contribution, unit: str) -> str:
        """``+0.04``: in the unit of the score, its sign always told."""
        return f"{'+' if contribution.change >= 0 else '-'}{self.in_unit(abs(contribution.change), unit)}"

    def contributions(self, score: ScoreFinding) -> str:
        """The largest contributions in one sentence."""
        return self.say("contributions", label=score.label, contributions=", ".join(self.contribution_phrases(score)))

    def prediction_sentence(self, image: ImageFinding) -> str:
        """That there is a predicted scan, and that it is none."""
        return self.say("prediction", label=image.label, horizon=image.horizon)

    def reference_sentence(self, reference: ReferenceScore) -> str:
        """A reference score with what it means; its range where an input is missing."""
        label, meaning = reference.label, reference.meaning
        if reference.value is not None:
            return f"{label}: {self.in_unit(reference.value, reference.unit)}. {meaning}"
        if reference.possible is None:
            return self.say("reference unknown", label=label, meaning=meaning)
        low, high = (self.in_unit(limit, reference.unit) for limit in reference.possible)
        by_two_volumes = bool(reference.inputs) and not reference.missing
        key = "reference range by two volumes" if by_two_volumes else "reference range"
        return self.say(key, label=label, low=low, high=high, meaning=meaning)

    def input_phrase(self, item: ScoreInput) -> str:
        """``Glasgow Coma Scale 12 (HL7, 2026-11-28T02:10+01:00, 1.3 h before the scan)``."""
        parts = (self.source(item.source), item.observed_at, self.offset_phrase(item.offset_s))
        return f"{self.text(item.label)} {self.text(item.value)} ({', '.join(filter(None, parts))})"

    def source(self, name: str) -> str:
        """Where a value comes from."""
        return german_scores.SOURCES.get(name, name) if self.language is Language.GERMAN else str(name)

    def offset_phrase(self, offset_s: float | None) -> str:
        """``20 min before the scan``, ``1.3 h after the scan``, ``3 d before the scan``; empty where it is unknown."""
        if offset_s is None:
            return ""
        return self.say("before the scan" if offset_s < 0 else "after the scan", amount=self.amount_of_time(offset_s))

    def amount_of_time(self, seconds: float) -> str:
        """``20 min``, ``1.3 h``, ``3 d``, whatever its sign."""
        minutes = abs(seconds) / 60
        if minutes < 60:
            return f"{self.number(minutes, 0)} min"
        return f"{self.number(minutes / 60, 1)} h" if minutes < 2880 else f"{self.number(minutes / 1440, 0)} d"

    def possible(self, reference: ReferenceScore) -> str:
        """A reference score as a figure: ``4``, ``3 to 5``; empty where it cannot be computed."""
        if reference.value is not None:
            return self.in_unit(reference.value, reference.unit)
        if reference.possible is None:
            return ""
        low, high = (self.in_unit(limit, reference.unit) for limit in reference.possible)
        return self.say("range", low=low, high=high)

    def not_applicable_sentence(self, finding: NotApplicable) -> str:
        """That a finding is not given for this patient, and why: nobody shall take silence for "nothing found"."""
        return self.say("not applicable", label=finding.label, why=self.why_not_applicable(finding))

    def why_not_applicable(self, finding: NotApplicable) -> str:
        """The reason in one sentence, with what is known of it in brackets."""
        own = german.INAPPLICABLE.get(finding.reason) if self.language is Language.GERMAN else None
        detail = f" ({finding.detail})" if finding.detail else ""
        return f"{(own or finding.reason.sentence()).removesuffix('.')}{detail}."


def is_speck(region: Region) -> bool:
    """Whether a region is too small for figures beyond its size."""
    return region.volume_ml < SPECK_ML


def is_probability(score: ScoreFinding) -> bool:
    """Whether the score is a probability, 0..1."""
    return score.unit == "1" and 0 <= score.value <= 1


def model_line(model: ModelRef) -> str:
    """Name, version and digest of a model."""
    return f"{model.name} {model.version} ({model.title}), {model.digest}"


def parameters_of(finding: MaskFinding) -> dict[str, str]:
    """What the algorithm ran with (TID 4019 row Algorithm Parameters)."""
    dense = {"dense": finding.dense_rule} if finding.dense_rule else {}
    return {
        "bundle": finding.model.digest,
        "threshold": f"{finding.threshold:g}",
        "detection_limit_ml": f"{finding.detection_limit_ml:g}",
        **dense,
    }
