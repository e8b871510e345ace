"""`tunegate serve-check` and `tunegate export`, with the suites that they name."""

from __future__ import annotations

from argparse import Namespace

from tunegate.commands.siblings import check_builder, named_suite


def serve_check(options: Namespace) -> int:
    """Compare what a server answers with the model that it should serve."""
    from tunegate.commands.serve_check import check_server

    return check_server(options, named_suite(options.suite))


def export(options: Namespace) -> int:
    """Write a model in another format, and gate it against its source."""
    from tunegate.commands.export import carry_out

    return carry_out(options, named_suite, check_builder())
