"""The command line: `rota COMMAND …`.

Law: here are words, exit codes and errors; what a command does is elsewhere, and imported when it is asked for. A
`Command` is a name, its arguments and a function that gives the exit code. What is wrong is one line on stderr, and 2;
1 is a command's own "no".
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rota import __version__
from rota.errors import RotaError


class Command(NamedTuple):
    """One command."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command line; gives the exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    command: Command | None = options.command
    if command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return command.run(options)
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does: nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (RotaError, OSError) as error:
        sys.stderr.write(f"rota: error: {' '.join(str(error).split())}\n")
        return 2


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command in `COMMANDS`."""
    parser = argparse.ArgumentParser(prog="rota", description="Schedule jobs inside your Python process.")
    parser.add_argument("--version", action="version", version=f"rota {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.summary, description=command.summary)
        own.set_defaults(command=command)
        command.add_arguments(own)
    return parser


# demo ----------------------------------------------------------------------------------------------------------------


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=_seconds, default=30.0, metavar="N", help="end by itself after so many seconds (30)"
    )
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="keep the files here, and go on with those of an earlier time"
    )


def _demo(options: argparse.Namespace) -> int:
    from rota.demo.show import show  # other commands need not wait for it

    return show(options.seconds, options.directory)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0 is expected, not {text!r}")
    return seconds


# db ------------------------------------------------------------------------------------------------------------------


def _db_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    summary = "Make the tables of Rota in a database, or bring them up to date."
    upgrade = actions.add_parser("upgrade", help=summary, description=summary)
    upgrade.add_argument("--store", required=True, metavar="URL", help="sqlite:///f.db, postgresql://…, mysql://…")
    upgrade.add_argument(
        "--sql", action="store_true", help="print the statements that make the tables, to be applied by hand"
    )


def _db(options: argparse.Namespace) -> int:
    from rota import migrations

    done = migrations.script(options.store) if options.sql else migrations.upgrade_database(options.store)
    sys.stdout.write(f"{done}\n")
    return 0


COMMANDS = (
    Command(
        "demo", "See Rota at work: a shop whose jobs run, retry, overlap and survive a kill.", _demo_arguments, _demo
    ),
    Command("db", "See to the tables of Rota in a database.", _db_arguments, _db),
)
