"""What a run of the parity tests compared, and what it left out."""

from __future__ import annotations

import sys
from contextlib import suppress

# PyTorch's threads wait for each other at every small op while another process has a core.
with suppress(ImportError):  # then there is nothing to compare with, and no test here runs
    import torch

    torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter):
    corpus = next((m for n, m in sys.modules.items() if n.endswith("parity.corpus")), None)
    if corpus is None or not corpus.counts:
        return
    terminalreporter.section("op parity with PyTorch")
    terminalreporter.line(", ".join(f"{n} {what}" for what, n in corpus.counts.items()))
    for reason, n in corpus.skipped.most_common():
        terminalreporter.line(f"  {n} skipped: {reason}")
