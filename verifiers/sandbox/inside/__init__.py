"""Programs that run inside boxes, with nothing but the standard library: boxes are shown copies of them."""
