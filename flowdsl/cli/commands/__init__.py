"""One command per file; a file may hold a family of commands that differ by a word."""
