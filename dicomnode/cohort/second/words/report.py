"""A report of the second edition: the request and the reader's findings, apart."""

from __future__ import annotations

from dicomnode.cohort.patients import Patient
from dicomnode.cohort.reports import Report
from dicomnode.cohort.second.words.findings import write_findings
from dicomnode.cohort.second.words.indication import write_indication


def write_report(patient: Patient) -> Report:
    """Indication and findings of a patient of the second edition.

    ``Report.text`` holds both under their headings, by which :func:`dicomnode.clinical.sections.section` finds one
    again: the findings tell the image and do not exist when a node runs.
    """
    return Report(write_indication(patient), write_findings(patient))
