"""What the program costs, measured beside others and beside what cannot be avoided (README.md)."""
