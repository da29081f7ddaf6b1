"""Diffusion of Voronoi microstructures, its reversal in time, and recovery of the coefficient (SAFE-PIT-CM)."""
