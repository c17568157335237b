"""What runs leave on disk: records, curves and run folders."""
