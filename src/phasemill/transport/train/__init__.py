"""Trainings, one module for each kind."""
