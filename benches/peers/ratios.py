"""From rounds to figures: medians, and medians of ratios that were taken within a round."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from .rounds import Measurement

HIGHER_IS_BETTER = {"short": False, "long": False, "mixed": True}


@dataclass(frozen=True)
class Figure:
    """One engine on one kind of texts with one number of threads."""

    kind: str
    threads: int
    engine: str
    precision: str
    value: float
    p99: float | None
    peak_fraction: float | None
    #: How many times faster minilm of the same precision is, if that was timed; `None` for itself.
    minilm_ratio: float | None


@dataclass(frozen=True)
class Headline:
    """minilm beside the fastest rival of its precision, whichever that was in each round."""

    kind: str
    threads: int
    precision: str
    ratio: float
    #: The rival that was fastest most often.
    best_rival: str


@dataclass(frozen=True)
class Scaling:
    """minilm's most threads over its fewest."""

    kind: str
    precision: str
    fewest: int
    most: int
    ratio: float


@dataclass(frozen=True)
class Gain:
    """minilm in a narrower precision over minilm in f32."""

    kind: str
    threads: int
    precision: str
    ratio: float


def faster(kind: str, ours: float, other: float) -> float:
    """How many times faster ours is."""
    return ours / other if HIGHER_IS_BETTER[kind] else other / ours


Key = tuple[str, int, str]


def by_subject(measurements: list[Measurement]) -> dict[Key, list[Measurement]]:
    """The rounds of each kind, number of threads and engine, in order."""
    groups = defaultdict(list)
    for m in measurements:
        groups[m.kind, m.threads, m.engine].append(m)
    return dict(groups)


def optional_median(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None


def figures(measurements: list[Measurement]) -> list[Figure]:
    groups = by_subject(measurements)
    found = []
    for (kind, threads, engine), rounds in groups.items():
        precision = rounds[0].precision
        ours = groups.get((kind, threads, f"minilm {precision}"), [])
        ratios = [faster(kind, a.value, b.value) for a, b in zip(ours, rounds, strict=bool(ours))]
        is_ours = engine.startswith("minilm ")
        found.append(
            Figure(
                kind=kind,
                threads=threads,
                engine=engine,
                precision=precision,
                value=median(m.value for m in rounds),
                p99=optional_median([m.p99 for m in rounds]),
                peak_fraction=optional_median([m.peak_fraction for m in rounds]),
                minilm_ratio=median(ratios) if ratios and not is_ours else None,
            )
        )
    return found


def headlines(measurements: list[Measurement]) -> list[Headline]:
    groups = by_subject(measurements)
    found = []
    for (kind, threads, engine), ours in groups.items():
        precision = ours[0].precision
        rivals = [
            rounds
            for (other_kind, other_threads, other), rounds in groups.items()
            if (other_kind, other_threads, rounds[0].precision) == (kind, threads, precision)
            and not other.startswith("minilm ")
        ]
        if not engine.startswith("minilm ") or not rivals:
            continue
        best = []
        for a, *others in zip(ours, *rivals, strict=True):
            best.append(min(others, key=lambda m: faster(kind, a.value, m.value)))
        ratios = [faster(kind, a.value, b.value) for a, b in zip(ours, best, strict=True)]
        names = [m.engine for m in best]
        found.append(Headline(kind, threads, precision, median(ratios), max(names, key=names.count)))
    return found


def scalings(measurements: list[Measurement]) -> list[Scaling]:
    groups = by_subject(measurements)
    counts = sorted({m.threads for m in measurements})
    found = []
    for (kind, threads, engine), most in groups.items():
        if engine.startswith("minilm ") and threads == counts[-1] and len(counts) > 1:
            fewest = groups[kind, counts[0], engine]
            ratios = [faster(kind, a.value, b.value) for a, b in zip(most, fewest, strict=True)]
            found.append(Scaling(kind, most[0].precision, counts[0], threads, median(ratios)))
    return found


def gains(measurements: list[Measurement]) -> list[Gain]:
    groups = by_subject(measurements)
    found = []
    for (kind, threads, engine), narrow in groups.items():
        precision = narrow[0].precision
        f32 = groups.get((kind, threads, "minilm f32"))
        if engine.startswith("minilm ") and precision != "f32" and f32 is not None:
            ratios = [faster(kind, a.value, b.value) for a, b in zip(narrow, f32, strict=True)]
            found.append(Gain(kind, threads, precision, median(ratios)))
    return found
