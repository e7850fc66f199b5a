"""Replicas of `minilm serve`, and nginx or HAProxy in front of them, as this directory configures them.

Only the ports, and where logs go, are replaced in them: what runs here is what is to be copied.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
#: Of the first replica in the configurations; the second has the next.
FIRST_PORT = 3001
#: How long a program may take to listen, and to end.
PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Program(AbstractContextManager["Program"]):
    """A program that is asked over HTTP; on leaving it is ended. Its log is in `log`."""

    def __init__(self, name: str, command: Sequence[str | Path], port: int, log: Path) -> None:
        self.name, self.command, self.port, self.log = name, command, port, log
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not self.is_well():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise SystemExit(f"{self.name} does not answer at port {self.port}:\n{self.log.read_text()}")
            time.sleep(0.02)

    def is_well(self) -> bool:
        try:
            return get(self.port, "/health")[0] == 200
        except OSError:
            return False

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """The exit status, negative if a signal ended it."""
        self.process.send_signal(by)
        return self.process.wait(PATIENCE)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Self:
        return self


class Replica(Program):
    """`minilm serve` at a port."""

    def __init__(self, name: str, minilm: Path, folder: Path, *options: str) -> None:
        port = free_port()
        command = [minilm, "serve", "--quiet", "--hostname", HOST, "--port", str(port), *options]
        super().__init__(name, command, port, folder / f"{name}.log")

    def metric(self, name: str) -> int:
        """The sum over all labels."""
        metrics = get(self.port, "/metrics")[1].decode()
        return sum(map(int, re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\d+)$", metrics, re.MULTILINE)))

    def answered(self) -> int:
        """How many requests for vectors got them since its start."""
        return self.metric("te_request_success")


def configuration(file: str, replicas: Sequence[Replica], replaced: dict[str, str]) -> str:
    """A file of this directory with the ports of these replicas, and without the lines of others."""
    text = (HERE / file).read_text()
    for number, replica in enumerate(replicas):
        replaced[f"{HOST}:{FIRST_PORT + number}"] = f"{HOST}:{replica.port}"
    for old in replaced:
        if text.count(old) != 1:
            raise SystemExit(f"{file} has {text.count(old)} times {old!r}, expected once")
    others = range(FIRST_PORT + len(replicas), FIRST_PORT + 10)
    kept = (
        line
        for line in text.splitlines(keepends=True)
        if not any(f"{HOST}:{port}" in line for port in others)
    )
    pattern = re.compile("|".join(map(re.escape, replaced)))
    return pattern.sub(lambda found: replaced[found[0]], "".join(kept))


def nginx(replicas: Sequence[Replica], folder: Path) -> Program:
    port, log = free_port(), folder / "nginx.log"
    places = folder / "nginx"
    places.mkdir(exist_ok=True)
    replaced = {"listen 8080;": f"listen {HOST}:{port};", "/var/log/nginx/minilm.log": f"{places}/access.log"}
    (places / "minilm.conf").write_text(configuration("nginx.conf", replicas, replaced))
    temporary = "\n".join(
        f"    {kind}_temp_path {places}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # What Debian has in /etc/nginx/nginx.conf, but in another place. A superuser's nginx would hand its work
    # to a user who cannot read this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (places / "nginx.conf").write_text(
        f"daemon off;\n{user}\nworker_processes auto;\npid {places}/pid;\nerror_log stderr warn;\n"
        f"events {{ worker_connections 768; }}\nhttp {{\n{temporary}\n    include {places}/minilm.conf;\n}}\n"
    )
    command = [program("nginx"), "-p", places, "-e", "stderr", "-c", places / "nginx.conf"]
    return Program("nginx", command, port, log)


def haproxy(replicas: Sequence[Replica], folder: Path, maxconn: int | None = None) -> Program:
    """With fewer requests for each replica than the configuration allows, if that is given."""
    port = free_port()
    replaced = {"bind :8080": f"bind {HOST}:{port}", "/dev/log local0": "stderr format raw local0 notice"}
    if maxconn is not None:
        replaced["maxconn 448"] = f"maxconn {maxconn}"
    file = folder / "haproxy.cfg"
    file.write_text(configuration("haproxy.cfg", replicas, replaced))
    return Program("haproxy", [program("haproxy"), "-db", "-f", file], port, folder / "haproxy.log")


def program(name: str) -> Path:
    # Debian's are in /usr/sbin, which not every user has in the PATH.
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return Path(found)


BALANCERS = {"nginx": nginx, "haproxy": haproxy}
