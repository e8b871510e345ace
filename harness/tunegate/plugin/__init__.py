"""Gates in pytest: what is collected (`items`), asked once (`gates`), and said at the end (`ledger`)."""
