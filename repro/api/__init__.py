"""The Python API, for notebooks: `import repro` has its names. The commands use the same functions."""
