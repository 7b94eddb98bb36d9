"""The settings: what they are (`settings`), their file (`file`), what is said of wrong ones (`mistake`)."""
