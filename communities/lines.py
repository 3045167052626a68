"""Where in a TOML text a key stands: the TOML reader of the standard library does not say."""

import re


class Lines:
    """The lines of the keys of one text, which must be valid, made of `[[community]]` or of what `root` names. Of
    tables in two brackets within it, the tables are `rules[1]`, `rules[2]` and so on; `rules[1].more` is a table in
    one.
    """

    _OPAQUE = re.compile(
        r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|"((?:\\.|[^"\\\n])*)"|'([^'\n]*)'|\#[^\n]*""", re.DOTALL
    )
    _HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_. -]+?)\s*\]")
    _KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*(?:=|\.\s*([A-Za-z0-9_-]+))")

    def __init__(self, text: str, root: str = "community") -> None:
        self._at: dict[tuple[int, str, str], int] = {}
        index, table, depth = -1, "", 0
        many: dict[tuple[int, str], int] = {}
        for number, line in enumerate(self._OPAQUE.sub(self._bare, text).split("\n"), 1):
            if depth == 0 and (header := self._HEADER.match(line)):
                name = header.group(2).replace(" ", "")
                index += header.group(1) == "[[" and name == root
                first, _, table = name.partition(".")
                if first == root:
                    if header.group(1) == "[[" and table:
                        self._at.setdefault((index, table, ""), number)
                        many[index, table] = many.get((index, table), 0) + 1
                        table = f"{table}[{many[index, table]}]"
                    elif (outer := table.partition(".")[0]) and (index, outer) in many:
                        table = f"{outer}[{many[index, outer]}]{table.removeprefix(outer)}"
                    self._at.setdefault((index, table, ""), number)
                else:
                    self._at.setdefault((-1, "", first), number)
                    table = name
                continue
            if depth == 0 and (key := self._KEY.match(line)):
                self._at.setdefault((index, table, key.group(1)), number)
                if key.group(2) and not table:  # include.hashtags = [...]
                    self._at.setdefault((index, key.group(1), key.group(2)), number)
            depth += sum(map(line.count, "[{")) - sum(map(line.count, "]}"))

    @staticmethod
    def _bare(found: re.Match[str]) -> str:
        """What stands for a string or comment: a plain name without its quotes, of anything else its line ends."""
        name = found[1] or found[2] or ""
        return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else "\n" * found[0].count("\n")

    def find(self, index: int, table: str, key: str) -> int:
        """The line of the key (which may be a table), else of its table, else of what that is in, else 1."""
        places = [(index, table, key), (index, f"{table}.{key}" if table else key, ""), (index, table, "")]
        while table:
            outer, _, inner = table.rpartition(".")
            places += [(index, outer, inner.partition("[")[0]), (index, outer, "")]
            if "[" in table:
                places.append((index, table.partition("[")[0], ""))
            table = outer
        places.append((index, "", ""))
        for place in places:
            if place in self._at:
                return self._at[place]
        return 1
