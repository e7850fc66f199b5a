"""Cold start and memory, one engine at a time, each in fresh processes."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .engine_process import EngineProcess, peak_resident_bytes
from .engines import Place
from .minilm_program import Minilm
from .rivals import DEFAULT_BATCH
from .texts import TextFile

TEXT = "I like programming and machine learning"


@dataclass(frozen=True)
class Start:
    """What it takes to get an engine going, files in the page cache."""

    engine: str
    #: Seconds from the start of the process to the first vector, the median.
    cold_start_s: float
    #: The most memory resident after all mixed texts were embedded, on one thread.
    peak_resident_bytes: int


def of_minilm(ours: Minilm, mixed: TextFile, repetitions: int) -> Start:
    ours.cold_start(TEXT)
    seconds = [ours.cold_start(TEXT) for _ in range(repetitions)]
    return Start(ours.name, median(seconds), ours.peak_memory(mixed.path))


def of_rival(name: str, place: Place, mixed: TextFile, repetitions: int, log: Path) -> Start:
    seconds: list[float] = []
    memory = 0
    # The first one fills the page cache.
    for repetition in range(repetitions + 1):
        engine = EngineProcess(name, place, log)
        try:
            engine.answer()
            engine.request("first", text=TEXT)
            if repetition > 0:
                seconds.append(engine.elapsed())
            if repetition == repetitions:
                way = engine.request("ways")["bulk"][0]
                engine.request("time_bulk", texts=mixed.texts, way=way, batch=DEFAULT_BATCH)
                memory = peak_resident_bytes(engine.process.pid) or 0
        finally:
            engine.close()
    return Start(name, median(seconds), memory)
