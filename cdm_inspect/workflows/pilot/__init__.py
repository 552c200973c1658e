"""The pilot: with and without the consistency term, over seeds, side by side."""
