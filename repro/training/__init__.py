"""Training: the engine and what it is made of."""
