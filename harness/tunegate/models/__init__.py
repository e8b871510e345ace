"""What answers: models on disk, in a package, on a server, or a reward model; `open_model` tells which."""
