"""The results as Markdown, from the same data as `results.json`."""

from collections.abc import Iterable
from typing import Any

from .ratios import Figure
from .texts import KINDS

UNITS = {"short": "ms", "long": "ms", "mixed": "texts/s"}
PRECISIONS = ("f32", "bf16", "int8")


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    header = list(header)
    return [line(header), line("---" for _ in header), *(line(row) for row in rows), ""]


def cell(figure: Figure | None) -> str:
    """The figure, and how many times faster minilm is."""
    if figure is None:
        return ""
    text = number(figure.value)
    if figure.minilm_ratio is not None:
        return f"{text} ({figure.minilm_ratio:.2f}×)"
    if figure.engine.startswith("minilm "):
        return f"**{text}**"
    return text


def engines_table(figures: list[Figure]) -> list[str]:
    """A row an engine and number of threads."""
    by_key = {(f.kind, f.threads, f.engine): f for f in figures}
    rows = []
    for threads in sorted({f.threads for f in figures}):
        for precision in PRECISIONS:
            engines = dict.fromkeys(f.engine for f in figures if f.precision == precision)
            # Ours first, the others as they are listed.
            for engine in sorted(engines, key=lambda name: not name.startswith("minilm ")):
                row = {kind: by_key.get((kind, threads, engine)) for kind in KINDS}
                short = row["short"]
                p99 = number(short.p99) if short else ""
                if any(row.values()):
                    rows.append(
                        [engine, str(threads), cell(short), p99, cell(row["long"]), cell(row["mixed"])]
                    )
    header = ["engine", "threads", "short p50, ms", "short p99, ms", "long p50, ms", "mixed, texts/s"]
    return table(header, rows)


def markdown(results: dict[str, Any], figures: list[Figure]) -> str:
    machine, texts = results["machine"], results["texts"]
    lines = ["# minilm beside other engines", ""]
    lines += [
        f"{machine['processor']}, {machine['cores']} cores, {machine['kernel']}, {machine['date']}; "
        f"minilm {results['minilm']['version']} at commit {machine['commit']}, {results['minilm']['isa']}. "
        f"Medians of {results['plan']['rounds']} rounds. In brackets: how many times faster minilm of the "
        "same precision is, the median of the rounds' ratios.",
        "",
    ]
    lines += engines_table(figures)

    lines += ["## Against the best engine of the same precision", ""]
    rows = [
        [h["kind"], str(h["threads"]), h["precision"], f"{h['ratio']:.2f}×", h["best_rival"]]
        for h in results["headlines"]
    ]
    lines += table(["texts", "threads", "precision", "minilm is faster by", "the best rival"], rows)

    lines += ["## minilm alone", ""]
    rows = [
        [
            f.kind,
            str(f.threads),
            f.precision,
            f"{100 * f.peak_fraction:.1f} %",
            f"{f.p99 / f.value:.2f}" if f.p99 is not None else "",
        ]
        for f in figures
        if f.peak_fraction is not None
    ]
    lines += table(["texts", "threads", "precision", "of the peak", "p99 / p50"], rows)
    lines += [
        f"- {s['kind']}, {s['precision']}: {s['most']} threads are {s['ratio']:.2f} times as fast as "
        f"{s['fewest']}."
        for s in results["scalings"]
    ]
    lines += [""] if results["scalings"] else []

    if results["starts"]:
        lines += ["## Start and memory, one thread", ""]
        rows = [
            [s["engine"], f"{1e3 * s['cold_start_s']:.0f} ms", f"{s['peak_resident_bytes'] / 1e6:.0f} MB"]
            for s in results["starts"]
        ]
        lines += table(["engine", "process start to first vector", "peak resident memory, mixed texts"], rows)
    lines += [f"minilm's program is {results['minilm']['program_bytes'] / 1e6:.1f} MB.", ""]

    lines += ["## Vectors, before anything was timed", ""]
    rows = [
        [a["engine"], str(a["threads"])]
        + [f"{a[name]:.6f}" for name in ("cosine_mean", "cosine_p1", "cosine_min")]
        + [f"{a['largest_difference']:.1e}", "yes" if a["timed"] else "**no**"]
        for a in results["accuracy"]
    ]
    header = ["engine", "threads", "cosine: mean", "p1", "min", "largest difference", "timed"]
    lines += table(header, rows)

    lines += ["## Texts", ""]
    rows = [
        [kind, str(texts[kind]["texts"]), f"{texts[kind]['tokens_mean']:.1f}", f"`{texts[kind]['sha256']}`"]
        for kind in KINDS
    ]
    lines += table(["texts", "number", "tokens, mean", "SHA-256"], rows)

    lines += ["## What each rival was set to", ""]
    rows = []
    for s in results["settings"]:
        ways = s["ways"]
        bulk = f"{ways['bulk']}, batches of {ways['batch']}"
        rows.append([s["engine"], str(s["threads"]), ways["short"], ways["long"], bulk])
    lines += table(["engine", "threads", "short", "long", "mixed"], rows)
    lines += ["Everything else that was set, and all versions, are in `results.json`.", ""]
    return "\n".join(lines)
