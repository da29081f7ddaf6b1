"""The command line: `phasemill VERB ...` (also `python -m phasemill VERB ...`).

The rules of the workflow are one-line calls of it, and each runs by hand. A job gets its parameters whole as `--spec`,
the JSON that also stands in the rule's `params`; `phasemill spec JOB` prints it.
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from phasemill import __version__
from phasemill.cli import pipeline, tools  # noqa: F401  # importing them adds their verbs
from phasemill.cli.options import app
from phasemill.core.errors import InputError


@app.callback(invoke_without_command=True)
def _common(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"phasemill {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; what a user can mend is one sentence and exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.captureWarnings(True)
    try:
        app()
    except InputError as error:
        sys.exit(f"phasemill: {error}")
    except ValueError as error:
        if "checksum do not match" not in str(error):  # zarr's words
            raise
        stores = " or ".join(word for word in sys.argv if word.rstrip("/").endswith(".zarr"))
        sys.exit(f"phasemill: {stores}: a chunk is damaged, its checksum differs; make the data set anew")
    except OSError as error:  # a folder that cannot be written, a full disk
        sys.exit(f"phasemill: {error.filename or 'file system'}: {error.strerror}; nothing was half-written")
