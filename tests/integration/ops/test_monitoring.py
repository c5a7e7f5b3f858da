"""Alert rules and dashboard: each alert fires when it should, and every query names what the node exposes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from dicomnode.ops.devices import Devices, parsed
from dicomnode.ops.http.figures import Figures
from dicomnode.ops.http.warnings_counted import WarningsCounted
from dicomnode.ops.time_service import clock_quality
from tests.conftest import REPOSITORY

RULES = REPOSITORY / "deploy" / "prometheus"
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "dicomnode.json"
METRIC = re.compile(r"\bdicomnode_\w+")
LABELS = re.compile(r"(dicomnode_\w+)\{([^}]*)\}")
OF_PROMETHEUS = {"instance", "job", "le"}


def exposed() -> dict[str, set[str]]:
    """Every name that a scrape may hold, with its labels."""
    registry = CollectorRegistry()
    Figures(registry)
    WarningsCounted(registry)
    found = {}
    for collector in set(registry._collector_to_names):
        labels = set(collector._labelnames)
        for name in registry._collector_to_names[collector]:
            found[name] = labels
    return found


def queries() -> dict[str, str]:
    """Every query of the dashboard by its panel, and of the rules by its alert."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = {
        f"{one['title']} {target['refId']}": target["expr"] for one in dashboard["panels"] for target in one["targets"]
    }
    found |= {one["name"]: one["definition"] for one in dashboard["templating"]["list"] if "definition" in one}
    rules = (RULES / "dicomnode.rules.yml").read_text()
    expressions = re.findall(r"- alert: (\w+)\n        expr: (.*?)\n        (?:for|labels):", rules, re.DOTALL)
    return found | dict(expressions)


def test_every_query_of_dashboard_and_rules_names_a_metric_and_labels_that_the_node_exposes() -> None:
    known = exposed()
    every = queries()
    assert len(every) > 35
    for name, query in every.items():
        named = METRIC.findall(query)
        assert named or "up{" in query, name
        assert set(named) <= known.keys(), name
        for metric, selector in LABELS.findall(query):
            labels = set(re.findall(r"(\w+)\s*=~?", selector)) - OF_PROMETHEUS
            assert labels <= known[metric], (name, metric)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet() -> None:
    alerts = re.findall(r"- alert: (\w+)", (RULES / "dicomnode.rules.yml").read_text())
    cases = re.findall(r"- name: (\w+) (fires|quiet)", (RULES / "dicomnode.rules.test.yml").read_text())
    assert sorted(cases) == sorted((alert, what) for alert in alerts for what in ("fires", "quiet"))


@pytest.mark.tools
def test_promtool_has_nothing_against_the_rules_and_their_cases_hold() -> None:
    promtool = shutil.which("promtool")
    if promtool is None and "CI" not in os.environ:
        pytest.skip("promtool is not installed (tests/tools/debian_tools.sh installs it)")
    assert promtool is not None
    for command in (["check", "rules", "dicomnode.rules.yml"], ["test", "rules", "dicomnode.rules.test.yml"]):
        done = subprocess.run([promtool, *command], cwd=RULES, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_overlap_and_each_has_a_number_of_its_own() -> None:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    assert len({(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels}) == len(panels)


def test_memory_of_devices_is_read_as_nvidia_smi_prints_it(tmp_path: Path) -> None:
    first, second = parsed("0, 517, 143771\n1, 0, 24576\n")
    assert (first.device, second.device) == ("cuda:0", "cuda:1")
    assert (first.used, second.total) == (517 << 20, 24576 << 20)
    with pytest.raises(ValueError, match="invalid literal"):
        parsed("[N/A], 1, 2\n")
    assert Devices(tmp_path / "no card").memory() == ()


def test_the_kernel_tells_how_well_the_clock_is_kept() -> None:
    quality = clock_quality()
    assert quality is not None
    assert quality.error_s >= 0
