"""A corpus and its queries, the same in every run, in every precision that is searched."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 20261127


def normalised(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def to_int8(rows: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """As sentence-transformers' `quantize_embeddings` with `precision="int8"` and these ranges."""
    steps = (ranges[1] - ranges[0]) / 255
    levels = np.clip(np.floor((rows - ranges[0]) / np.where(steps == 0, 1, steps)), 0, 255)
    return (levels - 128).astype(np.int8)


@dataclass(frozen=True)
class Vectors:
    corpus: np.ndarray
    queries: np.ndarray
    int8: np.ndarray
    int8_queries: np.ndarray
    ubinary: np.ndarray
    ubinary_queries: np.ndarray
    directory: Path

    @classmethod
    def make(cls, rows: int, dimension: int, queries: int, directory: Path) -> "Vectors":
        """Normalised Gaussian vectors; a query is one of them with as much noise: it has neighbours."""
        random = np.random.default_rng(SEED)
        corpus = normalised(random.standard_normal((rows, dimension), dtype=np.float32))
        noise = normalised(random.standard_normal((queries, dimension), dtype=np.float32))
        asked = normalised(corpus[random.integers(rows, size=queries)] + noise)
        ranges = np.vstack((corpus.min(axis=0), corpus.max(axis=0)))
        int8 = np.concatenate([to_int8(part, ranges) for part in np.array_split(corpus, 32)])
        vectors = cls(
            corpus,
            asked,
            int8,
            to_int8(asked, ranges),
            np.packbits(corpus > 0, axis=-1),
            np.packbits(asked > 0, axis=-1),
            directory,
        )
        directory.mkdir(parents=True, exist_ok=True)
        for kind in ("f32", "int8", "ubinary"):
            for array, file in zip(vectors.of(kind), vectors.files(kind).values(), strict=True):
                array.tofile(file)
        np.save(vectors.npy(), corpus)
        return vectors

    def of(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        return {
            "f32": (self.corpus, self.queries),
            "int8": (self.int8, self.int8_queries),
            "ubinary": (self.ubinary, self.ubinary_queries),
        }[kind]

    def files(self, kind: str) -> dict[str, str]:
        return {name: str(self.directory / f"search-{name}.{kind}") for name in ("rows", "queries")}

    def npy(self) -> str:
        """The corpus in f32 as people keep it."""
        return str(self.directory / "search-rows.npy")

    def row_bytes(self) -> dict[str, int]:
        return {kind: self.of(kind)[0][0].nbytes for kind in ("f32", "int8", "ubinary")}

    def truth(self, kind: str, query: int) -> np.ndarray:
        """All scores of a query: in float64, which integers are exact in; of bits the distance, negated."""
        rows, queries = self.of(kind)
        if kind == "ubinary":
            return -np.bitwise_count(rows ^ queries[query]).sum(axis=1, dtype=np.int64)
        parts = np.array_split(rows, 32)
        return np.concatenate([part.astype(np.float64) @ queries[query].astype(np.float64) for part in parts])
