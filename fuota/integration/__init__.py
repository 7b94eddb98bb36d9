"""Events from the network: one endpoint, and a reading of them for each generation of ChirpStack."""
