"""One HTML file to explore a picture in: no network, no library, nothing to install.

The page carries the graph as JSON, a style sheet (`page.css`) and a script: `page.js` answers
clicks, the wheel and keys, `page_place.js` lays out what is open, `page_ink.js` draws it. Without
scripts the SVG drawn here is shown.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from .export import as_dict
from .graph import Graph
from .outline import text_width
from .overlay import STOPS, colour, text_on
from .palette import DARK, LIGHT, LOOKS, SIGNS, style_sheet
from .svg import LINE_SIZE, TITLE_SIZE, box_text, write_svg
from .views import halves
from .words import description, xml

# Nothing may be fetched, whatever a name in the data says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

SCRIPTS = ("page.js", "page_place.js", "page_ink.js")

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<header>
<div><h1>{title}</h1><p id="subtitle">{subtitle}</p></div>
<label class="find">Search <input id="search" type="search" placeholder="op, name, shape…"></label>
<output id="found" for="search"></output>
<span class="bar">
<button id="open" type="button">Open all</button>
<button id="close" type="button">Close all</button>
<button id="fit" type="button">Fit</button>
</span>
</header>
<main>
<svg id="canvas" class="rg-tape" role="img" aria-label="{title}" tabindex="0">
<title>{title}</title><desc>{description}</desc><g id="world"></g></svg>
<aside id="details" aria-live="polite"><p>Click a box for its details, a module or a
frame's title to open or close it. Drag to move, turn the wheel to zoom.</p></aside>
</main>
<footer>
<div id="steps" hidden>
<b>Backward</b>
<button id="first" type="button" aria-label="to the start">|◀</button>
<button id="back" type="button" aria-label="one step back">◀</button>
<button id="play" type="button" aria-label="play">▶ Play</button>
<button id="next" type="button" aria-label="one step">▶|</button>
<input id="frame" type="range" min="0" value="0" aria-label="step">
<output id="count"></output>
</div>
<div id="legend"></div>
<ul id="notes">{notes}</ul>
</footer>
<noscript>{picture}</noscript>
<script type="application/json" id="data">{data}</script>
<script>
{script}
</script>
</body>
</html>
"""


def write_page(whole: Graph, graph: Graph, *, steps: bool = False) -> str:
    """The page of a graph with all modules open; as far as `graph` has them closed, so has it."""
    whole = halves(whole)[0]
    shown = {box.group for box in graph.boxes}
    parents = {group.id: group.parent for group in whole.groups}
    for id in list(shown):
        while id in parents:
            shown.add(id)
            id = parents[id]
    data = as_dict(whole)
    for entry, box in zip(data["boxes"], whole.boxes, strict=True):
        lines = box_text(box)
        entry["text"] = lines
        entry["width"] = max(
            text_width(lines[0], TITLE_SIZE, bold=True),
            *(text_width(line, LINE_SIZE) for line in lines[1:]),
            44.0,
        )
        entry["detail"] = box.detail
        if box.heat is not None:
            fill = colour(box.heat)
            entry["fill"], entry["ink"] = fill, text_on(fill)
    data["closed"] = sorted(id for id in parents if id not in shown)
    data["steps"] = steps
    data["stops"] = STOPS
    data["roles"] = {role: look_of(role) for role in (*whole.roles, "module")}
    data["marks"] = {
        mark: {"dashes": SIGNS[mark].dashes, "text": f"{SIGNS[mark].sign} {SIGNS[mark].meaning}"}
        for mark in whole.marks
    }
    notes = "".join(f"<li>{xml(note)}</li>" for note in graph.notes)
    return TEMPLATE.format(
        policy=POLICY,
        title=xml(whole.title),
        subtitle=xml(whole.subtitle),
        description=xml(description(whole)),
        style=f"{theme()}\n{style_sheet()}\n{part('page.css')}",
        notes=notes,
        picture=write_svg(graph),
        data=harmless(json.dumps(data, ensure_ascii=True)),
        script="\n".join(map(part, SCRIPTS)),
    )


def look_of(role: str) -> dict[str, str]:
    """The outline of a kind of box, and what it means."""
    look = LOOKS[role]  # type: ignore[index]
    return {"outline": look.outline, "text": look.meaning}


def theme() -> str:
    """The colours of the page itself, in light and dark."""
    light, dark = (
        f"--page:{t.page};--text:{t.text};--quiet:{t.quiet};--line:{t.line};--frame:{t.frame};"
        f"--accent:{t.boxes['parameter'].stroke};--soft:{t.boxes['op'].fill}"
        for t in (LIGHT, DARK)
    )
    return (
        f":root{{{light};color-scheme:light dark}}\n"
        f"@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"
    )


def harmless(text: str) -> str:
    """JSON that cannot end the element it stands in."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def part(name: str) -> str:
    """A file that lies beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
