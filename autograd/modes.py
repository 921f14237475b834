"""Whether ops are recorded: `no_grad` and its siblings, each a context and a decorator.

`recording()` tells an op whether to write a node: None (do not), True, or a *recorder*, a
function called with each new node (anomaly detection is one), so that the ordinary path has one
check for all of them.  Modes belong to a thread or task, and nest.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from .tape import Node

Recorder = Callable[["Node"], None]
_mode: ContextVar[Any] = ContextVar("retrograd_recording", default=True)
recording = _mode.get  # bound once: 0.04 µs a call


# `no_grad` without its comforts, for one caller per backward (0.1 µs instead of 1.5): the mode is
# asked for before a ``try`` and set in it, so that a Ctrl-C at any moment finds it restored.
set_mode = _mode.set
_recorder: ContextVar[Any] = ContextVar("retrograd_recorder", default=True)  # of enabled modes
_inference: ContextVar[bool] = ContextVar("retrograd_inference", default=False)


def is_grad_enabled() -> bool:
    """Whether ops are being recorded in this thread or task."""
    return recording() is not None


def is_inference_mode_enabled() -> bool:
    """Whether `inference_mode` is in force."""
    return _inference.get()


class _GradMode:
    """Set the recording mode for a block, a function, or each step of a generator function."""

    def __init__(self) -> None:
        self._tokens: list[Token[Any]] = []

    def _wanted(self) -> Any:
        raise NotImplementedError

    def _again(self) -> _GradMode:
        return type(self)()

    def __enter__(self) -> None:
        self._tokens.append(_mode.set(self._wanted()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        _mode.reset(self._tokens.pop())

    def __call__(self, function: Any) -> Any:
        if inspect.isgeneratorfunction(function):
            return self._decorate_generator(function)

        @functools.wraps(function)
        def in_mode(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return in_mode

    def _decorate_generator(self, function: Any) -> Any:
        # The mode holds while the generator runs, not while its caller does.
        @functools.wraps(function)
        def in_mode(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with self._again():
                        value = step()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield value
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as error:
                    step = functools.partial(generator.throw, error)
                else:
                    step = functools.partial(generator.send, sent)

        return in_mode


class _BareGradMode(_GradMode):
    """A grad mode that also decorates without parentheses: ``@no_grad``."""

    def __new__(cls, function: Any = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        _GradMode.__init__(mode)
        return mode(function)

    def __init__(self, function: Any = None):
        super().__init__()


class no_grad(_BareGradMode):  # noqa: N801 - PyTorch's name
    """Do not record: results need no gradient.  A context manager or a decorator.

    >>> import retrograd as rg
    >>> w = rg.ones(2, requires_grad=True)
    >>> with rg.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def _wanted(self) -> Any:
        return None


class enable_grad(_BareGradMode):  # noqa: N801 - PyTorch's name
    """Record again inside `no_grad`."""

    def _wanted(self) -> Any:
        return _recorder.get()


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording on or off: at once when called, for a block when used with ``with``."""

    def __init__(self, mode: bool):
        super().__init__()
        self.mode = bool(mode)
        self._token: Token[Any] | None = _mode.set(self._wanted())

    def _wanted(self) -> Any:
        return _recorder.get() if self.mode else None

    def _again(self) -> _GradMode:
        return type(self)(self.mode)

    def __enter__(self) -> None:
        if self._token is None:
            super().__enter__()
        else:  # the call itself has set the mode already
            self._tokens.append(self._token)
            self._token = None

    def __call__(self, function: Any) -> Any:
        if self._token is not None:
            _mode.reset(self._token)
            self._token = None
        return super().__call__(function)


class inference_mode(_GradMode):  # noqa: N801 - PyTorch's name
    """Like `no_grad`; ``inference_mode(False)`` leaves recording as it is."""

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            cls.__init__(made)
            return made(mode)
        return made

    def __init__(self, mode: Any = True):
        super().__init__()
        self.mode = mode is not False
        self._inner: list[Token[bool]] = []

    def _wanted(self) -> Any:
        return None if self.mode else recording()

    def _again(self) -> _GradMode:
        return type(self)(self.mode)

    def __enter__(self) -> None:
        super().__enter__()
        self._inner.append(_inference.set(self.mode))

    def __exit__(self, *error: Any) -> None:
        _inference.reset(self._inner.pop())
        super().__exit__(*error)


class recorder(_GradMode):  # noqa: N801 - a mode, spelled as its siblings
    """Record, and show every new node to ``see``."""

    def __init__(self, see: Recorder):
        super().__init__()
        self.see = see
        self._before: list[Any] = []

    @staticmethod
    def install(see: Recorder | None) -> None:
        """Show new nodes to ``see`` from now on, wherever they are recorded; None: to nobody."""
        _recorder.set(see or True)
        if recording() is not None:
            _mode.set(_recorder.get())

    def __enter__(self) -> None:
        self._before.append((_recorder.get(), recording()))
        self.install(self.see)

    def __exit__(self, *error: Any) -> None:
        enabled, mode = self._before.pop()
        _recorder.set(enabled)
        _mode.set(mode)
