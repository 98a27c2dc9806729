"""How the tables came to be what they are: versions/ read in order is their diary."""
