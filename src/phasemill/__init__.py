"""phasemill: diffuse-interface microstructure evolution, simulated and learned, reproducibly."""

__version__ = "0.1.0"
