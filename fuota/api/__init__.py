"""The gRPC API: one set of checks, and a dialect for each generation of clients."""
