"""The errors of a declaration, as a tree; the edges map them to exit codes.

GaxxError            exit 1   anything of ours that went wrong
  SettingsError      exit 1   the stack file is wrong; carries every fault
  InventoryError     exit 1   the inventory is missing, foreign or too old
  ImageError         exit 1   what virtual machines boot from is not to be had
  Refused            exit 2   unsafe, or an identity that does not prove itself
  NodeError          exit 5   a node cannot be reached or made
"""


class GaxxError(Exception):
    """The root: a message for a person, and what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class SettingsError(GaxxError):
    """The stack configuration is wrong. `faults` holds (key path, what is wrong and what would be right)."""

    def __init__(self, faults: "tuple[tuple[str, str], ...]") -> None:
        self.faults = faults
        lines = "\n".join(f"  {path}: {text}" for path, text in faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"the stack configuration has {count}:\n{lines}")


class InventoryError(GaxxError):
    """The inventory is missing, not ours, or of another version."""


class ImageError(GaxxError):
    """What virtual machines boot from is not on this computer and cannot be had, or is something else."""


class Refused(GaxxError):  # noqa: N818 - reads as what happened: gaxx refused
    """Something unsafe was asked, or an identity did not prove itself."""

    exit_code = 2


class NodeError(GaxxError):
    """A node could not be reached, made or repaired. `node` is its name."""

    exit_code = 5

    def __init__(self, node: str, message: str, *, hint: str = "") -> None:
        self.node = node
        super().__init__(f"{node}: {message}", hint=hint)
