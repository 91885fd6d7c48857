"""How numbers are shown: LaTeX tables and chart primitives, shared by results and reports."""
