"""From the bytes of users' files to checked values."""
