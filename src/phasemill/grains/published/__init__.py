"""The method as it was published, part by part, to see what each of its choices does (PINN-Phase, section 3)."""
