"""The built-in scorers. Import them from their modules; their options load without torch."""
