"""Training: the engine, its parts, and runs on disk."""
