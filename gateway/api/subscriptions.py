"""The pages behind the unsubscribe link of a mail, in plain HTML that needs no style or script.

RFC 8058: a mail client posts without asking, a person opens the page and presses its button. A GET
changes nothing, as scanners of mail open all links. Below it is the page where somebody chooses
among all that can be refused, and takes back what was left by mistake.
"""

from collections.abc import Sequence
from html import escape

from aiohttp import web

from gateway.api import bodies
from gateway.api.services import SERVICES
from gateway.model.permission import Choice

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
<title>{title}</title>
</head>
<body>
<main>
<h1>{heading}</h1>
{body}
</main>
</body>
</html>
"""
_LEAVING = {
    "title": "Unsubscribe / 退订",
    "heading": 'Unsubscribe <span lang="zh">/ 退订</span>',
}
_CHOOSING = {
    "title": "Preferences / 订阅设置",
    "heading": 'Preferences <span lang="zh">/ 订阅设置</span>',
}

# The link is relative to the page's own address, which ends with the token.
_CHOOSE = """\
<p><a href="{token}/preferences">Choose which emails you get</a>
<span lang="zh">/ <a href="{token}/preferences">选择您要接收的邮件</a></span></p>"""

_ASK = """\
<p>Stop these emails to your address? Codes and notices about your own business still come.</p>
<p lang="zh">不再向您的邮箱发送此类邮件？验证码和与您业务相关的通知不受影响。</p>
<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe <span lang="zh">/ 退订</span></button>
</form>
"""
_DONE = """\
<p>Done. You will get no more of these emails.</p>
<p lang="zh">已退订，您不会再收到此类邮件。</p>
"""
_LOST = """\
<p>This link is not complete. Please open it from the email again.</p>
<p lang="zh">链接不完整，请从邮件中重新打开。</p>"""

_FORM = """\
<p>You get what is ticked. Codes and notices about your own business come in any case.</p>
<p lang="zh">您将收到已勾选的邮件。验证码和与您业务相关的通知不受影响。</p>
<form method="post">
{boxes}
<button type="submit">Save <span lang="zh">/ 保存</span></button>
</form>"""
_BOX = '<p><label><input type="checkbox" name="{name}" value="{value}"{ticked}> {title}</label></p>'
_SAVED = """\
<p role="status">Saved. <span lang="zh">/ 已保存。</span></p>
"""
_NOTHING = """\
<p>There is nothing to choose here.</p>
<p lang="zh">没有可供选择的项目。</p>"""

#: Name of the boxes: one for each category that is wanted.
_WANTED = "wanted"


async def ask(request: web.Request) -> web.Response:
    """Ask whether these emails should stop. Changes nothing.

    For recipients: the page that the link of an email opens, with one button, and a link to the
    page with all categories.
    """
    known = request.app[SERVICES].subscriptions.known(request.match_info["token"])
    return _leaving(_ASK, request) if known else _lost()


async def leave(request: web.Request) -> web.Response:
    """Stop emails of this category to this address, of this tenant; others still come.

    For recipients and their mail programs (RFC 8058): no key, no cookie, and the body may say
    what it wants. Again: harmless.
    """
    await bodies.read_raw(request)
    left = await request.app[SERVICES].subscriptions.leave(request.match_info["token"])
    return _leaving(_DONE, request) if left else _lost()


async def preferences(request: web.Request) -> web.Response:
    """Show all categories of the tenant that can be refused, those wanted ticked. Changes nothing.

    For recipients: a page with boxes and one button.
    """
    choices = await request.app[SERVICES].subscriptions.choices(request.match_info["token"])
    return _lost() if choices is None else _choosing(choices)


async def choose(request: web.Request) -> web.Response:
    """Get the categories that are ticked and no others, of those on the page.

    For recipients: the form of the page, with `wanted` once for each category.
    """
    token = request.match_info["token"]
    subscriptions = request.app[SERVICES].subscriptions
    fields = await bodies.read_form(request)
    if not await subscriptions.choose(token, frozenset(fields.get(_WANTED, ()))):
        return _lost()
    return _choosing(await subscriptions.choices(token) or (), saved=True)


def _leaving(body: str, request: web.Request) -> web.Response:
    # a token that is known has no character that HTML or addresses give a meaning
    link = _CHOOSE.format(token=request.match_info["token"])
    return _page(_PAGE.format(body=body + link, **_LEAVING))


def _choosing(choices: Sequence[Choice], *, saved: bool = False) -> web.Response:
    form = _FORM.format(boxes="\n".join(map(_box, choices))) if choices else _NOTHING
    return _page(_PAGE.format(body=(_SAVED if saved else "") + form, **_CHOOSING))


def _box(choice: Choice) -> str:
    return _BOX.format(
        name=_WANTED,
        value=escape(choice.category),
        ticked=" checked" if choice.wanted else "",
        title=escape(choice.title),
    )


def _lost() -> web.Response:
    return _page(_PAGE.format(body=_LOST, **_LEAVING), status=404)


def _page(html: str, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=html, content_type="text/html", charset="utf-8", headers=_HEADERS
    )
