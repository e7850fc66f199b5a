"""What HTTP costs: `minilm serve` beside `minilm bench`, which computes the same in its own process.

Needs `wrk` (Debian's package) and, for the tail at a fixed rate, `oha` (`cargo install oha`). Each figure
of the server is taken right after its figure of the process, in turn, and compared with that alone; medians
of the rounds.

    cd benches && python3 -m server ../target/release/minilm --precision f32 int8 --output record.json
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median

from peers import machine
from peers.prose import MIXED_TEXTS, mixed_texts, prose_of_python

SHORT = "What is a vector database?"

# The texts in turn. A request has one.
SCRIPT = """
local bodies = {{ {bodies} }}
local next = 0
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
function request()
    next = next % #bodies + 1
    return wrk.format(nil, "/embed", nil, bodies[next])
end
"""


def output_of(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {result.stderr or result.stdout}")
    return result.stdout


class Bench:
    """Figures of one precision."""

    def __init__(self, minilm: str, precision: str, threads: int, seconds: int, folder: Path) -> None:
        self.minilm, self.precision, self.threads, self.seconds = minilm, precision, threads, seconds
        self.folder = folder
        mixed = list(islice(mixed_texts(prose_of_python()), MIXED_TEXTS))
        self.bodies = {"short": [SHORT], "mixed": mixed}
        for name, texts in self.bodies.items():
            (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
            requests = [json.dumps({"inputs": text}) for text in texts]
            (folder / f"{name}.jsonl").write_text("\n".join(requests) + "\n", encoding="utf-8")
            bodies = ", ".join(f"[==[{request}]==]" for request in requests)
            (folder / f"{name}.lua").write_text(SCRIPT.format(bodies=bodies), encoding="utf-8")

    @contextmanager
    def server(self) -> Iterator[str]:
        command = [self.minilm, "serve", "--port", "0", "--precision", self.precision]
        command += ["--threads", str(self.threads), "--quiet"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                for line in process.stderr:
                    if found := re.search(r"listening at (\S+)", line):
                        yield found[1]
                        return
                raise SystemExit("the server has ended")
            finally:
                process.terminate()

    def in_process(self, only: str, texts: str) -> dict:
        command = [self.minilm, "bench", "--json", "--only", only, "--seconds", str(self.seconds)]
        command += ["--precision", self.precision, "--threads", str(self.threads), "--quiet"]
        return json.loads(output_of([*command, "-i", str(self.folder / f"{texts}.txt")]))

    def wrk(self, url: str, connections: int, texts: str) -> dict:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{self.seconds}s", "--latency"]
        text = output_of([*command, "-s", str(self.folder / f"{texts}.lua"), url])
        if "Non-2xx" in text or "Socket errors" in text:
            raise SystemExit(text)
        units = {"us": 1e-3, "ms": 1.0, "s": 1e3}

        def percentile(name: str) -> float:
            value, unit = re.search(rf"^\s+{name}%\s+([\d.]+)(us|ms|s)$", text, re.M).groups()
            return float(value) * units[unit]

        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        return {"p50_ms": percentile("50"), "p99_ms": percentile("99"), "texts_per_s": rate}

    def at_rate(self, url: str, rate: float, texts: str) -> dict:
        """Requests at moments that do not wait for answers; a late one is late from the moment it was due."""
        command = ["oha", "--no-tui", "--output-format", "json", "-z", f"{3 * self.seconds}s", "-c", "64"]
        command += ["-q", str(max(1, round(rate))), "--latency-correction", "-w", "-m", "POST"]
        command += ["-H", "content-type: application/json", "-Z", str(self.folder / f"{texts}.jsonl")]
        report = json.loads(output_of([*command, f"{url}/embed"]))
        if set(report["statusCodeDistribution"]) != {"200"}:
            raise SystemExit(f"{report['statusCodeDistribution']}, expected 200 alone")
        latency = report["latencyPercentiles"]
        return {"p50_ms": 1e3 * latency["p50"], "p99_ms": 1e3 * latency["p99"], "rate": round(rate)}

    def round(self, url: str) -> dict:
        alone = self.in_process("latency", "short")["latency_ms"]["p50"]
        served = self.wrk(url, 1, "short")["p50_ms"]
        bulk = self.in_process("throughput", "mixed")["throughput"]["texts_per_s"]
        full = self.wrk(url, 64, "mixed")
        half = self.at_rate(url, full["texts_per_s"] / 2, "mixed")
        return {
            "short_in_process_p50_ms": alone,
            "short_served_p50_ms": served,
            "overhead_us": 1e3 * (served - alone),
            "mixed_in_process_texts_per_s": bulk,
            "mixed_served_texts_per_s": full["texts_per_s"],
            "throughput_ratio": full["texts_per_s"] / bulk,
            "full_load_p50_ms": full["p50_ms"],
            "full_load_p99_ms": full["p99_ms"],
            "half_load_p50_ms": half["p50_ms"],
            "half_load_p99_ms": half["p99_ms"],
            "half_load_p99_over_p50": half["p99_ms"] / half["p50_ms"],
        }


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("minilm", help="the program, of a release build")
    parser.add_argument("--precision", nargs="+", default=["f32", "int8"])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=int, default=4, help="of each figure; at the fixed rate three times"
    )
    parser.add_argument("--output", type=Path, help="write all rounds as JSON")
    arguments = parser.parse_args()

    record: dict[str, object] = {"machine": machine.describe()}
    for precision in arguments.precision:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(arguments.minilm, precision, arguments.threads, arguments.seconds, Path(folder))
            with bench.server() as url:
                # The caches, the clock, and the server's own figures of how long requests take.
                bench.wrk(url, 1, "short")
                rounds = [bench.round(url) for _ in range(arguments.rounds)]
        medians = {name: median(each[name] for each in rounds) for name in rounds[0]}
        record[precision] = {"medians": medians, "rounds": rounds}
        print(precision)
        for name, value in medians.items():
            values = ", ".join(f"{each[name]:.3f}" for each in rounds)
            print(f"  {name:<30} {value:10.3f}   ({values})")
    if arguments.output:
        arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
