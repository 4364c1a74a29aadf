"""From a claimed row to the message that a provider sees."""

from collections.abc import Mapping
from functools import lru_cache

from gateway.clock import to_datetime
from gateway.content.templates import ContentFault, TemplateFault, TemplateSet, from_content
from gateway.dispatch.links import NO_URLS
from gateway.dispatch.subscriptions import Subscriptions
from gateway.dispatch.wordings import Wordings
from gateway.model import message as messages
from gateway.model import wire
from gateway.model.case import Claimed

#: Why content cannot be made now, though it could when the message was accepted.
CannotRender = (TemplateFault, ContentFault)


#: Messages of one batch end at the same moment.
_moment = lru_cache(1024)(to_datetime)


class Renderer:
    """Renders content at the time of sending, with the templates as they are now."""

    def __init__(
        self,
        templates: TemplateSet,
        public_url: str,
        kinds: Mapping[str, frozenset[str]],
        wordings: Wordings,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        """kinds: by lane, the provider kinds whose own templates count."""
        self._templates = templates
        self._kinds = kinds
        self._wordings = wordings
        self._subscriptions = subscriptions
        self._callbacks = f"{public_url}/v1/receipts/" if public_url else ""

    def render(self, row: Claimed, account: str) -> wire.Message:
        """Raises one of `CannotRender`, as when the template is gone."""
        case = row.case
        step = case.message.chain[row.step]
        urls = NO_URLS if self._subscriptions is None else self._subscriptions.urls(row)
        content = self.content(case.message, step, urls)
        if self._subscriptions is not None:
            content = self._subscriptions.prepare(row, content)
        return wire.Message(
            id=case.id,
            reference=messages.reference(
                case.id, redrive=case.redrive, step=row.step, part=row.part
            ),
            channel=step.channel,
            category=case.message.category,
            to=step.parts[row.part],
            content=content,
            expires_at=_moment(case.expires_ms),
            priority=int(case.message.priority),
            callback_url=self._callbacks + account if self._callbacks else "",
            data=case.message.data,
        )

    def content(
        self,
        message: messages.Message,
        step: messages.Step,
        urls: Mapping[str, str] = NO_URLS,
    ) -> wire.Content:
        """What a step says, as it goes out. urls: of the recipient, for templates of email. Raises
        TemplateFault, ContentFault."""
        content = self.bare(message, step, urls)
        if step.channel is not wire.Channel.SMS:
            return content
        return self._wordings.apply(
            content, lane=step.lane, category=message.category, to=step.parts[0]
        )

    def bare(
        self,
        message: messages.Message,
        step: messages.Step,
        urls: Mapping[str, str] = NO_URLS,
    ) -> wire.Content:
        """The same without what its lane adds and rewrites."""
        if message.template:
            is_email = step.channel is wire.Channel.EMAIL
            data = {**urls, **message.data} if is_email else message.data
            return self._templates.render(
                message.template, step.channel, data, self._kinds[step.lane]
            )
        # a lane of ours, such as that of webhooks, is in no configuration
        return from_content(message.content, step.channel, self._kinds.get(step.lane, ()))
