"""What a file of a stranger may do: what it wants, and what the user allows."""
