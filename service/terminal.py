"""What commands print for people."""


def plain(text: str) -> str:
    """A text from anywhere that moves no terminal's cursor and looks like no other line: controls become visible."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
