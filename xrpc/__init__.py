"""The wire: XRPC server, errors, validation, service auth and identity. Knows aiohttp, not our tables."""
