"""The limits, from both sides, in the plane: a vector at an angle has that angle's cosine."""

import unittest

import numpy as np

from ..accuracy import Accuracy
from ..batches import Vectors

AXIS = [1.0, 0.0]


def at_cosines(*cosines: float) -> Vectors:
    """Unit vectors that have these cosines to the axis."""
    return np.array([[c, np.sqrt(1 - c * c)] for c in cosines], dtype=np.float32)


def of_cosines(*cosines: float) -> Accuracy:
    return Accuracy.of(at_cosines(*cosines), np.array([AXIS] * len(cosines), dtype=np.float32))


def of_difference(difference: float) -> Accuracy:
    vectors = np.array([AXIS, [1.0, -difference]], dtype=np.float32)
    return Accuracy.of(vectors, np.array([AXIS, AXIS], dtype=np.float32))


class Statistics(unittest.TestCase):
    def test_each_is_of_all_vectors(self) -> None:
        # Of 101 numbers the first percentile is the second smallest.
        found = of_cosines(0.5, 0.6, *[1.0] * 99)
        self.assertAlmostEqual(found.cosine_min, 0.5, places=6)
        self.assertAlmostEqual(found.cosine_p1, 0.6, places=6)
        self.assertAlmostEqual(found.cosine_mean, (0.5 + 0.6 + 99) / 101, places=6)
        self.assertAlmostEqual(found.largest_difference, np.sqrt(0.75), places=6)

    def test_a_cosine_does_not_depend_on_lengths(self) -> None:
        found = Accuracy.of(3 * at_cosines(0.8), np.array([[2.0, 0.0]], dtype=np.float32))
        self.assertAlmostEqual(found.cosine_mean, 0.8, places=6)

    def test_a_difference_is_in_parts_of_the_references_length(self) -> None:
        reference = np.array([[300.0, 400.0], [0.0, 1.0]], dtype=np.float32)
        found = Accuracy.of(reference + np.array([[0.5, 0.0], [0.0, 5e-4]], dtype=np.float32), reference)
        self.assertAlmostEqual(found.largest_difference, 1e-3, places=7)

    def test_another_number_of_vectors_is_refused(self) -> None:
        with self.assertRaisesRegex(SystemExit, r"expected vectors \(3, 2\), found \(2, 2\)"):
            Accuracy.of(at_cosines(1.0, 1.0), at_cosines(1.0, 1.0, 1.0))


class Limits(unittest.TestCase):
    def test_f32_is_a_matter_of_the_largest_component(self) -> None:
        self.assertTrue(of_difference(0.0).is_good("f32"))
        self.assertTrue(of_difference(0.99e-5).is_good("f32"))
        self.assertFalse(of_difference(1.01e-5).is_good("f32"))
        # The direction alone is not enough.
        longer = Accuracy.of(1.0001 * at_cosines(1.0), at_cosines(1.0))
        self.assertFalse(longer.is_good("f32"))
        self.assertTrue(longer.is_good("bf16"))

    def test_bf16_has_a_mean_and_a_smallest_cosine(self) -> None:
        self.assertTrue(of_cosines(0.9996, 0.9996).is_good("bf16"))
        self.assertFalse(of_cosines(0.9994, 0.9994).is_good("bf16"))
        self.assertTrue(of_cosines(0.9991, *[1.0] * 9).is_good("bf16"))
        self.assertFalse(of_cosines(0.9989, *[1.0] * 9).is_good("bf16"))

    def test_int8_has_wider_ones(self) -> None:
        self.assertTrue(of_cosines(0.981, 0.981).is_good("int8"))
        self.assertFalse(of_cosines(0.979, 0.979).is_good("int8"))
        self.assertTrue(of_cosines(0.91, *[1.0] * 9).is_good("int8"))
        self.assertFalse(of_cosines(0.89, *[1.0] * 9).is_good("int8"))

    def test_nan_is_never_good(self) -> None:
        vectors = at_cosines(1.0, 1.0)
        vectors[1, 0] = np.nan
        found = Accuracy.of(vectors, at_cosines(1.0, 1.0))
        for precision in ("f32", "bf16", "int8"):
            self.assertFalse(found.is_good(precision), precision)
