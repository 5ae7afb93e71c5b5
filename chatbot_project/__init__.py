"""The project: settings, URLs and processes, and below ``lib`` what every app stands on."""
