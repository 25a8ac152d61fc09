"""The ``uicgpu`` command: loads sub-commands on demand and turns every failure into its exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from typing import Any

import click

from uicgpu.errors import OutOfResourcesError, UicError
from uicgpu.version import __version__
from uicgpu.vocabulary import ExitCode

COMMANDS = {
    "run": "uicgpu.cli.run",
    "demo": "uicgpu.cli.demo",
    "train": "uicgpu.cli.train",
    "encode": "uicgpu.cli.encode",
    "cluster": "uicgpu.cli.cluster",
    "assign": "uicgpu.cli.assign",
    "recommend": "uicgpu.cli.recommend",
    "evaluate": "uicgpu.cli.evaluate",
    "report": "uicgpu.cli.report",
    "profile": "uicgpu.cli.profile",
    "privacy": "uicgpu.cli.privacy",
    "export": "uicgpu.cli.export",
    "bench": "uicgpu.cli.bench",
    "doctor": "uicgpu.cli.doctor",
    "settings": "uicgpu.cli.settings",
}
"""Command name → module that defines ``command``. Modules load on demand, so that ``--help`` is instant."""


DEBUG_VARIABLE = "UICGPU_DEBUG"
"""Set to see the traceback of an error that should not have happened."""


class CommandGroup(click.Group):
    """Finds commands by name and suggests the nearest for a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the data flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command when there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1) if args else []
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="uicgpu")
def cli() -> None:
    """User behaviour and item texts in; interest clusters, profiles and recommendations out.

    \b
    Examples:
      uicgpu demo --out demo-run
      uicgpu run --events ratings.csv --items movies.csv --out run
      uicgpu recommend run --user 42 --top 5
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the contract's codes."""
    # Set before NumPy and torch load: BLAS stays on one thread, parallelism is over fixed parts (see backends).
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    code = int(call(arguments))
    if code == ExitCode.INTERRUPTED:
        # An interrupt inside exec() marks the interpreter, which then ends by signal whatever code we return.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def call(arguments: list[str] | None = None) -> ExitCode | int:
    """Run the command line and return the exit code."""
    try:
        return _dispatch(arguments)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted: run the same command again to go on", err=True)
        return ExitCode.INTERRUPTED


def _dispatch(arguments: list[str] | None) -> ExitCode | int:
    from uicgpu.cli.output import print_error

    try:
        result: Any = cli.main(args=arguments, prog_name="uicgpu", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        return ExitCode.FAILED
    except UicError as error:
        print_error(error)
        return error.exit_code
    except MemoryError:
        print_error(OutOfResourcesError("out of memory", fix="run the same command again with a smaller --memory"))
        return ExitCode.OUT_OF_RESOURCES
    except BrokenPipeError:
        # The reader of our stdout went away (for example `| head`): no traceback, no second error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        print_error(_explain(error))
        return ExitCode.OUT_OF_RESOURCES if error.errno == errno.ENOSPC else ExitCode.FAILED
    except click.exceptions.Abort:
        raise
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        told = f"unexpected {type(error).__name__}: {error}"
        print_error(UicError(told, fix=f"this is a bug: please report it with what {DEBUG_VARIABLE}=1 shows"))
        return ExitCode.FAILED
    return result if isinstance(result, int) else ExitCode.DONE


def _explain(error: OSError) -> UicError:
    reason = error.strerror or type(error).__name__
    return UicError(
        f"{reason.lower()}: {error.filename}" if error.filename else reason,
        fix="check that the path exists, is readable and that there is space on the disk",
    )
