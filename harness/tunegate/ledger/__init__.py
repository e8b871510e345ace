"""The ledger: every draw that any run asked of a bank, so that no case is fresh twice and every attempt counts."""
