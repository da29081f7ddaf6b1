"""Figures of the benchmarks, drawn from stored metrics and fields alone."""
