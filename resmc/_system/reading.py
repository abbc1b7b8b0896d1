"""Reading of files that somebody else has written, or that are none; every error of the system says which file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path


def read_file(path: str | Path, look: Callable[[bytes], object] | None = None) -> bytes:
    """Return the content of a file, or of a pipe; ``look`` is called with a file's last bytes before the others.

    A file without end, or larger than memory, is refused before it is read where ``look`` raises an error.

    Raises
    ------
    OSError
        If there is no such file, or it may not be read, or is a directory or a device; of the class that belongs to
        it, with a sentence as its text.
    ValueError
        If the content is larger than the memory that there is.
    """
    try:
        # Without O_NONBLOCK, a pipe to which nobody writes would be waited for as it is opened.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            about = os.fstat(handle)
            if stat.S_ISDIR(about.st_mode):
                raise IsADirectoryError(errno.EISDIR, "it is a directory")
            if not stat.S_ISREG(about.st_mode) and not stat.S_ISFIFO(about.st_mode):
                raise OSError(errno.EINVAL, "it is a device, not a file")
            if stat.S_ISREG(about.st_mode) and look is not None:
                look(os.pread(handle, LAST, max(0, about.st_size - LAST)))
            os.set_blocking(handle, True)
            with open(handle, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(handle)
    except OSError as error:
        raise in_words(error, f"{path} cannot be read: {reason(error)}") from None
    except MemoryError:
        raise ValueError(f"{path} cannot be read: it is larger than the memory that there is") from None


LAST = 4096  # bytes at a file's end that are looked at first


def reason(error: OSError) -> str:
    """Return what the system says about an error, without number and path."""
    return error.strerror or (os.strerror(error.errno) if error.errno else str(error))


def in_words(error: OSError, sentence: str) -> OSError:
    """Return an error of the same class and number whose text is a sentence."""
    said = type(error)(sentence)
    said.errno = error.errno
    return said
