"""The XRPC errors: one small tree, named as lexicons and reference servers name them, rendered in one place.

    XrpcError                       500 InternalServerError
    ├── Refused                     400 or 403, as the method's lexicon names it; 4xx, as another service does
    ├── InvalidRequest              400 InvalidRequest
    │   └── UnknownFeed             400 UnknownFeed
    ├── Unauthorized                401 (never raised itself; carries WWW-Authenticate: Bearer)
    │   ├── AuthMissing             401 AuthMissing
    │   ├── AuthenticationRequired  401 AuthenticationRequired
    │   │   └── MemberDisabled      401 MemberDisabled
    │   └── BadJwt                  401 BadJwt
    │       ├── BadJwtType          401 BadJwtType
    │       ├── BadJwtKeyId         401 BadJwtKeyId           (ours)
    │       ├── JwtExpired          401 JwtExpired
    │       ├── BadJwtAudience      401 BadJwtAudience
    │       ├── BadJwtLexiconMethod 401 BadJwtLexiconMethod
    │       ├── BadJwtIss           401 BadJwtIss
    │       ├── BadJwtSignature     401 BadJwtSignature
    │       └── JwtReplayed         401 JwtReplayed           (ours)
    ├── Forbidden                   403 Forbidden
    │   ├── AccountInactive         403 AccountInactive       (ours)
    │   └── AccountBlocked          403 AccountBlocked        (ours)
    ├── NotFound                    404 NotFound
    ├── RequestTimeout              408 RequestTimeout
    ├── PayloadTooLarge             413 PayloadTooLarge
    ├── UnsupportedMediaType        415 UnsupportedMediaType
    ├── UpgradeRequired             426 UpgradeRequired       (ours)
    ├── RateLimitExceeded           429 RateLimitExceeded
    ├── MethodNotImplemented        501 MethodNotImplemented
    ├── UpstreamFailure             502 UpstreamFailure
    ├── NotEnoughResources          503 NotEnoughResources
    └── UpstreamTimeout             504 UpstreamTimeout

The `message` reaches people: the AppView hands a generator's 4xx through to the app word for word. So
messages are written for readers and never hold a token, a stack trace or an internal name. Source:
atproto.com/specs/xrpc, section "Error Responses".
"""

import logging
import math
import time
from collections.abc import Mapping
from typing import ClassVar

import orjson
from aiohttp import web

from xrpc.ratelimit import Quota

_log = logging.getLogger(__name__)


class XrpcError(Exception):
    """An error with an HTTP status, a lexicon error name, a message for readers, and extra headers."""

    status: int = 500
    error: str = "InternalServerError"
    default: ClassVar[str] = "Internal Server Error"

    def __init__(self, message: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        self.message = self.default if message is None else message
        self.headers = dict(headers or {})
        super().__init__(self.message)


class Refused(XrpcError):
    """What a method refuses, by a name that its lexicon declares; or what another service refuses, as it says it."""

    def __init__(self, error: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.error = error
        self.status = status


class InvalidRequest(XrpcError):
    """The request breaks the method's contract."""

    status = 400
    error = "InvalidRequest"
    default = "Invalid request"


class UnknownFeed(InvalidRequest):
    """No feed of that URI is served here."""

    error = "UnknownFeed"
    default = "Unknown feed"


class Unauthorized(XrpcError):
    """Base of everything wrong with the caller's credentials."""

    status = 401

    def __init__(self, message: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer", **(headers or {})})


class AuthMissing(Unauthorized):
    """The method needs a bearer token and got none."""

    error = "AuthMissing"
    default = "Authentication required"


class AuthenticationRequired(Unauthorized):
    """Who calls is known and has no role for this; 401, as the reference server of the moderation API has it."""

    error = "AuthenticationRequired"
    default = "Your account has no role here"


class MemberDisabled(AuthenticationRequired):
    """The caller is of the team, and disabled."""

    error = "MemberDisabled"
    default = "Your membership of this team is disabled"


class BadJwt(Unauthorized):
    """The token is not a well-formed service token."""

    error = "BadJwt"
    default = "The token is malformed"


class BadJwtType(BadJwt):
    """The token is of another kind, such as an access token."""

    error = "BadJwtType"
    default = "The token is not a service token"


class BadJwtKeyId(BadJwt):
    """The token names a key that may not sign for an account."""

    error = "BadJwtKeyId"
    default = "The token is signed with a key that is not #atproto"


class JwtExpired(BadJwt):
    """The token's time is over."""

    error = "JwtExpired"
    default = "The token has expired"


class BadJwtAudience(BadJwt):
    """The token was made for somebody else."""

    error = "BadJwtAudience"
    default = "The token is for another service"


class BadJwtLexiconMethod(BadJwt):
    """The token was made for another method, or for none."""

    error = "BadJwtLexiconMethod"
    default = "The token is for another method"


class BadJwtIss(BadJwt):
    """The issuer is not an account that can be resolved."""

    error = "BadJwtIss"
    default = "The token's issuer is not a known account"


class BadJwtSignature(BadJwt):
    """The signature is not by the issuer's current key."""

    error = "BadJwtSignature"
    default = "The token's signature does not match the issuer's key"


class JwtReplayed(BadJwt):
    """The token was used before."""

    error = "JwtReplayed"
    default = "The token has been used already"


class Forbidden(XrpcError):
    """The caller is known and may not do this."""

    status = 403
    error = "Forbidden"
    default = "Not allowed"


class AccountInactive(Forbidden):
    """The caller's account is taken down, deactivated or deleted."""

    error = "AccountInactive"
    default = "This account is not active"


class AccountBlocked(Forbidden):
    """The caller's account may not use this service."""

    error = "AccountBlocked"
    default = "This account may not use this service"


class NotFound(XrpcError):
    """There is no such thing here."""

    status = 404
    error = "NotFound"
    default = "Not found"


class RequestTimeout(XrpcError):
    """The body did not arrive in time."""

    status = 408
    error = "RequestTimeout"
    default = "The request took too long to arrive"


class PayloadTooLarge(XrpcError):
    """The body is over the method's limit, as sent or once unpacked."""

    status = 413
    error = "PayloadTooLarge"
    default = "The request body is too large"


class UnsupportedMediaType(XrpcError):
    """The body has an encoding that is not read here."""

    status = 415
    error = "UnsupportedMediaType"
    default = "The request body has an encoding that is not supported"


class UpgradeRequired(XrpcError):
    """The method is served over a WebSocket only."""

    status = 426
    error = "UpgradeRequired"
    default = "This method is read over a WebSocket"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"Upgrade": "websocket"})


class RateLimitExceeded(XrpcError):
    """Too many calls of what `quota` allows; `retry_after`: in so many seconds the next one is taken.

    The headers are those of the reference servers (draft-ietf-httpapi-ratelimit-headers-03, but for
    `RateLimit-Reset`, which there and here is a time in Unix seconds), and web pages may read them.
    """

    status = 429
    error = "RateLimitExceeded"
    default = "Too many requests"

    def __init__(self, message: str | None = None, *, quota: Quota, retry_after: float) -> None:
        seconds = max(1, math.ceil(retry_after))
        headers = {
            "RateLimit-Limit": str(quota.most),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(math.ceil(time.time()) + seconds),
            "RateLimit-Policy": f"{quota.most};w={max(1, math.ceil(quota.seconds))}",
            "Retry-After": str(seconds),
        }
        super().__init__(message, headers={**headers, "Access-Control-Expose-Headers": ", ".join(headers)})


class MethodNotImplemented(XrpcError):
    """No such method is served here."""

    status = 501
    error = "MethodNotImplemented"
    default = "Method not implemented"


class UpstreamFailure(XrpcError):
    """A service that is needed for the answer does not answer."""

    status = 502
    error = "UpstreamFailure"
    default = "A service needed to answer could not be reached"


class NotEnoughResources(XrpcError):
    """This service cannot take the work now."""

    status = 503
    error = "NotEnoughResources"
    default = "The service is busy"


class UpstreamTimeout(XrpcError):
    """A service that is needed for the answer does not answer in time."""

    status = 504
    error = "UpstreamTimeout"
    default = "A service needed to answer did not answer in time"


def error_response(fault: BaseException, headers: Mapping[str, str] | None = None) -> web.Response:
    """Render any exception as `{"error", "message"}`, with `headers` (such as CORS) added.

    An exception that is no XrpcError is our own fault: it is logged here, once, and the caller learns nothing
    of it.
    """
    if not isinstance(fault, XrpcError):
        _log.error("a request failed", exc_info=fault)
        fault = XrpcError()
    return web.Response(
        status=fault.status,
        body=orjson.dumps({"error": fault.error, "message": fault.message}),
        headers={"Content-Type": "application/json", **(headers or {}), **fault.headers},
    )
