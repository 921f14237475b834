"""Benchmarks: one workload, written in PyTorch's style, timed on several engines side by side.

``python -m benchmarks`` runs everything, ``python -m benchmarks models lenet`` one workload.  Each
engine lives in a process of its own (two thread pools in one process would spoil each other), with
the same number of threads; the processes take turns, and what is printed is the median over the
rounds of the ratio within a round, so that a machine whose speed drifts still gives a true
comparison.  Before anything is timed, the engines' results are compared.

`workload` says what a workload is, and ``families/`` holds them; ``docs/benchmarks.md`` says how
to read the figures.
"""
