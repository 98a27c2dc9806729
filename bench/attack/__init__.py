"""What those who wish a collector ill do to those who do not."""
