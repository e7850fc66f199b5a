"""Checks nginx.conf and haproxy.cfg with replicas of `minilm serve`, nginx and HAProxy themselves.

    python3 deploy/smoke.py --minilm target/release/minilm [--model DIR] [nginx] [haproxy]

Through a balancer there are the bits of a replica asked directly. Slow clients do not reach it. Under load,
replicas are restarted one after the other without a request lost, and one is killed. Where all are full,
clients get 429.
"""

import argparse
import json
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from balanced_replicas import BALANCERS, HOST, PATIENCE, Program, Replica, haproxy

CLIENTS = 16
#: Short ones: the more requests there are, the more of them are on their way when a replica ends.
TEXTS = [" ".join(["a vector of a sentence,"] * count) for count in (1, 2, 4)]
REQUESTS = [
    *(("/embed", {"inputs": text}) for text in TEXTS),
    ("/embed", {"inputs": TEXTS, "normalize": False}),
    ("/v1/embeddings", {"input": TEXTS, "model": "", "encoding_format": "base64"}),
]
#: Of an answer that is none: the connection ended.
NO_ANSWER = 0


class Client(AbstractContextManager["Client"]):
    """A client with one connection that is kept, until it breaks."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection(HOST, port, timeout=PATIENCE)

    def ask(self, path: str, body: object) -> tuple[int, bytes]:
        try:
            self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException) as error:
            self.connection.close()
            return NO_ANSWER, repr(error).encode()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()


def answers(port: int) -> list[bytes]:
    with Client(port) as client:
        found = [client.ask(path, body) for path, body in REQUESTS]
    for status, body in found:
        expect(status == 200, f"status {status}: {body[:200]!r}")
    return [body for _, body in found]


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"failed: {otherwise}")


class Load(AbstractContextManager["Load"]):
    """Clients that ask without a pause until this is left; then `statuses` has how many answers had which.

    An answer with status 200 that is not the expected one ends the program.
    """

    def __init__(self, port: int, expected: list[bytes]) -> None:
        self.port, self.expected = port, expected
        self.statuses: Counter[int] = Counter()
        self.others: Counter[bytes] = Counter()
        self.wrong = 0
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(first,)) for first in range(CLIENTS)]

    def client(self, first: int) -> None:
        with Client(self.port) as client:
            number = first
            while not self.ended.is_set():
                number = (number + 1) % len(REQUESTS)
                status, body = client.ask(*REQUESTS[number])
                with self.lock:
                    self.statuses[status] += 1
                    if status != 200:
                        self.others[body] += 1
                    elif body != self.expected[number]:
                        self.wrong += 1

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()
        expect(self.wrong == 0, f"{self.wrong} answers have other bits")

    def describe(self) -> str:
        others = "".join(f"; {count} times {body[:200]!r}" for body, count in self.others.items())
        return f"{dict(self.statuses)} by status{others}"


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        expect(time.monotonic() < end, otherwise)
        time.sleep(0.02)


def check_bits(balancer: Program, replicas: list[Replica], expected: list[bytes]) -> None:
    for replica in replicas:
        expect(answers(replica.port) == expected, f"{replica.name} has other bits")
    before = [replica.answered() for replica in replicas]
    with Load(balancer.port, expected) as load:
        time.sleep(0.3)
    expect(set(load.statuses) == {200}, load.describe())
    shares = [replica.answered() - count for replica, count in zip(replicas, before, strict=True)]
    expect(min(shares) > 0, f"of the requests, the replicas had {shares}")
    print(f"{balancer.name}: {load.statuses[200]} answers have the bits of a replica; shares {shares}")


def check_slow_clients(balancer: Program, replicas: list[Replica], expected: list[bytes]) -> None:
    """Of requests that have not arrived as a whole, the replicas know nothing."""
    path, body = REQUESTS[0]
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    with ExitStack() as connected:
        clients = [
            connected.enter_context(socket.create_connection((HOST, balancer.port), PATIENCE))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.sendall(head.encode() + content[:-1])
        time.sleep(0.2)
        waiting = [replica.metric("te_queue_size") for replica in replicas]
        expect(waiting == [0, 0], f"of slow clients, the replicas have {waiting} requests")
        for client in clients:
            client.sendall(content[-1:])
        found = [b"".join(iter(partial(client.recv, 1 << 16), b"")) for client in clients]
    expect(all(answer.endswith(expected[0]) for answer in found), f"slow clients got {found[0][:200]!r}")
    print(
        f"{balancer.name}: {len(found)} slow clients had no place of a replica, and their answers in the end"
    )


def check_rolling_restart(balancer: Program, replicas: list[Replica], expected: list[bytes]) -> None:
    with Load(balancer.port, expected) as load:
        for replica in replicas:
            time.sleep(0.2)
            status = replica.stop()
            expect(status == 0, f"{replica.name} ended with {status}:\n{replica.log.read_text()}")
            time.sleep(0.2)
            replica.start()
            # The next may be stopped only when the balancer knows of this one.
            wait_until(lambda: replica.answered() > 0, f"{replica.name} is not asked again")  # noqa: B023
    expect(set(load.statuses) == {200}, f"while replicas were restarted, {load.describe()}")
    print(f"{balancer.name}: each replica was restarted, and none of {load.statuses[200]} requests was lost")


def check_kill(balancer: Program, replicas: list[Replica], expected: list[bytes]) -> None:
    replica = replicas[0]
    with Load(balancer.port, expected) as load:
        time.sleep(0.2)
        replica.stop(signal.SIGKILL)
        time.sleep(0.3)
        replica.start()
        wait_until(lambda: replica.answered() > 0, f"{replica.name} is not asked again")
    expect(set(load.statuses) == {200}, f"while a replica was killed, {load.describe()}")
    print(f"{balancer.name}: a replica was killed, and none of {load.statuses[200]} requests was lost")


def check_overload(balancer: Program, expected: list[bytes]) -> None:
    with Load(balancer.port, expected) as load:
        time.sleep(0.3)
    expect(set(load.statuses) == {200, 429}, f"where replicas are full, {load.describe()}")
    # Nothing of that lasts.
    expect(answers(balancer.port) == expected, "after it there are other bits")
    print(f"{balancer.name}: where replicas are full, {dict(load.statuses)} by status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("balancer", nargs="*", help=f"of {', '.join(BALANCERS)}; default: all")
    parser.add_argument("--minilm", type=Path, default=Path("target/release/minilm"))
    parser.add_argument("--model", help="a folder or a name; default: all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    if unknown := set(arguments.balancer) - set(BALANCERS):
        parser.error(f"unknown: {', '.join(unknown)}")
    options = ["--threads", "1", *(["--model", arguments.model] if arguments.model else [])]

    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))

        def replica(name: str, *more: str) -> Replica:
            return running.enter_context(Replica(name, arguments.minilm, folder, *options, *more))

        replicas = [replica("a"), replica("b")]
        full = [replica(name, "--max-concurrent-requests", "2") for name in ("full-a", "full-b")]
        expected = answers(replicas[0].port)
        for name in arguments.balancer or BALANCERS:
            with BALANCERS[name](replicas, folder) as balancer:
                check_bits(balancer, replicas, expected)
                check_slow_clients(balancer, replicas, expected)
                check_rolling_restart(balancer, replicas, expected)
                check_kill(balancer, replicas, expected)
            with BALANCERS[name](full, folder) as balancer:
                check_overload(balancer, expected)
        if "haproxy" in (arguments.balancer or BALANCERS):
            # Clients who wait for a place are no hindrance.
            with haproxy(replicas, folder, maxconn=2) as balancer:
                check_rolling_restart(balancer, replicas, expected)


if __name__ == "__main__":
    main()
