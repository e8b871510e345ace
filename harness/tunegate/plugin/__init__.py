"""Gates in pytest: collection (`items`), running each gate once (`gates`), and the summary (`ledger`)."""
