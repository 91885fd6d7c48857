"""Prompts × arms × blocks × rates → outcomes.

In the plural, because importing a sub-package named as the public function ``ripplestats.sweep`` would hide it.
"""
