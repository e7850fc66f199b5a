"""The OpenAPI document: a server does what it says, as far as schemathesis finds out."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import Serve
from program import Server
from tiny_model import TINY_BERT

CONFIG = Path(__file__).with_name("schemathesis.toml")

#: In seconds: a run that takes longer is not one that CI should have.
TIME_LIMIT = 300


def run_schemathesis(server: Server, folder: Path, *flags: str) -> None:
    """All phases and checks on all operations, with the same data each time."""
    command = [Path(sys.executable).with_name("schemathesis"), "--no-color", "--config-file", CONFIG]
    command += ["run", f"{server.url}/openapi.json", *flags]
    # It keeps crash files and the like where it runs.
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=TIME_LIMIT,
    )
    print(done.stdout)
    assert done.returncode == 0


#: Without a slash: schemathesis takes names for paths out of answers, and gives up where most have one.
NAME = ("--served-model-name", "minilm")


def test_a_server_as_it_is_by_default(serve: Serve, tmp_path: Path) -> None:
    run_schemathesis(serve(*NAME), tmp_path, "--max-examples", "60")


def test_a_server_with_a_key_that_accepts_token_ids(serve: Serve, tmp_path: Path) -> None:
    # The tiny model has all of the routes and answers sooner, so there is time for more data.
    server = serve(*NAME, "--api-key", "secret", "--accept-token-ids", model=TINY_BERT)
    run_schemathesis(server, tmp_path, "--max-examples", "200", "--header", "Authorization: Bearer secret")
