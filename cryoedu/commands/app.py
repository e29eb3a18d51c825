"""The same jobs from a shell: every job is a function of the API with its settings as options."""

from __future__ import annotations

import sys

import typer

from cryoedu.commands.classify2d import align2d, classify2d
from cryoedu.commands.classify3d import classify3d
from cryoedu.commands.convert import convert
from cryoedu.commands.ctf_refine import ctf_refine
from cryoedu.commands.data import normalise, simulate
from cryoedu.commands.initial_model import initial_model
from cryoedu.commands.maps import doctor, fsc, reconstruct, report
from cryoedu.commands.options import as_command
from cryoedu.commands.refine3d import refine3d
from cryoedu.errors import InputError
from cryoedu.pipeline.settings import Align2D, Classify2D, Classify3D, InitialModel, Refine3D

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Single-particle cryo-EM image refinement, to learn it by doing it.",
)
for command in (simulate, convert, normalise, reconstruct, as_command(Align2D, align2d),
                as_command(Classify2D, classify2d), as_command(Classify3D, classify3d), as_command(Refine3D, refine3d),
                as_command(InitialModel, initial_model), ctf_refine, fsc, report, doctor):
    app.command()(command)


def main() -> None:
    """Entry point of the command ``cryoedu``: bad input ends in one sentence."""
    try:
        app()
    except InputError as error:
        sys.exit(f"cryoedu: {error}")
    except MemoryError:
        sys.exit("cryoedu: there is not enough memory: give a smaller --memory, or close other programs")
    except OSError as error:
        sys.exit(
            f"cryoedu: {error.filename or 'a file'} could not be read or written ({error.strerror or error}): check "
            "the path, its permissions and the room on the disk"
        )


if __name__ == "__main__":
    main()
