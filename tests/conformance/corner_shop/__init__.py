"""The marketplace of docs/add-a-stream.md, as a package outside the repository would hold it."""
