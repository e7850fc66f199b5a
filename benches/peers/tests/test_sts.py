"""The STS benchmark's figures, from tables and vectors of a few numbers."""

import gzip
import tempfile
import unittest
from pathlib import Path

import numpy as np

from ..batches import Vectors
from ..sts import Pairs, ranks

HEADER = "split\tgenre\tscore\tsentence1\tsentence2\n"
TABLE = (
    HEADER
    + "train\tnews\t5.0\tleft out\tas well\n"
    + 'test\tnews\t4.5\tA cat.\tA "red" cat.\n'
    + "test\tnews\t1\tA cat.\tMats.\n"
    + 'test\tnews\t3\tMats.\tA "red" cat.\n'
)


def at_degrees(*degrees: float) -> Vectors:
    """Vectors of length two in the plane."""
    angles = np.radians(np.array(degrees))
    return (2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "pairs.tsv"

    def read(self, content: bytes) -> Pairs:
        self.path.write_bytes(content)
        return Pairs.read(self.path)

    def test_each_sentence_of_the_split_once(self) -> None:
        for content in (TABLE.encode(), gzip.compress(TABLE.encode())):
            found = self.read(content)
            self.assertEqual(found.sentences, ["A cat.", 'A "red" cat.', "Mats."])
            self.assertEqual(found.places.tolist(), [[0, 1], [0, 2], [2, 1]])
            self.assertEqual(found.scores.tolist(), [4.5, 1.0, 3.0])

    def test_another_table_is_refused(self) -> None:
        with self.assertRaisesRegex(SystemExit, "expected columns .*; score, sentence2 not found"):
            self.read(b"split\tsentence1\ntest\ta\n")
        with self.assertRaisesRegex(SystemExit, "expected pairs with split 'test', found 0"):
            self.read((HEADER + "dev\tnews\t1\ta\tb\n").encode())


class Figures(unittest.TestCase):
    def test_equal_values_share_the_mean_of_their_ranks(self) -> None:
        values = np.array([3.0, 1.0, 3.0, 2.0, 3.0, 1.0])
        self.assertEqual(ranks(values).tolist(), [5, 1.5, 5, 3, 5, 1.5])

    def test_spearman_is_of_ranks_alone(self) -> None:
        # Angles of 10, 90 and 80 degrees: cosines in the order of the scores, not in their proportion.
        pairs = Pairs(["a", "b", "c"], np.array([[0, 1], [0, 2], [2, 1]]), np.array([4.5, 1.0, 3.0]))
        self.assertAlmostEqual(pairs.spearman(at_degrees(0, 10, 90)), 1.0)
        # 80, 10 and 70 degrees: ranks 1, 3, 2 beside 3, 1, 2.
        self.assertAlmostEqual(pairs.spearman(at_degrees(0, 80, 10)), -1.0)
        # Differences of ranks -1, 1 and 0: 1 - 6 · 2 / (3 · 8).
        other = Pairs(pairs.sentences, pairs.places, np.array([3.0, 1.0, 4.5]))
        self.assertAlmostEqual(other.spearman(at_degrees(0, 10, 90)), 0.5)

    def test_agreement_is_with_the_reference_and_with_people(self) -> None:
        pairs = Pairs(["a", "b", "c"], np.array([[0, 1], [0, 2], [2, 1]]), np.array([4.5, 1.0, 3.0]))
        found = pairs.agreement(at_degrees(0, 10, 60), at_degrees(0, 10, 0))
        self.assertAlmostEqual(found.cosine_min, 0.5, places=6)
        self.assertAlmostEqual(found.cosine_mean, 2.5 / 3, places=6)
        # Two hundredths of the way from the smallest to the next.
        self.assertAlmostEqual(found.cosine_p1, 0.51, places=6)
        self.assertAlmostEqual(found.spearman, 1.0)
