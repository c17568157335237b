"""One file per command: what it does between parsing and rendering."""
