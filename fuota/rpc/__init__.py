"""gRPC under Trio: grpclib's server and client, made safe against peers and free of its exceptions."""
