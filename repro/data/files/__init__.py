"""The files of datasets: where they are, and what one of them contains."""
