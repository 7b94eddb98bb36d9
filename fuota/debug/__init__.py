"""What operators see: the tree of actors, health, and counters."""
