"""Sweeps that cannot be lost: shards of prompts, computed where there is room and written as each is done."""
