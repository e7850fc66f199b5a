"""The rivals that take part: started, given their best settings, and checked against the reference."""

from dataclasses import dataclass

import numpy as np

from .accuracy import Accuracy
from .batches import Vectors
from .engine_process import EngineProcess
from .engines import precision_of
from .texts import CHECKED, TextFile

BATCHES = [8, 16, 32, 64]
DEFAULT_BATCH = 32
# Trials of each setting, the best of which counts.
TRIALS = 2
# How many texts of each file, if no other number of mixed ones is asked for.
TRIAL_SHORT, TRIAL_LONG, TRIAL_MIXED = 20, 4, 128


@dataclass(frozen=True)
class Trial:
    """What is tried in bulk: sizes of batches, on how many mixed texts."""

    batches: list[int]
    mixed: int


@dataclass(frozen=True)
class Settings:
    """What turned out best for each kind of text."""

    short: str
    long: str
    bulk: str
    batch: int

    def alone(self, kind: str) -> str:
        return {"short": self.short, "long": self.long}[kind]


@dataclass
class Rival:
    """A process and how to run it."""

    process: EngineProcess
    settings: Settings

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def threads(self) -> int:
        return self.process.threads

    @property
    def precision(self) -> str:
        return precision_of(self.name)

    def bulk_vectors(self, file: TextFile) -> Vectors:
        """Of all texts of the file, as they are timed in bulk."""
        way, batch = self.settings.bulk, self.settings.batch
        return self.process.vectors("encode_bulk", texts=file.texts, way=way, batch=batch)


def best_settings(process: EngineProcess, files: dict[str, TextFile], trial: Trial) -> Settings:
    """Tries every way and batch size on a part of the texts, in rounds, so that drift hits all alike."""
    ways = process.request("ways")

    def best_alone(texts: list[str]) -> str:
        def seconds(way: str) -> float:
            return float(np.median(process.request("time_alone", texts=texts, way=way)))

        candidates: list[str] = ways["alone"]
        if len(candidates) == 1:
            return candidates[0]
        trials = [[seconds(way) for way in candidates] for _ in range(TRIALS)]
        return candidates[int(np.argmin(np.min(trials, axis=0)))]

    texts = files["mixed"].texts[: trial.mixed]
    bulk = [(way, batch) for way in ways["bulk"] for batch in trial.batches]
    trials = [
        [process.request("time_bulk", texts=texts, way=way, batch=batch) for way, batch in bulk]
        for _ in range(TRIALS)
    ]
    way, batch = bulk[int(np.argmin(np.min(trials, axis=0)))]
    settings = Settings(
        short=best_alone(files["short"].texts[:TRIAL_SHORT]),
        long=best_alone(files["long"].texts[:TRIAL_LONG]),
        bulk=way,
        batch=batch,
    )
    process.request("keep", ways=[settings.short, settings.long, settings.bulk])
    return settings


def reference_vectors(process: EngineProcess, file: TextFile) -> Vectors:
    """The reference's vectors of all texts of the file, by its plain call."""
    return process.vectors("encode_bulk", texts=file.texts, way="encode", batch=DEFAULT_BATCH)


def check(rival: Rival, files: dict[str, TextFile], reference: Vectors) -> Accuracy:
    """With the settings that will be timed: some short and long texts alone, all mixed ones in bulk."""
    found = []
    for kind, count in CHECKED.items():
        texts = files[kind].texts[:count]
        found.append(rival.process.vectors("encode_alone", texts=texts, way=rival.settings.alone(kind)))
    found.append(rival.bulk_vectors(files["mixed"]))
    return Accuracy.of(np.concatenate(found), reference)
