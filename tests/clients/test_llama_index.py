"""LlamaIndex's client of text-embeddings-inference."""

import asyncio
from typing import Any

import pytest
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

from conftest import Serve
from program import Minilm, Server, same_bits
from texts import AWKWARD, OTHERS, SENTENCE, TOO_LONG, golden_texts


def embeddings(server: Server, **options: Any) -> TextEmbeddingsInference:
    return TextEmbeddingsInference("all-MiniLM-L6-v2", base_url=server.url, **options)


def sent(texts: list[str]) -> list[str]:
    """The client takes white space from both ends of a text."""
    return [text.strip() for text in texts]


def test_a_text_and_a_query(server: Server, minilm: Minilm) -> None:
    client = embeddings(server)
    for text, expected in zip(AWKWARD, minilm.embed(sent(AWKWARD)), strict=True):
        same_bits([client.get_text_embedding(text)], expected[None])
        same_bits([client.get_query_embedding(text)], expected[None])


@pytest.mark.parametrize("embed_batch_size", [1, 10, 2048])
def test_a_batch(server: Server, minilm: Minilm, embed_batch_size: int) -> None:
    client = embeddings(server, embed_batch_size=embed_batch_size)
    same_bits(client.get_text_embedding_batch(AWKWARD), minilm.embed(sent(AWKWARD)))


def test_hundreds_of_texts_in_a_request(server: Server, minilm: Minilm) -> None:
    texts = golden_texts()
    assert len(texts) > 300
    client = embeddings(server, embed_batch_size=2048)
    same_bits(client.get_text_embedding_batch(texts), minilm.embed(sent(texts)))


def test_instructions(server: Server, minilm: Minilm) -> None:
    client = embeddings(server, query_instruction="query:", text_instruction="passage:")
    same_bits([client.get_query_embedding(SENTENCE)], minilm.embed([f"query: {SENTENCE}"]))
    same_bits(client.get_text_embedding_batch(OTHERS), minilm.embed([f"passage: {text}" for text in OTHERS]))


def test_the_async_methods(server: Server, minilm: Minilm) -> None:
    client = embeddings(server)

    async def ask() -> list:
        return await asyncio.gather(
            client.aget_text_embedding_batch(AWKWARD),
            client.aget_text_embedding(SENTENCE),
            client.aget_query_embedding(SENTENCE),
        )

    batch, text, query = asyncio.run(ask())
    same_bits(batch, minilm.embed(sent(AWKWARD)))
    same_bits([text, query], minilm.embed([SENTENCE, SENTENCE]))


def test_the_mean_of_several_queries(server: Server, minilm: Minilm) -> None:
    found = embeddings(server).get_agg_embedding_from_queries(OTHERS)
    assert abs(found - minilm.embed(OTHERS).mean(axis=0)).max() < 1e-6


def test_a_key(serve: Serve, minilm: Minilm) -> None:
    server = serve("--api-key", "secret")
    for token in ("secret", lambda url: "secret" if url == server.url else ""):
        found = embeddings(server, auth_token=token).get_text_embedding(SENTENCE)
        same_bits([found], minilm.embed([SENTENCE]))


def test_truncate_text(server: Server, minilm: Minilm) -> None:
    same_bits([embeddings(server).get_text_embedding(TOO_LONG)], minilm.embed([TOO_LONG]))
    # The client looks at no status: it takes a vector out of the JSON of the error, where there is none.
    with pytest.raises(KeyError):
        embeddings(server, truncate_text=False).get_text_embedding(TOO_LONG)
