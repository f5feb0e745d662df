"""Fetching: clients and proxies, limits, retries, and reading a body safely. Start with `fetch.py`."""
