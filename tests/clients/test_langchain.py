"""LangChain's client of OpenAI."""

import asyncio
from importlib.resources import files
from typing import Any

import openai
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings

from conftest import Serve
from program import Minilm, Server, same_bits
from texts import AWKWARD, SENTENCE, TOO_LONG, golden_texts

MODEL = "all-MiniLM-L6-v2"

#: A text of words that are in the model's vocabulary, with their ids there.
WORDS = {
    "[CLS]": 101,
    "[SEP]": 102,
    ".": 1012,
    "a": 1037,
    "is": 2003,
    "man": 2158,
    "food": 2833,
    "eating": 5983,
}
TEXT = "a man is eating a man ."


def embeddings(server: Server, **options: Any) -> OpenAIEmbeddings:
    options = {"model": MODEL, "api_key": "any", "max_retries": 0, "timeout": 60} | options
    return OpenAIEmbeddings(base_url=f"{server.url}/v1", **options)


@pytest.fixture
def tokenizer_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """What LangChain takes for models that it does not know: usually downloaded, here out of LlamaIndex."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(files("llama_index.core") / "_static" / "tiktoken_cache"))


@pytest.fixture
def tokenizer_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that LangChain knows the model by, and which gives its ids, of `WORDS` alone."""
    ranks = {word.encode(): index for word, index in WORDS.items()}
    encoding = tiktoken.Encoding("words", pat_str=r"\S+", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "words", encoding)
    monkeypatch.setitem(tiktoken.model.MODEL_TO_ENCODING, MODEL, "words")


def test_without_its_context_check(server: Server, minilm: Minilm) -> None:
    texts = AWKWARD + golden_texts()[:300]
    client = embeddings(server, check_embedding_ctx_length=False)
    same_bits(client.embed_documents(texts), minilm.embed(texts))
    same_bits(client.embed_documents(AWKWARD, chunk_size=4), minilm.embed(AWKWARD))
    for text in AWKWARD:
        same_bits([client.embed_query(text)], minilm.embed([text]))


def test_dimensions(server: Server, minilm: Minilm) -> None:
    client = embeddings(server, check_embedding_ctx_length=False, dimensions=32)
    same_bits(client.embed_documents(AWKWARD), minilm.embed(AWKWARD, "--truncate-dim", "32"))


def test_the_async_methods(server: Server, minilm: Minilm) -> None:
    client = embeddings(server, check_embedding_ctx_length=False)

    async def ask() -> list:
        return await asyncio.gather(client.aembed_documents(AWKWARD), client.aembed_query(SENTENCE))

    documents, query = asyncio.run(ask())
    same_bits(documents, minilm.embed(AWKWARD))
    same_bits([query], minilm.embed([SENTENCE]))


def test_a_key(serve: Serve, minilm: Minilm) -> None:
    server = serve("--api-key", "secret")
    client = embeddings(server, check_embedding_ctx_length=False, api_key="secret")
    same_bits([client.embed_query(SENTENCE)], minilm.embed([SENTENCE]))
    with pytest.raises(openai.AuthenticationError):
        embeddings(server, check_embedding_ctx_length=False).embed_query(SENTENCE)


@pytest.mark.usefixtures("tokenizer_of_openai")
def test_its_context_check_is_refused_with_the_switch_that_turns_it_off(server: Server) -> None:
    client = embeddings(server)

    async def ask() -> None:
        await client.aembed_documents([SENTENCE])

    for ask_for in (
        lambda: client.embed_query(SENTENCE),
        lambda: client.embed_documents(["", SENTENCE, TOO_LONG]),
        lambda: asyncio.run(ask()),
    ):
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as raised:
            ask_for()
        assert "a list of token ids" in raised.value.message
        assert "--accept-token-ids" in raised.value.message


@pytest.mark.usefixtures("tokenizer_of_openai")
def test_ids_of_another_tokenizer_are_noticed_if_one_is_none_of_the_model(serve: Serve) -> None:
    client = embeddings(serve("--accept-token-ids"))
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as raised:
        client.embed_documents(["日本語の文章です。"])
    assert "none of this model's 30522" in raised.value.message


@pytest.mark.usefixtures("tokenizer_of_the_model")
def test_ids_of_the_model_are_accepted_if_asked_for(serve: Serve, minilm: Minilm) -> None:
    server = serve("--accept-token-ids")
    # LangChain adds no special tokens. It asks for an empty text as a text, as there are no ids.
    found = embeddings(server).embed_documents([f"[CLS] {TEXT} [SEP]", "", "[CLS] food [SEP]"])
    same_bits(found, minilm.embed([TEXT, "", "food"]))
    # Unlike texts, ids are not cut.
    with pytest.raises(openai.UnprocessableEntityError, match="it has 257 token ids, and the model"):
        embeddings(server).embed_query("a " * 257)


@pytest.mark.usefixtures("tokenizer_of_the_model")
def test_long_texts_are_cut_by_langchain_if_it_is_told_the_length(serve: Serve, minilm: Minilm) -> None:
    client = embeddings(serve("--accept-token-ids"), embedding_ctx_length=256)
    # Two pieces of equal length and with the same ids: what LangChain averages is the vector of each.
    found = client.embed_query(f"[CLS] {'food ' * 254} [SEP] " * 2)
    expected = minilm.embed(["food " * 254])[0]
    assert abs(found - expected).max() < 1e-6
