"""OpenAI's own client."""

import asyncio
import base64
import json
import socket
import time
from pathlib import Path
from typing import Any, Self

import httpx2
import numpy as np
import openai
import pytest

from conftest import Serve
from program import Minilm, Server, same_bits
from texts import AWKWARD, SENTENCE, TOO_LONG, golden_texts

MODEL = "all-MiniLM-L6-v2"


def client(server: Server, **options: Any) -> openai.OpenAI:
    options = {"api_key": "any", "max_retries": 0, "timeout": 60} | options
    return openai.OpenAI(base_url=f"{server.url}/v1", **options)


def async_client(server: Server) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60)


def vectors(response: openai.types.CreateEmbeddingResponse) -> list[list[float]]:
    assert [item.index for item in response.data] == list(range(len(response.data)))
    assert {item.object for item in response.data} == {"embedding"}
    return [item.embedding for item in response.data]


def test_base64_as_the_client_asks_by_default(server: Server, minilm: Minilm) -> None:
    response = client(server).embeddings.with_raw_response.create(model=MODEL, input=AWKWARD)
    # The client decodes it to floats; what was sent is text.
    assert isinstance(response.http_response.json()["data"][0]["embedding"], str)
    same_bits(vectors(response.parse()), minilm.embed(AWKWARD))


def test_base64_by_name_is_left_to_the_caller(server: Server, minilm: Minilm) -> None:
    response = client(server).embeddings.create(model=MODEL, input=SENTENCE, encoding_format="base64")
    found = np.frombuffer(base64.b64decode(response.data[0].embedding, validate=True), dtype="<f4")
    same_bits([found], minilm.embed([SENTENCE]))


def test_float(server: Server, minilm: Minilm) -> None:
    response = client(server).embeddings.create(model=MODEL, input=AWKWARD, encoding_format="float")
    same_bits(vectors(response), minilm.embed(AWKWARD))


@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text[:16]))
def test_a_text_alone_has_the_bits_that_it_has_in_a_list(server: Server, minilm: Minilm, text: str) -> None:
    response = client(server).embeddings.create(model=MODEL, input=text)
    same_bits(vectors(response), minilm.embed([text]))


def test_hundreds_of_texts_in_a_request(server: Server, minilm: Minilm) -> None:
    texts = golden_texts()
    assert len(texts) > 300
    response = client(server).embeddings.create(model=MODEL, input=texts)
    same_bits(vectors(response), minilm.embed(texts))


@pytest.mark.parametrize("encoding_format", ["float", "base64", openai.omit])
@pytest.mark.parametrize("dimensions", [2, 128, 384])
def test_dimensions(server: Server, minilm: Minilm, dimensions: int, encoding_format: Any) -> None:
    response = client(server).embeddings.create(
        model=MODEL, input=[SENTENCE, ""], dimensions=dimensions, encoding_format=encoding_format
    )
    found = vectors(response)
    if encoding_format == "base64":
        found = [np.frombuffer(base64.b64decode(vector), dtype="<f4") for vector in found]
    same_bits(found, minilm.embed([SENTENCE, ""], "--truncate-dim", str(dimensions)))


def test_the_answer_around_the_vectors(server: Server, minilm: Minilm) -> None:
    texts = [SENTENCE, TOO_LONG, ""]
    response = client(server).embeddings.create(model=MODEL, input=texts, user="a user")
    counts = minilm.token_counts(texts)
    assert counts[1] > 256
    assert response.object == "list"
    assert response.usage.prompt_tokens == response.usage.total_tokens == counts[0] + 256 + counts[2]
    assert [getattr(item, "truncated", False) for item in response.data] == [False, True, False]
    assert response.model in [model.id for model in client(server).models.list()]


def test_the_async_client_with_many_requests_at_once(server: Server, minilm: Minilm) -> None:
    texts = golden_texts()
    # Of many sizes.
    requests = [texts[start : start + 1 + start % 7] for start in range(0, len(texts), 7)]

    async def ask() -> list[openai.types.CreateEmbeddingResponse]:
        async with async_client(server) as client:
            return await asyncio.gather(
                *(client.embeddings.create(model=MODEL, input=request) for request in requests)
            )

    found = [vectors(response) for response in asyncio.run(ask())]
    expected = minilm.embed(texts)
    for request, start in enumerate(range(0, len(texts), 7)):
        same_bits(found[request], expected[start : start + len(requests[request])])


def test_the_async_client_raises_as_well(server: Server) -> None:
    async def ask() -> None:
        async with async_client(server) as client:
            await client.embeddings.create(model=MODEL, input=[])

    with pytest.raises(openai.BadRequestError, match="there are no inputs"):
        asyncio.run(ask())


def test_a_unix_socket(serve: Serve, minilm: Minilm, tmp_path: Path) -> None:
    path = tmp_path / "minilm.sock"
    server = serve("--unix-socket", path)
    assert server.url == str(path)
    http_client = openai.DefaultHttpxClient(transport=httpx2.HTTPTransport(uds=str(path)))
    with openai.OpenAI(base_url="http://minilm/v1", api_key="any", http_client=http_client) as client:
        response = client.embeddings.create(model=MODEL, input=[SENTENCE])
    same_bits(vectors(response), minilm.embed([SENTENCE]))


def test_the_name_that_a_server_is_given(serve: Serve) -> None:
    server = serve("--served-model-name", "text-embedding-3-small")
    assert [model.id for model in client(server).models.list()] == ["text-embedding-3-small"]
    assert client(server).embeddings.create(model=MODEL, input="a").model == "text-embedding-3-small"


def test_the_model(server: Server) -> None:
    (model,) = client(server).models.list()
    assert client(server).models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError, match="there is no model"):
        client(server).models.retrieve("gpt-5")


def test_what_cannot_be_read_is_a_bad_request(server: Server) -> None:
    with pytest.raises(openai.BadRequestError, match="there are no inputs") as raised:
        client(server).embeddings.create(model=MODEL, input=[])
    assert (raised.value.status_code, raised.value.type) == (400, "invalid_request_error")
    assert (raised.value.code, raised.value.param) == (None, None)


def test_token_ids_are_a_bad_request_with_a_reason(server: Server) -> None:
    for ids in ([101, 102], [[101, 102], [101, 2158, 102]]):
        with pytest.raises(openai.BadRequestError, match="--accept-token-ids"):
            client(server).embeddings.create(model=MODEL, input=ids)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dimensions": 0}, "dimensions is 0, expected 1 to 384"),
        ({"dimensions": 385}, "dimensions is 385, expected 1 to 384"),
        ({"encoding_format": "hex"}, "unknown variant `hex`, expected `float` or `base64`"),
        ({"input": {"text": "a"}}, "expected a string, a list of strings"),
    ],
)
def test_what_cannot_be_done_is_unprocessable(server: Server, options: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as raised:
        client(server).embeddings.create(**({"model": MODEL, "input": "a"} | options))
    assert says in raised.value.message


def test_too_long_where_nothing_is_cut_is_unprocessable(serve: Serve) -> None:
    server = serve("--auto-truncate", "false")
    with pytest.raises(openai.UnprocessableEntityError, match=r"input 1: it has \d+ tokens, .* takes 256"):
        client(server).embeddings.create(model=MODEL, input=[SENTENCE, TOO_LONG])


def test_another_key_and_none(serve: Serve, minilm: Minilm) -> None:
    server = serve("--api-key", "secret")
    with pytest.raises(openai.AuthenticationError, match="the API key is another one") as raised:
        client(server, api_key="guessed").embeddings.create(model=MODEL, input=SENTENCE)
    assert raised.value.code == "invalid_api_key"
    without = {"Authorization": openai.Omit()}
    with pytest.raises(openai.AuthenticationError, match="the API key is missing"):
        client(server).embeddings.create(model=MODEL, input=SENTENCE, extra_headers=without)
    with pytest.raises(openai.AuthenticationError):
        client(server, api_key="guessed").models.list()
    response = client(server, api_key="secret").embeddings.create(model=MODEL, input=SENTENCE)
    same_bits(vectors(response), minilm.embed([SENTENCE]))


def test_what_is_not_there_is_not_found(server: Server) -> None:
    with pytest.raises(openai.NotFoundError, match="there is nothing at POST /v1/chat/completions") as raised:
        client(server).chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    assert (raised.value.type, raised.value.code) == ("invalid_request_error", "unknown_url")


def test_statuses_that_the_client_has_no_class_for(serve: Serve) -> None:
    server = serve("--payload-limit", "1000", "--max-client-batch-size", "3")
    for texts, says in ((["x" * 1000], "more than 1000 bytes"), (["a"] * 4, "4 inputs, and the .* takes 3")):
        with pytest.raises(openai.APIStatusError, match=says) as raised:
            client(server).embeddings.create(model=MODEL, input=texts)
        assert raised.value.status_code == 413
    with pytest.raises(openai.APIStatusError, match="/v1/embeddings is not for GET") as raised:
        client(server).get("/embeddings", cast_to=object)
    assert raised.value.status_code == 405


#: An answer may be left unread for as long as a test takes.
ONE_PLACE = ("--max-concurrent-requests", "1", "--write-timeout", "300")


class HeldPlace:
    """A request for a long answer that nobody reads: it has a place in the server until all of it is sent."""

    def __init__(self, server: Server) -> None:
        # A vector for each token: 20 MB, more than systems keep for a connection.
        body = json.dumps({"inputs": [TOO_LONG] * 20}).encode()
        self._connection = socket.socket()
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._connection.settimeout(60)
        self._connection.connect(server.address)
        head = f"POST /embed_all HTTP/1.1\r\nHost: minilm\r\nContent-Length: {len(body)}\r\nConnection: close"
        self._connection.sendall(f"{head}\r\n\r\n".encode() + body)
        deadline = time.monotonic() + 60
        while "minilm_open_requests 1" not in httpx2.get(f"{server.url}/metrics").text.splitlines():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def release(self) -> None:
        """Reads the answer."""
        if self._connection.fileno() == -1:
            return
        answer = b"".join(iter(lambda: self._connection.recv(1 << 20), b""))
        self._connection.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert len(json.loads(body)) == 20

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def test_too_many_requests(serve: Serve) -> None:
    server = serve(*ONE_PLACE)
    with HeldPlace(server):
        with pytest.raises(openai.RateLimitError) as raised:
            client(server).embeddings.create(model=MODEL, input=SENTENCE)
        assert raised.value.code == "rate_limit_exceeded"
        assert int(raised.value.response.headers["retry-after"]) >= 1


def test_the_client_tries_again_when_it_is_told_to(serve: Serve, minilm: Minilm) -> None:
    server = serve(*ONE_PLACE)
    answers: list[tuple[int, float]] = []
    requests: list[float] = []
    with HeldPlace(server) as held:

        def on_response(response: httpx2.Response) -> None:
            answers.append((response.status_code, float(response.headers.get("retry-after", 0))))
            held.release()

        hooks = {"request": [lambda _: requests.append(time.monotonic())], "response": [on_response]}
        http_client = openai.DefaultHttpxClient(event_hooks=hooks)
        patient = client(server, http_client=http_client, max_retries=1)
        response = patient.embeddings.create(model=MODEL, input=SENTENCE)
    assert [status for status, _ in answers] == [429, 200]
    # By itself it would have waited for less than a second.
    assert requests[1] - requests[0] >= answers[0][1] >= 1
    same_bits(vectors(response), minilm.embed([SENTENCE]))
