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


ACCURACY = ("cosine_mean", "cosine_p1", "cosine_min", "spearman")


def engines_table(figures: list[Figure], agreements: list[dict[str, Any]]) -> list[str]:
    """A row an engine and number of threads: its speed, and beside it its accuracy, if that is known."""
    accuracy = {(a["threads"], a["engine"]): [f"{a[name]:.5f}" for name in ACCURACY] for a in agreements}
    unknown = [""] * len(ACCURACY) if agreements else []
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
                    speed = [cell(short), p99, cell(row["long"]), cell(row["mixed"])]
                    rows.append([engine, str(threads), *speed, *accuracy.get((threads, engine), unknown)])
    header = ["engine", "threads", "short p50, ms", "short p99, ms", "long p50, ms", "mixed, texts/s"]
    if agreements:
        header += ["cosine to f32: mean", "p1", "min", "Spearman"]
    return table(header, rows)


def model_line(model: dict[str, Any]) -> str:
    """What was embedded with."""
    return (
        f"The model is {model['name']}: {model['architecture']}, {model['layers']} layers of "
        f"{model['hidden_size']} × {model['intermediate_size']}, {model['heads']} heads, a vocabulary of "
        f"{model['vocab_size']}; the mean of at most {model['max_tokens']} tokens"
        f"{', scaled to unit length' if model['normalizes'] else ''}. "
        f"SHA-256 of its weights: `{model['weights_sha256']}`."
    )


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
    lines += [model_line(results["model"]), ""]
    if results["left_out"]:
        lines += [f"Without {', '.join(results['left_out'])}: the architecture is unknown to them.", ""]
    sts = results["sts"]
    lines += engines_table(figures, sts["agreements"] if sts else [])
    if sts:
        lines += [
            f"Cosines are of the {sts['sentences']} distinct sentences of the STS benchmark's split `test` "
            f"to the vectors of {sts['reference']}, Spearman's correlation is of the similarities of its "
            f"{sts['pairs']} pairs with people's scores: {sts['spearman']:.5f} for that reference.",
            "",
        ]

    lines += ["## Against the best engine of the same precision", ""]
    rows = [
        [h["kind"], str(h["threads"]), h["precision"], f"{h['ratio']:.2f}×", h["best_rival"]]
        for h in results["headlines"]
    ]
    lines += table(["texts", "threads", "precision", "minilm is faster by", "the best rival"], rows)

    lines += ["## minilm alone", ""]
    gains = {(g["kind"], g["threads"], g["precision"]): f"{g['ratio']:.2f}×" for g in results["gains"]}
    rows = [
        [
            f.kind,
            str(f.threads),
            f.precision,
            f"{100 * f.peak_fraction:.1f} %",
            f"{f.p99 / f.value:.2f}" if f.p99 is not None else "",
            gains.get((f.kind, f.threads, f.precision), ""),
        ]
        for f in figures
        if f.peak_fraction is not None
    ]
    lines += [
        "The peak is that of products in the same precision on as many threads, taken between the texts.",
        "",
    ]
    header = ["texts", "threads", "precision", "of the peak", "p99 / p50", "over its own f32"]
    lines += table(header, rows)
    lines += [
        f"- {s['kind']}, {s['precision']}: {s['most']} threads are {s['ratio']:.2f} times as fast as "
        f"{s['fewest']}."
        for s in results["scalings"]
    ]
    lines += [""] if results["scalings"] else []

    if results["starts"]:
        lines += ["## Start and memory, one thread", ""]
        rows = [
            [s["engine"], f"{1e3 * s['cold_start_s']:.0f} ms"]
            + [f"{s[name] / 1e6:.0f} MB" for name in ("resident_bytes", "peak_resident_bytes")]
            for s in results["starts"]
        ]
        header = ["engine", "process start to first vector", "resident memory, mixed texts", "its peak"]
        lines += table(header, rows)
    lines += [f"minilm's program is {results['minilm']['program_bytes'] / 1e6:.1f} MB.", ""]

    lines += ["## Vectors, before anything was timed", ""]
    rows = [
        [a["engine"], str(a["threads"])]
        + [f"{a[name]:.6f}" for name in ("cosine_mean", "cosine_p1", "cosine_min")]
        + [f"{a['largest_difference']:.1e}", "yes" if a["timed"] else "**no**"]
        for a in results["accuracy"]
    ]
    if not results["model"]["normalizes"]:
        lines += ["Differences are in parts of the length of the reference's vector.", ""]
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
