"""Texts that are sent to servers."""

import json
from pathlib import Path

SENTENCE = "A man is eating food."
OTHERS = ["Someone eats.", "It rains in Hamburg.", "日本語の文章です。"]

#: More tokens than the model takes, which are 256.
TOO_LONG = "the quick brown fox jumps over the lazy dog " * 80

#: What clients, JSON, HTTP or a tokenizer may get wrong.
AWKWARD = [
    "",
    " \t\r\n",
    SENTENCE,
    '"quotes", \\backslashes\\ and {"inputs": []}',
    "line\nbreaks\r\nand\ttabs",
    "Ünïcödé – naïve café",
    "U\u0308ni\u0308co\u0308de\u0301 in pieces",
    "我喜欢编程和机器学习",
    "日本語の文章です。",
    "안녕하세요 세계",
    "مرحبا بالعالم",
    "🚀👩‍👩‍👧‍👦🏳️‍🌈 emoji",
    "\U0001d54f\U00020000 beyond the first plane",
    "\u200b\u200d\ufeff",
    "a\x00b\x7fc",
    "[CLS] special [SEP] tokens [MASK]",
    "</script><b>markup</b>",
    "x" * 5000,
    TOO_LONG,
]


def golden_texts() -> list[str]:
    """Over 450 texts of every kind, many of them long."""
    lines = Path(__file__, "../../../fixtures/golden/texts.jsonl").resolve().read_text(encoding="ascii")
    return [json.loads(line)["text"] for line in lines.splitlines()]
