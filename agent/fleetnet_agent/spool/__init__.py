"""What the agent keeps on disk while no collector takes its reports: decision 0017, docs/delivery.md.

errors.py     what can go wrong with it
paths.py      where it is; setting aside what is damaged
file.py       the SQLite file: its tables, opening and checking it
rows.py       sockets in one state each, packed with their owners, and unpacked
intervals.py  from batches to intervals, in the file's tables
chunks.py     intervals that have ended: written, merged, dropped when there are too many
parts.py      what was kept, as backlog in parts
spool.py      all of it together: keep, declare, drain

What is kept are intervals, not differences. A difference is worth nothing without all that came before it; of intervals
each is worth something alone, the oldest can be dropped and the rest stays true, a socket that was open all the time
costs a name, and changes of attributes cost nothing. What it takes is a table of all that is open, which an agent that
was restarted needs anyway, to know what has ended meanwhile.

Blocking, for the looks' thread. Nothing here knows of streams.
"""
