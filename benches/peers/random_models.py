"""Models of the sizes that people use, with random weights, where the trained ones cannot be fetched.

    python -m peers.random_models all-mpnet-base-v2 --vocabulary MODEL_DIRECTORY --out DIR

Writes `DIR/random-all-mpnet-base-v2`, a folder of sentence-transformers. Speed does not depend on what the
weights are, but agreement and accuracy do: they are scaled until states look like those of a trained model.
"""

import argparse
import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"

Json = dict[str, Any]
Weights = npt.NDArray[np.float32]
# From the folder that --vocabulary names and the tiny model's tokenizer.json to the new one.
MakeTokenizer = Callable[[Path, Json], Json]

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")

# Of a matrix: the standard deviation of its outputs where that of its inputs is 1. LayerNorm's weights are
# 0.9 in the mean, so the scores of attention have one of 1.8² · 0.9² ≈ 2.6: far from uniform. What attention
# hands on is small, because it is alike for all tokens, and after twelve layers these would be alike, too.
GAINS = (
    (r"\b(query|key|q|k|q_lin|k_lin)\.weight$", 1.8),
    (r"\b(value|v|v_lin|attention\.output\.dense|o|out_lin)\.weight$", 0.7),
    (r"\b(intermediate\.dense|lin1)\.weight$", 1.1),
    (r"\.weight$", 1.0),
)
# Largest magnitudes of what is not a matrix of a layer.
EMBEDDINGS = (
    ("word_embeddings", 0.08),
    ("position_embeddings", 0.03),
    ("token_type_embeddings", 0.02),
    ("relative_attention_bias", 2.0),
)
BIAS = 0.03
LAYER_NORM = (0.6, 1.2)


@dataclass(frozen=True)
class Shape:
    """What a model has of its own; everything else is as in the tiny model of `fixtures/`."""

    tiny: str
    config: Json
    max_seq_length: int
    tokenizer: MakeTokenizer


def uniform(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Weights:
    """Middles of 2¹⁶ equal steps between the bounds: integers, a product and a sum, the same everywhere."""
    steps = rng.integers(0, 2**16, shape, dtype=np.uint16)
    step = np.float32((high - low) / 2**16)
    values: Weights = (steps.astype(np.float32) - np.float32(2**15 - 0.5)) * step
    middle = np.float32((low + high) / 2)
    return values + middle if middle else values


def bounds(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Where the weights of that name are; matrices are `[out][in]`."""
    for part, largest in EMBEDDINGS:
        if part in name:
            return (-largest, largest)
    if len(shape) == 1:
        return (-BIAS, BIAS) if name.endswith("bias") else LAYER_NORM
    gain = next(gain for pattern, gain in GAINS if re.search(pattern, name))
    # A uniform distribution on −a … a has the standard deviation a / √3.
    largest = gain * math.sqrt(3 / shape[1])
    return (-largest, largest)


def weights(shapes: dict[str, tuple[int, ...]], seed: int) -> Iterator[tuple[str, Weights]]:
    """In that order, of one generator."""
    rng = np.random.default_rng(seed)
    for name, shape in shapes.items():
        yield name, uniform(rng, shape, *bounds(name, shape))


def with_vocabulary(tokenizer: Json, vocab: Any, ids: dict[str, int]) -> Json:
    """The same tokenizer with other pieces; `ids` has the places of its special tokens among them."""
    added = [token | {"id": ids[token["content"]]} for token in tokenizer["added_tokens"]]
    return tokenizer | {"added_tokens": added, "model": tokenizer["model"] | {"vocab": vocab}}


def bert_tokenizer(vocabulary: Path, tiny: Json) -> Json:
    """The given one."""
    found: Json = json.loads((vocabulary / "tokenizer.json").read_text(encoding="utf-8"))
    return found


def mpnet_tokenizer(vocabulary: Path, tiny: Json) -> Json:
    """MPNet's: BERT's pieces with `<s>`, `<pad>`, `</s>` and `<unk>` before them and `<mask>` behind."""
    pieces: dict[str, int] = bert_tokenizer(vocabulary, tiny)["model"]["vocab"]
    first = ["<s>", "<pad>", "</s>", "<unk>"]
    every = [*first, *sorted(pieces, key=pieces.__getitem__), "<mask>"]
    vocab = {piece: index for index, piece in enumerate(every)}
    return with_vocabulary(tiny, vocab, vocab)


# XLM-RoBERTa's number of pieces, and how many SentencePiece learns: a word, with its punctuation, is 1.57 of
# them, where it is 1.55 of all-MiniLM-L6-v2's.
UNIGRAM_PIECES, LEARNED_PIECES = 250_002, 2_000
# More pieces, which no text of the benchmark has: pairs of these syllables.
FIRST_SYLLABLE, SYLLABLES = 0xAC00, 11_172
UNUSED_SCORE = -30.0


def unigram_vocabulary(learned: list[tuple[str, float]], tiny: list[list[Any]], size: int) -> list[list[Any]]:
    """In XLM-RoBERTa's order: special tokens, what was learned, other scripts from the tiny vocabulary,
    unused pieces, and `<mask>`."""
    first, last = tiny[:4], tiny[-1]
    scores = {piece: score for piece, score, *_ in [*tiny[4:-1], *learned]}
    # No learned piece may be the name of a special token.
    for piece, _ in [*first, last]:
        scores.pop(piece, None)
    found = [*first, *([piece, scores[piece]] for piece in sorted(scores, key=lambda p: (-scores[p], p)))]
    missing = size - len(found) - 1
    if missing < 0:
        raise SystemExit(f"expected room for {len(found) + 1} pieces, found {size}")
    for index in range(missing):
        a, b = divmod(index, SYLLABLES)
        found.append([chr(FIRST_SYLLABLE + a) + chr(FIRST_SYLLABLE + b), UNUSED_SCORE])
    return [*found, last]


def unigram_tokenizer(vocabulary: Path, tiny: Json) -> Json:
    """Trained on the paragraphs that the benchmark's texts are made of, and as large as XLM-RoBERTa's."""
    import io

    import sentencepiece

    from .prose import prose_of_python

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(prose_of_python()),
        model_writer=model,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        vocab_size=LEARNED_PIECES,
        num_threads=1,
        minloglevel=2,
    )
    learned = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    # Without <unk>, <s> and </s>, which are its first three.
    pieces = [(learned.id_to_piece(i), learned.get_score(i)) for i in range(3, len(learned))]
    vocab = unigram_vocabulary(pieces, tiny["model"]["vocab"], UNIGRAM_PIECES)
    return with_vocabulary(tiny, vocab, {piece: index for index, (piece, _) in enumerate(vocab)})


BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
}

MODELS = {
    "all-mpnet-base-v2": Shape(
        "tiny-mpnet",
        BASE | {"max_position_embeddings": 514, "vocab_size": 30_527},
        384,
        mpnet_tokenizer,
    ),
    "paraphrase-multilingual-MiniLM-L12-v2": Shape(
        "tiny-multilingual-bert",
        {
            "hidden_size": 384,
            "intermediate_size": 1536,
            "max_position_embeddings": 512,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "vocab_size": 250_037,
        },
        128,
        unigram_tokenizer,
    ),
    "bert-base-uncased": Shape(
        "tiny-bert",
        BASE | {"max_position_embeddings": 512, "vocab_size": 30_522},
        512,
        bert_tokenizer,
    ),
}


def parameter_shapes(config: Json) -> dict[str, tuple[int, ...]]:
    """All parameters of the model by their names, without any room for them."""
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(**config))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def write_json(path: Path, content: Json, indent: int | None = 2) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=indent) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def changed(path: Path, changes: Json) -> Json:
    """A JSON file with other values; returns all of them."""
    content: Json = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, content)
    return content


def write(name: str, vocabulary: Path, out: Path) -> Path:
    """Writes the folder and returns it."""
    from safetensors.numpy import save_file

    shape, folder = MODELS[name], out / f"random-{name}"
    tiny = FIXTURES / shape.tiny
    incomplete = out / f"incomplete-{folder.name}"
    shutil.rmtree(incomplete, ignore_errors=True)
    shutil.copytree(tiny, incomplete, ignore=shutil.ignore_patterns("model.safetensors", "vocab.txt"))
    config = changed(incomplete / "config.json", shape.config)
    changed(incomplete / "sentence_bert_config.json", {"max_seq_length": shape.max_seq_length})
    changed(incomplete / "1_Pooling/config.json", {"word_embedding_dimension": config["hidden_size"]})
    if shape.tokenizer is bert_tokenizer:
        for file in TOKENIZER_FILES:
            if (vocabulary / file).exists():
                shutil.copyfile(vocabulary / file, incomplete / file)
    else:
        path = incomplete / "tokenizer.json"
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, shape.tokenizer(vocabulary, tokenizer), indent=None)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    save_file(
        dict(weights(parameter_shapes(config), seed)),
        incomplete / "model.safetensors",
        metadata={"format": "pt"},
    )
    shutil.rmtree(folder, ignore_errors=True)
    incomplete.rename(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="peers.random_models", description="Write a model with random weights."
    )
    parser.add_argument("name", choices=MODELS)
    parser.add_argument(
        "--vocabulary",
        type=Path,
        required=True,
        help="directory of all-MiniLM-L6-v2, for its WordPiece vocabulary",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the directory that the model's directory goes into"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(write(arguments.name, arguments.vocabulary, arguments.out))


if __name__ == "__main__":
    main()
