"""The words and services that rules know without configuration. `[lint]` adds to each of them.

Short and plain on purpose: a word that a service message may well say is not here.
"""

from collections.abc import Mapping
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


#: What readers may not know, or read as something else, and what to write. Those that stand in
#: for a time, an amount or a name of what the message is about.
ABBREVIATIONS: Final[Mapping[str, str]] = {
    "2day": "today",
    "2moro": "tomorrow",
    "2morrow": "tomorrow",
    "2nite": "tonight",
    "acct": "account",
    "addr": "address",
    "amt": "amount",
    "appt": "appointment",
    "asap": "by when",
    "bal": "balance",
    "cob": "the time",
    "dept": "department",
    "eod": "the time",
    "eow": "the day",
    "exp": "expires",
    "nxt": "next",
    "ord no": "order number",
    "pkg": "parcel",
    "pmt": "payment",
    "pymt": "payment",
    "qty": "quantity",
    "resv": "reservation",
    "tba": "when it will be known",
    "tbc": "when it will be confirmed",
    "tmr": "tomorrow",
    "tmrw": "tomorrow",
    "tmw": "tomorrow",
    "tnx": "transaction",
    "txn": "transaction",
    "wk": "week",
    "xfer": "transfer",
    "yday": "yesterday",
    "yst": "yesterday",
}

#: Variables of templates that a message is about.
CORE: Final = _words(
    "code, otp, pin, amount, total, balance, price, order, order_id, tracking, time, date, due,"
    " deadline"
)

#: What only offers say.
MARKETING_WORDS: Final = _words(
    "% off, buy now, shop now, order now, limited time, limited offer, special offer, flash sale,"
    " clearance, promo code, discount code, coupon, voucher, free gift, free trial,"
    " exclusive offer, exclusive deal, best deal, don't miss, while stocks last,"
    " subscribe now, new arrivals, black friday, refer a friend,"
    " 大促, 促销, 特惠, 优惠券, 优惠码, 折扣码, 限时, 秒杀, 满减, 立减, 领券, 领红包,"
    " 红包雨, 抽奖, 抢购, 钜惠, 巨惠, 特价, 清仓, 新品上市, 免费领, 会员日, 买一送一,"
    " 拼团, 开门红, 双十一, 双11"
)

#: What people wait for: it must not go where people can refuse it, nor wait for quiet hours.
SERVICE_WORDS: Final = _words(
    "verification code, one-time password, one-time code, one time password, one time code,"
    " security code, login code, passcode, password reset, reset your password, account locked,"
    " payment failed, payment received, order shipped, has been delivered, flight is delayed,"
    " appointment reminder,"
    " 验证码, 校验码, 动态密码, 动态码, 随机密码, 取件码, 登录密码, 重置密码, 账户余额,"
    " 扣款失败, 还款日, 已发货, 已签收, 航班延误, 预约提醒"
)

#: What filters of mail and carriers count against a text.
SPAM_WORDS: Final = _words(
    "100% free, absolutely free, act now, act immediately, apply now, as seen on, be your own boss,"
    " cash bonus, click here, credit card offers, dear friend,"
    " double your, earn extra cash, earn money, eliminate debt, extra income, financial freedom,"
    " free access, free money, get paid, get rich, guaranteed income, increase sales,"
    " lowest price, make money, miracle, money back guarantee, no catch, no cost,"
    " no credit check, no obligation, no strings attached, once in a lifetime, online biz,"
    " pre-approved, pure profit, risk free, risk-free, satisfaction guaranteed, this isn't spam,"
    " this is not spam, urgent response, weight loss, winner, work from home, you are a winner,"
    " you have been selected, you have won, you've been selected, you've won,"
    " 中奖, 恭喜您获得, 恭喜您被, 点击领取, 免费领取, 稳赚, 包赚, 躺赚, 日赚, 高收益, 零风险,"
    " 无风险, 刷单, 秒批, 秒到账, 无抵押, 低息贷款, 套现, 代开发票, 博彩, 彩票, 加微信,"
    " 加薇信, 加v信, 加qq, 最低价, 全网最低, 史上最低, 不转不是, 内部消息, 股票推荐, 荐股"
)

#: Services that hide where a link leads; carriers drop what has one.
SHORTENERS: Final = frozenset(
    _words(
        "adf.ly, bit.do, bit.ly, buff.ly, cutt.ly, dwz.cn, dwz.mk, goo.gl, is.gd, j.mp, lnkd.in,"
        " mrw.so, ow.ly, qrd.by, rb.gy, rebrand.ly, reurl.cc, s.id, shorturl.at, shrtco.de,"
        " sina.lt, sourl.cn, suo.im, suo.nz, suo.yt, t.cn, t.co, t.ly, tiny.cc, tinyurl.com, u.nu,"
        " url.cn, urlzs.com, v.gd, w.url.cn, x.co"
    )
)
