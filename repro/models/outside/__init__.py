"""Networks from outside the package: where they are, their code, and what of them can be saved."""
