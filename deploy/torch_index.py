"""Prints the option that makes pip take torch for the CPU, or nothing where CUDA is wanted: ``make install`` asks it.

    python3 deploy/torch_index.py [auto|0|1] [INDEX]

auto: CUDA where an NVIDIA card answers (nvidia-smi); 0: the CPU; 1: CUDA. INDEX: another index for torch, used as it
is. What is taken and why goes to standard error. Needs nothing but Python.
"""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE_S = 3


def main(gpu: str = "auto", index: str = "") -> int:
    """Print the option; 2 where the call is wrong."""
    if gpu not in ("auto", "0", "1"):
        print(f"GPU={gpu}: use 1 (torch with CUDA), 0 (for the CPU) or auto (as nvidia-smi says)", file=sys.stderr)
        return 2
    if index:
        say(f"torch comes from {index}.")
        print(f"--extra-index-url {index}")
    elif gpu == "1" or (gpu == "auto" and has_card()):
        say("torch comes with CUDA, about 6 GB on disk (GPU=0 takes the one for the CPU).")
    elif is_reached(CPU_INDEX):
        say("torch comes for the CPU, about 1.3 GB on disk with all else (GPU=1 takes CUDA, about 6 GB).")
        print(f"--extra-index-url {CPU_INDEX}")
    else:
        say(f"{CPU_INDEX} cannot be reached: torch comes from where pip looks, which may bring CUDA (about 6 GB).")
    return 0


def has_card() -> bool:
    """Whether an NVIDIA card answers."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def is_reached(index: str) -> bool:
    """Whether an index answers within some seconds; pip would try for minutes, for each package."""
    # A name server that is silent holds getaddrinfo for longer than any time-out of the connection.
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(PATIENCE_S)
    try:
        urllib.request.urlopen(f"{index}/torch/", timeout=PATIENCE_S).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as fault:
        return isinstance(fault.reason, ssl.SSLError)  # it answers; which certificates hold, pip knows
    except OSError:
        return False
    finally:
        signal.alarm(0)
    return True


def _give_up(_number: int, _frame: object) -> None:
    raise TimeoutError


def say(line: str) -> None:
    """Tell the person who installs."""
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
