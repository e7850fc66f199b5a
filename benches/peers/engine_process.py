"""A rival's process, seen from the program that times it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .batches import Vectors
from .engines import Place

PACKAGE_PARENT = Path(__file__).resolve().parent.parent


def environment(threads: int) -> dict[str, str]:
    """Every thread pool that a library might start has as many threads as it may use; nothing is pinned."""
    variables = {
        name: value
        for name, value in os.environ.items()
        # What would override a rival's own choice.
        if not name.startswith(("OMP_", "KMP_", "GOMP_", "MKL_", "CT2_", "ORT_", "OV_", "ONEDNN_", "DNNL_"))
    }
    variables["OMP_NUM_THREADS"] = variables["MKL_NUM_THREADS"] = str(threads)
    # The tokenizers' threads.
    variables["RAYON_NUM_THREADS"] = str(threads)
    variables["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    # numpy's only products are those of pooling, too small to be shared.
    variables["OPENBLAS_NUM_THREADS"] = "1"
    variables["HF_HUB_OFFLINE"] = "1"
    return variables


def convert(model: Path, directory: Path, names: set[str]) -> None:
    """Makes the artefacts that are missing, by a process: their libraries need not be in this one."""
    missing = [name for name in sorted(names) if not (directory / name).exists()]
    if not missing:
        return
    command = [sys.executable, "-m", "peers.conversion", "--model", str(model), "--artefacts", str(directory)]
    command += ["--names", ",".join(missing)]
    subprocess.run(command, cwd=PACKAGE_PARENT, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=True)


class EngineProcess:
    """Started and loaded by `start`; stopped (SIGSTOP) whenever it is not asked for something."""

    def __init__(self, name: str, place: Place, log: Path) -> None:
        self.name, self.threads, self.log = name, place.threads, log
        command = [sys.executable, "-m", "peers.serve", name, "--threads", str(place.threads)]
        command += ["--model", str(place.model), "--artefacts", str(place.artefacts)]
        self.started = time.perf_counter()
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                command,
                cwd=PACKAGE_PARENT,
                env=environment(place.threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    @classmethod
    def start(cls, name: str, place: Place, log: Path) -> "EngineProcess":
        engine = cls(name, place, log)
        engine.answer()
        engine.pause()
        return engine

    def pause(self) -> None:
        """Whatever its threads do between requests, spinning above all, they no longer do it."""
        self.process.send_signal(signal.SIGSTOP)

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            tail = self.log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"{self.name}, {self.threads} threads: ended with status {status}\n{tail}")
        return json.loads(line)

    def request(self, do: str, **arguments: object) -> Any:
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.pause()
        return answer

    def elapsed(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self.started

    def vectors(self, do: str, **arguments: object) -> Vectors:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vectors.npy"
            self.request(do, output=str(path), **arguments)
            vectors: Vectors = np.load(path)
            return vectors

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Memory:
    """Bytes that a process has resident: of its own, and of files that it has mapped."""

    #: While it encodes.
    serving: int
    #: The most at any time, loading included.
    peak: int

    @classmethod
    def of_samples(cls, samples: list["Memory"]) -> "Memory":
        """Of a process that was asked from its start to its end. In its second half it has been loaded."""
        second_half = samples[len(samples) // 2 :]
        return cls(
            serving=int(median(sample.serving for sample in second_half)),
            peak=max(sample.peak for sample in samples),
        )


def resident(pid: int) -> Memory | None:
    """What a process has resident and the most it had so far, if it is still there to be asked."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return parse_resident(status)


def parse_resident(status: str) -> Memory | None:
    """Of `/proc/PID/status`, which has no such lines when a process is about to end."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmRSS" not in fields or "VmHWM" not in fields:
        return None
    serving, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return Memory(serving, peak)


def watch_memory(process: "subprocess.Popen[str]") -> Memory:
    """What a process has resident, asked every few milliseconds until it ends."""
    samples = []
    while process.poll() is None:
        if (sample := resident(process.pid)) is not None:
            samples.append(sample)
        time.sleep(0.005)
    return Memory.of_samples(samples) if samples else Memory(0, 0)
