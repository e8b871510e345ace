"""How an answer is judged: the seam to the checks, what they find, and which judges may decide."""
