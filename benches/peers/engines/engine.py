"""What an engine can be asked to do."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..batches import Batches, Ids, Vectors


@dataclass(frozen=True)
class Place:
    """Where an engine finds the model, and how many threads it may use."""

    model: Path
    artefacts: Path
    threads: int


class Engine(ABC):
    """A loaded model. A way is one of the settings to run it with; trials decide between them."""

    #: Ways to encode a text alone; the first is the default.
    alone_ways: tuple[str, ...]
    #: Ways to encode many texts; the first is the default.
    bulk_ways: tuple[str, ...]

    @abstractmethod
    def alone(self, text: str, way: str) -> Vectors:
        """The vector of one text, without padding."""

    @abstractmethod
    def bulk(self, texts: list[str], way: str, batch: int) -> Vectors:
        """The vectors of many texts in batches of that size."""

    @abstractmethod
    def keep(self, ways: set[str]) -> None:
        """Frees what only other ways need."""

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """What was set, beside the ways, and the versions of what computes."""


# Ids and mask → states; whatever a way is for the engine.
States = Callable[[Ids, Ids], Vectors]


class StatesEngine(Engine):
    """An engine that knows nothing of texts: from ids to the last layer's states."""

    #: Ways that run a batch on one thread, and as many batches at a time as there are threads.
    batch_a_thread: tuple[str, ...] = ()

    def __init__(self, place: Place) -> None:
        self.place = place
        self.batches = Batches(place.model)
        self.runners: dict[str, States] = {}
        self.pool = ThreadPoolExecutor(place.threads)

    @abstractmethod
    def runner(self, way: str) -> States:
        """Prepares the model for that way."""

    def states(self, way: str, ids: Ids, mask: Ids | None) -> Vectors:
        runner = self.runners.get(way)
        if runner is None:
            runner = self.runners[way] = self.runner(way)
        return runner(ids, np.ones_like(ids) if mask is None else mask)

    def alone(self, text: str, way: str) -> Vectors:
        return self.batches.alone(text, lambda ids, mask: self.states(way, ids, mask))

    def bulk(self, texts: list[str], way: str, batch: int) -> Vectors:
        batches = self.batches.sorted(texts, batch)
        if way not in self.runners:
            # Before threads ask for it at the same time.
            self.runners[way] = self.runner(way)

        def vectors(ids: Ids, mask: Ids | None) -> Vectors:
            return self.batches.pool(self.states(way, ids, mask), mask)

        _, ids, masks = zip(*batches, strict=True)
        run = self.pool.map if way in self.batch_a_thread else map
        results = list(run(vectors, ids, masks))
        out = np.empty((len(texts), results[0].shape[1]), dtype=np.float32)
        for (indices, _, _), result in zip(batches, results, strict=True):
            out[indices] = result
        return out

    def keep(self, ways: set[str]) -> None:
        self.runners = {way: runner for way, runner in self.runners.items() if way in ways}
