"""What the commands of the command line do, one file each; `main` has those of a line or two."""
