"""Estimates → decisions on claims that were written down before."""
