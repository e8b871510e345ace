"""Models: on disk, in a package, on a server, and reward models; `open_model` opens them all."""
