"""What the marketplaces can tell us and how to ask them. No I/O happens here."""
