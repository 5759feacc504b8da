"""What runs on a rented machine: watchdog first, then the work, segment by segment. See docs/worker.md."""
