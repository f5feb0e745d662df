"""The marketplaces, played on this machine: for the demo, the tests and people writing a stream.

Imports nothing of the collector, so that the two cannot share a mistake.
"""
