"""Programs that run inside boxes, with nothing but the standard library: they are sent there as text."""
