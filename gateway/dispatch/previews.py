"""What would become of a message that has been planned and judged, as its sender is shown it."""

from collections.abc import Mapping

from gateway.content import sms
from gateway.dispatch import gate
from gateway.dispatch.caps import Caps, Outlook
from gateway.dispatch.compose import Plan
from gateway.dispatch.proofs import Proofreader
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.screen import Judged
from gateway.dispatch.wordings import is_china
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.message import Step
from gateway.model.submission import Preview, PreviewStep
from gateway.settings import Settings


class Previewer:
    """Shows messages. Stores nothing and uses no cap."""

    def __init__(
        self, settings: Settings, renderer: Renderer, proofs: Proofreader, caps: Caps
    ) -> None:
        self._settings = settings
        self._renderer = renderer
        self._proofs = proofs
        self._caps = caps

    async def show(self, tenant: str, judged: Judged, now_ms: int) -> Preview:
        """Raises InvalidMessage where a step cannot be rendered, and StoreUnavailable."""
        message = judged.plan.message
        reason = judged.suppressed or (judged.hold.rule if judged.hold is not None else "")
        findings = await self._proofs.read(message)
        refusal = self._proofs.would_refuse(message.category, findings)
        outlook = await self._caps.preview(tenant, judged.plan)
        decision, until_ms = _outcome(judged, outlook, now_ms)
        steps = [self._step(judged.plan, step) for step in message.chain]
        steps += [PreviewStep(channel=one.channel, skipped=one.reason) for one in message.skipped]
        return Preview(
            decision="refuse" if refusal else decision,
            reasons=refusal or [*filter(None, [reason]), *outlook.lines],
            until_ms=None if refusal else until_ms,
            category=message.category,
            priority=message.priority.name.lower(),
            expires_in=message.life_ms / 1000,
            chain=steps,
            findings=findings,
        )

    def _step(self, plan: Plan, step: Step) -> PreviewStep:
        try:
            content = self._renderer.content(plan.message, step)
        except CannotRender as fault:
            raise InvalidMessage(
                "the content cannot be rendered", [Fault("data", str(fault))]
            ) from None
        texts = {
            name: value
            for name in ("text", "subject", "title", "html")
            if (value := getattr(content, name))
        }
        return PreviewStep(
            channel=step.channel,
            lane=step.lane,
            providers=self._settings.lanes[step.lane].providers,
            parts=len(step.parts),
            content=texts,
            sms=_measure(step, content) if step.channel is wire.Channel.SMS else None,
        )


def _outcome(judged: Judged, outlook: Outlook, now_ms: int) -> tuple[str, int | None]:
    """(`send`, `defer`, `merge` or `suppress`; until when it waits). outlook: what the caps say."""
    capped = outlook.decision
    if judged.suppressed or isinstance(capped, gate.Suppress):
        return "suppress", None
    if isinstance(capped, gate.Defer):
        return "merge" if outlook.merges else "defer", capped.until_ms
    start_ms = judged.plan.start_ms
    return ("defer", start_ms) if start_ms > now_ms else ("send", None)


def _measure(step: Step, content: wire.Content) -> Mapping[str, object]:
    found = sms.measure(content.text, china=is_china(step.parts[0]))
    return {
        "alphabet": found.alphabet,
        "characters": found.characters,
        "length": found.units,
        "segments": len(found.parts),
    }
