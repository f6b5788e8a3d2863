"""Programs that models write: found in replies, built, run in boxes, and judged by what comes out of them."""
