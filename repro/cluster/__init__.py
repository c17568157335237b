"""Training on Slurm or in the background of this machine: tasks, submissions, and the jobs that run them."""
