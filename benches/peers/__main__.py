"""minilm beside the engines that people would use instead.

python -m peers --minilm ../target/release/minilm --model DIR --out DIR
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import machine, plot, ratios, report, start, texts
from .accuracy import Accuracy
from .batches import Vectors
from .engine_process import EngineProcess, convert
from .engines import ARTEFACTS, REFERENCE, RIVALS, Place, loads, precision_of
from .minilm_program import Minilm
from .model import Model
from .rivals import BATCHES, TRIAL_MIXED, Rival, Trial, best_settings, check, reference_vectors
from .rounds import Plan, measure
from .sts import Pairs
from .texts import TextFile

Results = dict[str, Any]


def counts(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError
    return numbers


def names(text: str) -> list[str]:
    found = text.split(",")
    for name in found:
        if name not in RIVALS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(RIVALS)}")
    return found


def precisions(text: str) -> list[str]:
    found = text.split(",")
    for name in found:
        if name not in report.PRECISIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(report.PRECISIONS)}")
    return found


def at_least_one(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="peers",
        description="Time minilm and other engines in turn on the same texts, after checking their vectors.",
    )
    add = parser.add_argument
    add("--minilm", type=Path, required=True, help="the program, a release build")
    add("--model", type=Path, required=True, help="the model's directory, with mean pooling")
    add("--out", type=Path, required=True, help="where to write README.md, results.json and peers.svg")
    add("--work", type=Path, help="where texts, converted models and logs are [default: OUT/work]")
    everything = ",".join(report.PRECISIONS)
    add(
        "--precisions",
        type=precisions,
        default=list(report.PRECISIONS),
        help=f"minilm's, separated by commas [default: {everything}]",
    )
    add("--sts", type=Path, help="the STS benchmark, for accuracy beside speed [default: without]")
    add("--engines", type=names, default=list(RIVALS), help="rivals, separated by commas [default: all]")
    add("--threads", type=counts, default=[1, 2], help="separated by commas [default: 1,2]")
    add("--rounds", type=at_least_one, default=9, help="[default: 9]")
    add("--short", type=at_least_one, default=100, help="short texts in a rival's round [default: 100]")
    add("--long", type=at_least_one, default=8, help="long texts in a rival's round [default: 8]")
    add("--mixed", type=at_least_one, default=texts.MIXED_TEXTS, help="mixed texts [default: 640]")
    sizes = ",".join(map(str, BATCHES))
    add(
        "--batches", type=counts, default=BATCHES, help=f"sizes that rivals are tried with [default: {sizes}]"
    )
    add("--trial", type=at_least_one, default=TRIAL_MIXED, help="mixed texts of such a trial [default: 128]")
    add("--starts", type=int, default=3, help="repetitions of each cold start; 0 for none [default: 3]")
    return parser.parse_args()


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


class Comparison:
    """One run of this program."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.work: Path = (arguments.work or arguments.out / "work").resolve()
        self.model = Model.read(arguments.model.resolve())
        self.engines = [name for name in arguments.engines if loads(name, self.model.model_type)]
        left_out = [name for name in arguments.engines if name not in self.engines]
        for name in left_out:
            say(f"{name} cannot load models of the architecture {self.model.model_type}, so it is left out")
        # Before anything is measured that could not be written.
        arguments.out.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(parents=True, exist_ok=True)
        say("texts and converted models …")
        self.files = texts.write_texts(self.work, self.model, arguments.mixed)
        forms = {form for name in self.engines for form in ARTEFACTS.get(name, ())}
        convert(self.model.folder, self.work / "models", forms)
        self.ours = [
            Minilm(arguments.minilm.resolve(), self.model.folder, precision, threads)
            for threads in arguments.threads
            for precision in arguments.precisions
        ]
        self.results: Results = {
            "model": self.model.describe(),
            "left_out": left_out,
            "accuracy": [],
            "settings": [],
            "starts": [],
            "sts": None,
        }
        self.trial = Trial(arguments.batches, arguments.trial)
        self.pairs: Pairs | None = None
        if arguments.sts is not None:
            self.pairs = Pairs.read(arguments.sts)
            tokenizer = texts.tokenizer_of(self.model.tokenizer_json)
            sentences, limit = self.pairs.sentences, self.model.max_tokens
            self.files["sts"] = texts.write(self.work / "sts.jsonl", sentences, tokenizer, limit)

    def place(self, threads: int) -> Place:
        return Place(self.model.folder, self.work / "models", threads)

    def launch(self, name: str, threads: int, stack: ExitStack) -> EngineProcess:
        say(f"{name}, threads: {threads} …")
        log = self.work / f"{name.replace(' ', '-')}-{threads}.log"
        process = EngineProcess.start(name, self.place(threads), log)
        stack.callback(process.close)
        return process

    def passes(self, engine: str, threads: int, precision: str, found: Accuracy) -> bool:
        """Notes the accuracy, and says whether the engine may be timed."""
        good = found.is_good(precision)
        entry = {"engine": engine, "threads": threads, **asdict(found), "timed": good}
        self.results["accuracy"].append(entry)
        if not good:
            say(f"{engine}, threads: {threads}: vectors differ too much, so it is not timed: {found}")
        return good

    def begin_sts(self, reference: EngineProcess) -> Vectors | None:
        """The reference's vectors of the STS benchmark, if it was given."""
        if self.pairs is None:
            return None
        vectors = reference_vectors(reference, self.files["sts"])
        self.results["sts"] = {
            "reference": REFERENCE,
            "spearman": self.pairs.spearman(vectors),
            "pairs": len(self.pairs.scores),
            "sentences": len(self.pairs.sentences),
            "agreements": [],
        }
        return vectors

    def note_sts(self, engine: str, threads: int, vectors: Callable[[TextFile], Vectors]) -> None:
        """Notes how the engine's vectors of the STS benchmark agree with the reference's and with people."""
        if self.pairs is None or self.sts_reference is None:
            return
        found = self.pairs.agreement(vectors(self.files["sts"]), self.sts_reference)
        entry = {"engine": engine, "threads": threads, **asdict(found)}
        self.results["sts"]["agreements"].append(entry)

    def prepare_rivals(self, stack: ExitStack) -> tuple[list[Minilm], list[Rival]]:
        """Starts, sets and checks everybody; gives back those whose vectors are right."""
        with ExitStack() as first:
            process = self.launch(REFERENCE, 1, first)
            reference = reference_vectors(process, self.files["check"])
            self.sts_reference = self.begin_sts(process)
        ours = []
        for program in self.ours:
            say(f"{program.name}, threads: {program.threads} …")
            found = Accuracy.of(program.vectors(self.files["check"].path), reference)
            if self.passes(program.name, program.threads, program.precision, found):
                ours.append(program)
                self.note_sts(program.name, program.threads, program.bulk_vectors)
        rivals = []
        for threads in self.arguments.threads:
            for name in self.engines:
                process = self.launch(name, threads, stack)
                rival = Rival(process, best_settings(process, self.files, self.trial))
                found = check(rival, self.files, reference)
                if self.passes(name, threads, precision_of(name), found):
                    rivals.append(rival)
                    self.note_sts(name, threads, rival.bulk_vectors)
                    ways, own = asdict(rival.settings), process.request("settings")
                    entry = {"engine": name, "threads": threads, "ways": ways, "own": own}
                    self.results["settings"].append(entry)
                else:
                    process.close()
        return ours, rivals

    def time(self) -> None:
        plan = Plan(self.arguments.rounds, self.arguments.short, self.arguments.long)
        with ExitStack() as stack:
            ours, rivals = self.prepare_rivals(stack)
            measurements = []
            for m in measure(plan, ours, rivals, self.files):
                unit = report.UNITS[m.kind]
                say(f"round {m.round + 1}, {m.kind}, {m.threads}: {m.engine} {report.number(m.value)} {unit}")
                measurements.append(m)
        self.results |= {
            "plan": asdict(plan) | {"trial": asdict(self.trial)},
            "measurements": [asdict(m) for m in measurements],
            "headlines": [asdict(h) for h in ratios.headlines(measurements)],
            "gains": [asdict(g) for g in ratios.gains(measurements)],
            "scalings": [asdict(s) for s in ratios.scalings(measurements)],
        }
        self.figures = ratios.figures(measurements)
        self.results["figures"] = [asdict(f) for f in self.figures]

    def time_starts(self) -> None:
        repetitions = self.arguments.starts
        if repetitions == 0:
            return
        starts = []
        for program in self.ours:
            if program.threads == min(self.arguments.threads):
                say(f"start of {program.name} …")
                cache = self.work / "packed"
                starts += start.of_minilm(
                    replace(program, threads=1), self.files["mixed"], repetitions, cache
                )
        for name in self.engines:
            say(f"start of {name} …")
            log, mixed = self.work / "start.log", self.files["mixed"]
            starts.append(start.of_rival(name, self.place(1), mixed, repetitions, log))
        self.results["starts"] = [asdict(s) for s in starts]

    def describe(self) -> None:
        program = self.ours[0]
        self.results |= {
            "machine": machine.describe(),
            "minilm": program.describe(),
            "texts": {kind: file.describe() for kind, file in self.files.items()},
        }

    def write(self) -> None:
        out: Path = self.arguments.out
        results, info = self.results, self.results["machine"]
        rounds = results["plan"]["rounds"]
        caption = f"{info['processor']}, {info['kernel']}, {info['date']}; medians of {rounds} rounds"
        contents = {
            "results.json": json.dumps(results, indent=1, ensure_ascii=False) + "\n",
            "peers.svg": plot.svg(self.figures, caption),
            "README.md": report.markdown(results, self.figures) + "\n![The same as bars](peers.svg)\n",
        }
        for name, content in contents.items():
            temporary = out / f".{name}"
            temporary.write_text(content, encoding="utf-8")
            os.replace(temporary, out / name)


def main() -> None:
    comparison = Comparison(parse_arguments())
    comparison.describe()
    comparison.time()
    comparison.time_starts()
    comparison.write()
    print((comparison.arguments.out / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
