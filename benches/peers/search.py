"""Exact search beside numpy and faiss: the ten best of a million vectors, everybody in turn, in one run.

In `benches/`, after `cargo build --release -p minilm-benches --bin scan`:

    .venv/bin/python -m peers.search --scan ../target/release/scan --out records/DATE-PROCESSOR-search
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import faiss
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from . import machine, search_report
from .search_vectors import Vectors

# More than the caches hold: read before everything that is timed, so that nobody finds rows there.
SPOILING = np.ones(32 << 20, dtype=np.float32)

# Nobody begins before so many seconds in which all cores were idle: threads of numpy and faiss spin for a
# while when they have nothing to do, and other programs run now and then.
REST = 0.15
BUSY = 0.25
PATIENCE = 20


def busy_seconds() -> float:
    """What all cores together have been busy since the machine started: user, nice, system and interrupts."""
    user, nice, system, _idle, _wait, *interrupts = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(interrupts[:2])) / os.sysconf("SC_CLK_TCK")


def rest() -> None:
    """Waits for a quiet moment, some seconds at most, and leaves no rows in the caches."""
    for _ in range(PATIENCE):
        before = busy_seconds()
        time.sleep(REST)
        if busy_seconds() - before < BUSY * REST:
            break
    else:
        print("the machine does not become quiet", file=sys.stderr)
    SPOILING.sum()


class Scan:
    """The program of ours, which answers a line for each line."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            sys.exit(f"{request}: {answer['error']}")
        return dict(answer)

    def load(self, kind: str, k: int, files: dict[str, str], pages: str) -> None:
        self.ask({"load": {"name": f"{kind} {pages}", "kind": kind, "k": k, "pages": pages, **files}})

    def search(self, name: str, queries: int, best: int, threads: int, by: str) -> dict[str, Any]:
        request = {"name": name, "queries": queries, "best": best, "by": by, "threads": threads}
        return self.ask({"search": request})

    def read(self, name: str, threads: int) -> float:
        return float(self.ask({"read": {"name": name, "threads": threads}})["seconds"])


@dataclass(frozen=True)
class Subject:
    """Somebody who searches rows of a kind: for so many queries, the best so many, with so many threads.

    What comes back are seconds, indices and scores `[m][best]`.
    """

    engine: str
    kind: str
    search: Callable[[int, int, int], tuple[float, np.ndarray, np.ndarray]]
    # Which of our copies of the rows is read beside it.
    pages: str = "huge"


OURS = {
    ("huge", "kernel"): "minilm",
    ("plain", "kernel"): "minilm, plain pages",
    ("mapped", "dot"): "minilm's `semantic_search`, mapped file",
    ("mapped", "cosine"): "minilm's `semantic_search`, mapped file, cosine",
}


def ours(scan: Scan, kind: str, pages: str, by: str) -> Subject:
    def search(queries: int, best: int, threads: int) -> tuple[float, np.ndarray, np.ndarray]:
        answer = scan.search(f"{kind} {pages}", queries, best, threads, by)
        hits = np.array(answer["hits"])
        return answer["seconds"], hits[:, :, 0].astype(np.int64), hits[:, :, 1]

    return Subject(OURS[pages, by], kind, search, pages)


def timed(threads: int, run: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[float, Any, Any]:
    faiss.omp_set_num_threads(threads)
    with threadpool_limits(threads):
        start = time.perf_counter()
        scores, indices = run()
        return time.perf_counter() - start, indices, scores


def with_numpy(corpus: np.ndarray, all_queries: np.ndarray) -> Subject:
    def search(queries: int, best: int, threads: int) -> tuple[float, np.ndarray, np.ndarray]:
        def run() -> tuple[np.ndarray, np.ndarray]:
            # A single query as a vector: BLAS has a function of its own for it.
            one = queries == 1
            scores = (corpus @ all_queries[0])[None] if one else all_queries[:queries] @ corpus.T
            found = np.argpartition(scores, -best, axis=1)[:, -best:]
            found_scores = np.take_along_axis(scores, found, axis=1)
            order = np.argsort(-found_scores, axis=1, kind="stable")
            return np.take_along_axis(found_scores, order, axis=1), np.take_along_axis(found, order, axis=1)

        return timed(threads, run)

    return Subject("numpy", "f32", search)


# Whether a flat index is computed by faiss' own loops or by BLAS; its default is not always the faster one.
THRESHOLDS = {"loops": 2**31 - 1, "BLAS": 0}


class Faiss:
    # The way that each index takes, by its name, the number of queries and of threads.
    chosen: ClassVar[dict[tuple[str, int, int], str]] = {}

    def __init__(self, name: str, index: Any, all_queries: np.ndarray) -> None:
        self.name, self.index, self.all_queries = name, index, all_queries

    def once(self, queries: int, best: int, threads: int, way: str) -> tuple[float, Any, Any]:
        faiss.cvar.distance_compute_blas_threshold = THRESHOLDS[way]
        return timed(threads, lambda: self.index.search(self.all_queries[:queries], best))

    def search(self, queries: int, best: int, threads: int) -> tuple[float, np.ndarray, np.ndarray]:
        """By the way that was faster when this was asked for first, the best of three trials each."""
        case = (self.name, queries, threads)
        # There is one way to search bytes and bits.
        if self.name != "IndexFlatIP":
            return self.once(queries, best, threads, "loops")
        if case not in self.chosen:
            trials = {
                way: min(self.once(queries, best, threads, way)[0] for _ in range(3)) for way in THRESHOLDS
            }
            self.chosen[case] = min(trials, key=lambda way: trials[way])
            rest()
        return self.once(queries, best, threads, self.chosen[case])


def with_faiss(name: str, kind: str, index: Any, all_queries: np.ndarray) -> Subject:
    return Subject(f"faiss {name}", kind, Faiss(name, index, all_queries).search)


def subjects(scan: Scan, vectors: Vectors) -> Iterator[Subject]:
    k = vectors.corpus.shape[1]
    for kind, width in (("f32", k), ("int8", k), ("ubinary", k // 8)):
        for pages in ("huge", "plain"):
            scan.load(kind, width, vectors.files(kind), pages)
            yield ours(scan, kind, pages, "kernel")
    scan.load("f32", k, vectors.files("f32") | {"rows": vectors.npy()}, "mapped")
    for by in ("dot", "cosine"):
        yield ours(scan, "f32", "mapped", by)
    yield with_numpy(vectors.corpus, vectors.queries)
    flat = faiss.IndexFlatIP(k)
    flat.add(vectors.corpus)
    yield with_faiss("IndexFlatIP", "f32", flat, vectors.queries)
    # Bytes are stored as they are; queries are f32, so that products are.
    direct = faiss.IndexScalarQuantizer(
        k, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
    )
    for first in range(0, len(vectors.int8), 100_000):
        direct.add(vectors.int8[first : first + 100_000].astype(np.float32))
    yield with_faiss("IndexScalarQuantizer", "int8", direct, vectors.int8_queries.astype(np.float32))
    binary = faiss.IndexBinaryFlat(k)
    binary.add(vectors.ubinary)
    yield with_faiss("IndexBinaryFlat", "ubinary", binary, vectors.ubinary_queries)


def check(subject: Subject, vectors: Vectors, best: int) -> float:
    """How far scores are from the truth, at most; stops if rows are found that are not as good."""
    largest = 0.0
    for threads in (1, 2):
        queries = min(4, len(vectors.queries))
        _, indices, scores = subject.search(queries, best, threads)
        for query in range(queries):
            truth = vectors.truth(subject.kind, query)
            expected = np.sort(truth)[::-1][:best]
            of_found = truth[indices[query]]
            largest = max(largest, float(np.abs(of_found - expected).max()))
            if len(set(indices[query].tolist())) != best:
                sys.exit(f"{subject.engine}, {subject.kind}: a row is found twice for query {query}")
            found_scores = -scores[query] if subject.engine.endswith("BinaryFlat") else scores[query]
            largest = max(largest, float(np.abs(found_scores - expected).max()))
    # f32 sums differ in their order; integers do not.
    if largest > (1e-5 if subject.kind == "f32" else 0.0):
        sys.exit(f"{subject.engine}, {subject.kind}: scores are {largest} off")
    return largest


@dataclass(frozen=True)
class Measurement:
    round: int
    engine: str
    kind: str
    queries: int
    threads: int
    seconds: float
    # Of a plain read of the same rows, before and after.
    read_seconds: float


def measure(
    scan: Scan, everybody: list[Subject], cases: list[tuple[int, int]], rounds: int, best: int
) -> Iterator[Measurement]:
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for queries, threads in cases:
            first = number % len(everybody)
            for subject in everybody[first:] + everybody[:first]:
                name = f"{subject.kind} {subject.pages}"
                rest()
                before = scan.read(name, threads)
                rest()
                seconds, _, _ = subject.search(queries, best, threads)
                rest()
                read = (before + scan.read(name, threads)) / 2
                yield Measurement(number, subject.engine, subject.kind, queries, threads, seconds, read)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m peers.search", description=__doc__)
    parser.add_argument("--scan", type=Path, required=True, help="the program `scan`, a release build")
    parser.add_argument("--out", type=Path, required=True, help="directory for README.md and results.json")
    parser.add_argument("--work", type=Path, default=Path("work"), help="directory for the vectors [work]")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--best", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()

    vectors = Vectors.make(arguments.rows, arguments.dimension, max(4, *arguments.queries), arguments.work)
    scan = Scan(arguments.scan)
    everybody = list(subjects(scan, vectors))
    largest = {(s.engine, s.kind): check(s, vectors, arguments.best) for s in everybody}
    cases = [(queries, threads) for queries in arguments.queries for threads in arguments.threads]
    measurements = list(measure(scan, everybody, cases, arguments.rounds, arguments.best))

    results: dict[str, Any] = {
        "machine": machine.describe(),
        "scan": scan.ask("machine"),
        "versions": {"numpy": np.__version__, "faiss": faiss.__version__},
        "faiss": {
            "options": faiss.get_compile_options(),
            "ways": [
                {"index": index, "queries": queries, "threads": threads, "way": way}
                for (index, queries, threads), way in Faiss.chosen.items()
            ],
        },
        "thread_pools": [{k: v for k, v in pool.items() if k != "filepath"} for pool in threadpool_info()],
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("OPENBLAS_", "OMP_", "GOMP_"))},
        "rows": arguments.rows,
        "dimension": arguments.dimension,
        "best": arguments.best,
        "rounds": arguments.rounds,
        "row_bytes": vectors.row_bytes(),
        "largest_error": [{"engine": e, "kind": k, "score": x} for (e, k), x in largest.items()],
        "measurements": [asdict(m) for m in measurements],
    }
    results["figures"] = search_report.figures(results)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = search_report.markdown(results)
    (arguments.out / "README.md").write_text(text)
    print(text)
    print(f"median read: {median(m.read_seconds for m in measurements):.4f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
