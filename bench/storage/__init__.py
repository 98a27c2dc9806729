"""A fleet's present and past in a database, and how quickly it is found there."""
