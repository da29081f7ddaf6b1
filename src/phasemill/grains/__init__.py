"""The grains wing: obstacle multi-phase-field models, and networks that learn from the equations alone (PINN-Phase)."""
