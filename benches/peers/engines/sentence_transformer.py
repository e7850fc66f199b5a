"""sentence-transformers over PyTorch: the reference, and what most people use."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer

from ..batches import Vectors
from .engine import Engine, Place


class SentenceTransformerEngine(Engine):
    """The plain call; the library sorts by length and pads to the longest by itself."""

    alone_ways = bulk_ways = ("encode",)

    def __init__(self, place: Place) -> None:
        torch.set_num_threads(place.threads)
        torch.set_num_interop_threads(1)
        self.model = SentenceTransformer(str(place.model), device="cpu")

    def alone(self, text: str, way: str) -> Vectors:
        vector: Vectors = self.model.encode(text, show_progress_bar=False)
        return vector

    def bulk(self, texts: list[str], way: str, batch: int) -> Vectors:
        vectors: Vectors = self.model.encode(texts, batch_size=batch, show_progress_bar=False)
        return vectors

    def keep(self, ways: set[str]) -> None:
        pass

    def settings(self) -> dict[str, object]:
        return {
            "sentence-transformers": sentence_transformers.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "attention": self.model[0].auto_model.config._attn_implementation,
            "torch.get_num_threads": torch.get_num_threads(),
        }
