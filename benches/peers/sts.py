"""The STS benchmark: pairs of sentences and people's scores, and how well similarities agree with them."""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .accuracy import Accuracy
from .batches import Vectors

SPLIT = "test"
COLUMNS = ("split", "score", "sentence1", "sentence2")


@dataclass(frozen=True)
class Agreement:
    """An engine's vectors beside the reference's, and its similarities beside people's scores."""

    cosine_mean: float
    cosine_p1: float
    cosine_min: float
    spearman: float


@dataclass(frozen=True)
class Pairs:
    """Every sentence once, which two of them each pair has, and its score."""

    sentences: list[str]
    places: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> "Pairs":
        """The split `test` of a table with tabs and no quotes, gzip or plain."""
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8")
        rows = csv.DictReader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise SystemExit(f"{path}: expected columns {', '.join(COLUMNS)}; {', '.join(missing)} not found")
        places: dict[str, int] = {}
        pairs, scores = [], []
        for row in rows:
            if row["split"] == SPLIT:
                pairs.append([places.setdefault(row[name], len(places)) for name in COLUMNS[2:]])
                scores.append(float(row["score"]))
        if len(pairs) < 2:
            raise SystemExit(f"{path}: expected pairs with split {SPLIT!r}, found {len(pairs)}")
        return cls(list(places), np.array(pairs), np.array(scores))

    def spearman(self, vectors: Vectors) -> float:
        """The rank correlation of the pairs' cosines with their scores."""
        unit = vectors.astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        cosines = (unit[self.places[:, 0]] * unit[self.places[:, 1]]).sum(axis=1)
        return float(np.corrcoef(ranks(cosines), ranks(self.scores))[0, 1])

    def agreement(self, vectors: Vectors, reference: Vectors) -> Agreement:
        found = Accuracy.of(vectors, reference)
        return Agreement(found.cosine_mean, found.cosine_p1, found.cosine_min, self.spearman(vectors))


def ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From 1 on; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return means
