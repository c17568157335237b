"""Training: `runs/` on disk, the `engine/` of runs in memory, `checkpoints/`, `progress/`, `tasks/`, and `machine/`."""
