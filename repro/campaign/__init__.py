"""Carries out what was asked for: trains runs or submits them as jobs, tries alternatives of recipes, times steps."""
