"""What others' markup takes for its own, made text: a comment on GitHub, its annotations, XML."""

SIGNS = str.maketrans({"<": "&lt;", ">": "&gt;", "|": "\\|", "`": "\\`", "\n": " ", "\r": " ", "\\": "\\\\"})
COMMANDS = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
PROPERTIES = COMMANDS | str.maketrans({":": "%3A", ",": "%2C"})


def cell(value: object) -> str:
    """A cell of a markdown table, or a line of a list: no HTML, no code, one line."""
    return str(value).translate(SIGNS)


def annotation(word: str, title: str, text: str) -> str:
    """A line that a job of GitHub Actions prints; `word` is error, warning or notice."""
    return f"::{word} title={title.translate(PROPERTIES)}::{text.translate(COMMANDS)}"


def printable(value: str) -> str:
    """Without control characters, for which XML has no place, and which turn text around."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
