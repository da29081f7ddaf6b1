"""Recipes beyond the paper: quasi-Newton in double precision, new points, and conditions built into the solution."""
