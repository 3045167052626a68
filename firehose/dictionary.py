"""The dictionary with which a Jetstream packs its messages, fetched from itself
(`network.bsky.jetstream.getZstdDictionary`).
"""

import asyncio

import aiohttp

from firehose.compression import MAX_DICTIONARY, CompressionError, Unpacker

NSID = "network.bsky.jetstream.getZstdDictionary"
FETCH_SECONDS = 20.0


async def fetch_dictionary(session: aiohttp.ClientSession, base: str, id: int | None) -> Unpacker:
    """Unpacks what the server at `base` (`wss://...`) packs. `id`: of the dictionary; None for its current one.

    Raises CompressionError.
    """
    url = f"http{base.removeprefix('ws')}/xrpc/{NSID}" + ("" if id is None else f"?id={id}")
    dictionary = bytearray()
    try:
        async with asyncio.timeout(FETCH_SECONDS), session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise CompressionError(f"the dictionary cannot be had: it answered {response.status}")
            async for chunk in response.content.iter_chunked(65536):
                dictionary += chunk
                if len(dictionary) > MAX_DICTIONARY:
                    raise CompressionError("the dictionary is larger than it may be")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise CompressionError(f"the dictionary cannot be had: {str(error) or type(error).__name__}") from error
    unpacker = Unpacker(bytes(dictionary))
    if id is not None and unpacker.id != id:
        raise CompressionError(f"the server has another dictionary, {unpacker.id}")
    return unpacker
