"""The command lines: each module parses its arguments, calls the package, and prints."""
