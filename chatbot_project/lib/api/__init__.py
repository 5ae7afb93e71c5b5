"""What every endpoint of the JSON API shares."""
