"""A run's files → report.html: one page to explore it, without network."""
