"""The one exception root."""

import difflib
from collections.abc import Iterable


class DlhwError(Exception):
    """A mistake that a person can mend; its text says what and where, and is shown without a traceback."""


class NoBaseError(DlhwError):
    """There is nothing that could be held against: exit code 4 of the gate."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'lenet'?)` where something known is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
