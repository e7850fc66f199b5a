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
from .engine_process import Memory, watch_memory
from .texts import TextFile

PACKED_CACHE = "MINILM_PACKED_CACHE"


@dataclass(frozen=True)
class Minilm:
    """One precision and number of threads of it."""

    program: Path
    model: Path
    precision: str
    threads: int
    #: Where it keeps packed weights, if it does.
    packed_cache: Path | None = None

    @property
    def name(self) -> str:
        return f"minilm {self.precision}"

    def environment(self) -> dict[str, str]:
        """Whatever is set outside, there is a cache where one is wanted, and nowhere else."""
        variables = {name: value for name, value in os.environ.items() if name != PACKED_CACHE}
        return variables if self.packed_cache is None else variables | {PACKED_CACHE: str(self.packed_cache)}

    def command(self, subcommand: str, *arguments: str) -> list[str]:
        command = [str(self.program), subcommand, *arguments]
        command += ["--model", str(self.model), "--offline", "--threads", str(self.threads)]
        return [*command, "--precision", self.precision]

    def run(self, command: list[str]) -> str:
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment())
        if result.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: status {result.returncode}\n{result.stderr}")
        return result.stdout

    def vectors(self, texts: Path) -> Vectors:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vectors.npy"
            self.run(self.command("embed", "-i", str(texts), "-o", str(path)))
            vectors: Vectors = np.load(path)
            return vectors

    def bulk_vectors(self, file: TextFile) -> Vectors:
        """Of all texts of the file."""
        return self.vectors(file.path)

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

    def memory(self, texts: Path) -> Memory:
        """What it had resident while it embedded a file."""
        command = self.command("embed", "-i", str(texts), "-o", os.devnull, "--format", "npy")
        environment = self.environment()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True, env=environment) as process:
            memory = watch_memory(process)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
        return memory

    def describe(self) -> dict[str, object]:
        """The version, the instruction set it runs on, and the program's size."""
        info = json.loads(self.run([str(self.program), "info", str(self.model), "--json"]))
        return {
            "version": info["version"],
            "isa": info["isa"]["selected"],
            "program_bytes": self.program.stat().st_size,
        }
