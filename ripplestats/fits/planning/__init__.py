"""How many documents and prompts a study needs."""
