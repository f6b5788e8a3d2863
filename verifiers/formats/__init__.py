"""How reward models were trained to read a problem and its steps: one file for each family."""
