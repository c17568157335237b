"""The progress of runs, as a terminal, a log and TensorBoard show it."""
