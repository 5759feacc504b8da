"""Vast.ai: its HTTP API as it is, and as the market of machines that `runner.provider` describes."""
