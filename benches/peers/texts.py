"""The texts that are timed, out of the prose of Python's documentation."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer

from .model import Model
from .prose import MIXED_TEXTS, mixed_texts, prose_of_python

SHORT_TEXTS, SHORT_TOKENS = 1000, range(8, 17)
LONG_TEXTS, LONG_TOKENS = 32, 256
KINDS = ("short", "long", "mixed")
# How many of them are in `check.jsonl`, beside all the mixed ones.
CHECKED = {"short": 100, "long": 8}


@dataclass(frozen=True)
class TextFile:
    """Texts, a line each, and what is known of them."""

    path: Path
    texts: list[str]
    #: Of tokens that are not cut off.
    tokens_mean: float
    sha256: str

    def describe(self) -> dict[str, object]:
        return {
            "file": self.path.name,
            "texts": len(self.texts),
            "tokens_mean": self.tokens_mean,
            "sha256": self.sha256,
        }


def short_texts(prose: list[str], tokenizer: Tokenizer) -> Iterator[str]:
    """The beginnings of sentences, five to eleven words of them, that have 8 to 16 tokens."""
    seen = set()
    sentences = [sentence for text in prose for sentence in re.split(r"(?<=[.:;]) ", text)]
    for number, sentence in enumerate(sentences):
        text = " ".join(sentence.split()[: 5 + number % 7])
        if text not in seen and len(tokenizer.encode(text).ids) in SHORT_TOKENS:
            seen.add(text)
            yield text


def long_texts(prose: list[str], tokenizer: Tokenizer, tokens: int = LONG_TOKENS) -> Iterator[str]:
    """Paragraphs one after the other, cut where they have exactly that many tokens."""
    text = ""
    for paragraph in prose:
        text = f"{text} {paragraph}".strip()
        encoding = tokenizer.encode(text)
        if len(encoding.ids) >= tokens:
            # The last id is [SEP], so the token before it is the last that fits.
            cut = text[: encoding.offsets[tokens - 2][1]]
            text = ""
            if len(tokenizer.encode(cut).ids) == tokens:
                yield cut


def tokenizer_of(tokenizer_json: Path) -> Tokenizer:
    """One that leaves texts as long as they are."""
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def write_texts(directory: Path, model: Model, mixed: int = MIXED_TEXTS) -> dict[str, TextFile]:
    """Writes `short.jsonl`, `long.jsonl`, `mixed.jsonl`, the last with `mixed` texts, and `check.jsonl`."""
    tokenizer = tokenizer_of(model.tokenizer_json)
    prose = prose_of_python()
    wanted = {
        "short": (SHORT_TEXTS, short_texts(prose, tokenizer)),
        "long": (LONG_TEXTS, long_texts(prose, tokenizer, min(LONG_TOKENS, model.max_tokens))),
        "mixed": (mixed, mixed_texts(prose)),
    }
    files: dict[str, TextFile] = {}
    for kind, (count, source) in wanted.items():
        texts = list(islice(source, count))
        if len(texts) < count:
            raise SystemExit(
                f"{kind}: expected {count} texts in this Python's documentation, found {len(texts)}"
            )
        files[kind] = write(directory / f"{kind}.jsonl", texts, tokenizer, model.max_tokens)
    checked = [text for kind in KINDS for text in files[kind].texts[: CHECKED.get(kind)]]
    files["check"] = write(directory / "check.jsonl", checked, tokenizer, model.max_tokens)
    return files


def write(path: Path, texts: list[str], tokenizer: Tokenizer, max_tokens: int) -> TextFile:
    content = "".join(json.dumps(text) + "\n" for text in texts)
    path.write_text(content, encoding="ascii")
    lengths = [min(len(tokenizer.encode(text).ids), max_tokens) for text in texts]
    return TextFile(path, texts, sum(lengths) / len(lengths), hashlib.sha256(content.encode()).hexdigest())
