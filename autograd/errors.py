"""Words for mistakes: where in the user's own code something happened.

Every exception of the engine is one PyTorch users already catch (`RuntimeError`, `TypeError`,
`IndexError`, `ValueError`); what this file adds is the line to blame.
"""

from __future__ import annotations

import sys
from types import CodeType

PACKAGE = __name__.partition(".")[0]


def user_line() -> tuple[CodeType, int] | None:
    """Code object and line number of the nearest caller outside this package.

    Two references, no text: cheap enough for every in-place write.
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != PACKAGE and not name.startswith(PACKAGE + "."):
            return frame.f_code, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def show_line(place: tuple[CodeType, int] | None) -> str:
    """Spell a place of `user_line` as a traceback does: file, line, function and source."""
    if place is None:
        return "an unknown line"
    import linecache

    code, line = place
    source = linecache.getline(code.co_filename, line).strip()
    where = f'File "{code.co_filename}", line {line}, in {code.co_name}'
    return f"{where}\n    {source}" if source else where
