"""Every command line of the documentation is run: on a node that works, in the folder of its configuration.

What a line leaves to its reader (``JOB``, ``FILE``) is filled in; where a sentence names a command without what it
needs, that is given; cohorts are made small. What takes hours, ends the node, writes into the shipped bundles or needs
what is not here is run by other tests, named below.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer

from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.cli.main import app
from dicomnode.cohort.make import make_demo_study
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import STORESCU
from tests.acceptance.served import ServedNode
from tests.conftest import REPOSITORY
from tests.integration.receive.world import wait_until
from tests.tools.documented import block_lines, inline_lines, pages, words

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(3600)]

ROOT = typer.main.get_command(app)
ELSEWHERE = {
    "serve": "tests/acceptance/served.py",
    "drain": "tests/integration/app/test_life_cycle.py",
    "restore": "tests/integration/app/test_life_cycle.py",
    "demo": "tests/acceptance/test_admin.py",
    "init --ask": "tests/integration/cli/test_init.py",
    "init /etc": "tests/acceptance/test_admin.py",
    "init config.toml --pacs-ae ORTHANC --pacs-host 127.0.0.1 --pacs-port 4343": "tests/acceptance/test_admin.py",
    "train": "tests/integration/test_train_commands.py",
    "evaluate": "tests/integration/test_train_commands.py",
    "cohort make ./pairs": "tests/integration/test_train_followup.py",
    "manifest import cohort ./pairs": "tests/integration/test_train_followup.py",
    "manifest import ct-ich": "tests/integration/test_train_commands.py",
    "zoo import": "tests/integration/zoo/importing/test_imported_bundle.py",
    "zoo show blast_ct": "tests/acceptance/test_blast_ct.py",
    "zoo selftest spleen": "tests/integration/zoo/importing/test_imported_bundle.py",
    **dict.fromkeys(
        [f"zoo selftest {name} --record" for name in ("NAME", "deterioration", "edema", "hemorrhage", "prognosis")],
        "tests/integration/app/test_selftest.py",
    ),
}
"""Beginnings of lines, and where they are run."""
GIVEN = {
    "backup": "--out named.tar",
    "cohort make": "small --patients 1 --matrix 64",
    "context merge": "PRIOR DEMO",
    "context show": "DEMO0001",
    "destinations forget": "pacs",
    "destinations pause": "pacs",
    "destinations resume": "pacs",
    "alarms acknowledge": "1",
    "export-case": "1 --out named.zip",
    "init": "named.toml --pacs-ae PACS --pacs-host 10.1.2.3 --pacs-port 104",
    "jobs cancel": "1",
    "jobs discard": "1",
    "jobs release": "1 --identity ours",
    "jobs retry": "1",
    "jobs show": "1",
    "jobs withdraw": "pacs",
    "manifest check": "manifest.csv",
    "manifest import cohort": "./cohort --out named.csv",
    "operations password": "bert",
    "process": "head --out named",
    "process --context FILE": "head --out named",
    "protocols test": "head",
    "why": "DEMO0001",
    "zoo show": "hemorrhage",
}
"""What a command needs where a sentence only names it."""
FILLED = (
    (r"/etc/dicomnode/config\.toml|\bFILE$(?<=--config FILE)", "config.toml"),
    (r"/backup/", ""),
    (r"PATIENT\|ACCESSION|ACCESSION|(?<=why )ID|(?<=context show )ID", "DEMO0001"),
    (r"\bID\b|\bJOB\b|(?<=export-case )12\b", "1"),
    (r"\bNUMBER\b", "1"),
    (r"viewer\|admin", "viewer"),
    (r"FILE\.\.\.|FOLDER_WITH_A_HEAD_CT|\bFOLDER\b|\./head\b|(?<=process )images\b", "head"),
    (r"(?<=--protocol )NAME", "head-ct"),
    (r"(?<=operations password )NAME", "carl"),
    (r"(?<=destinations \w{5} )NAME|(?<=destinations \w{6} )NAME", "pacs"),
    (r"(?<=selftest )NAME", "hemorrhage"),
    (r"\bDIR\b", "results"),
    (r"(?<=cohort make )OUT", "made --patients 1 --matrix 64"),
    (r"(?<=manifest check )m\.csv", "manifest.csv"),
    (r"(?<=--context )FILE", "context.json"),
    (r"^(\S+)(.* --out )FILE", r"\1\2\1.file"),
    (r"(?<=-n )12000", "500"),
    (r"--patients \d+ (--seed \d+ --arm ich) --matrix \d+", r"--patients 2 \1 --matrix 96"),
)
"""What a reader puts in."""
MAY_REFUSE = ("alarms acknowledge", "context", "jobs", "destinations", "operations message", "cohort make", "init")
"""There may be nothing to do: no alarm, no job that failed, a file that is there already. Said in a sentence."""
FIRST = ("cohort make ./cohort", "manifest import cohort ./cohort", "export-case", "process")
"""What makes what other lines read, and what asks for the job before others change it."""
TOOLS = ("manifest", "cohort", "zoo selftest")


def lines() -> list[str]:
    """Every command line that the documentation has, each once; of ``list / show`` both."""
    found: dict[str, None] = {}
    for page in pages():
        text = page.read_text("utf-8")
        found |= dict.fromkeys(block_lines(text))
        for line in inline_lines(text):
            first, *others = line.split(" / ")
            above = "" if others and others[0].split()[0] in ROOT.commands else f"{first.split()[0]} "  # type: ignore[attr-defined]
            found |= dict.fromkeys([first, *(f"{above}{other}" for other in others)])
    return sorted(found)


def here() -> list[str]:
    """Those that are run here, what makes something first."""
    wanted = [line for line in lines() if not line.startswith(tuple(ELSEWHERE)) and is_command(line)]
    order = {line: next((at for at, one in enumerate(FIRST) if line.startswith(one)), len(FIRST)) for line in wanted}
    return sorted(wanted, key=lambda line: (order[line], line))


def is_command(line: str) -> bool:
    """Not only the name of a group of commands."""
    command: click.Command = ROOT  # type: ignore[assignment]
    for word in words(line.replace("'", " ")):
        command = getattr(command, "commands", {}).get(word, command)
    return not hasattr(command, "commands")


def filled(line: str) -> str:
    """A line as a reader would type it."""
    line = f"{line} {GIVEN[line]}" if line in GIVEN else line
    for what, by in FILLED:
        line = re.sub(what, by, line)
    return line


HERE = here()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """Has sent the results of the demo's head; an account and a folder with the head lie beside its configuration."""
    folder = tmp_path_factory.mktemp("node")
    head = make_demo_study(folder / "head", 7).paths
    with ReceivingPacs(folder / "pacs", "PACS") as pacs:
        destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
        served = ServedNode(
            folder,
            free_port(),
            [{**destination, "accept_research": True, "results": ["seg", "sr"]}],
            reception={"settle_s": 0.2},
            operations={"port": free_port()},
        )
        with served:
            served.start()
            sent = [STORESCU, "-aet", "CT1", "-aec", served.ae_title, "127.0.0.1", str(served.port), *map(str, head)]
            subprocess.run(sent, check=True, timeout=120)
            wait_until(lambda: set(served.states()) == {"done"}, 240)
            (folder / "context.json").write_text(json.dumps({"values": [{"name": "anticoagulant", "value": False}]}))
            yield served
            assert served.stop() == 0


@pytest.mark.parametrize("line", HERE)
def test_a_documented_command_runs(node: ServedNode, line: str) -> None:
    said = "a long enough one\n" if line.startswith("operations password") else ""
    typed = filled(line)
    if line.startswith("process"):  # each into a folder of its own
        typed = re.sub(r"--out \S+", f"--out processed-{HERE.index(line)}", typed)
    command = [sys.executable, "-m", "dicomnode", *words(typed)]
    done = subprocess.run(
        command,
        cwd=node.folder,
        env=node.environment if not line.startswith(TOOLS) else None,
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    told = f"{typed}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in told, told
    assert done.returncode in ((0, 1, 2) if line.startswith(MAY_REFUSE) else (0,)), told


@pytest.mark.parametrize("beginning", sorted(ELSEWHERE))
def test_what_is_not_run_here_is_run_elsewhere(beginning: str) -> None:
    assert any(line.startswith(beginning) for line in lines()), "no page shows it any more"
    text = (REPOSITORY / ELSEWHERE[beginning]).read_text("utf-8") + (REPOSITORY / "docs/admin.md").read_text("utf-8")
    name = beginning.split()[0]
    assert re.search(rf"\b{name}\b", text)
