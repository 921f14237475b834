"""Numba's front end alone: from a function of Python to LLVM's language, and no further.

Numba compiles for anyone: it wraps each function for Python and for C, optimises it twice, and
makes machine code of every function on its own, also of those that end up inside of others.  All
that is wanted here is one piece of machine code behind an entry (`machine.pack`), so this stops
where types are known and LLVM's text is written; references are not counted, because a kernel owns
nothing.  The kernels of a first step are there in less than half the time.

Only `kernels` imports this, and late, because it loads Numba.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from numba.core import sigutils, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    RewriteSemanticConstants,
    TranslateByteCode,
)

__all__ = ["inner", "lowered"]

OPTIONS = {
    "nopython": True, "nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False,
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
}  # fmt: skip


def lowered(function: Callable[..., Any], signature: str, fast: set[str]) -> Any:
    """What Numba makes of a function that returns nothing: its library is a module of LLVM."""
    collecting = gc.isenabled()
    gc.disable()  # many small objects are made, of which few can go before the end
    try:
        return _lowered(function, signature, fast)
    finally:
        if collecting:
            gc.enable()


def _lowered(function: Callable[..., Any], signature: str, fast: set[str]) -> Any:
    with global_compiler_lock:
        arguments, _ = sigutils.normalize_signature(signature)
        flags = Flags()
        cpu_target.options.parse_as_flags(flags, {**OPTIONS, "fastmath": fast or False})
        made = compile_extra(
            cpu_target.typing_context, cpu_target.target_context, function, arguments, types.none,
            flags, {}, pipeline_class=_Pipeline,
        )  # fmt: skip
        made.library.finalize()
    return made


def inner(function: Callable[..., Any]) -> Any:
    """A function for the kernels that `lowered` makes, which LLVM puts in its caller's place."""
    options = {**OPTIONS, "fastmath": {"contract"}, "forceinline": True}
    return _Inner(function, targetoptions=options, pipeline_class=_Pipeline)


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """A function's module with the modules of those it calls, as it was written."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):  # type: ignore[misc]
    """LLVM's text of a function, to be called by others under a name of its own."""

    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        name = object()  # where Numba has a pointer to machine code
        state.targetctx.insert_user_function(name, state["cr"].fndesc, [state.library])
        state["cr"] = state["cr"]._replace(cfunc=name)
        return True


class _Pipeline(CompilerBase):  # type: ignore[misc]
    """The steps of Numba's own compiler that kernels need."""

    def define_pipelines(self) -> list[PassManager]:
        steps = PassManager("kernel")
        for step in (
            *(TranslateByteCode, FixupArgs, IRProcessing),
            *(RewriteSemanticConstants, DeadBranchPrune, GenericRewrites, ReconstructSSA),
            *(NopythonTypeInference, PreLowerStripPhis, IRLegalization),
            *(_Lowering, NoPythonBackend),
        ):
            steps.add_pass(step, step.__name__)
        steps.finalize()
        return [steps]


class _Inner(CPUDispatcher):  # type: ignore[misc]
    """A function with a version for each signature that it is called with in kernels."""

    def add_overload(self, compiled: Any) -> None:
        """Keep a version; it cannot be called from Python."""
        self.overloads[tuple(compiled.signature.args)] = compiled
