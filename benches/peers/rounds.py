"""Rounds: every engine in turn on the same texts, so that what slows the machine slows all of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .minilm_program import Minilm
from .rivals import Rival
from .texts import KINDS, TextFile

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Plan:
    """How many rounds, and how many texts a rival gets in each."""

    rounds: int
    short: int
    long: int

    def sample(self, kind: str, texts: list[str], number: int) -> list[str]:
        """Texts at equal distances, others in every round; all of them for bulk."""
        count = {"short": self.short, "long": self.long}.get(kind, len(texts))
        stride = max(len(texts) // count, 1)
        return texts[number % stride :: stride][:count]


@dataclass(frozen=True)
class Measurement:
    """One engine in one round."""

    round: int
    kind: str
    threads: int
    engine: str
    precision: str
    #: The median latency in milliseconds (short, long), or texts a second (mixed).
    value: float
    #: Latency's 99th percentile in milliseconds, over the texts of this round.
    p99: float | None = None
    #: Ours alone: the share of the peak.
    peak_fraction: float | None = None


def measure_minilm(ours: Minilm, kind: str, file: TextFile, number: int) -> Measurement:
    report = ours.bench(file.path, "throughput" if kind == "mixed" else "latency")
    if kind == "mixed":
        value, p99 = report["throughput"]["texts_per_s"], None
    else:
        value, p99 = report["latency_ms"]["p50"], report["latency_ms"]["p99"]
    fraction = report["peak_fraction"]
    return Measurement(number, kind, ours.threads, ours.name, ours.precision, value, p99, fraction)


def measure_rival(rival: Rival, kind: str, texts: list[str], number: int) -> Measurement:
    p99: float | None = None
    if kind == "mixed":
        settings = {"way": rival.settings.bulk, "batch": rival.settings.batch}
        value = len(texts) / float(rival.process.request("time_bulk", texts=texts, **settings))
    else:
        seconds = rival.process.request("time_alone", texts=texts, way=rival.settings.alone(kind))
        value, p99 = 1e3 * float(np.median(seconds)), 1e3 * float(np.quantile(seconds, 0.99))
    return Measurement(number, kind, rival.threads, rival.name, rival.precision, value, p99)


def in_turn(subjects: list[Subject], number: int) -> list[Subject]:
    """The order of that round: who begins changes, who follows whom does not."""
    first = number % len(subjects)
    return subjects[first:] + subjects[:first]


def measure(
    plan: Plan, ours: list[Minilm], rivals: list[Rival], files: dict[str, TextFile]
) -> Iterator[Measurement]:
    """Every engine in every round, a kind of texts after the other."""
    for number in range(plan.rounds):
        for kind in KINDS:
            texts = plan.sample(kind, files[kind].texts, number)
            subjects: list[Minilm | Rival] = [*ours, *rivals]
            for subject in in_turn(subjects, number):
                if isinstance(subject, Rival):
                    yield measure_rival(subject, kind, texts, number)
                else:
                    yield measure_minilm(subject, kind, files[kind], number)
