"""Everything that a marketplace, a proxy or a network can do wrong: players on real sockets, and the one table of it.

`catalogue.py` is the table, `docs/faults.md` is made from it, `tests/faults/` plays it against the collector.
"""
