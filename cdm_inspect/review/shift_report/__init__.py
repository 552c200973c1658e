"""The report of a shift: its figures, its words, its pages."""
