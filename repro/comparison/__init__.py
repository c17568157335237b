"""A printed table joined with our counts, times and runs, and the verdict on every error."""
