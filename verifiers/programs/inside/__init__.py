"""Programs that run within boxes, on the standard library alone."""
