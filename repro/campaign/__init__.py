"""What tables still need is done: runs are trained here, become jobs, or try alternatives of a recipe."""
