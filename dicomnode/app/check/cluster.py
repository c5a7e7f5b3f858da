"""Whether the Ray cluster answers, and what its machines have."""

from __future__ import annotations

from collections.abc import Iterator

from dicomnode.app.check.finding import Finding
from dicomnode.config.whole import Config
from dicomnode.errors import InferenceError
from dicomnode.execute.backends.ray_cluster import require_ray
from dicomnode.execute.child import ChildProcess

LOOK = "dicomnode.execute.ray.look"
WHAT = "Ray cluster"


def check_cluster(config: Config) -> Iterator[Finding]:
    """Ask the cluster, where the models are to run on one."""
    execution = config.execution
    if execution.backend != "ray":
        return
    process = ChildProcess(LOOK, execution.ray.address, start_timeout_s=execution.start_timeout_s, lean=False)
    try:
        require_ray()
        seen = process.start().device
        yield Finding(WHAT, True, f"alive: {seen}; {execution.ray.workers} actors are asked of it")
    except InferenceError as fault:
        yield Finding(WHAT, False, str(fault))
    finally:
        process.kill()
