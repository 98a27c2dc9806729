"""gRPC in, gRPC out: the only room of the collector that knows protobuf messages and status codes."""
