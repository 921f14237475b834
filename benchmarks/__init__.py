"""Benchmarks: one workload, written in PyTorch's style, timed on several engines side by side.

``python -m benchmarks overhead`` runs a family.  Each engine lives in a process of its own (two
thread pools in one process would spoil each other), the processes take turns, and what is printed
is the median over the rounds of the ratio within a round, so that a machine whose speed drifts
still gives a true comparison.
"""
