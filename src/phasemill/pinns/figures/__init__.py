"""Figures of the evaluations, from what they stored."""
