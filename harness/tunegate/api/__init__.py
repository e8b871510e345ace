"""The Python API: gates, suites and runs for scripts and notebooks; `tunegate` exports its names."""
