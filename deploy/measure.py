"""Measures replicas behind nginx and HAProxy with wrk, beside replicas asked directly, and prints tables.

    python3 deploy/measure.py --minilm target/release/minilm [--model DIR] [--rounds 5] [--seconds 4]

All is on one machine: replicas, balancer and wrk share its cores. Arrangements are measured in turn, round by
round, so that what else the machine does falls upon all of them.
"""

import argparse
import json
import random
import shlex
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from balanced_replicas import BALANCERS, HERE, HOST, Program, Replica

#: Those of `minilm bench`, 42 tokens on average; short ones are their beginnings.
TEXTS = HERE.parent / "crates/cli/src/bench/texts.txt"
SHORT_WORDS = range(5, 12)
#: To which throughput is compared.
BASELINE = "1 replica, 2 threads, direct"


@dataclass
class Arrangement:
    """Where to ask, and what came of it, round by round."""

    name: str
    port: int
    results: list[dict[str, float]] = field(default_factory=list)

    def measure(self, wrk: list[str], bodies: Path) -> None:
        script, url = HERE / "wrk_texts.lua", f"http://{HOST}:{self.port}/embed"
        command = [*wrk, "--script", script, url, "--", bodies]
        out = subprocess.run(command, capture_output=True, text=True)
        if out.returncode:
            raise SystemExit(f"wrk failed:\n{out.stdout}{out.stderr}")
        result = json.loads(out.stdout.splitlines()[-1])
        if result["not_200"] or result["lost"]:
            raise SystemExit(f"{self.name}: {result}")
        self.results.append(result)

    def throughputs(self) -> list[float]:
        return [result["requests"] / result["seconds"] for result in self.results]

    def row(self, baseline: list[float]) -> str:
        ratios = [own / other for own, other in zip(self.throughputs(), baseline, strict=True)]
        p50, p99 = (median(result[name] for result in self.results) for name in ("p50_ms", "p99_ms"))
        return (
            f"| {self.name} | {median(self.throughputs()):.0f} | {median(ratios):.2f} "
            f"({min(ratios):.2f}–{max(ratios):.2f}) | {p50:.1f} | {p99:.1f} |"
        )


def requests(folder: Path) -> dict[str, Path]:
    texts = TEXTS.read_text().splitlines()
    cut = [
        " ".join(text.split()[: SHORT_WORDS[number % len(SHORT_WORDS)]]) for number, text in enumerate(texts)
    ]
    order = random.Random(1)
    files = {}
    for kind, kind_texts in {"short": cut, "mixed": texts}.items():
        bodies = [json.dumps({"inputs": text}) for text in kind_texts]
        order.shuffle(bodies)
        files[kind] = folder / f"{kind}.jsonl"
        files[kind].write_text("\n".join(bodies) + "\n")
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minilm", type=Path, default=Path("target/release/minilm"))
    parser.add_argument("--beside", type=Path, help="another build, measured as the baseline is")
    parser.add_argument("--model", help="a folder or a name; default: all-MiniLM-L6-v2")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--under", default="", help="a command that runs wrk, such as nice")
    arguments = parser.parse_args()
    model = ["--model", arguments.model] if arguments.model else []

    with ExitStack() as running:
        top = Path(running.enter_context(tempfile.TemporaryDirectory()))

        def replica(name: str, threads: int, minilm: Path = arguments.minilm) -> Replica:
            return running.enter_context(Replica(name, minilm, top, "--threads", str(threads), *model))

        def behind(balancer: str, *replicas: Replica) -> Program:
            folder = top / f"{balancer}-{len(replicas)}-{replicas[0].name}"
            folder.mkdir()
            return running.enter_context(BALANCERS[balancer](replicas, folder))

        a, b, wide = replica("a", 1), replica("b", 1), replica("wide", 2)
        narrow = {"direct": a, **{name: behind(name, a) for name in BALANCERS}}
        whole = {"direct": wide, **{name: behind(name, wide) for name in BALANCERS}}
        both = {name: behind(name, a, b) for name in BALANCERS}
        if arguments.beside:
            whole[f"direct, {arguments.beside.name}"] = replica("other", 2, arguments.beside)
        arrangements = [
            Arrangement(f"{replicas}, {how}", to.port)
            for replicas, programs in [
                ("1 replica, 1 thread", narrow),
                ("1 replica, 2 threads", whole),
                ("2 replicas, 1 thread each", both),
            ]
            for how, to in programs.items()
        ]

        for kind, file in requests(top).items():
            wrk = [*shlex.split(arguments.under), "wrk", "-t1", f"-c{arguments.connections}", "--timeout=30s"]
            for number in range(arguments.rounds + 1):
                # The first round is short, and does not count.
                seconds = arguments.seconds if number else 1
                for arrangement in arrangements:
                    arrangement.measure([*wrk, f"-d{seconds}s"], file)
            for arrangement in arrangements:
                del arrangement.results[0]
            baseline = next(each for each in arrangements if each.name == BASELINE).throughputs()
            print(f"\n{kind} texts, {arguments.connections} connections, {arguments.rounds} rounds\n")
            print("| | requests/s | of 1 replica with 2 threads | p50, ms | p99, ms |")
            print("|---|---|---|---|---|")
            for arrangement in arrangements:
                print(arrangement.row(baseline), flush=True)
                arrangement.results.clear()


if __name__ == "__main__":
    main()
