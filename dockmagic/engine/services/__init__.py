"""What the daemon does, free of HTTP: one service a noun. They meet only in wiring.py's constructors."""
