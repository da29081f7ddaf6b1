"""Recovery of kappa from a video: one scalar by direct minimisation, or by a fresh network."""

from phasemill.transport.recover.direct import Estimate, recover_direct

__all__ = ["Estimate", "recover_direct"]
