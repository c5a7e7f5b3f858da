"""How fast instances are received durably: ``python benchmarks/reception.py [FOLDER] [--url URL] [--parallel N]``.

``--receivers 1 2 4`` measures a node with so many receiving processes, one after the other; the processes that read
their headers count with them. ``--as-a-scanner``: with 137 elements instead of 19.

Sends CT series (28 generated slices of 512 x 512, or the files of FOLDER) by dcmtk's ``dcmsend`` to a reception with
fsync and database as in production, and prints instances per second, the share of the disk, and the memory of the
receiving process; then what 500 silent connections and 25 idle associations cost. ``--rivals`` sends the same to
dcmtk's ``storescp`` (no fsync, no index) and to Orthanc, where they are installed. The spool lies below the working
directory: a RAM disk would flatter.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

SILENT, IDLE = 500, 25

RECEIVER = """
import signal, sys, time
from dicomnode.app.receivers import Receivers
from dicomnode.config.whole import Config
from dicomnode.receive.places import Places
from dicomnode.receive.scp import StorageScp, spool_of
from dicomnode.store.engine import Store
url, data_dir, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
node = {"port": 0, "host": "127.0.0.1", "data_dir": data_dir}
config = Config.model_validate({"node": node, "database": {"url": url}, "reception": {"receivers": count}})
store = Store(url)
store.migrate()
places = Places(count)
scp = StorageScp(config, store, spool_of(config, "benchmark"), "benchmark", places)
scp.start()
receivers = Receivers(config, "benchmark", places)
receivers.start(scp.port)
while receivers.listening < count - 1:
    time.sleep(0.1)
print(scp.port, flush=True)
signal.sigwait([signal.SIGTERM])
receivers.request_stop(0.0)
scp.stop()
receivers.join()
"""


SCANNER: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "HEAD"],
    "AccessionNumber": "SYNTHETIC",
    "Manufacturer": "SYNTHETIC",
    "InstitutionName": "SYNTHETIC",
    "StationName": "CT1",
    "StudyDescription": "CT HEAD",
    "SeriesDescription": "Head 5.0 H31s",
    "ManufacturerModelName": "SYNTHETIC",
    "PatientName": "SYNTHETIC^HEAD",
    "PatientID": "SYNTHETIC",
    "PatientBirthDate": "19500101",
    "PatientSex": "O",
    "PatientAge": "075Y",
    "BodyPartExamined": "HEAD",
    "ScanOptions": "AXIAL MODE",
    "SoftwareVersions": ["1.0", "2.0"],
    "ProtocolName": "Head routine",
    "ConvolutionKernel": ["H31s", "3"],
    "ExposureModulationType": "XYZ_EC",
    "PatientPosition": "HFS",
    "RotationDirection": "CW",
    "FilterType": "HEAD FILTER",
    "StudyID": "1",
    "FrameOfReferenceUID": "1.2.3",
    "PositionReferenceIndicator": "OM",
    "RescaleType": "HU",
    "WindowCenter": [40, 80],
    "WindowWidth": [80, 200],
    **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), "20260101"),
    **dict.fromkeys(("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"), "120000.000000"),
    **dict.fromkeys(("SliceThickness", "KVP", "DataCollectionDiameter", "ReconstructionDiameter"), 120),
    **dict.fromkeys(("DistanceSourceToDetector", "DistanceSourceToPatient", "GantryDetectorTilt"), 1),
    **dict.fromkeys(("TableHeight", "ExposureTime", "XRayTubeCurrent", "Exposure"), 100),
    **dict.fromkeys(("GeneratorPower", "FocalSpots", "SingleCollimationWidth"), 1),
    **dict.fromkeys(("TotalCollimationWidth", "TableSpeed", "SpiralPitchFactor", "CTDIvol"), 1),
    **dict.fromkeys(("SeriesNumber", "AcquisitionNumber"), 1),
}
"""What a CT scanner writes beside what :func:`make_series` needs."""


def add_scanner(ds: Dataset) -> None:
    """As many elements as a scanner writes, 60 private ones among them."""
    for keyword, value in SCANNER.items():
        setattr(ds, keyword, value)
    private = ds.private_block(0x0043, "SYNTHETIC 1.0", create=True)
    for element in range(60):
        private.add_new(element, "DS", f"{element}.5")


def make_series(folder: Path, slices: int = 28, rows: int = 512, *, as_a_scanner: bool = False) -> None:
    """A CT series of random pixels (nothing compresses, nothing is alike), with new UIDs."""
    study, series = generate_uid(), generate_uid()
    noise = np.random.default_rng(1)
    for number in range(slices):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = study, series, "CT"
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 5 * number], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.Rows, ds.Columns = [0.5, 0.5], rows, rows
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
        if as_a_scanner:
            add_scanner(ds)
        ds.PixelData = noise.integers(0, 3000, (rows, rows), "<i2").tobytes()
        ds.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)


def sender_environment(*, as_it_comes: bool) -> dict[str, str]:
    """Of a sender; as it comes, dcmtk waits for the acknowledgement of each command before it sends the data."""
    return {**os.environ} if as_it_comes else {**os.environ, "TCP_NODELAY": "1"}


def send(port: int, folder: Path, *, as_it_comes: bool = False) -> float:
    """Seconds that ``dcmsend`` takes for the files of a folder, its own start included."""
    began = time.perf_counter()
    call = ["dcmsend", "-aec", "DICOMNODE", "127.0.0.1", str(port), "--scan-directories", str(folder)]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, env=sender_environment(as_it_comes=as_it_comes))
    return time.perf_counter() - began


def synchronisation_s(folder: Path, size_bytes: int, count: int = 28) -> float:
    """Median seconds of the bare minimum per instance: write, fsync, rename, fsync of the folder."""
    seconds = []
    for number in range(count):
        data = os.urandom(size_bytes)
        began = time.perf_counter()
        with (folder / "part").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        (folder / "part").rename(folder / f"{number}.bin")
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def start_receiver(url: str, data_dir: Path, receivers: int) -> tuple[subprocess.Popen[str], int]:
    """A node that receives and does nothing else, and its port."""
    command = [sys.executable, "-c", RECEIVER, url, str(data_dir), str(receivers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def cost_of(process: psutil.Process) -> tuple[float, float]:
    """CPU seconds so far and megabytes resident, of all its processes."""
    every = [process, *process.children(recursive=True)]
    # storescp forks for each association: what its children took counts once they have gone
    return sum(sum(one.cpu_times()[:4]) for one in every), sum(one.memory_info().rss for one in every) / 1e6


def measure(port: int, process: psutil.Process, folders: list[Path], files: int, *, as_it_comes: bool = False) -> None:
    """Send all folders at once and print the figures."""
    before_s, _ = cost_of(process)
    began = time.perf_counter()
    with ThreadPoolExecutor(len(folders)) as pool:
        list(pool.map(lambda folder: send(port, folder, as_it_comes=as_it_comes), folders))
    wall_s = time.perf_counter() - began
    after_s, rss_mb = cost_of(process)
    cpu_s = after_s - before_s
    who = f"{len(folders)} sender(s){', as dcmtk comes' if as_it_comes else ''}:"
    print(
        f"{who:28} {files / wall_s:6.1f} instances/s   {wall_s:5.2f} s for {files} instances   "
        f"{1e3 * cpu_s / files:5.1f} ms CPU per instance   {rss_mb:4.0f} MB resident"
    )


def crowd(port: int, process: psutil.Process) -> None:
    """Print what those cost who ask for nothing."""
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(SILENT)]
    print(f"{len(silent)} silent connections: {_cost(port, process)}")
    for connection in silent:
        connection.close()
    hog = AE("HOG")
    hog.add_requested_context(Verification)
    hog.add_requested_context(CTImageStorage)
    idle = [hog.associate("127.0.0.1", port, ae_title="DICOMNODE") for _ in range(IDLE)]
    print(f"{sum(one.is_established for one in idle)} idle associations: {_cost(port, process)}")
    for one in idle:
        one.abort()


def _cost(port: int, process: psutil.Process, seconds: float = 5.0) -> str:
    before, began = cost_of(process)[0], time.perf_counter()
    time.sleep(seconds)
    share = (cost_of(process)[0] - before) / (time.perf_counter() - began)
    echo = AE("ECHO")
    echo.add_requested_context(Verification)
    times = []
    for _ in range(9):
        began = time.perf_counter()
        assoc = echo.associate("127.0.0.1", port, ae_title="DICOMNODE")
        answered = assoc.is_established and assoc.send_c_echo().get("Status") == 0
        times.append(time.perf_counter() - began if answered else float("inf"))
        assoc.release()
    threads, rss = process.num_threads(), process.memory_info().rss
    return (
        f"{100 * share:.1f} % of a core, {threads} threads, {rss / 1e6:.0f} MB resident; association and C-ECHO in "
        f"{1e3 * statistics.median(times):.0f} ms (the slowest {1e3 * max(times):.0f})"
    )


def rivals(root: Path) -> Iterator[tuple[str, list[str], int]]:
    """Name, command line and port of the others that are installed."""
    (root / "storescp").mkdir()
    port = _free_port()
    if shutil.which("storescp"):
        yield "storescp", ["storescp", "--fork", "-od", str(root / "storescp"), "-aet", "DICOMNODE", str(port)], port
    orthanc, port = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin"), _free_port()
    if orthanc:
        config = {"DicomAet": "DICOMNODE", "DicomPort": port, "HttpServerEnabled": False, "TcpNoDelay": True}
        folders = {"StorageDirectory": str(root / "orthanc"), "IndexDirectory": str(root / "orthanc")}
        (root / "orthanc.json").write_text(json.dumps({**config, **folders, "DicomAlwaysAllowStore": True}))
        yield "Orthanc", [orthanc, str(root / "orthanc.json")], port


def measure_all(port: int, process: psutil.Process, sources: list[Path], per_series: list[int]) -> None:
    """Print the figures of one sender, of several, and of one as dcmtk comes."""
    measure(port, process, sources[1:2], per_series[1])
    measure(port, process, sources[2:-1], sum(per_series[2:-1]))
    measure(port, process, sources[-1:], per_series[-1], as_it_comes=True)


def measure_rivals(root: Path, sources: list[Path], per_series: list[int]) -> None:
    """Send to each of the others what the node gets."""
    for name, command, port in rivals(root):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=sender_environment(as_it_comes=False), **quiet)  # type: ignore[call-overload]
        try:
            _wait_for(port)
            send(port, sources[0])
            print(name)
            measure_all(port, psutil.Process(process.pid), sources, per_series)
        finally:
            process.terminate()
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)


def measure_node(url: str, data_dir: Path, receivers: int, sources: list[Path], per_series: list[int]) -> None:
    """Print the figures of a node with so many receivers."""
    process, port = start_receiver(url, data_dir, receivers)
    try:
        receiver = psutil.Process(process.pid)
        print(f"{receivers} receiver(s), idle: {cost_of(receiver)[1]:.0f} MB resident")
        for _ in range(2 * receivers):
            send(port, sources[0])  # imports and connections are made, whichever receiver it comes to
        measure_all(port, receiver, sources, per_series)
        crowd(port, receiver)
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", nargs="?", type=Path)
    arguments.add_argument("--url", default="", help="database; SQLite beside the spool when left out")
    arguments.add_argument("--parallel", type=int, default=4)
    arguments.add_argument("--slices", type=int, default=28, help="of each series that is generated")
    arguments.add_argument("--as-a-scanner", action="store_true", help="as many elements as a scanner writes")
    arguments.add_argument("--receivers", type=int, nargs="+", default=[1], help="processes of the node that receive")
    arguments.add_argument("--rivals", action="store_true", help="storescp and Orthanc, too")
    options = arguments.parse_args()
    if shutil.which("dcmsend") is None:
        sys.exit("dcmsend is not installed (Debian package dcmtk)")
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".reception-") as folder:
        root = Path(folder)
        sources = [root / f"series-{number}" for number in range(options.parallel + 3)]
        for source in sources:
            source.mkdir()
            make_series(source, options.slices, as_a_scanner=options.as_a_scanner)
        if options.folder is not None:
            sources[1] = options.folder
        per_series = [len(list(source.iterdir())) for source in sources]
        size_bytes = next(sources[1].iterdir()).stat().st_size
        (root / "sync").mkdir()
        floor_s = synchronisation_s(root / "sync", size_bytes)
        print(f"disk: {1e3 * floor_s:.1f} ms per instance of {size_bytes / 1e3:.0f} kB for write, fsync and rename")
        for receivers in options.receivers:
            data_dir = root / f"data-{receivers}"
            measure_node(options.url or f"sqlite:///{data_dir}.db", data_dir, receivers, sources, per_series)
        if options.rivals:
            measure_rivals(root, sources, per_series)


if __name__ == "__main__":
    main()
