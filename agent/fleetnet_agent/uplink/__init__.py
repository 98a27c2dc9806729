"""The way to the collector: from looks to acknowledged batches.

looks.py      looks in a thread, and puts what they tell into the window
blindness.py  sources that cannot be read, and who knows of it
gaps.py       what the next snapshot declares as not known
seldom.py     what a collector may ask for, how often; when digests are told
live.py       live looks, which are answered beside the batches
outage.py     a time without a collector: what is kept, and how it is declared
keeping.py    the spool, beside the streams
drain.py      what was kept goes to the collector, behind the present
window.py     batches made and not yet acknowledged, in order, bounded
stream.py     one report stream, from Hello to its end
backoff.py    how long to wait before the next stream
channel.py    the gRPC channel under a stream
renewal.py    a fresh certificate before the old one ends
run.py        all of it together, until a signal
"""
