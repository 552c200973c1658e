"""What a plugin promises and what it offers, one kind a module, without torch."""
