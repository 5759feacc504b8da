"""What `runner bench` measures; it works from the installed wheel, and never asserts."""
