"""The figures of ``/metrics``: names, labels and buckets. No label holds anything of a patient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800, 3600, 14400, 86400)


class Figures:
    """One set of figures in a registry of its own. Counters and histograms begin with the node."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"dicomnode_{name}", says, labels, registry=registry)

        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"dicomnode_{name}", says, labels, registry=registry)

        def histogram(name: str, says: str, *labels: str) -> Histogram:
            return Histogram(f"dicomnode_{name}", says, labels, registry=registry, buckets=SECONDS)

        self.images = counter("images_received", "Images stored, by sender", "sender")
        self.image_bytes = counter("image_bytes_received", "Bytes of images stored, by sender", "sender")
        self.refused = counter("refused", "Series and jobs refused, by coded reason", "subject", "reason")
        self.runs = counter("runs", "Runs that ended, by model and how", "model", "device", "event")
        self.run_seconds = histogram("run_seconds", "Seconds of a run that succeeded", "model", "device")
        self.decisions = counter("decisions", "Exams by what they came to", "model", "finding", "decision")
        self.stage_seconds = histogram("stage_seconds", "Seconds of a job by stage", "stage")
        self.to_pacs = histogram("complete_to_pacs_seconds", "Last image to proof in the PACS", "protocol")
        self.deliveries = counter("delivery_events", "What happened to deliveries", "event")
        self.last_image = gauge("last_image_timestamp_seconds", "When a sender's last image came", "sender")
        self.jobs = gauge("jobs", "Open jobs", "status", "priority")
        self.job_age = gauge("job_oldest_age_seconds", "Since the oldest open job became ready", "status", "priority")
        self.unsent = gauge("deliveries", "Deliveries not proven yet", "destination", "status")
        self.unsent_age = gauge("delivery_oldest_age_seconds", "Age of the oldest of them", "destination", "status")
        self.breaker = gauge("breaker_open", "1: the destination is left alone for now", "destination")
        self.failures = gauge("destination_failures", "Failures of a destination in a row", "destination")
        self.disk_free = gauge("disk_free_bytes", "Free on the disk of the spool")
        self.disk_reserve = gauge("disk_reserve_bytes", "Below this C-STORE answers 0xA700")
        self.clock_step = gauge("clock_step_seconds", "By how much the clock was last set while a node ran")
        self.clock_stepped = gauge("clock_step_timestamp_seconds", "When that was")
        self.ready = gauge("ready", "1: /ready says so; by check", "check")
        self.alarms = gauge("alarms", "Faults that last, and findings of two days", "kind", "acknowledged")
        self.paused = gauge("paused", "1: an operator has paused it", "part", "name")
        self.clock_error = gauge("clock_error_seconds", "By how much the clock may be wrong, as the kernel reckons")
        self.clock_kept = gauge("clock_synchronised", "1: a time server keeps the clock of this machine")
        self.silence = gauge("silence_seconds", "Since the last image, in the hours in which some are expected")
        self.memory_used = gauge("device_memory_used_bytes", "Used on a device, by whomever", "device")
        self.memory_total = gauge("device_memory_total_bytes", "Of a device", "device")
        self.audit_waiting = gauge("audit_messages_waiting", "Audit messages that wait for the syslog server")
        self.selftest = gauge("selftest_ok", "1: the model gave its known answer when it was last asked", "model")
        self.config_fault = gauge("configuration_fault", "1: the file of the configuration was not taken over")
        self.unread = gauge("figures_unread_events", "Rows that the next scrape still has to count")


def replace(gauge: Gauge, values: Iterable[tuple[tuple[str, ...], float]]) -> None:
    """Set a gauge to these label values, and drop those that are not named any more."""
    gauge.clear()
    for labels, value in values:
        gauge.labels(*labels).set(value)


def count(counter: Counter, values: Mapping[Any, int]) -> None:
    """Add to a counter; a key is a label, or a tuple of them."""
    for key, value in values.items():
        counter.labels(*(key if isinstance(key, tuple) else (key,))).inc(value)
