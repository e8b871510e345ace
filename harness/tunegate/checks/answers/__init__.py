"""Which part of an answer is judged: the model's own turn without its reasoning, or a part extracted from it."""
