"""The commands, one module each, by the name that the user types. main.py lists them."""
