"""The built-in scorers, and how one is built, fitted and used on a line."""
