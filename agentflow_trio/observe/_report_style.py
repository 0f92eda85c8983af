"""How a report looks: on light and on dark screens, and on paper.

Layer: observe. Rules: text has a contrast of at least 4.5 to what is behind it, lines that carry meaning 3; nothing is
fetched.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #17202c; --quiet: #566173; --line: #dde2ea;
  --good: #1d6b3a; --bad: #b3261e; --cut: #5d6470;
  --visit: #cfe2fb; --visit-line: #3c70b4; --around: #e9eef6; --around-line: #8494ab;
  --item: #d9ecdf; --item-line: #3d8058; --crowd: #a9cbb6;
  --error: #ffdcd8; --error-line: #b3261e; --cancelled: #e6e7ea; --cancelled-line: #666d79;
  --wait: #fff0c2; --wait-line: #a77b00; --critical: #c2410c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1b2129; --text: #e8ecf2; --quiet: #a5b0c0; --line: #333c49;
    --good: #6fd394; --bad: #ff9d94; --cut: #b3bac6;
    --visit: #23406a; --visit-line: #82b1f2; --around: #262f3c; --around-line: #7b8aa0;
    --item: #1f4a33; --item-line: #74c697; --crowd: #2f6b4b;
    --error: #5e211d; --error-line: #ff9d94; --cancelled: #383e48; --cancelled-line: #a3abb8;
    --wait: #4b3c0b; --wait-line: #e3b93f; --critical: #ff9a57;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; max-width: 78rem; padding: 1.5rem clamp(.75rem, 3vw, 2rem) 3rem;
  background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 0 0 .6rem }
p { margin: .25rem 0 }
.quiet, .note, caption, dt { color: var(--quiet) }
.note { font-size: .87rem; max-width: 60rem }
.warning { border-left: 4px solid var(--bad); padding: .3rem .8rem; background: var(--card) }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem clamp(.75rem, 2vw, 1.4rem); margin-top: 1.1rem;
}
dl.sums {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.6rem, 1fr)); gap: .7rem;
  margin: 1.1rem 0 0;
}
dl.sums > div {
  display: flex; flex-direction: column-reverse; justify-content: flex-end;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .6rem .9rem;
}
dt { font-size: .82rem }
dd { margin: 0; font-variant-numeric: tabular-nums }
dl.sums dd { font-size: 1.3rem; font-weight: 600; white-space: nowrap }
dd.good { color: var(--good) } dd.bad { color: var(--bad) } dd.cut { color: var(--cut) }
dl.brief { margin: 1.1rem 0 0; display: grid; gap: .7rem }
dl.brief > div { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--around-line); border-radius: 4px; padding: .5rem .9rem }
dl.brief > .bad { border-left-color: var(--bad) } dl.brief > .cut { border-left-color: var(--cut) }
dl.brief dd { overflow-wrap: anywhere; unicode-bidi: isolate }
code { font: .93em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; unicode-bidi: isolate }
.wide { overflow-x: auto }
.wide:focus-visible { outline: 2px solid var(--visit-line); outline-offset: 2px }
table { border-collapse: collapse; width: 100%; font-size: .87rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding-bottom: .4rem }
th, td { padding: .32rem .6rem; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--line) }
th:first-child { padding-left: 0 }
thead th { color: var(--quiet); font-weight: 600; white-space: nowrap }
tbody th { font-weight: 400; min-width: 9rem }
td { unicode-bidi: isolate }
th.number, td.number { text-align: right; white-space: nowrap }
td.message { overflow-wrap: anywhere; min-width: 12rem }
tbody tr:last-child > * { border-bottom: 0 }
.gauge {
  display: inline-block; width: 6rem; height: .6rem; margin-right: .6rem;
  background: var(--around); border: 1px solid var(--around-line); border-radius: 3px; overflow: hidden;
}
.share { display: inline-block; min-width: 3.2rem }
.gauge > span { display: block; height: 100%; background: var(--critical) }
svg.timeline { display: block; width: 100%; min-width: 860px; height: auto }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--text) }
.tick { text-anchor: middle; fill: var(--quiet) }
svg .quiet { fill: var(--quiet) }
.grid { stroke: var(--line) }
.name { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; stroke-opacity: .8 }
.body { stroke-width: 1 }
.run, .visit { fill: var(--visit); stroke: var(--visit-line) }
.around { fill: var(--around); stroke: var(--around-line) }
.item, .many { fill: var(--item); stroke: var(--item-line) }
.crowd { fill: var(--crowd) }
.body.error { fill: var(--error); stroke: var(--error-line); stroke-width: 1.5 }
.body.around.error { fill: var(--around) }
.body.cancelled, .body.unfinished { fill: var(--cancelled); stroke: var(--cancelled-line); stroke-dasharray: 4 2 }
.waiting { fill: url(#waiting); stroke: var(--wait-line) }
.pausing { fill: url(#pausing); stroke: var(--wait-line) }
.failing { fill: url(#failing); stroke: var(--error-line) }
.cut-off { fill: url(#cut-off); stroke: var(--cancelled-line) }
.hatch-wait-ground { fill: var(--wait) } .hatch-wait { stroke: var(--wait-line); stroke-width: 1.5 }
.hatch-error-ground { fill: var(--error) } .hatch-error { stroke: var(--error-line); stroke-width: 2 }
.hatch-cancelled-ground { fill: var(--cancelled) } .hatch-cancelled { stroke: var(--cancelled-line); stroke-width: 2 }
.failed-attempt { fill: var(--error-line); stroke: var(--card) }
.critical { fill: var(--critical) }
.link { fill: var(--around); stroke: var(--critical); stroke-width: 2 }
.took { fill: var(--quiet) }
.crowd ~ text > .took { fill: var(--text) }
.none { color: var(--quiet) }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; margin: .8rem 0 0; font-size: .85rem }
.legend li { display: flex; align-items: center; gap: .4rem }
.key { width: 30px; height: 16px }
figure { margin: 0 }
@media (max-width: 600px) { .gauge { display: none } }
footer { margin-top: 1.2rem }
@media print {
  :root {
    --page: #ffffff; --card: #ffffff; --text: #000000; --quiet: #444444; --line: #bbbbbb;
    --good: #1d6b3a; --bad: #b3261e; --cut: #5d6470;
    --visit: #cfe2fb; --visit-line: #3c70b4; --around: #e9eef6; --around-line: #8494ab;
    --item: #d9ecdf; --item-line: #3d8058; --crowd: #a9cbb6;
    --error: #ffdcd8; --error-line: #b3261e; --cancelled: #e6e7ea; --cancelled-line: #666d79;
    --wait: #fff0c2; --wait-line: #a77b00; --critical: #c2410c;
  }
  body { max-width: none; padding: 0; font-size: 11px; print-color-adjust: exact }
  section { break-inside: avoid-page; border: 0; padding: .5rem 0 }
  .wide { overflow: visible }
  svg.timeline { min-width: 0 }
}
"""
