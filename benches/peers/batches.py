"""What most engines leave to the caller: tokens before the forward pass, pooling behind it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from .model import Model

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

# Ids and mask `[texts][tokens]` → states `[texts][tokens][hidden]`; the mask is None where nothing is padded.
Forward = Callable[[Ids, Ids | None], Vectors]


class Batches:
    """A tokenizer with the reference's limit and no padding of its own, and what follows the network."""

    def __init__(self, folder: Path) -> None:
        model = Model.read(folder)
        self.normalizes = model.normalizes
        self.tokenizer = Tokenizer.from_file(str(model.tokenizer_json))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(model.max_tokens)
        self.pad_id: int = self.tokenizer.token_to_id(model.pad_token)

    def alone(self, text: str, forward: Forward) -> Vectors:
        """One text's vector."""
        ids = np.array([self.tokenizer.encode(text).ids], dtype=np.int64)
        mean: Vectors = forward(ids, None)[0].mean(axis=0)
        if not self.normalizes:
            return mean
        vector: Vectors = mean / max(float(np.sqrt(mean @ mean)), 1e-12)
        return vector

    def sorted(self, texts: list[str], size: int) -> list[tuple[npt.NDArray[np.intp], Ids, Ids | None]]:
        """Batches of texts of about the same length, padded to the longest: indices, ids, mask."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        # The longest first: if memory runs out, then at once.
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        batches = []
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            lengths = np.array([len(ids[i]) for i in indices])
            padded = np.full((len(indices), lengths[0]), self.pad_id, dtype=np.int64)
            for row, i in zip(padded, indices, strict=True):
                row[: len(ids[i])] = ids[i]
            mask = (np.arange(lengths[0]) < lengths[:, None]).astype(np.int64)
            batches.append((np.array(indices), padded, None if mask.all() else mask))
        return batches

    def pool(self, states: Vectors, mask: Ids | None) -> Vectors:
        """The vectors of a batch."""
        means = pool(states, mask)
        return normalize(means) if self.normalizes else means


def pool(states: Vectors, mask: Ids | None) -> Vectors:
    """Mean over the tokens that are not padding."""
    if mask is None:
        means: Vectors = states.mean(axis=1)
    else:
        weights = mask.astype(np.float32)
        # A matrix product a text, which numpy gives to BLAS: no masked copy of the states.
        means = np.matmul(weights[:, None, :], states)[:, 0] / weights.sum(axis=1, keepdims=True)
    return means


def normalize(vectors: Vectors) -> Vectors:
    """Each scaled to unit length."""
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
