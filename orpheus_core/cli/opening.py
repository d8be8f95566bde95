"""A session from the arguments that :func:`orpheus_core.cli.options.add_session` adds."""

from __future__ import annotations

import argparse

from orpheus_core.cli.options import names, pairs, shapes
from orpheus_core.session import InferenceSession


def open_session(args: argparse.Namespace) -> InferenceSession:
    """The model of ``args`` made ready to run as they say."""
    return InferenceSession(
        args.model,
        providers=names(args.backends),
        threads=args.threads,
        pin=pairs(args.pin, "--pin") or None,
        shapes=shapes(args.shape) or None,
        policy=args.policy,
        fallback=args.fallback,
        memory=args.memory,
        error_factor=args.error_factor,
    )
