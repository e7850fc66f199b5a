"""The tiny random BERT of the fixtures with other settings: prompts, and the side on which texts are cut."""

import json
import shutil
from pathlib import Path

TINY_BERT = Path(__file__, "../../../fixtures/tiny-bert").resolve()
PROMPTS = {"query": "query: ", "document": "a document of which this is said: "}
MAX_SEQ_LENGTH = 32


def write(folder: Path, prompts: dict[str, str] = PROMPTS, truncation_side: str = "right") -> Path:
    """Writes it to a folder that is not there yet."""
    shutil.copytree(TINY_BERT, folder)
    _change(folder / "config_sentence_transformers.json", prompts=prompts)
    _change(folder / "tokenizer_config.json", truncation_side=truncation_side)
    return folder


def _change(path: Path, **members: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | members), encoding="utf-8")
