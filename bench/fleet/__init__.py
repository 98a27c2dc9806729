"""A simulated fleet: thousands of agents' streams upon one real collector, from a seed."""
