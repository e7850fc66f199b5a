"""Tests of what needs no engine: `python -m unittest discover -t . -s peers/tests` in `benches/`."""

from pathlib import Path

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"

#: The tiny model, whose tokenizer is a real one with a vocabulary that fits into a head.
TINY_BERT = FIXTURES / "tiny-bert"
#: Its like with relative positions, and one with a vocabulary of many scripts and without a last `Normalize`.
TINY_MPNET, TINY_MULTILINGUAL = FIXTURES / "tiny-mpnet", FIXTURES / "tiny-multilingual-bert"
