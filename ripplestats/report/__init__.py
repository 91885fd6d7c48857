"""Estimates → tables, figures and words."""
