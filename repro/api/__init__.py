"""The Python API, for notebooks: `import repro` has its names; and what its functions share with the commands."""
