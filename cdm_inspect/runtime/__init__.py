"""What runs at a station: an exported line, judged without torch."""
