"""``memory``: the most that a process holds while it trains a model, and what its tape keeps.

``process`` is all of it, libraries included; ``step`` is what came on top of the imports; ``tape``
is what a loss keeps alive for backward, beside parameters and inputs.
"""

from __future__ import annotations

from ..workload import load, workload

for _model in [w for w in load(["models"]).values() if w.family == "models" and w.memory]:
    workload("memory", _model.name, measure="memory", engines=("retrograd", "pytorch"),
             quick=_model.name == "mlp-1024-adam")(_model.make)  # fmt: skip
