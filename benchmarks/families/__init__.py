"""The workloads, a file for each family."""
