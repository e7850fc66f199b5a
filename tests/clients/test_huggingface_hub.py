"""The client of the Hugging Face Hub, which text-embeddings-inference is asked with."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

import tiny_model
from conftest import Serve
from program import Minilm, Server, same_bits
from texts import AWKWARD, OTHERS, SENTENCE, TOO_LONG, golden_texts

#: Where the client may be told to ask for vectors.
EMBED = pytest.mark.parametrize("path", ["", "/", "/embed"])
#: Too long a text, whose beginning is not its end.
AB = "a " * 100 + "b " * 100
#: Where for similarities.
SIMILARITY = pytest.mark.parametrize("path", ["", "/", "/similarity"])


def client(server: Server, path: str = "", token: str | None = None) -> InferenceClient:
    return InferenceClient(model=f"{server.url}{path}", token=token, timeout=60)


@EMBED
def test_a_text_and_texts(server: Server, minilm: Minilm, path: str) -> None:
    expected = minilm.embed(AWKWARD)
    same_bits(client(server, path).feature_extraction(AWKWARD), expected)
    for index in (0, 2, len(AWKWARD) - 1):
        same_bits(client(server, path).feature_extraction(AWKWARD[index]), expected[[index]])


def test_base_url_and_model_of_a_call(server: Server, minilm: Minilm) -> None:
    expected = minilm.embed([SENTENCE])
    by_base_url = InferenceClient(base_url=server.url, timeout=60)
    same_bits(by_base_url.feature_extraction(SENTENCE), expected)
    by_call = InferenceClient(timeout=60)
    same_bits(by_call.feature_extraction(SENTENCE, model=f"{server.url}/embed"), expected)


def test_hundreds_of_texts_in_a_request(server: Server, minilm: Minilm) -> None:
    texts = golden_texts()
    assert len(texts) > 300
    same_bits(client(server).feature_extraction(texts), minilm.embed(texts))


@EMBED
def test_normalize(server: Server, minilm: Minilm, path: str) -> None:
    normalized = client(server, path).feature_extraction(SENTENCE, normalize=True)
    same_bits(normalized, minilm.embed([SENTENCE]))
    as_pooled = client(server, path).feature_extraction(SENTENCE, normalize=False)
    same_bits(as_pooled, minilm.pooled(SENTENCE)[np.newaxis])
    assert abs(np.linalg.norm(as_pooled) - 1) > 0.1


@EMBED
def test_dimensions(server: Server, minilm: Minilm, path: str) -> None:
    found = client(server, path).feature_extraction(AWKWARD, dimensions=64, encoding_format="float")
    same_bits(found, minilm.embed(AWKWARD, "--truncate-dim", "64"))


@EMBED
def test_truncate(server: Server, minilm: Minilm, path: str) -> None:
    found = client(server, path).feature_extraction(TOO_LONG, truncate=True, truncation_direction="right")
    same_bits(found, minilm.embed([TOO_LONG]))
    with pytest.raises(HfHubHTTPError, match=r"it has \d+ tokens, and the model takes 256") as raised:
        client(server, path).feature_extraction(TOO_LONG, truncate=False)
    assert raised.value.response.status_code == 422
    same_bits(client(server, path).feature_extraction(SENTENCE, truncate=False), minilm.embed([SENTENCE]))


@EMBED
def test_prompt_name(serve: Serve, minilm: Minilm, tmp_path: Path, path: str) -> None:
    folder = tiny_model.write(tmp_path / "model")
    server, tiny = serve(model=folder), minilm.with_model(folder)
    for name, prompt in tiny_model.PROMPTS.items():
        found = client(server, path).feature_extraction([SENTENCE, ""], prompt_name=name)
        same_bits(found, tiny.embed([SENTENCE, ""], "--prompt-name", name))
        same_bits(found, tiny.embed([prompt + SENTENCE, prompt]))
    same_bits(client(server, path).feature_extraction(SENTENCE), tiny.embed([SENTENCE]))
    with pytest.raises(HfHubHTTPError, match="passage") as raised:
        client(server, path).feature_extraction(SENTENCE, prompt_name="passage")
    assert raised.value.response.status_code == 422


@EMBED
@pytest.mark.parametrize("own_side", ["left", "right"])
def test_truncation_direction(serve: Serve, minilm: Minilm, tmp_path: Path, own_side: str, path: str) -> None:
    folders = {side: tiny_model.write(tmp_path / side, truncation_side=side) for side in ("left", "right")}
    sides = {side: minilm.with_model(folder) for side, folder in folders.items()}
    assert sides["left"].token_counts([AB]) == sides["right"].token_counts([AB]) > [tiny_model.MAX_SEQ_LENGTH]
    assert (sides["left"].embed([AB]) != sides["right"].embed([AB])).any()
    server = serve(model=folders[own_side])
    for direction, cut in sides.items():
        found = client(server, path).feature_extraction(
            [AB, SENTENCE], truncate=True, truncation_direction=direction
        )
        same_bits(found, cut.embed([AB, SENTENCE]))
    same_bits(client(server, path).feature_extraction(AB), sides[own_side].embed([AB]))


@SIMILARITY
def test_sentence_similarity(server: Server, minilm: Minilm, path: str) -> None:
    for others in (OTHERS, AWKWARD, [SENTENCE]):
        found = client(server, path).sentence_similarity(SENTENCE, other_sentences=others)
        same_bits(found, minilm.similarities(SENTENCE, others))


@SIMILARITY
def test_nothing_to_compare_with(server: Server, path: str) -> None:
    with pytest.raises(HfHubHTTPError, match="there are no sentences to compare with") as raised:
        client(server, path).sentence_similarity(SENTENCE, other_sentences=[])
    assert raised.value.response.status_code == 400


def test_the_async_client(server: Server, minilm: Minilm) -> None:
    async def ask() -> list:
        async with AsyncInferenceClient(model=server.url, timeout=60) as client:
            vectors = (client.feature_extraction(text) for text in AWKWARD)
            similarities = client.sentence_similarity(SENTENCE, other_sentences=OTHERS)
            return await asyncio.gather(similarities, *vectors)

    similarities, *vectors = asyncio.run(ask())
    same_bits(similarities, minilm.similarities(SENTENCE, OTHERS))
    same_bits(np.concatenate(vectors), minilm.embed(AWKWARD))


def test_a_key(serve: Serve, minilm: Minilm) -> None:
    server = serve("--api-key", "secret")
    same_bits(client(server, token="secret").feature_extraction(SENTENCE), minilm.embed([SENTENCE]))
    for token, says in (("guessed", "the API key is another one"), (None, "the API key is missing")):
        for ask in (
            lambda client: client.feature_extraction(SENTENCE),
            lambda client: client.sentence_similarity(SENTENCE, other_sentences=OTHERS),
        ):
            with pytest.raises(HfHubHTTPError, match=says) as raised:
                ask(client(server, token=token))
            assert raised.value.response.status_code == 401


def test_health_and_what_the_server_says_of_itself(server: Server) -> None:
    client = InferenceClient(model=server.url, provider="hf-inference", timeout=60)
    assert client.health_check()
    info = client.get_endpoint_info()
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["max_input_length"], info["model_dtype"]) == (256, "f32")
