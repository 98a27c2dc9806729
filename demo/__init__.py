"""`make demo`: the whole chain, from the sockets of real hosts to an answer in a terminal."""
