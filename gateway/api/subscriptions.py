"""The pages behind the unsubscribe link of a mail, in plain HTML that needs no style or script.

RFC 8058: a mail client posts without asking, a person opens the page and presses its button. A GET
changes nothing, as scanners of mail open all links.
"""

from aiohttp import web

from gateway.api import bodies
from gateway.api.services import SERVICES

_HEADERS = {
    "Cache-Control": "no-store",
    # this page's own form, and nothing else (CSP 3 §6.3)
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    # the address of the page is a key of sorts
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Unsubscribe / 退订</title>
</head>
<body>
<main>
<h1>Unsubscribe <span lang="zh">/ 退订</span></h1>
{body}
</main>
</body>
</html>
"""

_ASK = _PAGE.format(
    body="""\
<p>Stop these emails to your address? Codes and notices about your own business still come.</p>
<p lang="zh">不再向您的邮箱发送此类邮件？验证码和与您业务相关的通知不受影响。</p>
<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe <span lang="zh">/ 退订</span></button>
</form>"""
)
_DONE = _PAGE.format(
    body="""\
<p>Done. You will get no more of these emails.</p>
<p lang="zh">已退订，您不会再收到此类邮件。</p>"""
)
_LOST = _PAGE.format(
    body="""\
<p>This link is not complete. Please open it from the email again.</p>
<p lang="zh">链接不完整，请从邮件中重新打开。</p>"""
)


async def ask(request: web.Request) -> web.Response:
    """Ask whether these emails should stop. Changes nothing.

    For recipients: the page that the link of an email opens, with one button.
    """
    known = request.app[SERVICES].subscriptions.known(request.match_info["token"])
    return _page(_ASK) if known else _page(_LOST, status=404)


async def leave(request: web.Request) -> web.Response:
    """Stop emails of this category to this address, of this tenant; others still come.

    For recipients and their mail programs (RFC 8058): no key, no cookie, and the body may say
    what it wants. Again: harmless.
    """
    await bodies.read_raw(request)
    left = await request.app[SERVICES].subscriptions.leave(request.match_info["token"])
    return _page(_DONE) if left else _page(_LOST, status=404)


def _page(html: str, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=html, content_type="text/html", charset="utf-8", headers=_HEADERS
    )
