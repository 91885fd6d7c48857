"""Exact mixed-effects models of balanced curves, from sufficient statistics."""
