"""A file for each layout of datasets, which reads them."""
