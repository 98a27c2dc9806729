"""Who is who: the collector's own CA, the certificates it issues, the tokens, and who stands behind a connection.

Nothing here knows the database or a service; keys and certificates go no further than this room.
"""
