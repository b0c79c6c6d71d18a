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
from pipeline.review.keys import Press
from pipeline.review.served import open_ahead, served_desk

BESIDE = "steward"  # the panel beside every sample, by the name that dist/index.umd.js gives it
MOST_PANELS = 4  # that are told of a decision: of the grid and of the sample, in two tabs
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
        press = Press(
            action=str(given.get("action") or ""),
            to=str(given.get("to") or ""),
            reason=str(given.get("reason") or ""),
            checked=bool(given.get("checked")),
        )
        places = _places(desk, ctx)
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
            answer = replace(answer, image=desk.cases[answer.place].image_id)
        elif answer.recorded:
            text = _text(desk, ctx)
            for panel in desk.panels:
                ctx.ops.patch_panel_state({"text": text}, panel)
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
        desk.panels = [*(panel for panel in desk.panels if panel != ctx.panel_id), ctx.panel_id][-MOST_PANELS:]
        self.on_change_current_sample(ctx)

    def on_unload(self, ctx: Context) -> None:
        """Forget a panel that is closed."""
        desk = served_desk()
        desk.panels = [panel for panel in desk.panels if panel != ctx.panel_id]

    def on_change_current_sample(self, ctx: Context) -> None:
        """Show the case that was opened; not beside the grid behind it too, which costs the browser as much."""
        desk = served_desk()
        if ctx.current_sample and BESIDE in desk.panels and ctx.panel_id != BESIDE:
            return
        ctx.panel.state.text = _text(desk, ctx)

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
    said = [desk.progress()]
    places = _places(desk, ctx)
    pair = any(case.other for case in desk.cases.values())
    if ctx.current_sample and places:
        said.append(desk.describe(places[0]))
        pair = bool(desk.cases[places[0]].other)
        if (path := desk.picture(places[0])) is not None:
            said.insert(2, f"![](/media?filepath={path.as_uri().removeprefix('file://')})")
        desk.look_ahead(places[0])
    else:
        said.append(f"{len(places)} selected: a key decides them all; open one to see what is known of it")
    return "\n\n".join([*said, "---", desk.tables.keys(pair=pair)])


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
