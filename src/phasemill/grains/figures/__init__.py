"""Figures: one module for each benchmark."""
