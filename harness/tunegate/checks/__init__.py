"""How an answer is judged: the interface of checks, their findings, and which judges may decide."""
