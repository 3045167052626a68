"""The servers that are measured with their labels: ours, and the peer."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import coincurve
from playhouse.apsw_ext import APSWDatabase

from bench import label_rows
from bench.cores import usage
from bench.labels_peer import Peer, version
from labeler.issue import Issued, Wanted, issue_all
from labeler.labels_file import read_labels
from labeler.pacing import Pace
from labeler.publisher import Publisher
from labeler.signing_key import Signer, did_key
from labeler.vocabulary import Declared
from models import labelers
from models.database import Connection, open_database, sql, writing
from tests.service_process import Service

VALUE = "spam"
_MODERATOR = label_rows.did(99_999_999)


@dataclass
class Server:
    """What is measured: how to reach it, and how to let it issue labels."""

    name: str
    pid: int
    port: int
    database: Path
    issuer: "Peer | Issuer"

    @classmethod
    @contextmanager
    def ours(cls, service: Service) -> Iterator["Server"]:
        """The service, once it runs: labels are issued and published from this process, without the pace."""
        assert service.process is not None
        issuer = Issuer(service.database, service.folder / "labels.toml")
        try:
            port = int(service.settings["listen_port"])
            yield cls("communities", service.process.pid, port, service.database, issuer)
        finally:
            issuer.close()

    @classmethod
    def of_peer(cls, peer: Peer, database: Path) -> "Server":
        """The peer, which begins to serve."""
        return cls(version(), peer.pid, peer.ask("listen")["port"], database, peer)

    def head(self) -> int:
        """The last number that was given out: the next label has the next one."""
        return self._number("SELECT max(id) FROM labels" if self._is_peer else "SELECT next - 1 FROM label_head")

    def last(self) -> int:
        """The number of the last label. It is below the head where a publisher has begun: numbers leap then."""
        return self._number("SELECT max(id) FROM labels" if self._is_peer else "SELECT max(seq) FROM label")

    @property
    def _is_peer(self) -> bool:
        return isinstance(self.issuer, Peer)

    def _number(self, query: str) -> int:
        connection = apsw.Connection(str(self.database))
        try:
            return int(connection.execute(query).get)
        finally:
            connection.close()

    def memory(self) -> int:
        """Bytes of its own, 0 where the system does not tell."""
        used = usage(self.pid)
        return used.memory if used else 0

    def issue(self, count: int, every: float = 0.0) -> list[float]:
        """Issue new labels, and wait until they are committed; when each was begun, time.monotonic()."""
        first = self.head() + 1
        uris = [label_rows.uri(number % 5_000, number) for number in range(first, first + count)]
        began: list[float]
        if isinstance(self.issuer, Peer):
            began = self.issuer.ask("create", uris=uris, val=VALUE, every=every)["began"]
            return began
        start, began = time.monotonic(), []
        for at, uri in enumerate(uris) if every else ():
            time.sleep(max(0.0, start + at * every - time.monotonic()))
            began.append(time.monotonic())
            self.issuer.issue([(uri,)])
        if not every:
            self.issuer.issue([uris])
        return began or [start] * count


class Issuer:
    """Decides labels on one connection and publishes them on another, as the service does, but without the pace."""

    def __init__(self, path: Path, declaration: Path) -> None:
        (self._declared,) = read_labels(declaration).labelers
        self._deciding, self._publishing = open_database(path), open_database(path)
        self.key = coincurve.PrivateKey(label_rows.KEY)
        with writing(self._deciding) as connection:
            self._labeler = labelers.enter(connection, label_rows.LABELER)
            number = labelers.add_key(connection, self._labeler, did_key(self.key), None, 1)
            labelers.change_state(connection, number, labelers.NEW, labelers.ACTIVE)
        signers = {self._labeler: Signer(self._labeler, label_rows.LABELER, number, self.key)}
        self._publisher = Publisher(self._publishing, lambda: signers, Pace.unlimited())
        self._publisher.take_turn()

    @property
    def connection(self) -> Connection:
        """On which one may look at what was published."""
        return sql(self._publishing)

    def issue(self, pieces: Iterable[Sequence[str]], batch: str = "") -> None:
        """Label all subjects of a piece in one transaction, piece by piece, and then publish all of it."""
        for uris in pieces:
            _decide(self._deciding, self._declared, self._labeler, uris, batch)
        while self._publisher.step():
            pass

    def close(self) -> None:
        """Stop in good order."""
        self._publisher.close()
        self._deciding.close()
        self._publishing.close()


def _decide(database: APSWDatabase, declared: Declared, labeler: int, uris: Sequence[str], batch: str) -> None:
    now = time.time_ns() // 1_000_000
    wanted = [
        Wanted(labeler, declared.did, uri, add=(VALUE,), actor=_MODERATOR, reason="bench", batch=batch) for uri in uris
    ]
    with writing(database) as connection:
        issued = issue_all(connection, declared, wanted, now)
    assert all(isinstance(one, Issued) and one.event for one in issued)
