"""The `deliberate` command. `main` lists the commands; each other module is one of them, and imports late."""
