"""Anomaly detection: which line of the forward pass made the op whose derivative is NaN.

While it is on, a recorder notes for every new node where the user was (`tape.places`), and the
walk shows every derivative to `look_for_nan`.  Both are slow, and neither costs anything while it
is off.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from . import dtypes as dt
from .errors import PACKAGE
from .modes import recorder
from .tape import Many, Node, places

FRAMES = 10  # how many callers a place tells, from the innermost

_state: ContextVar[tuple[bool, bool]] = ContextVar("retrograd_anomaly", default=(False, True))


def is_anomaly_enabled() -> bool:
    """Whether forward lines are being noted."""
    return _state.get()[0]


def is_anomaly_check_nan_enabled() -> bool:
    """Whether backward would stop at NaN, if anomaly detection is on."""
    return _state.get()[1]


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Switch anomaly detection on or off: at once, and back again at the end of a ``with``.

    Like the grad modes it belongs to a thread or task.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = _state.get()
        _set(bool(mode), bool(check_nan))

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        _set(*self._before)


class detect_anomaly:  # noqa: N801 - PyTorch's name
    """In a ``with`` block: let an error in backward name the forward line that led to it.

    With ``check_nan``, a derivative with a NaN in it is such an error (`RuntimeError`).

    >>> import retrograd as rg, warnings
    >>> warnings.simplefilter("ignore")
    >>> x = rg.tensor(-1.0, requires_grad=True)
    >>> with rg.autograd.detect_anomaly():
    ...     x.sqrt().backward()
    Traceback (most recent call last):
    RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output. ...
    """

    def __init__(self, check_nan: bool = True):
        self._check_nan = bool(check_nan)
        self._before = _state.get()
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = _state.get()
        _set(True, self._check_nan)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        _set(*self._before)


def _set(mode: bool, check_nan: bool) -> None:
    _state.set((mode, check_nan))
    recorder.install(note_place if mode else None)


def note_place(node: Node) -> None:
    """The recorder: remember where in the user's code a node was made."""
    frames = traceback.StackSummary.extract(_user_frames(sys._getframe(1)), limit=FRAMES)
    frames.reverse()
    places[node] = "".join(frames.format()).rstrip("\n")


def _user_frames(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != PACKAGE and not name.startswith(PACKAGE + "."):
            yield frame, frame.f_lineno
        frame = frame.f_back


def inspector() -> Callable[[Node, Any], None] | None:
    """What the walk shows derivatives to: `look_for_nan`, or None while that is off."""
    return look_for_nan if _state.get() == (True, True) else None


def look_for_nan(node: Node, ds: Any) -> None:
    """Raise `RuntimeError` when a derivative has a NaN in it."""
    for i, d in enumerate(ds):
        parts = d if type(d) is Many else [d]
        if any(part is not None and _has_nan(getattr(part, "array", part)) for part in parts):
            raise RuntimeError(
                f"Function '{node.name()}' returned nan values in its {i}th output. "
                f"{whereabouts(node)}\n"
                "Keep its input inside the domain: add a small constant under a root or a "
                "logarithm, clamp, or select with torch.where before the op, not after it."
            )


def _has_nan(array: Any) -> bool:
    return bool(np.isnan(dt.widen(np.asarray(array))).any())


def whereabouts(node: Node) -> str:
    """Where a node was made, as far as that is known."""
    if node in places:
        return f"It was recorded by this forward call:\n{places[node]}"
    return (
        "No forward pass information is available: enable anomaly detection for the forward pass "
        "too."
    )
