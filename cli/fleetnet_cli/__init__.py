"""The command line of fleetnet: asks the collector, shows the answer."""
