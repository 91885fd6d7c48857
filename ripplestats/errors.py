"""The exceptions that ripplestats raises on purpose.

    RippleStatsError             anything below; its message is one line for a person
    ├── InputError               an option, a file, a model or a frame is wrong        exit 2
    │   ├── DatasetError         the corpus cannot be read or holds too few prompts
    │   ├── ModelError           the model cannot be used (no fast tokenizer, unknown layout, …)
    │   ├── NonFiniteError       activations or logits are not finite numbers
    │   ├── EngineError          the engine asked for disagrees with the hooked forward
    │   └── RunError             a run directory is missing, damaged or was made with other options
    └── ExternalError            something outside the program failed                  exit 3
        ├── HubError             the hub or the package index cannot be reached
        ├── ClusterError         the cluster cannot be reached, or could not compute all
        └── StorageError         the disk is full or not writable

A message names the input, what is wrong with it and what is allowed.
"""


class RippleStatsError(Exception):
    """Base of every error that ripplestats raises on purpose.

    Examples:
        >>> import ripplestats as rs
        >>> try:
        ...     rs.open_run("runs/nothing")
        ... except rs.RippleStatsError as error:
        ...     print(error)
        runs/nothing is not a run directory: it has no manifest.json
    """

    exit_code = 3


class InputError(RippleStatsError):
    """An option or an input is wrong; the message says what is allowed."""

    exit_code = 2


class DatasetError(InputError):
    """A corpus cannot be read, or holds too few usable prompts."""


class ModelError(InputError):
    """A model cannot be used for the sweep."""


class NonFiniteError(InputError):
    """Activations, logits or effects are not finite numbers."""


class EngineError(InputError):
    """The engine that was asked for does not reproduce the hooked forward pass."""


class RunError(InputError):
    """A run directory is missing, damaged, or was made with other options."""


class ExternalError(RippleStatsError):
    """Something outside the program failed; what was finished is kept."""

    exit_code = 3


class HubError(ExternalError):
    """The hub, or the package index of the embedded model, cannot be reached."""


class ClusterError(ExternalError):
    """The cluster cannot be reached, has no room, or could not compute a part of the run."""


class StorageError(ExternalError):
    """The disk is full, read-only or failing."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


#: Bytes that are asked for to see whether memory is short: so many are always asked of the system, and none is touched.
_PROBE = 1 << 28


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory did not suffice.

    By its words, for PyTorch, threads and the loader of libraries each have an error of their own; by those of its cause;
    and where C code failed without a word, by whether memory is short now.
    """
    signs = ("memory", "bad_alloc", "start new thread", "failed to map segment")
    if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in signs):
        return True
    if error.__cause__ is not None:
        return is_out_of_memory(error.__cause__)
    return isinstance(error, SystemError) and _memory_is_short()


def _memory_is_short() -> bool:
    try:
        bytearray(_PROBE)
    except MemoryError:
        return True
    return False
