"""The run directory: written in parts, each atomic; read without torch."""
