"""Where a model answers: in this process, in several processes, or on the nodes of a Ray cluster."""
