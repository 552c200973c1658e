"""The commands of the review app, offered by the hook that plugins use."""
