"""Each rule on texts as people write them: what it finds, where, and what it lets be."""

from typing import Any

import pytest

from gateway.content.lint.linter import Linter
from gateway.content.lint.sample import Sample
from gateway.model import wire
from gateway.model.lint import Finding, Level, Rule, Severity
from gateway.settings import LintSettings

LINTER = Linter(LintSettings())
CONTENT = frozenset({"text", "subject", "title", "html", "extra", "provider_templates"})


def look(
    channel: str = "sms", *, linter: Linter = LINTER, levels: Any = None, **fields: Any
) -> list[Finding]:
    content = wire.Content(**{key: fields.pop(key) for key in CONTENT & fields.keys()})
    return list(linter.check(Sample(wire.Channel(channel), content, **fields), levels or {}))


def finds(rule: Rule, channel: str = "sms", **fields: Any) -> list[Finding]:
    return [one for one in look(channel, **fields) if one.rule is rule]


@pytest.mark.parametrize(
    ("text", "is_china", "found"),
    [
        ("a" * 153 * 3, False, False),
        ("a" * (153 * 3 + 1), False, True),
        ("好" * 67 * 3, True, False),
        ("好" * (67 * 3 + 1), True, True),
        ("a" * (67 * 3 + 1), True, True),  # there every character counts the same
    ],
)
def test_sms_of_more_than_three_parts_is_found(text: str, is_china: bool, found: bool) -> None:
    assert bool(finds(Rule.SMS_PARTS, text=text, is_china=is_china)) is found


def test_number_of_parts_is_configured_and_told() -> None:
    strict = Linter(LintSettings(sms_parts=1))

    (one,) = finds(Rule.SMS_PARTS, linter=strict, text="a" * 161)

    assert (one.field, one.severity) == ("text", Severity.WARNING)
    assert one.message == "takes 2 parts, more than 1; each is paid for"


@pytest.mark.parametrize(
    ("text", "is_china", "message"),
    [
        ("您的包裹已到" * 11, True, ""),
        ("您的包裹已到" * 12, True, "has 72 characters, where 70 fit into one part; takes 2"),
        ("您的包裹已到" * 12, False, "has 72 characters, where 70 fit into one part; takes 2"),
        ("a" * 71, False, ""),
        ("a" * 71, True, "has 71 characters, where 70 fit into one part; takes 2"),
    ],
)
def test_seventy_characters_fit_where_they_are_wide(
    text: str, is_china: bool, message: str
) -> None:
    found = finds(Rule.SMS_LENGTH, text=text, is_china=is_china)

    assert [one.message for one in found] == ([message] if message else [])


def test_few_characters_that_make_a_text_wide_are_named_by_number() -> None:
    (one,) = finds(Rule.SMS_LENGTH, text="It\u2019s time \u2014 " + "a" * 80)

    assert one.severity is Severity.HINT
    assert one.hint.startswith("160 would fit without U+2014, U+2019")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("【示例科技】您的验证码是834201。", False),
        ("您的验证码是834201。【示例科技】", False),
        ("您的验证码是834201。【示例科技】 ", False),
        ("您的验证码是834201。", True),
        ("[Example] 您的验证码是834201。", True),
        ("您的【验证码】是834201。", True),
        ("【】您的验证码是834201。", True),
    ],
)
def test_sms_to_china_needs_a_signature_at_one_end(text: str, found: bool) -> None:
    assert bool(finds(Rule.SMS_SIGNATURE, text=text, is_china=True)) is found


@pytest.mark.parametrize(
    ("elsewhere", "fields"),
    [
        ("not to China", {"is_china": False}),
        ("by the provider", {"is_china": True, "is_signed": True}),
        ("no text, but the provider's template", {"is_china": True, "text": ""}),
    ],
)
def test_signature_is_not_missing(elsewhere: str, fields: dict[str, Any]) -> None:
    assert finds(Rule.SMS_SIGNATURE, **{"text": "您的验证码是834201。", **fields}) == [], elsewhere


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Spring sale, 20% off until Sunday.", True),
        ("Spring sale, 20% off. Reply STOP to opt out", False),
        ("Spring sale. Unsubscribe: https://example.com/u", False),
        ("Don't stopover without us: spring sale", True),
        ("春季特惠，全场八折。", True),
        ("春季特惠，全场八折。拒收请回复R", False),
        ("春季特惠，全场八折，退订回T", False),
    ],
)
def test_marketing_by_sms_says_how_to_refuse(text: str, found: bool) -> None:
    assert bool(finds(Rule.SMS_OPT_OUT, text=text, is_marketing=True)) is found
    assert finds(Rule.SMS_OPT_OUT, text=text, is_marketing=True, is_refusable=True) == []
    assert finds(Rule.SMS_OPT_OUT, text=text, is_marketing=False) == []


POLITE = "Dear customer, thank you very much for your trust in our services. "


@pytest.mark.parametrize(
    ("channel", "fields", "found"),
    [
        ("sms", {"text": "834201 is your code. " + POLITE}, False),
        ("sms", {"text": POLITE + "834201 is your code."}, True),
        ("sms", {"text": "[Example Inc.] 834201 is your code."}, False),
        ("sms", {"text": "Hello!\nYour parcel comes at 14:30."}, True),
        ("sms", {"text": "【示例】您的验证码是834201，5分钟内有效。"}, False),
        (
            "sms",
            {
                "text": "【示例】尊敬的用户您好，感谢您长期以来对我们的信任与支持，"
                "现将您本次登录所需要的验证码告知如下：834201"
            },
            True,
        ),
        ("sms", {"text": "【示例】您尾号1234的账户支出￥128.00。"}, False),
        ("sms", {"text": POLITE + "Have a pleasant day."}, False),  # nothing to bring forward
        ("push", {"title": "Code 834201", "text": POLITE + "834201"}, False),
        ("push", {"title": "Hello", "text": POLITE + "834201"}, True),
        ("email", {"subject": "Due 21 March", "text": POLITE + "$128.00"}, False),
        ("email", {"subject": "Hello", "html": f"<p>{POLITE}</p><p>$128.00</p>"}, True),
        ("wechat", {"text": POLITE + "834201"}, False),  # its templates have their own order
    ],
)
def test_what_matters_stands_in_the_lead(channel: str, fields: dict[str, Any], found: bool) -> None:
    assert bool(finds(Rule.LEAD, channel, **fields)) is found


def test_core_may_be_the_value_of_a_variable() -> None:
    text = POLITE + "Your order Ada-Lovelace is on its way."

    late = finds(Rule.LEAD, text=text, facts=("Ada-Lovelace",))
    early = finds(Rule.LEAD, text="Ada-Lovelace: " + text, facts=("Ada-Lovelace",))
    nothing = finds(Rule.LEAD, text=text)

    assert (len(late), early, nothing) == (1, [], [])


def test_core_that_begins_within_the_lead_is_in_it() -> None:
    exact = Linter(LintSettings(lead=10))

    assert finds(Rule.LEAD, linter=exact, text="Your code 834201") != []
    assert finds(Rule.LEAD, linter=exact, text="The code 834201") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Your appt is at noon", '"appt"'),
        ("See you TMRW!", '"tmrw"'),
        ("\uff21mt due: 5", '"amt"'),
        ("Come on 3/4", "date"),
        ("Come on 03/04/2030", "date"),
        ("You owe 5k", "k or w"),
        ("奖金3w已到账", "k or w"),
        ("已到账3万。", "万"),
        ("已到账 1.5 万", "万"),
    ],
)
def test_abbreviated_key_fact_is_found(text: str, said: str) -> None:
    (one,) = finds(Rule.ABBREVIATION, text=text)

    assert said in one.message
    assert one.hint


@pytest.mark.parametrize(
    "text",
    [
        "Open 24/7, come on 25/12/2030 or on 2030/3/4",
        "Both on 3/3",
        "See https://example.com/3/4/appt",
        "applied, amtrak, examt, iPhone 5K6",
        "已到账3万元，10万人参与",
        "1,500 yuan",
    ],
)
def test_clear_fact_is_let_be(text: str) -> None:
    assert finds(Rule.ABBREVIATION, text=text) == []


def test_abbreviations_are_added_by_configuration() -> None:
    own = Linter(LintSettings(abbreviations={"ETA": "arrives", "快件": ""}))

    found = finds(Rule.ABBREVIATION, linter=own, text="eta noon, 快件")

    assert [one.hint for one in found] == ['write "arrives"', "write the whole word"]


@pytest.mark.parametrize(
    "text", ["Hi {{ name }}", "Hi ${name}", "Hi %(name)s", "Hi <%= name %>", "是{{code}}的"]
)
def test_placeholder_that_was_not_filled_in_is_found(text: str) -> None:
    assert len(finds(Rule.PLACEHOLDER, text=text)) == 1
    assert finds(Rule.PLACEHOLDER, text="Hi {name}, 100% sure, $5, {{}") == []


@pytest.mark.parametrize(
    ("text", "is_marketing", "said"),
    [
        ("Your code is 1234. Use coupon SPRING for 20% OFF", False, '"coupon", "% off"'),
        ("您的验证码是1234，限时秒杀", False, '"限时", "秒杀"'),
        ("Your verification code is 1234", True, '"verification code"'),
        ("您的验证码是1234", True, '"验证码"'),
        ("Your code is 1234", False, ""),
        ("Spring sale: 20% off", True, ""),
    ],
)
def test_marketing_and_service_are_not_mixed(text: str, is_marketing: bool, said: str) -> None:
    found = finds(Rule.MIXED, text=text, is_marketing=is_marketing, is_refusable=True)

    assert [one.severity for one in found] == ([Severity.WARNING] if said else [])
    assert all(f"says {said} in" in one.message for one in found)


def test_few_words_of_spam_are_a_hint_and_many_a_warning() -> None:
    few = finds(Rule.SPAM, "email", subject="x", text="Click here")
    many = finds(Rule.SPAM, "email", subject="x", text="恭喜您获得大奖，点击领取，稳赚零风险")

    assert [one.severity for one in few] == [Severity.HINT]
    assert [one.severity for one in many] == [Severity.WARNING]
    assert many[0].message.startswith('says "恭喜您获得", "点击领取", "稳赚" and 1 more')


def test_words_are_added_by_configuration() -> None:
    own = Linter(
        LintSettings(spam_words=("Zap",), marketing_words=("Bargain",), service_words=("Ticket",))
    )

    service = {one.rule for one in look(linter=own, text="zap BARGAIN ticket")}
    offers = {
        one.rule
        for one in look(linter=own, text="zap BARGAIN ticket", is_marketing=True, is_refusable=True)
    }

    assert service == offers == {Rule.SPAM, Rule.MIXED}


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("https://example.com/a", []),
        ("http://example.com/a", [Rule.LINK_HTTP]),
        ("https://bit.ly/abc", [Rule.LINK_SHORTENER]),
        ("点击t.cn/A6abc领取", [Rule.LINK_SHORTENER]),
        ("点击https://t.cn/A6abc领取", [Rule.LINK_SHORTENER]),
        ("https://bit.ly.example.com/abc and rabbit.ly/abc", []),
        ("https://example.com@bit.ly:443/x", [Rule.LINK_SHORTENER]),
        ("https://xn--80ak6aa92e.com/", [Rule.LINK_PUNYCODE]),
        ("https://аpple.com/", [Rule.LINK_PUNYCODE]),  # noqa: RUF001
        ("https://示例.中国/", [Rule.LINK_PUNYCODE]),
        ("见https://example.com。谢谢", []),
        ("见https://example.com查看", []),
        ("li@bit.ly, notes.txt, v1.2.3, 3.14", []),
    ],
)
def test_links_are_read_as_phones_read_them(text: str, rules: list[Rule]) -> None:
    found = [one for one in look("chat", text=text) if one.rule.startswith("link.")]

    assert [one.rule for one in found] == rules


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://example.com/a", False),
        ("https://www.Example.com:8443/a?b#c", False),
        ("https://example.com.evil.net/", True),
        ("https://notexample.com/", True),
        ("https://evil.net/?example.com", True),
        ("https://example.com\\@evil.net/", False),  # browsers end the host there
        ("www.evil.net", True),
    ],
)
def test_links_lead_to_allowed_domains(text: str, found: bool) -> None:
    domains = frozenset({"example.com"})

    assert bool(finds(Rule.LINK_DOMAIN, "chat", text=text, domains=domains)) is found
    assert finds(Rule.LINK_DOMAIN, "chat", text=text) == []


def test_links_of_html_and_of_a_push_are_links_too() -> None:
    html = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><!-- <a href="http://a.net"> -->'
        '<a HREF = "http://b.net/?x=1&amp;y=2">b</a><img src=\'http://c.net/p.png\' alt="">'
    )

    mail = finds(Rule.LINK_HTTP, "email", subject="x", text="y", html=html)
    push = finds(Rule.LINK_HTTP, "push", text="y", extra={"link": "http://d.net", "badge": 1})

    assert [(one.field, one.message[:6]) for one in mail] == [
        ("html", "link 1"),
        ("html", "link 2"),
    ]
    assert [one.field for one in push] == ["link"]


def test_links_into_an_app_are_not_of_the_web() -> None:
    domains = frozenset({"example.com"})

    for link in ("shop://orders/1", "/orders/1", "cid:logo", "mailto:li@example.net", ""):
        assert look("push", text="y", extra={"link": link}, domains=domains) == []


def test_shorteners_are_added_by_configuration() -> None:
    own = Linter(LintSettings(shorteners=("Short.Example.com",)))

    found = finds(Rule.LINK_SHORTENER, linter=own, text="https://short.example.com/a")

    assert len(found) == 1


@pytest.mark.parametrize(
    ("subject", "rule", "severity"),
    [
        ("", Rule.SUBJECT_MISSING, Severity.WARNING),
        ("  ", Rule.SUBJECT_MISSING, Severity.WARNING),
        ("a" * 79, Rule.SUBJECT_LENGTH, Severity.WARNING),
        ("好" * 27, Rule.SUBJECT_LENGTH, Severity.WARNING),
        ("a" * 51, Rule.SUBJECT_LENGTH, Severity.HINT),
        ("好" * 26, Rule.SUBJECT_LENGTH, Severity.HINT),
        ("SALE STARTS NOW", Rule.SUBJECT_LOUD, Severity.WARNING),
        ("Sale starts now!!", Rule.SUBJECT_LOUD, Severity.WARNING),
        ("春季新品！！", Rule.SUBJECT_LOUD, Severity.WARNING),
    ],
)
def test_fault_of_a_subject_is_found(subject: str, rule: Rule, severity: Severity) -> None:
    found = look("email", subject=subject, text="See you on Friday.")

    assert [(one.rule, one.field, one.severity) for one in found] == [(rule, "subject", severity)]


@pytest.mark.parametrize(
    "subject", ["Your invoice!", "NASA: ok", "a" * 50, "您的账单", "AB12345678"]
)
def test_good_subject_is_let_be(subject: str) -> None:
    assert look("email", subject=subject, text="See you on Friday.") == []


@pytest.mark.parametrize(
    ("html", "rule", "said"),
    [
        ("<p>Hello <b>you</p>", Rule.TAGS, "<b>"),
        ("<div><table></div>", Rule.TAGS, "<table>"),
        ("Hello</div>", Rule.TAGS, "<div>"),
        ("<p>one<p>two<br><li>three<td>", None, ""),
        ("<style>a > b { } <b> </style><!-- <div> --><o:p>x", None, ""),
        ("<img src=a.png>", Rule.ALT, "a picture has"),
        ('<img src="a.png"/><IMG SRC="b.png">', Rule.ALT, "2 pictures have"),
        ('<img alt="" src="a.png"><img src="b.png" alt="logo"/>', None, ""),
    ],
)
def test_fault_of_html_is_a_hint(html: str, rule: Rule | None, said: str) -> None:
    found = [
        one
        for one in look("email", subject="x", text="Hello", html=html)
        if one.rule in (Rule.TAGS, Rule.ALT)
    ]

    assert [one.rule for one in found] == ([rule] if rule else [])
    assert all(said in one.message and one.severity is Severity.HINT for one in found)


def test_html_wants_a_text_beside_it() -> None:
    assert len(finds(Rule.NO_TEXT, "email", subject="x", html="<p>Hello</p>")) == 1
    assert finds(Rule.NO_TEXT, "email", subject="x", html="<p>Hello</p>", text="Hello") == []
    assert finds(Rule.NO_TEXT, "email", subject="x", text="Hello") == []


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"title": "好" * 25, "text": "a" * 150}, []),
        ({"title": "好" * 26, "text": "好" * 76}, ["title", "text"]),
        ({"subject": "a" * 51, "text": "x"}, ["subject"]),
    ],
)
def test_push_that_phones_cut_is_a_hint(fields: dict[str, str], found: list[str]) -> None:
    assert [one.field for one in finds(Rule.PUSH_LENGTH, "push", **fields)] == found


def test_words_of_html_are_those_that_are_seen() -> None:
    html = '<style>.coupon{}</style><p title="voucher">Buy&nbsp;now<br>t<b>mrw</b></p>'

    found = look("email", subject="x", text="Hello", html=html)

    assert [(one.rule, one.field) for one in found] == [(Rule.MIXED, "html")]


def test_what_text_and_html_both_say_is_found_once() -> None:
    found = finds(Rule.MIXED, "email", subject="x", text="Coupon", html="<p>Coupon</p>")

    assert [one.field for one in found] == ["text"]


def test_providers_own_tables_are_read() -> None:
    table = {"template": "T1", "data": {"remark": {"value": "限时秒杀"}}, "params": ["ok", 5]}

    (one,) = finds(Rule.MIXED, "wechat", provider_templates={"wechat": table})

    assert one.field == "wechat.data.remark.value"


def test_category_sets_severity_and_silences_rules() -> None:
    levels = {Rule.LINK_HTTP: Level.ERROR, Rule.MIXED: Level.OFF, Rule.SPAM: Level.WARNING}

    found = look("chat", text="Coupon! Click here: http://example.com", levels=levels)

    assert [(one.rule, one.severity) for one in found] == [
        (Rule.LINK_HTTP, Severity.ERROR),
        (Rule.SPAM, Severity.WARNING),
    ]


def test_programs_are_told_anything() -> None:
    assert look("webhook", text="TMRW coupon http://bit.ly/a {{ name }}") == []


def test_findings_are_bounded() -> None:
    text = " ".join(f"http://bit.ly/{number}" for number in range(1000))

    assert len(look("chat", text=text)) == 100
