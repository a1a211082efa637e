"""What can go wrong with a run, beyond what became of its items.

GaxxError            exit 1
  SpoolError         exit 1   the input could not be read or stored
  JournalError       exit 1   the journal could not be written or read
  TemplateError      exit 1   a placeholder or a job template is wrong
"""

from components.errors import GaxxError


class SpoolError(GaxxError):
    """The input could not be read, or not be stored in the run's folder."""


class JournalError(GaxxError):
    """The journal or the results could not be written (nothing was acknowledged that is not in it), or not be read."""


class TemplateError(GaxxError):
    """A command's placeholders or a job's template are wrong."""
