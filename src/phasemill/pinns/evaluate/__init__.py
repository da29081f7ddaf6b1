"""Evaluations: each makes one benchmark."""
