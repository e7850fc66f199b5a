"""The table of engines: accuracy stands beside the speed that it belongs to."""

import unittest

from ..ratios import Figure
from ..report import engines_table, model_line


def figure(engine: str, value: float, ratio: float | None = None, threads: int = 1) -> Figure:
    precision = engine.rsplit(" ", 1)[1]
    return Figure("short", threads, engine, precision, value, None, None, ratio)


def agreement(engine: str, mean: float, threads: int = 1) -> dict[str, object]:
    cosines = {"cosine_mean": mean, "cosine_p1": 0.9, "cosine_min": 0.8}
    return {"engine": engine, "threads": threads, "spearman": 0.82, **cosines}


class EnginesTable(unittest.TestCase):
    figures = (
        figure("rival int8", 1.5, 3.0),
        figure("minilm int8", 0.5),
        figure("minilm f32", 2.0),
        figure("minilm int8", 0.3, threads=2),
    )

    def test_accuracy_is_that_of_the_engine_and_its_threads(self) -> None:
        known = [
            agreement("minilm int8", 0.999),
            agreement("rival int8", 0.99),
            agreement("minilm int8", 0.998, threads=2),
        ]
        self.assertEqual(
            engines_table(list(self.figures), known)[2:-1],
            [
                "| minilm f32 | 1 | **2.00** |  |  |  |  |  |  |  |",
                "| minilm int8 | 1 | **0.50** |  |  |  | 0.99900 | 0.90000 | 0.80000 | 0.82000 |",
                "| rival int8 | 1 | 1.50 (3.00×) |  |  |  | 0.99000 | 0.90000 | 0.80000 | 0.82000 |",
                "| minilm int8 | 2 | **0.30** |  |  |  | 0.99800 | 0.90000 | 0.80000 | 0.82000 |",
            ],
        )

    def test_without_any_there_are_no_such_columns(self) -> None:
        lines = engines_table(list(self.figures), [])
        self.assertTrue(all(line.count("|") == 7 for line in lines[:-1]), lines)


MODEL = {
    "name": "random-one",
    "architecture": "BertModel",
    "layers": 12,
    "hidden_size": 384,
    "heads": 6,
    "intermediate_size": 1536,
    "vocab_size": 99,
    "max_tokens": 128,
    "normalizes": False,
    "weights_sha256": "ab12",
}


class ModelLine(unittest.TestCase):
    def test_it_says_what_was_embedded_with(self) -> None:
        self.assertEqual(
            model_line(MODEL),
            "The model is random-one: BertModel, 12 layers of 384 × 1536, 6 heads, a vocabulary of 99; "
            "the mean of at most 128 tokens. SHA-256 of its weights: `ab12`.",
        )

    def test_it_says_whether_vectors_are_normalised(self) -> None:
        line = model_line(MODEL | {"normalizes": True})
        self.assertIn("128 tokens, scaled to unit length. SHA", line)
