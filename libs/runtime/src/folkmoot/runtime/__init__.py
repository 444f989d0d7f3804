"""What drives the machines: the replica loop, candidacy, settings, health and graceful stop."""
