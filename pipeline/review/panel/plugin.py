"""The steward's panel in the FiftyOne App. FiftyOne's server loads this file, and may do so anew at any time.

So it keeps nothing: `pipeline.review.served` does, and `pipeline.review.desk` decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import fiftyone.operators as foo
from fiftyone import ViewField
from fiftyone.operators import types

from pipeline.review.desk import Desk, as_json
from pipeline.review.keys import LATE, Press
from pipeline.review.served import open_ahead, served_desk

MOST_PANELS = 2  # beside an open sample, that are told of a decision: in two tabs
Context = Any  # FiftyOne carries no types


class PressKey(foo.Operator):  # type: ignore[misc]
    """What a key does: `dist/index.umd.js` calls it."""

    @property
    def config(self) -> Any:  # noqa: ANN401
        """Name the operator; the App's list of operators leaves it out."""
        return foo.OperatorConfig(name="press", label="Steward: a key", unlisted=True)

    def execute(self, ctx: Context) -> dict[str, object]:
        """Decide the open case, or the selected ones, and open the next."""
        desk, given = served_desk(), ctx.params
        places = _places(desk, ctx)
        if ctx.current_sample and desk.shown not in places:
            return as_json(LATE)
        press = Press(
            action=str(given.get("action") or ""),
            to=str(given.get("to") or ""),
            reason=str(given.get("reason") or ""),
            checked=bool(given.get("checked")),
        )
        answer = desk.press(places, press)
        if answer.recorded and ctx.current_sample:  # nobody looks at the grid: the next case need not wait for it
            desk.soon(_mark, desk, ctx.dataset, places)
        if not ctx.current_sample:
            if answer.recorded:
                _mark(desk, ctx.dataset, places)
                ctx.ops.clear_selected_samples()
                ctx.ops.reload_samples()
        elif answer.place is not None and answer.place not in places:
            ctx.ops.open_sample(id=_ids(desk, ctx)[answer.place])
            _show(desk, ctx, answer.place)  # or the panel would wait until the App, done with the sample, asks for it
            answer = replace(answer, image=desk.cases[answer.place].image_id)
        elif answer.recorded:
            _show(desk, ctx, places[0])
        return as_json(answer)


class StewardPanel(foo.Panel):  # type: ignore[misc]
    """What is known of the open case."""

    @property
    def config(self) -> Any:  # noqa: ANN401
        """Show it beside the grid and beside the open sample."""
        return foo.PanelConfig(
            name="steward", label="Steward", icon="fact_check", surfaces="grid modal", allow_multiple=False
        )

    def on_load(self, ctx: Context) -> None:
        """Show the case that is open."""
        desk = served_desk()
        if ctx.current_sample:
            desk.panels = [*(panel for panel in desk.panels if panel != ctx.panel_id), ctx.panel_id][-MOST_PANELS:]
        self.on_change_current_sample(ctx)

    def on_change_current_sample(self, ctx: Context) -> None:
        """Show the case that was opened."""
        ctx.panel.state.text = _text(served_desk(), ctx)

    def on_change_selected(self, ctx: Context) -> None:
        """Say how many are selected."""
        self.on_change_current_sample(ctx)

    def render(self, ctx: Context) -> Any:  # noqa: ANN401, ARG002
        """Lay the panel out."""
        panel = types.Object()
        panel.str("text", view=types.MarkdownView())
        return types.Property(panel, view=types.GridView(orientation="vertical"))


def register(plugin: Context) -> None:
    """Tell FiftyOne what there is."""
    plugin.register(PressKey)
    plugin.register(StewardPanel)
    open_ahead()


def _text(desk: Desk, ctx: Context) -> str:
    if ctx.dataset.name != desk.queue:
        return f"The desk of {desk.steward} has the queue **{desk.queue}**: open the dataset of that name."
    places = _places(desk, ctx)
    if ctx.current_sample and places:
        return _text_of(desk, places[0])
    pair = any(case.other for case in desk.cases.values())
    selected = f"{len(places)} selected: a key decides them all; open one to see what is known of it"
    return "\n\n".join([desk.progress(), selected, "---", desk.tables.keys(pair=pair)])


def _text_of(desk: Desk, place: int) -> str:
    """Say what the panel says of a case, which from now on is the one that keys are for."""
    said = [desk.progress(), desk.describe(place)]
    if (path := desk.picture(place)) is not None:
        said.append(f"![](/media?filepath={path.as_uri().removeprefix('file://')})")
    desk.shown = place
    desk.look_ahead(place)
    return "\n\n".join([*said, "---", desk.tables.keys(pair=bool(desk.cases[place].other))])


def _show(desk: Desk, ctx: Context, place: int) -> None:
    """Show a case in the panels beside the open sample."""
    text = _text_of(desk, place)
    for panel in desk.panels:
        ctx.ops.patch_panel_state({"text": text}, panel)


def _places(desk: Desk, ctx: Context) -> list[int]:
    """List the places of the open case, or else of the selected ones."""
    if ctx.dataset.name != desk.queue:
        return []
    place = {sample: place for place, sample in _ids(desk, ctx).items()}
    chosen = [ctx.current_sample] if ctx.current_sample else ctx.selected
    return sorted(place[sample] for sample in chosen if sample in place)


def _ids(desk: Desk, ctx: Context) -> dict[int, str]:
    """Name the App's sample of every place."""
    if not desk.samples:
        desk.samples = dict(zip(*ctx.dataset.values(["place", "id"]), strict=True))
    return desk.samples


def _mark(desk: Desk, dataset: Context, places: list[int]) -> None:
    """Write what the steward says by now on the samples in the grid."""
    view = dataset.match(ViewField("place").is_in(places))
    view.set_values("decision", {place: _say(desk, place) for place in places}, key_field="place")


def _say(desk: Desk, place: int) -> str | None:
    word = desk.said(desk.cases[place])
    return f"{word.words} ({desk.steward})" if word else None
