"""What engines leave to the caller, by the tokenizer of the tiny model and with vectors of two components."""

import unittest

import numpy as np

from ..batches import Batches, Ids, Vectors, normalize, pool
from . import TINY_BERT, TINY_MPNET, TINY_MULTILINGUAL

# Of 4, 2, 3, 4 and 6 tokens, [CLS] and [SEP] included.
TEXTS = ["the cat", "", "sat", "red mat", "on my mat ."]


class Sorted(unittest.TestCase):
    def setUp(self) -> None:
        self.batches = Batches(TINY_BERT)

    def ids(self, text: str) -> list[int]:
        return list(self.batches.tokenizer.encode(text).ids)

    def test_the_longest_come_first_and_are_padded_to_the_longest(self) -> None:
        pad = self.batches.tokenizer.token_to_id("[PAD]")
        found = self.batches.sorted(TEXTS, 3)
        self.assertEqual([indices.tolist() for indices, _, _ in found], [[4, 0, 3], [2, 1]])
        for (indices, ids, mask), longest in zip(found, [6, 3], strict=True):
            self.assertEqual(ids.shape, (len(indices), longest))
            assert mask is not None
            for row, row_mask, index in zip(ids.tolist(), mask.tolist(), indices, strict=True):
                own = self.ids(TEXTS[index])
                padding = longest - len(own)
                self.assertEqual(row, own + [pad] * padding)
                self.assertEqual(row_mask, [1] * len(own) + [0] * padding)

    def test_there_is_no_mask_where_nothing_is_padded(self) -> None:
        [(indices, ids, mask)] = self.batches.sorted(["the cat", "red mat"], 8)
        self.assertEqual(indices.tolist(), [0, 1])
        self.assertEqual(ids.tolist(), [self.ids("the cat"), self.ids("red mat")])
        self.assertIsNone(mask)

    def test_the_limit_is_that_of_sentence_transformers_and_not_the_tokenizers(self) -> None:
        # tokenizer.json says 24.
        [(_, ids, mask)] = self.batches.sorted(["cat " * 31], 1)
        [cat] = self.ids("cat")[1:-1]
        self.assertEqual(ids[0, 1:-1].tolist(), [cat] * 30)
        self.assertEqual(ids.shape, (1, 32))
        self.assertIsNone(mask)

    def test_padding_is_the_models_own(self) -> None:
        # MPNet counts positions of all ids but this one.
        [(_, ids, mask)] = Batches(TINY_MPNET).sorted(["the cat sat", "cat"], 2)
        self.assertEqual(ids[1, 3:].tolist(), [1, 1])
        self.assertEqual(ids[:, 0].tolist(), [0, 0])
        assert mask is not None
        self.assertEqual(mask.tolist(), [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


class Pool(unittest.TestCase):
    def test_a_mean_is_of_all_tokens(self) -> None:
        states = np.array([[[1, 8], [5, 0]], [[0, 2], [0, 4]]], dtype=np.float32)
        np.testing.assert_allclose(pool(states, None), [[3.0, 4.0], [0.0, 3.0]], rtol=1e-6)

    def test_padding_has_no_part_in_it(self) -> None:
        states = np.array([[[1, 8], [5, 0], [9, 9]], [[3, 4], [7, 7], [7, 7]]], dtype=np.float32)
        mask = np.array([[1, 1, 0], [1, 0, 0]], dtype=np.int64)
        np.testing.assert_allclose(pool(states, mask), [[3.0, 4.0], [3.0, 4.0]], rtol=1e-6)


class Normalize(unittest.TestCase):
    def test_vectors_are_scaled_to_unit_length(self) -> None:
        vectors = np.array([[3, 4], [0, 3]], dtype=np.float32)
        np.testing.assert_allclose(normalize(vectors), [[0.6, 0.8], [0.0, 1.0]], rtol=1e-6)

    def test_nothing_stays_nothing(self) -> None:
        self.assertEqual(normalize(np.zeros((1, 2), dtype=np.float32)).tolist(), [[0, 0]])


class Alone(unittest.TestCase):
    def vectors_alone_and_in_a_batch(self, batches: Batches) -> list[tuple[Vectors, Vectors]]:
        # A row of states an id: the smallest network there is.
        table = np.random.default_rng(0).standard_normal((1740, 2)).astype(np.float32)

        def forward(ids: Ids, mask: Ids | None) -> Vectors:
            states: Vectors = table[ids]
            return states

        found = []
        for indices, ids, mask in batches.sorted(TEXTS, 2):
            together = batches.pool(forward(ids, mask), mask)
            for index, vector in zip(indices, together, strict=True):
                found.append((batches.alone(TEXTS[index], forward), vector))
        return found

    def test_a_text_alone_has_the_vector_that_it_has_in_a_batch(self) -> None:
        for alone, vector in self.vectors_alone_and_in_a_batch(Batches(TINY_BERT)):
            np.testing.assert_allclose(alone, vector, rtol=1e-5)
            self.assertAlmostEqual(float(np.linalg.norm(alone)), 1.0, places=6)

    def test_a_model_without_normalize_has_vectors_of_any_length(self) -> None:
        lengths = []
        for alone, vector in self.vectors_alone_and_in_a_batch(Batches(TINY_MULTILINGUAL)):
            np.testing.assert_allclose(alone, vector, rtol=1e-5, atol=1e-6)
            lengths.append(float(np.linalg.norm(alone)))
        self.assertGreater(max(lengths) - min(lengths), 0.01)
