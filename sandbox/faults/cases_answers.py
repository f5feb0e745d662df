"""What the marketplace answers: statuses, limits and words."""

from datetime import timedelta

from sandbox.faults.answers import FIRST_OF_TWO, HTML, Reply, Until, early_hints, not_http
from sandbox.faults.case import Answers, Blame, Case, Cost, Named, Reaction, Scene, Stored

_MINUTE = timedelta(minutes=1)
_AGAIN = (Reaction.PAUSE, Reaction.PAUSE, Reaction.PUT_OFF)
_PATH = (Reaction.PAUSE, Reaction.OTHER, Reaction.PUT_OFF)
_PAIR = (Reaction.OTHER, Reaction.OTHER, Reaction.PUT_OFF, Reaction.ALARM)
_LIMITED = (Reaction.PUT_OFF, Reaction.SHUT)


def _html(status: int) -> Answers:
    return Answers(Reply(status, HTML, {"Content-Type": "text/html; charset=utf-8"}))


def _wb(status: int, detail: str, **headers: str) -> Answers:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"title": "refused", "detail": "%s", "status": %d}' % (detail.encode(), status)
    return Answers(Reply(status, body, told))


def _ozon(status: int, code: int, message: str) -> Answers:
    return Answers(Reply(status, b'{"code": %d, "message": "%s", "details": []}' % (code, message.encode())))


def _yandex(code: str) -> bytes:
    return b'{"status": "ERROR", "errors": [{"code": "%s", "message": "played"}]}' % code.encode()


CASES = (
    Case(
        name="key-refused",
        what="401, or 403 because of the key: it is wrong, revoked or expired",
        plays=(_ozon(401, 16, "unauthenticated"), _ozon(403, 7, "Api-Key is deactivated")),
        blame=Blame.ACCOUNT,
        reactions=(Reaction.PAUSE_ACCOUNT,),
    ),
    Case(
        name="key-replaced",
        what="401 for a key that somebody has replaced since the run began: the new one is used",
        plays=(Named("tests/faults/test_ours.py::test_a_key_that_was_replaced_is_used_at_once"),),
        reactions=(Reaction.AT_ONCE,),
        stored=Stored.PAGE,
    ),
    Case(
        name="payment-due",
        what="402: the vendor's service is not paid",
        plays=(_wb(402, "payment required"),),
        marketplace="wildberries",
        blame=Blame.ACCOUNT,
        reactions=(Reaction.PAUSE_ACCOUNT,),
    ),
    Case(
        name="scope-missing",
        what="401 or 403 because of the key's scope: it is good for other categories",
        plays=(_wb(401, "token scope not allowed"), _wb(403, "access denied for this category")),
        marketplace="wildberries",
        blame=Blame.ACCOUNT,
        reactions=(Reaction.UNAVAILABLE,),
    ),
    Case(
        name="subscription-missing",
        what="403 in the API's own words: no subscription for this method",
        plays=(_ozon(403, 7, "the method is available with Premium Plus"),),
        blame=Blame.ACCOUNT,
        reactions=(Reaction.UNAVAILABLE,),
    ),
    Case(
        name="method-retired",
        what="400 with code 9 (Ozon): the method is obsolete",
        plays=(_ozon(400, 9, "obsolete method"),),
        blame=Blame.ACCOUNT,
        reactions=(Reaction.UNAVAILABLE,),
    ),
    Case(
        name="method-switched-off",
        what="404 in the API's own words: the method is temporarily disabled",
        plays=(_wb(404, "this method is temporarily disabled"),),
        marketplace="wildberries",
        blame=Blame.ACCOUNT,
        reactions=(Reaction.UNAVAILABLE,),
    ),
    Case(
        name="firewall-page",
        what="403 or 451 that is not the API's, or 200 with HTML (a captcha, a login page): the address is refused",
        plays=(_html(403), _html(451), _html(200), Answers(Reply(200, HTML))),
        blame=Blame.PAIR,
        reactions=_PAIR,
        cost=Cost.BANNED,
    ),
    Case(
        name="refused-directly",
        what="the same, and the account has no proxies: our own address is refused",
        plays=(_html(403), _html(200)),
        direct=True,
        blame=Blame.PAIR,
        reactions=(Reaction.PUT_OFF, Reaction.ALARM),
    ),
    Case(
        name="bad-moment",
        what="408 or 425",
        plays=(Answers(Reply(408, b"{}")), Answers(Reply(425, b"{}"))),
        blame=Blame.API,
        reactions=_AGAIN,
    ),
    Case(
        name="conflict",
        what="409: what is asked collides with what the API is doing",
        plays=(Answers(Reply(409, b'{"code": 6, "message": "conflict"}')),),
        blame=Blame.US,
        reactions=(Reaction.QUARANTINE,),
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="asked-too-much",
        what="413, 414, or 400 because the period is too long",
        plays=(Answers(Reply(413, b"{}")), Answers(Reply(414, b"{}")), _ozon(400, 3, "PERIOD_IS_TOO_LONG")),
        scene=Scene.WINDOWS,
        once=True,
        blame=Blame.US,
        reactions=(Reaction.SPLIT,),
        stored=Stored.PAGE,
    ),
    Case(
        name="request-refused",
        what="400, 404, 405, 410, 415, 422: the API has changed, or we are wrong",
        plays=tuple(Answers(Reply(status, b'{"code": 3}')) for status in (400, 404, 405, 410, 415, 422)),
        blame=Blame.US,
        reactions=(Reaction.QUARANTINE,),
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="report-unknown",
        what="404 for a report that was created: it is created again",
        plays=(Answers(Reply(404, _yandex("NOT_FOUND")), at="/reports/info/"),),
        scene=Scene.REPORT,
        marketplace="yandex_market",
        blame=Blame.API,
        reactions=(Reaction.PUT_OFF,),
    ),
    Case(
        name="limit-in-seconds",
        what="429 with Retry-After in seconds, more than two",
        plays=(Answers(Reply(429, b"{}", {"Retry-After": "60"})),),
        blame=Blame.ACCOUNT,
        reactions=_LIMITED,
        wait=_MINUTE,
    ),
    Case(
        name="limit-for-a-moment",
        what="429 or 420 for up to two seconds",
        plays=(
            Answers(Reply(429, b"{}", {"Retry-After": "0.5"})),
            Answers(Reply(420, _yandex("parallel requests"), {"Retry-After": "0.5"})),
        ),
        marketplace="yandex_market",
        once=True,
        blame=Blame.NOBODY,
        reactions=(Reaction.PAUSE,),
        stored=Stored.PAGE,
    ),
    Case(
        name="limit-until-a-date",
        what="429 or 420 with a date, from a server whose clock is not ours",
        plays=(
            Answers(Until(429, "Retry-After", _MINUTE, clock_off=timedelta(hours=3))),
            Answers(Until(420, "X-RateLimit-Resource-Until", _MINUTE, clock_off=timedelta(hours=-3))),
        ),
        marketplace="yandex_market",
        blame=Blame.ACCOUNT,
        reactions=(*_LIMITED, Reaction.ALARM),
        wait=_MINUTE,
    ),
    Case(
        name="limit-in-the-vendors-form",
        what="429 with X-Ratelimit-Retry, which comes before Retry-After",
        plays=(_wb(429, "too many requests", X_Ratelimit_Retry="60", Retry_After="1"),),
        marketplace="wildberries",
        blame=Blame.ACCOUNT,
        reactions=_LIMITED,
        wait=_MINUTE,
    ),
    Case(
        name="limit-without-a-hint",
        what="429 that tells nothing, or nonsense",
        plays=(
            _wb(429, "too many requests"),
            *(_wb(429, "too many requests", Retry_After=said) for said in ("-5", "soon", "1e9", "nan")),
        ),
        marketplace="wildberries",
        blame=Blame.ACCOUNT,
        reactions=_LIMITED,
        wait=_MINUTE,
    ),
    Case(
        name="limit-of-everybody",
        what="429 to several sellers at once: a limit of our address, or of the application",
        plays=(Named("tests/faults/test_ours.py::test_a_host_that_limits_everybody_is_left_alone"),),
        blame=Blame.ACCOUNT,
        reactions=(*_LIMITED, Reaction.STOP),
    ),
    Case(
        name="server-error",
        what="500",
        plays=(Answers(Reply(500, b"{}")),),
        blame=Blame.API,
        reactions=_AGAIN,
        third=Reaction.SPLIT,
    ),
    Case(
        name="gateway-error",
        what="502, 503 or 504 from the API",
        plays=tuple(Answers(Reply(status, b"<html>bad gateway</html>")) for status in (502, 503, 504)),
        blame=Blame.API,
        reactions=_AGAIN,
    ),
    Case(
        name="unavailable-until",
        what="503 with Retry-After, more than two seconds",
        plays=(Answers(Reply(503, b"{}", {"Retry-After": "60"})),),
        blame=Blame.API,
        reactions=(Reaction.PUT_OFF,),
        wait=_MINUTE,
    ),
    Case(
        name="host-down",
        what="an API that fails ten times in a row, whoever asks",
        plays=(Named("tests/faults/test_ours.py::test_a_host_that_fails_for_everybody_is_left_alone"),),
        blame=Blame.API,
        reactions=(Reaction.PUT_OFF, Reaction.STOP),
    ),
    Case(
        name="error-with-200",
        what="200 with the API's own words for an error",
        plays=(Answers(Reply(200, b'{"data": null, "error": true, "errorText": "try again"}')),),
        marketplace="wildberries",
        blame=Blame.API,
        reactions=_AGAIN,
    ),
    Case(
        name="nothing-at-all",
        what="200 without a body: not the same as no data",
        plays=(Answers(Reply(200, b"")),),
        blame=Blame.API,
        reactions=_AGAIN,
    ),
    Case(
        name="no-content",
        what="204 where the endpoint documents it: the end",
        plays=(Answers(Reply(204, b"", {"Content-Length": "0"})),),
        scene=Scene.LAST_ROWS,
    ),
    Case(
        name="no-content-unannounced",
        what="204 where the endpoint does not document it",
        plays=(Answers(Reply(204, b"", {"Content-Length": "0"})),),
        blame=Blame.API,
        reactions=(Reaction.QUARANTINE,),
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="redirect",
        what="3xx, to this host, to another or to nowhere: never followed with credentials",
        plays=tuple(
            Answers(Reply(status, b"", {"Location": to}))
            for status, to in ((301, "/v2/rows"), (302, "https://elsewhere.example/rows"), (308, "https://["))
        ),
        blame=Blame.US,
        reactions=(Reaction.QUARANTINE,),
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="cookie",
        what="a firewall's cookie: it is never sent back, least of all with another account's request",
        plays=(Answers(Reply(200, FIRST_OF_TWO, {"Set-Cookie": "waf=1; Path=/"})),),
        scene=Scene.PAGES,
        once=True,
        stored=Stored.PAGE,
    ),
    Case(
        name="interim-answers",
        what="102 and 103 before the answer",
        plays=(Answers(early_hints),),
        stored=Stored.PAGE,
    ),
    Case(
        name="not-http",
        what="bytes that are no answer",
        plays=(Answers(not_http),),
        blame=Blame.PATH,
        reactions=_PATH,
    ),
)
