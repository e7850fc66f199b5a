"""Our engine, through its program: a process a measurement, as `minilm bench` prints it."""

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .batches import Vectors
from .engine_process import watch_memory


@dataclass(frozen=True)
class Minilm:
    """One precision and number of threads of it."""

    program: Path
    model: Path
    precision: str
    threads: int

    @property
    def name(self) -> str:
        return f"minilm {self.precision}"

    def command(self, subcommand: str, *arguments: str) -> list[str]:
        command = [str(self.program), subcommand, *arguments]
        command += ["--model", str(self.model), "--offline", "--threads", str(self.threads)]
        # Programs of one precision have no such option for `embed`.
        return command if self.precision == "f32" else [*command, "--precision", self.precision]

    def run(self, command: list[str]) -> str:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: status {result.returncode}\n{result.stderr}")
        return result.stdout

    def vectors(self, texts: Path) -> Vectors:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vectors.npy"
            self.run(self.command("embed", "-i", str(texts), "-o", str(path)))
            vectors: Vectors = np.load(path)
            return vectors

    def bench(self, texts: Path, only: str) -> dict[str, Any]:
        arguments = ("--only", only, "--rounds", "1", "--json")
        report: dict[str, Any] = json.loads(self.run(self.command("bench", "-i", str(texts), *arguments)))
        return report

    def cold_start(self, text: str) -> float:
        """Seconds from the start of the process to its end, one vector printed."""
        command = self.command("embed", text)
        start = time.perf_counter()
        self.run(command)
        return time.perf_counter() - start

    def peak_memory(self, texts: Path) -> int:
        """The most bytes that it had resident while it embedded a file."""
        command = self.command("embed", "-i", str(texts), "-o", os.devnull, "--format", "npy")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True) as process:
            peak = watch_memory(process)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
        return peak

    def describe(self) -> dict[str, object]:
        """The version, the instruction set it runs on, and the program's size."""
        info = json.loads(self.run([str(self.program), "info", str(self.model), "--json"]))
        return {
            "version": info["version"],
            "isa": info["isa"]["selected"],
            "program_bytes": self.program.stat().st_size,
        }
