"""Languages of candidates' programs: one file each, and one table for those that are only run.

A source is compiled in one box and run in another; what comes out of the first is bytes that nothing outside opens.
"""
