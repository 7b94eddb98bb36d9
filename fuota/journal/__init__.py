"""What must survive the process: one idea of it (`port`), and its implementations."""
