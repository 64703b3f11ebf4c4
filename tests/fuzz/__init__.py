"""Bytes that nobody would write, given to everything that reads what strangers have written (``make fuzz``)."""
