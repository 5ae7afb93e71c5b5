"""Personal data: what is held of whom, and the rights that people have in it."""
