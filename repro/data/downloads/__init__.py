"""Downloads, their checksums, and unpacking."""
