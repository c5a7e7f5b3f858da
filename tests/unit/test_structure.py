"""Who imports whom, read off the source: the rule of the architecture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dicomnode
from tests.tools.imports import Sources, part_of

PACKAGE = Sources(Path(dicomnode.__file__).parent, left_out=frozenset({"migrations"}))
"""Migrations are run by Alembic, not imported."""

RANKS = {
    **dict.fromkeys(("errors", "environment", "decision", "language", "logs", "records", "kinds", "config"), 0),
    "dicom": 1,
    **dict.fromkeys(("images", "measure", "store", "web"), 2),
    **dict.fromkeys(("receive", "assemble", "clinical", "zoo", "encode", "deliver", "cohort"), 3),
    **dict.fromkeys(("execute", "ops", "train"), 4),
    "app": 5,
    "cli": 6,
    "__main__": 7,
}
"""A part imports what ranks below it, and itself; those at the bottom may know each other."""

ONLY_IN = {
    "torch": ("zoo", "train", "execute.model_worker"),
    "monai": ("zoo", "train"),
    "highdicom": ("encode",),
    "pynetdicom": ("receive", "deliver", "app.demo_pacs", "dicom.libraries"),
    "sqlalchemy": ("store", "receive", "assemble", "deliver", "ops", "execute", "app", "cli"),
    "httpx": ("web",),
    "starlette": ("ops.http",),
    "uvicorn": ("ops.http",),
    "jinja2": ("ops.http",),
    "argon2": ("ops.http",),
    "prometheus_client": ("ops.http",),
    "hl7": ("clinical",),
    "apscheduler": ("ops",),
    "typer": ("cli",),
    "dicomanonymizer": ("dicom.deidentify",),
    "SimpleITK": ("zoo.registration",),
    "ray": ("execute.ray",),
}


def test_every_part_of_the_package_has_its_place() -> None:
    assert {part_of(name) for name in PACKAGE.modules if name} == set(RANKS)


def test_a_part_imports_only_what_ranks_below_it() -> None:
    assert PACKAGE.upward(RANKS) == []


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    importers = {one.importer for one in PACKAGE.imports if one.imported.partition(".")[0] == library and not one.named}
    assert importers, f"nothing imports {library}: the rule is out of date"
    allowed = ONLY_IN[library]
    assert {name for name in importers if not any(f"{name}.".startswith(f"{place}.") for place in allowed)} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert len(PACKAGE.graph) > 50
    assert PACKAGE.circles() == []


def test_only_the_command_line_imports_parts_of_the_package_inside_functions() -> None:
    # What is not this package may wait for its use: nibabel, say, is installed with an extra only. The command's own
    # module imports the rest when it is called, since every worker imports it again.
    local = [one for one in PACKAGE.imports if one.local and PACKAGE.is_own(one.imported)]
    assert {part_of(one.importer) for one in local} == {"__main__", "cli"}


def test_rows_are_locked_in_one_place_where_their_order_stands() -> None:
    # Who passes over locked rows waits for none, and needs no order.
    waiting = re.compile(r"with_for_update(?!\([^()]*skip_locked=True\))")
    found = {name for name, path in PACKAGE.modules.items() if waiting.search(path.read_text(encoding="utf-8"))}
    assert found == {"store.locks"}


def made_up(folder: Path, **sources: str) -> Sources:
    """A package ``made`` with one file per keyword; ``__`` stands for a folder, ``face`` for ``__init__``."""
    for name, text in sources.items():
        *folders, last = name.split("__")
        path = folder.joinpath("made", *folders, "__init__.py" if last == "face" else f"{last}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Sources(folder / "made")


def test_a_circle_of_two_modules_is_seen(tmp_path: Path) -> None:
    made = made_up(tmp_path, one="import made.two", two="from made.one import x")
    assert made.circles() == ["one -> two -> one"]


def test_a_circle_through_the_face_of_a_package_is_seen(tmp_path: Path) -> None:
    inner = "from made.box.low import y\nx = y"
    made = made_up(tmp_path, box__face="from made.box.inner import x", box__inner=inner, box__low="y = 1")
    assert made.circles() == ["box -> box.inner -> box"]


def test_a_circle_through_the_face_of_another_package_is_seen(tmp_path: Path) -> None:
    made = made_up(tmp_path, box__face="import made.user", box__plain="x = 1", user="from made.box.plain import x")
    assert made.circles() == ["box -> user -> box"]


def test_modules_below_an_empty_face_are_no_circle(tmp_path: Path) -> None:
    made = made_up(tmp_path, face="", box__face="", box__inner="from made.box.low import y", box__low="y = 1")
    assert made.graph["box.inner"] == {"", "box", "box.low"}
    assert made.circles() == []


@pytest.mark.parametrize(
    "statement",
    [
        "from made.high import x",
        "def late():\n    import made.high",
        "import importlib\nimportlib.import_module('made.high')",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'made.high', 'now'])",
        "PROGRAM = 'made.high'",
    ],
)
def test_an_import_that_points_up_is_seen_however_it_is_written(tmp_path: Path, statement: str) -> None:
    made = made_up(tmp_path, low=statement, high="x = 1")
    wrong = made.upward({"low": 1, "high": 2})
    assert len(wrong) == 1
    assert wrong[0].startswith("low line ")


@pytest.mark.parametrize(
    "line", ['{"_target_": "made.high.Thing"}', '["$import made.high"]', '{"x": "$made.high.thing(@volume)"}']
)
def test_a_json_file_that_names_code_above_it_is_seen(tmp_path: Path, line: str) -> None:
    made = made_up(tmp_path, low__face="", high="class Thing: ...")
    (tmp_path / "made/low/inference.json").write_text(line)
    assert len(made.upward({"low": 1, "high": 2})) == 1
    assert made.upward({"low": 3, "high": 2}) == []


def test_neighbours_of_one_rank_never_import_each_other_but_at_the_bottom(tmp_path: Path) -> None:
    made = made_up(tmp_path, left="import made.right", right="")
    assert len(made.upward({"left": 1, "right": 1})) == 1
    assert made.upward({"left": 0, "right": 0}) == []
