"""What ``python -m retrograd`` answers: which versions are at work, and what an op became."""

from __future__ import annotations

import argparse
import sys

from .autograd import report


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m retrograd", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    info = commands.add_parser("info", help="versions, processor, threads and folders")
    info.add_argument("--json", action="store_true", help="for a program to read")
    source = commands.add_parser("source", help="the functions that an op's declaration became")
    source.add_argument("op", help="its name, such as mul")
    asked = parser.parse_args(arguments)

    if asked.command == "info":
        print(report.as_json() if asked.json else report.as_text())
    else:
        try:
            print(report.source(asked.op))
        except KeyError as error:
            print(error.args[0], file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
