"""The names of the demonstration's studies; a module of its own, so that ``--help`` loads nothing else."""

from __future__ import annotations

from enum import StrEnum


class StudyName(StrEnum):
    """Which study is sent."""

    ICH = "ich"
    POST_THROMBECTOMY = "post-thrombectomy"
