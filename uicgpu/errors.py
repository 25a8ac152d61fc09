"""One family of errors: what happened, where it happened, what to type instead.

Every error that a user can meet derives from :class:`UicError` and knows its exit code. The command line prints
``message``, then ``where``, then ``fix``, each on a line of its own, and never a traceback.
"""

from __future__ import annotations

from typing import ClassVar

from uicgpu.vocabulary import ExitCode


class UicError(Exception):
    """The work failed (exit code 1).

    Parameters
    ----------
    message
        What happened, with the value seen.
    where
        File, row, column or stage, as far as known: ``"ratings.csv, row 17, column rating"``.
    fix
        What to type or change.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.message]
        if self.where:
            lines.append(f"where: {self.where}")
        if self.fix:
            lines.append(f"do: {self.fix}")
        return "\n".join(lines)


class SettingsError(UicError):
    """A setting or option is unknown or has an impossible value (exit code 2)."""

    exit_code = ExitCode.USAGE


class InputError(UicError):
    """Input data cannot be used (exit code 3)."""

    exit_code = ExitCode.BAD_INPUT


class MissingDeviceError(UicError):
    """A GPU was asked for and none answers (exit code 4)."""

    exit_code = ExitCode.MISSING_DEVICE


class MissingExtraError(UicError):
    """An optional package is not installed (exit code 4)."""

    exit_code = ExitCode.MISSING_DEVICE


class OutOfResourcesError(UicError):
    """Memory or disk did not suffice, even after backing off (exit code 5)."""

    exit_code = ExitCode.OUT_OF_RESOURCES


class RunFolderError(UicError):
    """A run folder is locked, damaged or of another format (exit code 1)."""
