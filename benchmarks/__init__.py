"""What the collector can bear, measured. Each module says what it shows: `python -m benchmarks.NAME`."""
