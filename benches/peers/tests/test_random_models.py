"""Random weights and the tokenizers that go with them: where numbers are, which token has which id."""

import json
import unittest

import numpy as np
from tokenizers import Tokenizer

from ..random_models import bounds, mpnet_tokenizer, uniform, unigram_vocabulary, weights, with_vocabulary
from . import TINY_BERT, TINY_MPNET, TINY_MULTILINGUAL


class Numbers(unittest.TestCase):
    def test_they_are_the_middles_of_equal_steps(self) -> None:
        found = uniform(np.random.default_rng(0), (200, 300), -1.0, 1.0).astype(np.float64)
        # Odd multiples of half a step, exactly.
        halves = found * 2**16
        self.assertTrue((halves % 2 == 1).all())
        self.assertLess(np.abs(found).max(), 1.0)
        self.assertGreater(np.abs(found).max(), 0.999)
        self.assertAlmostEqual(float(found.mean()), 0.0, places=2)

    def test_bounds_need_not_be_symmetric(self) -> None:
        found = uniform(np.random.default_rng(0), (10_000,), 0.6, 1.2)
        self.assertEqual(found.dtype, np.float32)
        self.assertAlmostEqual(float(found.min()), 0.6, places=3)
        self.assertAlmostEqual(float(found.max()), 1.2, places=3)

    def test_a_seed_has_one_model(self) -> None:
        shapes = {"encoder.layer.0.attention.self.query.weight": (4, 8), "embeddings.LayerNorm.bias": (8,)}
        first, again, other = (dict(weights(shapes, seed)) for seed in (1, 1, 2))
        for name, shape in shapes.items():
            self.assertEqual(first[name].shape, shape)
            np.testing.assert_array_equal(first[name], again[name])
            self.assertTrue((first[name] != other[name]).any(), name)


class Bounds(unittest.TestCase):
    def gain(self, name: str, shape: tuple[int, int]) -> float:
        """Of independent inputs with a standard deviation of 1, that of the outputs."""
        low, high = bounds(name, shape)
        self.assertEqual(low, -high)
        return float(high / np.sqrt(3) * np.sqrt(shape[1]))

    def test_matrices_have_gains_whatever_their_size(self) -> None:
        gains = {
            "attention.self.query": 1.8,
            "attention.attn.k": 1.8,
            "attention.self.value": 0.7,
            "attention.attn.o": 0.7,
            "attention.output.dense": 0.7,
            "intermediate.dense": 1.1,
            "output.dense": 1.0,
        }
        for part, gain in gains.items():
            name = f"encoder.layer.11.{part}.weight"
            self.assertAlmostEqual(self.gain(name, (8, 384)), gain, msg=name)
            self.assertAlmostEqual(self.gain(name, (8, 3072)), gain, msg=name)

    def test_everything_else_by_its_kind(self) -> None:
        self.assertEqual(bounds("embeddings.word_embeddings.weight", (99, 8)), (-0.08, 0.08))
        self.assertEqual(bounds("encoder.relative_attention_bias.weight", (32, 12)), (-2.0, 2.0))
        self.assertEqual(bounds("encoder.layer.0.attention.attn.q.bias", (8,)), (-0.03, 0.03))
        self.assertEqual(bounds("encoder.layer.0.output.LayerNorm.weight", (8,)), (0.6, 1.2))


class Tokenizers(unittest.TestCase):
    def test_mpnets_ids_are_berts_moved_by_four(self) -> None:
        tiny = json.loads((TINY_MPNET / "tokenizer.json").read_text(encoding="utf-8"))
        bert = Tokenizer.from_file(str(TINY_BERT / "tokenizer.json"))
        found = Tokenizer.from_str(json.dumps(mpnet_tokenizer(TINY_BERT, tiny)))
        self.assertEqual(found.get_vocab_size(), bert.get_vocab_size() + 5)
        bert_ids, ids = bert.encode("the cat walking").ids, found.encode("the cat walking").ids
        end = ids.index(2)
        self.assertEqual(ids[:end], [0, *(index + 4 for index in bert_ids[1:end])])
        special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
        last = bert.get_vocab_size() + 4
        expected = [0, 1, 2, 3, bert.token_to_id("[UNK]") + 4, last]
        self.assertEqual([found.token_to_id(token) for token in special], expected)
        self.assertIn(last, found.encode("the <mask> cat").ids)

    def test_a_unigram_vocabulary_is_filled_up_between_its_special_tokens(self) -> None:
        tiny = json.loads((TINY_MULTILINGUAL / "tokenizer.json").read_text(encoding="utf-8"))
        learned = [("▁documentation", -6.0), ("</s>", -1.0)]
        vocab = unigram_vocabulary(learned, tiny["model"]["vocab"], 2000)
        pieces = [piece for piece, _ in vocab]
        self.assertEqual((len(pieces), len(set(pieces))), (2000, 2000))
        self.assertEqual([*pieces[:4], pieces[-1]], ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        ids = {piece: index for index, piece in enumerate(pieces)}
        found = Tokenizer.from_str(json.dumps(with_vocabulary(tiny, vocab, ids)))
        encoding = found.encode("documentation <mask>")
        self.assertEqual(encoding.ids[:2], [0, ids["▁documentation"]])
        self.assertIn(1999, encoding.ids)

    def test_too_small_a_vocabulary_is_an_error(self) -> None:
        tiny = json.loads((TINY_MULTILINGUAL / "tokenizer.json").read_text(encoding="utf-8"))
        with self.assertRaisesRegex(SystemExit, "expected room for 1741 pieces, found 1740"):
            unigram_vocabulary([("▁documentation", -6.0)], tiny["model"]["vocab"], 1740)
