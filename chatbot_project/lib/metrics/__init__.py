"""What the processes tell Prometheus: every metric by name, how they are read, and where."""
