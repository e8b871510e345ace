"""The Python face: gates, suites and runs for scripts and notebooks; `tunegate` itself exports its names."""
