"""What the collector does, without SQL and without protobuf."""
