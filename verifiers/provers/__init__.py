"""Proof assistants, one file each, and what of a candidate is a proof.

The statement is the host's: it is compiled apart from the candidate, and a proof counts only when the host's own file
finds that it proves that statement, with no other axioms than the allowed ones.
"""
