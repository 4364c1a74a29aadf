"""Settings that decide where a message goes: categories, lanes, provider accounts, templates."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.model.lint import Level, Mode, Rule
from gateway.model.message import ChainOrder, OnUnknown, Priority
from gateway.model.state import State
from gateway.model.wire import Channel
from gateway.settings.values import (
    Domain,
    Duration,
    Kind,
    Name,
    Period,
    PriorityName,
    Rate,
    Table,
    Until,
    Zone,
)

#: Price of a message, in whatever currency the accounts' costs are.
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Model(BaseModel):
    """Frozen, and a key that nobody knows is a fault."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        defer_build=True,  # each is built once, as a part of the whole
    )


class RateUnit(StrEnum):
    """What a token of a provider account stands for."""

    MESSAGE = "message"
    REQUEST = "request"
    PART = "part"  # SMS segments


class StepSettings(Model):
    channel: Channel = Field(description="how to reach the recipient in this step")
    until: Until = Field(
        default=State.SENT, description="how far an attempt must get for the chain to end here"
    )
    within: Period | None = Field(
        default=None,
        description="time from the step's start after which the next one starts too; "
        "absent: only a failure starts it",
    )


class DedupeSettings(Model):
    window: Period = Field(description="how long a second message of the same kind is dropped")
    key: str = Field(
        default="",
        max_length=256,
        description="what counts as the same beside the recipient; empty: the content",
    )
    shared: bool = Field(
        default=False,
        description="once for all tenants: what another has sent already ends suppressed",
    )


class Category(Model):
    priority: PriorityName = Field(
        default=Priority.NORMAL, description="served in this order by every provider account"
    )
    chain: tuple[StepSettings, ...] = Field(
        default=(),
        description="channels to try in order; absent: those that have lanes, in an order of ours",
    )
    order: ChainOrder = Field(
        default=ChainOrder.GIVEN,
        description="of the chain: `given`, or `best`: what the recipient asked for, then what has "
        "reached them before, then what costs less",
    )
    budget: Cost | None = Field(
        default=None,
        description="with `best`: channels that cost more than this a message are left out",
    )
    budgets: dict[Annotated[str, Field(max_length=64)], Cost] = Field(
        default_factory=dict,
        description="the same for recipients of a value tier, by its name",
    )
    expires_in: Period = Field(
        default=86400.0, description="from acceptance on; nothing is sent after it"
    )
    on_unknown: OnUnknown = Field(
        default=OnUnknown.RESEND,
        description="after a request without a readable answer: send it again, go on to the next "
        "step, or stop until a receipt tells",
    )
    consent: bool = Field(default=False, description="refuse recipients without recorded consent")
    unsubscribe: bool = Field(
        default=False, description="add List-Unsubscribe to email and opt-out words to SMS"
    )
    title: str = Field(
        default="",
        max_length=100,
        description="what recipients read on the page where they choose what they get; empty: the "
        "category's name",
    )
    dedupe: DedupeSettings | None = Field(
        default=None, description="drop repeats; absent: only where the message asks for it"
    )
    timing: tuple[str, ...] = Field(
        default=(), description="rule sets of `timing`, all of which must let it pass; empty: none"
    )
    respect_quiet: bool | None = Field(
        default=None,
        description="wait while it is quiet by the recipient's own wish; absent: where `consent` "
        "or `unsubscribe` is set",
    )
    yields_to: tuple[str, ...] = Field(
        default=(),
        description="categories to which it gives way: it waits after one of them was sent to the "
        "same recipient; empty: none",
    )
    yields_for: Annotated[Period, Field(ge=60, le=31 * 86400)] = Field(
        default=3600.0, description="how long it waits after the last of these, 1m to 31d"
    )
    lint: Mode = Field(
        default=Mode.OFF,
        description="what findings in the content do at accept: nothing, tell of them in the "
        "answer, or refuse the message for errors; previews always tell",
    )
    lint_rules: dict[Rule, Level] = Field(
        default_factory=dict,
        description='severity by rule: "sms.parts" = "error"; or hint, warning, off',
    )
    lint_domains: tuple[Domain, ...] = Field(
        default=(), description="where links may lead, beside lint.domains"
    )


class LaneMatch(Model):
    phone_prefix: tuple[Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")], ...] = Field(
        default=(), description="recipients whose number begins so; empty: all"
    )
    category: tuple[str, ...] = Field(
        default=(), description="messages of these categories; empty: all"
    )


class Rewrite(StrEnum):
    """How far SMS texts may be rewritten in the GSM alphabet, where that saves segments."""

    NEVER = "never"
    PUNCTUATION = "punctuation"  # typographic quotes, dashes and spaces
    ACCENTS = "accents"  # these, and accents that the alphabet has not


AnswerText = Annotated[str, Field(max_length=480)]


class LaneAnswers(Model):
    category: str = Field(
        default="",
        description="of the messages that confirm a wish, one that nobody can refuse; empty: none, "
        "as where the service confirms by itself",
    )
    stop: AnswerText = Field(default="", description="to who wants no more; empty: no answer")
    start: AnswerText = Field(default="", description="to who wants messages again")
    help: AnswerText = Field(default="", description="to who asks for help")


class LaneSms(Model):
    sign: str = Field(
        default="",
        max_length=64,
        description="name before each text, in 【】 for +86 and in [ ] elsewhere; empty: none",
    )
    sign_last: bool = Field(default=False, description="put the name after the text")
    opt_out: Annotated[str, Field(max_length=160)] | None = Field(
        default=None,
        description="how to refuse, for categories with unsubscribe; absent: 拒收请回复R for +86, "
        "Reply STOP to opt out elsewhere; empty: the provider adds it",
    )
    rewrite: Rewrite = Field(
        default=Rewrite.NEVER,
        description="what may be written in the GSM alphabet where that saves segments",
    )
    answers: LaneAnswers = Field(
        default=LaneAnswers(),
        description="what recipients get back, once a day, from the account that they wrote to",
    )


class LaneOrder(StrEnum):
    """In which order a lane's accounts are preferred."""

    CONFIGURED = "configured"
    BEST = "best"  # what they reach and how fast they answer of late, then cost and weight


class Lane(Model):
    channel: Channel = Field(description="the channel that its providers carry")
    match: LaneMatch = Field(
        default=LaneMatch(), description="what it serves; the most specific lane wins"
    )
    providers: tuple[str, ...] = Field(
        min_length=1, description="accounts in order of preference, interchangeable"
    )
    spill_after: Duration = Field(
        default=0.25, description="age of the lane's head at which the next provider helps out"
    )
    order: LaneOrder = Field(
        default=LaneOrder.CONFIGURED,
        description="who is preferred: `configured`, as they stand in providers; `best`, who "
        "reaches most of late, then who answers fastest, costs least, weighs most",
    )
    sms: LaneSms = Field(default=LaneSms(), description="what is put around texts of SMS")


def _default_burst(account: dict[str, Any]) -> float | None:
    """A fifth of a second of `rate`, at least one token."""
    rate = account.get("rate")
    return None if rate is None else max(1.0, rate / 5)


def _check_share(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError("a share lies between 0 and 1")
    return value


class ProviderAccount(Model):
    kind: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$")] = Field(
        description="which service it is: the name of a file in gateway/providers"
    )
    base_url: str | None = Field(
        default=None,
        repr=False,
        description="where the service's API is, in place of the public one; HTTP kinds only",
    )
    rate: Rate | None = Field(
        default=None, description="tokens a second over all nodes; absent: no bound"
    )
    rate_unit: RateUnit = Field(default=RateUnit.MESSAGE, description="what one token pays for")
    burst: float | None = Field(
        default_factory=_default_burst,
        ge=1,
        allow_inf_nan=False,
        description="tokens that can be saved up; absent: a fifth of a second of rate, at least 1",
    )
    reserve: dict[PriorityName, Annotated[float, AfterValidator(_check_share)]] = Field(
        default_factory=dict,
        description="share of the bucket kept free for a priority and those above it",
    )
    concurrency: int = Field(
        default=32, ge=1, le=10_000, description="requests in flight, per node"
    )
    daily_quota: int | None = Field(
        default=None, ge=1, description="tokens a day over all nodes; absent: no bound"
    )
    daily_zone: Zone = Field(default="UTC", description="where the day of daily_quota begins")
    timeout: Annotated[Period, Field(le=600)] = Field(
        default=10.0, description="longest wait for an answer"
    )
    cost: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="price of a message or segment"
    )
    weight: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        default=1.0, description="between equals of a lane with `order = best`, the heavier first"
    )
    options: Annotated[Table, Kind("any")] = Field(
        default_factory=dict,
        repr=False,
        description="the kind's own keys, base_url included, with secrets filled in",
        json_schema_extra={"key": "…"},
    )


class Template(Model):
    category: str = Field(
        default="", description="of messages that use it and name none; empty: they must"
    )
    channels: dict[Channel, Table] = Field(
        default_factory=dict,
        description="by channel: text, subject, title and html in Jinja, and values of its own",
        json_schema_extra={"key": "<channel>"},
    )
    providers: dict[Name, Table] = Field(
        default_factory=dict,
        description="by provider kind: the service's own template id, sign and parameters",
        json_schema_extra={"key": "<kind>"},
    )
