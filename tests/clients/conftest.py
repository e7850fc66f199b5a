"""What tests share: the program, a server of it without flags, and servers with those that a test needs."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from program import Minilm, Server


class Serve(Protocol):
    """Starts a server with flags; another model than that of the tests is a folder."""

    def __call__(self, *flags: str | Path, model: Path | None = None) -> Server: ...


# Hugging Face's client sends a token that it finds on the machine, and looks for one when it is imported.
os.environ.pop("HF_TOKEN", None)
os.environ["HF_TOKEN_PATH"] = os.devnull


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minilm", type=Path, required=True, help="the program under test")
    parser.addoption("--model", help="the model's name or directory, if not the program's default")


@pytest.fixture(scope="session")
def minilm(request: pytest.FixtureRequest) -> Minilm:
    return Minilm(request.config.getoption("--minilm").resolve(), request.config.getoption("--model"))


@pytest.fixture(scope="session")
def server(minilm: Minilm) -> Iterator[Server]:
    with minilm.serve() as server:
        yield server


@pytest.fixture
def serve(minilm: Minilm) -> Iterator[Serve]:
    """For servers that end with the test."""
    with ExitStack() as servers:

        def start(*flags: str | Path, model: Path | None = None) -> Server:
            program = minilm if model is None else minilm.with_model(model)
            return servers.enter_context(program.serve(*flags))

        yield start
