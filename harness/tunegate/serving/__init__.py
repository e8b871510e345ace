"""From a gated model to one that is served: what a server really answers with, and exports that are gated again."""
