"""The program under test: its servers, and the vectors that it writes without any."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

#: In seconds; the slowest machines need a few.
START_LIMIT = 60
STOP_LIMIT = 30

#: What the program may know of the environment: other variables would be flags of a server (PORT, API_KEY).
KEPT = (
    "HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "PATH",
    "RUST_BACKTRACE",
    "TMPDIR",
    "XDG_CACHE_HOME",
)

LISTENING = re.compile(r"listening at (\S+)")


class Minilm:
    """An executable file, and the model that it is asked for."""

    def __init__(self, executable: Path, model: str | None = None) -> None:
        self.executable = executable
        self.model = model
        self._environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._embedded: dict[tuple[str, ...], np.ndarray] = {}

    def with_model(self, folder: Path) -> "Minilm":
        """The same program with another model."""
        return Minilm(self.executable, str(folder))

    def serve(self, *flags: str | Path) -> "Server":
        """A server at a port that is free, once it listens."""
        port = () if "--unix-socket" in flags else ("--port", "0")
        return Server(self._command("serve", *port, *flags), self._environment)

    def embed(self, texts: Sequence[str], *flags: str) -> np.ndarray:
        """The library's vectors, of unit length: float32 [n, dimension]."""
        key = (*texts, *flags)
        if key not in self._embedded:
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder, "vectors.npy")
                self._run("embed", "-i", _json(folder, texts), "-o", output, "--normalize-embeddings", *flags)
                self._embedded[key] = np.load(output)
        return self._embedded[key]

    def pooled(self, text: str) -> np.ndarray:
        """The vector of a text before it is scaled to unit length: float32 [dimension]."""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "trace")
            self._run("trace", "-o", output, "--", text)
            (step,) = output.glob("*-pooled.npy")
            return np.load(step)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, before any is cut."""
        with tempfile.TemporaryDirectory() as folder:
            lines = self._run("embed", "-i", _json(folder, texts), "--format", "jsonl")
        return [json.loads(line)["tokens"] for line in lines.splitlines()]

    def similarities(self, sentence: str, others: Sequence[str]) -> np.ndarray:
        """The cosine of a sentence and each of the others: float32 [n]."""
        with tempfile.TemporaryDirectory() as folder:
            output = self._run("similarity", "--json", "-i", _json(folder, others), "--", sentence)
        (row,) = json.loads(output)["matrix"]
        return np.array(row, dtype=np.float32)

    def _command(self, command: str, *arguments: str | Path) -> list[str]:
        model = () if self.model is None else ("--model", self.model)
        return [str(self.executable), command, "--offline", "--quiet", *model, *map(str, arguments)]

    def _run(self, command: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            self._command(command, *arguments), env=self._environment, capture_output=True, encoding="utf-8"
        )
        if done.returncode != 0:
            raise RuntimeError(f"minilm {command}: status {done.returncode}: {done.stderr}")
        return done.stdout


def _json(folder: str, texts: Sequence[str]) -> Path:
    path = Path(folder, "texts.json")
    path.write_text(json.dumps(list(texts)), encoding="utf-8")
    return path


class Server:
    """`minilm serve`, a process that ends with the `with` block, and has to end well."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115 (closed when it ends)
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log
        )
        #: What the URL of each route begins with, or the path of the socket.
        self.url = self._wait()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, for sockets."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return host, int(port)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def _wait(self) -> str:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self._process.poll() is None:
            if listening := LISTENING.search(self.log):
                return listening[1]
            time.sleep(0.01)
        status = self._process.poll()
        self._process.kill()
        raise RuntimeError(f"the server does not listen (status {status}): {self.log}")

    def stop(self) -> None:
        """Asks it to end, as a service manager would."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        log = self.log
        self._log.close()
        if status != 0 or "panicked" in log:
            raise RuntimeError(f"the server ended with status {status}: {log}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def same_bits(found: Any, expected: np.ndarray) -> None:
    """Asserts that numbers from a client are those of the library, each bit of them."""
    # A number that is written with as many digits as a float32 needs is that float32 again.
    found = np.asarray(found, dtype=np.float32)
    assert found.shape == expected.shape
    different = np.flatnonzero((found.view(np.uint32) != expected.view(np.uint32)).any(axis=-1))
    assert different.size == 0, f"vectors {different.tolist()} differ"
