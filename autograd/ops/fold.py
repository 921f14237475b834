"""`im2col` and `col2im` as ops: each is the other's derivative."""

from __future__ import annotations

from .. import scalar as s
from .. import windows
from ..declare import opaque
from ..op import announce, registry

PLANE = {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)}

announce("col2im")  # each is the other's derivative


@opaque(
    d_x=lambda g, x_shape, kernel, stride, padding, dilation: s.col2im(
        g, x_shape[2:], kernel, stride, padding, dilation
    ),
    cases=[((2, 3, 4, 5), PLANE)],
    public=False, method=False,
)  # fmt: skip
def im2col(x, /, kernel, stride, padding, dilation):
    """Every window of an image as a column.

    Shape: ``(N, C, *size) → (N, C · kernel, places)``
    """
    return windows.columns(x, windows.Window(kernel, stride, padding, dilation))


@opaque(
    d_x=lambda g, kernel, stride, padding, dilation: s.im2col(
        g, kernel, stride, padding, dilation
    ),
    cases=[((2, 6, 8), {"size": (4, 5), **PLANE})],
    public=False, method=False,
)  # fmt: skip
def col2im(x, /, size, kernel, stride, padding, dilation):
    """Columns added up to an image, where `im2col` would take them from.

    Shape: ``(N, C · kernel, places) → (N, C, *size)``
    """
    return windows.images(x, size, windows.Window(kernel, stride, padding, dilation))


registry["im2col"].backward_name = "Im2ColBackward0"
registry["col2im"].backward_name = "Col2ImBackward0"
