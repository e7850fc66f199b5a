"""Tests of what needs no engine: `python -m unittest discover -t . -s peers/tests` in `benches/`."""

from pathlib import Path

#: The tiny model, whose tokenizer is a real one with a vocabulary that fits into a head.
TINY_BERT = Path(__file__).resolve().parents[3] / "fixtures" / "tiny-bert"
