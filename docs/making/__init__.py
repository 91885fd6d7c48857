"""What makes the documentation: figures and tables computed from the package, formulas, and the runs of code blocks."""
