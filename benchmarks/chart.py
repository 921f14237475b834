"""Charts of results: one SVG for a family, with a bar for each engine and a line at PyTorch's.

A bar's length is a figure as a multiple of PyTorch's in eager mode, so that rows of nanoseconds
and of seconds stand side by side; the figure itself is written beside the bar.  One self-contained
file: no script, no link, no font to fetch, a title and a description, and a dark theme.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from .rows import OURS, RIVAL, Row, amount

# Okabe and Ito's colours, which stay apart for every eye; (light, dark) each.
COLOURS = {
    "retrograd": ("#0072b2", "#56b4e9"),
    "pytorch": ("#b36b00", "#e69f00"),
    "torch.compile": ("#9a4f7d", "#cc79a7"),
    "jax": ("#007f5c", "#2fc79a"),
}
OTHER = ("#6a737d", "#9aa4af")
LIGHT = {"page": "#ffffff", "text": "#1b1f24", "quiet": "#4d5661", "line": "#6a737d"}
DARK = {"page": "#12161c", "text": "#e8ebef", "quiet": "#a8b3bf", "line": "#8b949e"}
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
WIDTH, MARGIN = 860, 20
LEFT, RIGHT = 230, 170  # room for names, and for what is written after the longest bar
BAR, GAP, SPACE = 11, 2, 12  # heights: a bar, between bars, between rows
LONGEST = 2.0  # times PyTorch's figure; longer bars are cut, with a mark
TOP = 92


def chart(family: str, rows: list[Row], subtitle: str) -> str:
    """The SVG text of one family's rows."""
    engines = [e for e in COLOURS if any(e in r.rounds for r in rows)]
    body: list[str] = []
    y = float(TOP)
    for row in rows:
        marks, height = _row(row, engines, y)
        body += marks
        y += height + SPACE
    bottom = y
    line = _x(1.0)
    full = bottom + MARGIN
    title = f"{family}: retrograd beside PyTorch"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{full:g}" '
        f'viewBox="0 0 {WIDTH} {full:g}" font-family={quoteattr(FONT)} font-size="11" '
        f"aria-label={quoteattr(title)}>",
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_description(rows))}</desc>",
        f"<style>{_style(engines)}</style>",
        f'<path class="page" d="M0 0h{WIDTH}v{full:g}H0z"/>',
        _text(MARGIN, 28, title, "text", 'font-size="15" font-weight="600"'),
        _text(MARGIN, 46, subtitle, "quiet"),
        *_legend(engines),
        f'<path class="line" d="M{line:g} {TOP - 8}V{bottom:g}" stroke-dasharray="4 3"/>',
        _text(line, TOP - 12, "PyTorch = 1, shorter is better", "quiet", 'text-anchor="middle"'),
        *body,
        "</svg>\n",
    ])  # fmt: skip


def _x(ratio: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * ratio / LONGEST


def _row(row: Row, engines: list[str], y: float) -> tuple[list[str], float]:
    """The marks of a row from ``y`` down, and its height."""
    base = row.median(RIVAL) or row.median(OURS)
    shown = [e for e in engines if row.median(e) is not None]
    if row.error or row.disturbed or not shown or not base:
        disturbed = f"disturbed: {row.disturbed}" if row.disturbed else None
        reason = "results differ" if row.error else disturbed or "; ".join(
            f"{e}: {why}" for e, why in row.left_out.items()
        )  # fmt: skip
        marks = [
            _text(LEFT - 10, y + BAR, row.name, "text", 'text-anchor="end"'),
            _text(LEFT, y + BAR, _clipped(reason or "not measured"), "quiet"),
        ]
        return marks, BAR
    height = len(shown) * (BAR + GAP) - GAP
    ratio = row.ratio(RIVAL)
    name = _text(LEFT - 10, y + height / 2 + 4, row.name, "text", 'text-anchor="end"')
    marks = [name]
    for k, engine in enumerate(shown):
        value = row.median(engine) or 0.0
        multiple = value / base
        at, end = y + k * (BAR + GAP), _x(min(multiple, LONGEST))
        cut = multiple > LONGEST
        label = amount(value, row.unit)
        if engine == OURS and ratio:
            label += f"  ({ratio.median:.2f} of PyTorch)"
        elif cut:
            label += f"  ({multiple:.1f})"
        marks.append(
            f"<g><title>{escape(f'{row.name}, {engine}: {label}')}</title>"
            f'<path class="e{engines.index(engine)}" d="M{LEFT} {at:g}H{end:g}'
            + (f"l5 {BAR / 2:g}l-5 {BAR / 2:g}" if cut else f"v{BAR}")
            + f'H{LEFT}z"/></g>'
        )
        weight = 'font-weight="600"' if engine == OURS else ""
        marks.append(
            _text(end + (9 if cut else 5), at + BAR - 2, label, "text", f'font-size="10" {weight}')
        )
    return marks, height


def _legend(engines: list[str]) -> list[str]:
    marks, x = [], float(MARGIN)
    for k, engine in enumerate(engines):
        marks.append(f'<path class="e{k}" d="M{x:g} 56h12v10h-12z"/>')
        marks.append(_text(x + 17, 65, engine, "text"))
        x += 36 + 7 * len(engine)
    return marks


def _text(x: float, y: float, text: str, kind: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" {more}>{escape(text)}</text>'


def _clipped(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _style(engines: list[str]) -> str:
    def rules(theme: dict[str, str], which: int) -> str:
        bars = "".join(
            f".e{k}{{fill:{COLOURS.get(e, OTHER)[which]}}}" for k, e in enumerate(engines)
        )
        texts = "".join(f".{n}{{fill:{theme[n]}}}" for n in ("page", "text", "quiet"))
        halo = f"text{{paint-order:stroke;stroke:{theme['page']};stroke-width:3px}}"
        return f"{texts}{halo}.line{{stroke:{theme['line']};fill:none}}{bars}"

    return f"{rules(LIGHT, 0)}@media (prefers-color-scheme:dark){{{rules(DARK, 1)}}}"


def _description(rows: list[Row]) -> str:
    parts = []
    for row in rows:
        ratio = row.ratio(RIVAL)
        if ratio and not row.error and not row.disturbed:
            parts.append(f"{row.name}: {ratio.median:.2f} of PyTorch's")
    return "; ".join(parts) or "nothing could be measured"
