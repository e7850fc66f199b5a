"""The figures as bars, in SVG: a panel a kind of text, a group a number of threads and precision."""

from html import escape

from .ratios import Figure
from .report import PRECISIONS, number
from .texts import KINDS

TITLES = {
    "short": "short: one text of 8–16 tokens, p50 in ms",
    "long": "long: one text of 256 tokens, p50 in ms",
    "mixed": "mixed: paragraphs in bulk, texts/s",
}
BETTER = {"short": "shorter is better", "long": "shorter is better", "mixed": "longer is better"}

PANEL_WIDTH, LABELS, BARS, ROW, GROUP_HEAD, TOP = 430, 175, 200, 18, 26, 58
OURS, OTHERS, INK, FAINT = "#c2410c", "#94a3b8", "#1e293b", "#64748b"


def text(x: float, y: float, content: str, **attributes: str) -> str:
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{extra}>{escape(content)}</text>'


def panel(x: float, kind: str, figures: list[Figure]) -> tuple[list[str], float]:
    """The panel's elements and where it ends."""
    parts = [
        text(x, 24, TITLES[kind], fill=INK, font_weight="bold"),
        text(x, 42, BETTER[kind], fill=FAINT),
    ]
    longest = max((f.value for f in figures), default=1.0)
    y = float(TOP)
    for threads in sorted({f.threads for f in figures}):
        for precision in PRECISIONS:
            group = [f for f in figures if (f.threads, f.precision) == (threads, precision)]
            if not group:
                continue
            plural = "" if threads == 1 else "s"
            y += GROUP_HEAD
            parts.append(text(x, y - 8, f"{precision}, {threads} thread{plural}", fill=FAINT))
            for figure in sorted(group, key=lambda f: f.value, reverse=kind == "mixed"):
                ours = figure.engine.startswith("minilm ")
                width = BARS * figure.value / longest
                name = figure.engine.removesuffix(f" {precision}")
                weight = "bold" if ours else "normal"
                attributes = {"fill": INK, "font_weight": weight}
                parts.append(text(x + LABELS - 8, y + 13, name, text_anchor="end", **attributes))
                parts.append(
                    f'<rect x="{x + LABELS:.1f}" y="{y + 2:.1f}" width="{width:.1f}" height="{ROW - 4}" '
                    f'fill="{OURS if ours else OTHERS}"/>'
                )
                parts.append(text(x + LABELS + width + 5, y + 13, number(figure.value), **attributes))
                y += ROW
    return parts, y


def svg(figures: list[Figure], caption: str) -> str:
    parts: list[str] = []
    bottom = 0.0
    margin = 20
    for column, kind in enumerate(KINDS):
        own = [f for f in figures if f.kind == kind]
        elements, end = panel(margin + column * PANEL_WIDTH, kind, own)
        parts += elements
        bottom = max(bottom, end)
    width, height = 2 * margin + len(KINDS) * PANEL_WIDTH, bottom + 44
    parts.append(text(margin, bottom + 28, caption, fill=FAINT))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""])
