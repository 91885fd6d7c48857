"""Measured ratios against the peers; nothing in the package imports this."""
