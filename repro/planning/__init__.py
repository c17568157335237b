"""What a table still needs: its runs, their time and space, and the seeds that would decide each row."""
