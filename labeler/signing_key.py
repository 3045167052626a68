"""With what a labeler signs."""

from typing import NamedTuple

import coincurve


class Signer(NamedTuple):
    """A labeler and its active key. `labeler` and `key_id` are rows, `src` is the DID."""

    labeler: int
    src: str
    key_id: int
    key: coincurve.PrivateKey
