"""The strategies, one file each. A module here that defines a `Strategy` is found by `search.registry`."""
