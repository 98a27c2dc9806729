"""What `fleetnet doctor` looks at, a module for each place where something may be wrong."""
