"""What the comparison must know of a model's folder, which is that of sentence-transformers."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

# Architectures whose networks have an input of token types.
WITH_TOKEN_TYPES = frozenset({"bert"})
POOLING = "1_Pooling/config.json"
MEAN = "pooling_mode_mean_tokens"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def repository(folder: Path) -> str:
    """The model's name: of a folder in the hub's cache the repository, else the folder's own."""
    if folder.parent.name == "snapshots":
        return folder.parents[1].name.removeprefix("models--").replace("--", "/")
    return folder.name


@dataclass(frozen=True)
class Model:
    """A transformer, the mean of its states, and nothing behind that but scaling to unit length."""

    folder: Path
    model_type: str
    #: Tokens of the longest text, those at both ends included; what is longer is cut.
    max_tokens: int
    #: Whether vectors are scaled to unit length.
    normalizes: bool
    #: The token that short texts of a batch are filled up with.
    pad_token: str

    @classmethod
    def read(cls, folder: Path) -> "Model":
        kinds = [module["type"].rpartition(".")[2] for module in read_json(folder / "modules.json")]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise SystemExit(f"{folder}: expected Transformer, Pooling and perhaps Normalize, found {kinds}")
        pooling = read_json(folder / POOLING)
        modes = [
            name for name, value in pooling.items() if name.startswith("pooling_mode_") and value is True
        ]
        if modes != [MEAN]:
            raise SystemExit(f"{folder / POOLING}: expected {MEAN} alone, found {modes}")
        pad_token = read_json(folder / "tokenizer_config.json")["pad_token"]
        return cls(
            folder=folder,
            model_type=read_json(folder / "config.json")["model_type"],
            max_tokens=read_json(folder / "sentence_bert_config.json")["max_seq_length"],
            normalizes=kinds[-1] == "Normalize",
            pad_token=pad_token if isinstance(pad_token, str) else pad_token["content"],
        )

    @property
    def tokenizer_json(self) -> Path:
        return self.folder / "tokenizer.json"

    @cached_property
    def inputs(self) -> list[str]:
        """The names of what the network takes, in the order of its exported form."""
        types = ["token_type_ids"] if self.model_type in WITH_TOKEN_TYPES else []
        return ["input_ids", "attention_mask", *types]

    def describe(self) -> dict[str, object]:
        """What a record says of it. A checksum tells random weights of one name apart."""
        config = read_json(self.folder / "config.json")

        def size(name: str, distilbert: str) -> int:
            found: int = config[name if name in config else distilbert]
            return found

        # None, if they lie in shards.
        sha256 = None
        if (weights := self.folder / "model.safetensors").exists():
            with weights.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "name": repository(self.folder),
            "architecture": config["architectures"][0],
            "layers": size("num_hidden_layers", "n_layers"),
            "hidden_size": size("hidden_size", "dim"),
            "heads": size("num_attention_heads", "n_heads"),
            "intermediate_size": size("intermediate_size", "hidden_dim"),
            "vocab_size": config["vocab_size"],
            "max_tokens": self.max_tokens,
            "normalizes": self.normalizes,
            "weights_sha256": sha256,
        }
