"""The context of a job on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from dicomnode.execute.context import CONTEXT, KeptContext, load_context, save_context
from dicomnode.records import ContextSource, ContextText, ContextValue, PatientContext


def test_a_context_is_read_as_it_was_written(tmp_path: Path) -> None:
    value = ContextValue(name="gcs", value=10.0, source=ContextSource.FILE, unit="{score}", offset_s=-3600.0)
    text = ContextText(section="indication", text="weakness", source=ContextSource.FILE, written_at="2026-01-01")
    context = PatientContext(values=(value, replace(value, name="ivh", value=True, unit="")), texts=(text,))
    kept = KeptContext(context, 1767261600.0)
    save_context(tmp_path / "job-1" / CONTEXT, kept)
    assert load_context(tmp_path / "job-1" / CONTEXT) == kept
    assert json.loads((tmp_path / "job-1" / CONTEXT).read_text())["scanned_at"] == 1767261600.0
