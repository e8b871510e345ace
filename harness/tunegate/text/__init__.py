"""Normal forms, words and numbers of texts in every script, for comparing and counting."""
