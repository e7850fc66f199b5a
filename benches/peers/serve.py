"""One engine in a process of its own: a JSON object a line in, one a line out.

    python -m peers.serve NAME --model DIR --artefacts DIR --threads N

Requests have the method's name in `do`; the first answer, to no request, says that the engine is loaded.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .engines import Engine, Place, load

# How long texts are encoded that do not count. A process that was stopped for seconds takes up to 0.2 s to be
# as fast as before.
WARM_UP_SECONDS = 0.5


def warm_up(encode: Callable[[], object]) -> None:
    start = time.perf_counter()
    while time.perf_counter() - start < WARM_UP_SECONDS:
        encode()


class Server:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def ways(self) -> dict[str, object]:
        return {"alone": self.engine.alone_ways, "bulk": self.engine.bulk_ways}

    def first(self, text: str) -> int:
        """The first vector after the start, by the default way; returns its length."""
        return len(self.engine.alone(text, self.engine.alone_ways[0]))

    def encode_alone(self, texts: list[str], way: str, output: str) -> None:
        np.save(output, np.stack([self.engine.alone(text, way) for text in texts]))

    def encode_bulk(self, texts: list[str], way: str, batch: int, output: str) -> None:
        np.save(output, self.engine.bulk(texts, way, batch))

    def time_alone(self, texts: list[str], way: str) -> list[float]:
        """Seconds of each text alone, tokenisation included."""
        others = itertools.cycle(reversed(texts))
        warm_up(lambda: self.engine.alone(next(others), way))
        seconds = []
        for text in texts:
            start = time.perf_counter()
            self.engine.alone(text, way)
            seconds.append(time.perf_counter() - start)
        return seconds

    def time_bulk(self, texts: list[str], way: str, batch: int) -> float:
        """Seconds of all texts, tokenisation included."""
        warm_up(lambda: self.engine.bulk(texts[:batch], way, batch))
        start = time.perf_counter()
        self.engine.bulk(texts, way, batch)
        return time.perf_counter() - start

    def keep(self, ways: list[str]) -> None:
        self.engine.keep(set(ways))

    def settings(self) -> dict[str, object]:
        return self.engine.settings()


def main() -> None:
    parser = argparse.ArgumentParser(prog="peers.serve")
    parser.add_argument("name")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--artefacts", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()

    # Libraries that print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    server = Server(load(arguments.name, Place(arguments.model, arguments.artefacts, arguments.threads)))
    answer("ready")
    for line in sys.stdin:
        request = json.loads(line)
        method: Callable[..., object] = getattr(server, request.pop("do"))
        answer(method(**request))


if __name__ == "__main__":
    main()
