"""The results as one HTML page without outside requests, so that a person can look rather than read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePosixPath

from pipeline.commands.layout import show
from pipeline.commands.sections import Section

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1.5rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
nav a { margin-right: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid var(--line); text-align: left; }
th { background: var(--soft); } td.number { text-align: right; }
.wide { overflow-x: auto; } p { margin: .4rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: .75rem; }
figure { margin: 0; padding: .4rem; border: 1px solid var(--line); border-radius: .3rem; max-width: 100%; }
figure img { display: block; max-width: min(640px, 100%); height: auto; }
figcaption { font-size: .8rem; opacity: .8; overflow-wrap: anywhere; max-width: 640px; }
"""


def page(shown: Sequence[Section], images: Mapping[str, Sequence[str]]) -> str:
    """Lay out sections and images.

    Args:
        shown: the tables.
        images: by stage, addresses relative to the page.

    """
    links = "".join(f'<a href="#{stage}">{stage} ({len(files)})</a>' for stage, files in images.items())
    body = [f"<h1>Results</h1><nav>Pictures: {links or 'none'}</nav>"]
    body += [_section(section) for section in shown]
    body += [_gallery(stage, files) for stage, files in images.items()]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Results</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _section(section: Section) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for head in section.heads)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in section.rows)
    notes = "".join(f"<p>{escape(note)}</p>" for note in section.notes)
    table = f'<div class="wide"><table><tr>{heads}</tr>\n{rows}</table></div>'
    return f"<h2>{escape(section.title)}</h2>\n{table}{notes}"


def _cell(value: object) -> str:
    kind = ' class="number"' if isinstance(value, int | float) else ""
    return f"<td{kind}>{escape(show(value))}</td>"


def _gallery(stage: str, files: Sequence[str]) -> str:
    figures = "\n".join(
        f'<figure><a href="{escape(file)}"><img src="{escape(file)}" alt="" loading="lazy"></a>'
        f"<figcaption>{escape(PurePosixPath(file).stem)}</figcaption></figure>"
        for file in files
    )
    return f'<h2 id="{stage}">Pictures of {stage}</h2>\n<div class="pictures">{figures}</div>'
