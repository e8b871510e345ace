"""What a stranger's file may do: what it wants, and what the user allows."""
