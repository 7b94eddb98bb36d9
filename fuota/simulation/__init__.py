"""A simulated ChirpStack with simulated devices that really decode: for tests, the demo and device makers."""
