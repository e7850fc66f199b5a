"""Cold start and memory, one engine at a time, each in fresh processes."""

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from .engine_process import EngineProcess, Memory, resident
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
    #: Memory resident while it embedded all mixed texts, on one thread; of a rival, after that.
    resident_bytes: int
    #: The most until then.
    peak_resident_bytes: int

    @classmethod
    def of(cls, engine: str, seconds: list[float], memory: Memory) -> "Start":
        return cls(engine, median(seconds), memory.serving, memory.peak)


def of_minilm(ours: Minilm, mixed: TextFile, repetitions: int, packed_cache: Path) -> list[Start]:
    """Without and with packed weights in a file."""
    starts = []
    for program, name in (
        (ours, ours.name),
        (replace(ours, packed_cache=packed_cache), f"{ours.name}, packed cache"),
    ):
        # Fills the page cache, and writes the file.
        program.cold_start(TEXT)
        seconds = [program.cold_start(TEXT) for _ in range(repetitions)]
        starts.append(Start.of(name, seconds, program.memory(mixed.path)))
    return starts


def of_rival(name: str, place: Place, mixed: TextFile, repetitions: int, log: Path) -> Start:
    seconds: list[float] = []
    memory = Memory(0, 0)
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
                memory = resident(engine.process.pid) or memory
        finally:
            engine.close()
    return Start.of(name, seconds, memory)
