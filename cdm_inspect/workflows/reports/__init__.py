"""The HTML pages and figures of the workflows."""
