"""An audit: what a policy says of listeners and states, held against what the fleet has."""
