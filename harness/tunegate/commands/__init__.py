"""The commands of the command line, one file each; `main` has the short ones."""
