"""Prompts × arms × blocks × rates → outcomes."""
