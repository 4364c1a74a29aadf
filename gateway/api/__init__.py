"""The HTTP edge. No rules of its own."""
