"""Text → prompts: corpora, documents, and windows drawn from them."""
