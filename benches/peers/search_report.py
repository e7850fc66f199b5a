"""The results of `peers.search` as figures and as Markdown, from the same data as `results.json`."""

from statistics import median
from typing import Any

from .report import table

KINDS = {"f32": "f32", "int8": "int8", "ubinary": "bits"}


def figures(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One an engine, kind, number of queries and of threads: medians over the rounds, and of their ratios."""
    by_case: dict[tuple[str, int, int, str], dict[int, dict[str, Any]]] = {}
    for m in results["measurements"]:
        by_case.setdefault((m["kind"], m["queries"], m["threads"], m["engine"]), {})[m["round"]] = m
    out = []
    for (kind, queries, threads, engine), rounds in by_case.items():
        size = results["rows"] * results["row_bytes"][kind]
        operations = 2 * results["rows"] * results["dimension"] * queries
        seconds = median(m["seconds"] for m in rounds.values())
        ours = by_case[kind, queries, threads, "minilm"]
        out.append(
            {
                "kind": kind,
                "queries": queries,
                "threads": threads,
                "engine": engine,
                "ms": 1e3 * seconds,
                "gb_per_s": 1e-9 * size / seconds,
                "gops": 1e-9 * operations / seconds,
                "read_gb_per_s": 1e-9 * size / median(m["read_seconds"] for m in rounds.values()),
                "of_read": median(m["read_seconds"] / m["seconds"] for m in rounds.values()),
                "minilm_is_faster_by": median(m["seconds"] / ours[r]["seconds"] for r, m in rounds.items()),
            }
        )
    return out


def markdown(results: dict[str, Any]) -> str:
    machine, rounds = results["machine"], results["rounds"]
    lines = [
        f"# The {results['best']} best of {results['rows']:,} × {results['dimension']}, exactly",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['kernel']}, {machine['date']}; minilm "
        f"at commit {machine['commit']}, {results['scan']['isa']}; numpy {results['versions']['numpy']}, "
        f'faiss {results["versions"]["faiss"]}. Medians of {rounds} rounds, everybody in turn. "Of read": of '
        "the rate at which `minilm_kernels::peak::read` reads the same rows with as many threads, just before"
        " and after; the median of the rounds' ratios; no rows are in the caches when either begins. "
        "`minilm` is the kernel over rows in huge pages, where the line does not say otherwise.",
        "",
    ]
    for kind, name in KINDS.items():
        for queries in sorted({f["queries"] for f in results["figures"]}):
            chosen = [f for f in results["figures"] if f["kind"] == kind and f["queries"] == queries]
            lines += [f"## {name}, {queries} {'query' if queries == 1 else 'queries'}", ""]
            rows = [
                [
                    f["engine"],
                    str(f["threads"]),
                    f"{f['ms']:.2f}",
                    f"{f['gb_per_s']:.1f}",
                    f"{f['read_gb_per_s']:.1f}",
                    f"{100 * f['of_read']:.0f} %",
                    f"{f['gops']:.0f}",
                    "" if f["engine"] == "minilm" else f"{f['minilm_is_faster_by']:.2f}×",
                ]
                for f in sorted(
                    chosen, key=lambda f: (f["threads"], not f["engine"].startswith("minilm"), f["engine"])
                )
            ]
            header = [
                "engine",
                "threads",
                "ms",
                "GB/s",
                "read, GB/s",
                "of read",
                "Gop/s",
                "minilm is faster by",
            ]
            lines += table(header, rows)
    lines += ["## Results, before anything was timed", ""]
    rows = [[e["engine"], KINDS[e["kind"]], f"{e['score']:.1e}"] for e in results["largest_error"]]
    lines += table(["engine", "rows", "largest difference of a score to float64"], rows)
    return "\n".join(lines)
