"""One device of one deployment: it is set up, listens, and says what it has received."""
