"""``startup``: from starting ``python`` to the end of the first training step.

``cold`` begins with an empty folder of compiled kernels, ``warm`` with the folder that a run before
has filled; ``import`` ends when the engine is imported.
"""

from __future__ import annotations

from typing import Any

from ..workload import Task, load, workload

ENGINES = ("retrograd", "pytorch", "torch.compile", "jax")


@workload("startup", "import", measure="startup", quick=False,
          engines=("retrograd", "pytorch", "jax"))  # fmt: skip
def importing(torch: Any) -> Task:
    """Nothing but the import."""
    raise NotImplementedError("this is measured without a task")


for _name in ("mlp-32-sgd", "lenet"):
    _model = load(["models"])[f"models/{_name}"]
    for _cache in ("cold", "warm"):
        workload("startup", f"{_name} {_cache}", measure="startup", engines=ENGINES,
                 twin=_model.twin, rule=_model.rule,
                 quick=_name != "lenet" and _cache == "warm")(_model.make)  # fmt: skip
