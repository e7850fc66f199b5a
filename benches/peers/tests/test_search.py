"""Figures of exact search, and the vectors that are searched."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

from .. import search_report, search_vectors


def measurement(number: int, engine: str, seconds: float, read_seconds: float) -> dict[str, object]:
    return {
        "round": number,
        "engine": engine,
        "kind": "f32",
        "queries": 1,
        "threads": 2,
        "seconds": seconds,
        "read_seconds": read_seconds,
    }


class Figures(unittest.TestCase):
    def test_ratios_are_taken_in_a_round(self) -> None:
        ours = [measurement(i, "minilm", s, s) for i, s in enumerate((1.0, 4.0, 2.0))]
        rival = [measurement(i, "rival", s, 1.0) for i, s in enumerate((2.0, 4.0, 8.0))]
        results = {"rows": 10**9, "dimension": 2, "row_bytes": {"f32": 8}, "measurements": ours + rival}
        first, second = search_report.figures(results)
        self.assertEqual((first["engine"], first["ms"], first["gb_per_s"]), ("minilm", 2000.0, 4.0))
        self.assertEqual((first["of_read"], first["minilm_is_faster_by"]), (1.0, 1.0))
        # Twice, once and four times: not the ratio of the medians.
        self.assertEqual((second["ms"], second["minilm_is_faster_by"]), (4000.0, 2.0))
        self.assertEqual((second["of_read"], second["gops"]), (0.25, 1.0))


class Vectors(unittest.TestCase):
    def test_every_kind_has_its_truth(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            vectors = search_vectors.Vectors.make(200, 16, 4, Path(directory))
            for kind, file_bytes in (("f32", 200 * 64), ("int8", 200 * 16), ("ubinary", 200 * 2)):
                self.assertEqual(Path(vectors.files(kind)["rows"]).stat().st_size, file_bytes)
                self.assertEqual(vectors.truth(kind, 3).shape, (200,))
        np.testing.assert_allclose(np.linalg.norm(vectors.corpus, axis=1), 1, atol=1e-6)
        dots = vectors.int8.astype(np.int64) @ vectors.int8_queries[2].astype(np.int64)
        np.testing.assert_array_equal(vectors.truth("int8", 2), dots)
        differing = np.unpackbits(vectors.ubinary ^ vectors.ubinary_queries[1], axis=1).sum(axis=1)
        np.testing.assert_array_equal(vectors.truth("ubinary", 1), -differing.astype(np.int64))

    def test_bytes_reach_from_one_end_of_the_ranges_to_the_other(self) -> None:
        ranges = np.array([[-1.0, 0.0], [1.0, 0.0]])
        rows = np.array([[-1.0, 0.0], [1.0, 0.0], [2.0, -3.0], [0.0, 5.0]])
        # Where a range is empty its step is 1.
        expected = [[-128, -128], [127, -128], [127, -128], [-1, -123]]
        np.testing.assert_array_equal(search_vectors.to_int8(rows, ranges), expected)
