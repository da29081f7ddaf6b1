"""Recovery from a user's own video (`phasemill recover`): weak form, verdict on the physics, and what is written."""
