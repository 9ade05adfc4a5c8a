"""The look of the HTML pages: one style sheet, in light and in dark, with the fonts of the system."""

STYLE = """
:root {
  color-scheme: light dark;
  --back: light-dark(#f6f7f9, #14161a);
  --card: light-dark(#ffffff, #1d2026);
  --line: light-dark(#dfe3e8, #323742);
  --text: light-dark(#1b1f24, #e6e9ee);
  --soft: light-dark(#5c6673, #9aa4b2);
  --accent: light-dark(#2563c9, #7aa7f5);
  --good: light-dark(#17783f, #5fcf8d);
  --bad: light-dark(#b3261e, #ff8a80);
  --warn: light-dark(#8a5a00, #f0b95b);
  --mark: light-dark(#ffe69a, #6b5310);
  --tint: light-dark(#e8effb, #25324a);
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 40px 0 12px; }
h3 { font-size: 15px; margin: 0; overflow-wrap: anywhere; }
code, .mono { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.good { color: var(--good); }
.bad { color: var(--bad); }
.warn { color: var(--warn); }
.verdict { display: inline-block; margin: 12px 0 0; padding: 6px 14px; border: 1px solid; border-radius: 99px; font-weight: 600; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 0; }
.tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 18px; min-width: 7em; }
.tiles dd { margin: 0; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles dt { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 7px 14px; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-size: 13px; font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.findings td:first-child { white-space: nowrap; }
.findings td:last-child { width: 60%; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 16px; align-items: start; }
figure { margin: 0; }
.charts { grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; min-width: 0; }
.card header { display: flex; justify-content: space-between; gap: 12px; margin-bottom: 12px; }
.badge { color: var(--soft); font-size: 13px; white-space: nowrap; }
.card section { margin-top: 12px; }
.label { color: var(--soft); font-size: 12px; margin: 0 0 4px; }
.picture svg { display: block; width: 100%; max-height: 340px; border-radius: 6px; background: var(--back); }
.picture image { image-rendering: auto; }
.box { fill: none; stroke: #ff2d78; stroke-width: 2; vector-effect: non-scaling-stroke; }
.point { fill: #ff2d78; }
.wave { fill: var(--accent); }
.segment { fill: var(--mark); }
.bar { fill: var(--accent); }
.chart svg, .sound svg { display: block; width: 100%; }
.chart text { fill: var(--soft); font-size: 11px; }
audio { display: block; width: 100%; height: 36px; margin-top: 6px; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; max-height: 300px; overflow-y: auto; }
mark { background: var(--mark); color: inherit; border-radius: 3px; }
.tokens span { border-radius: 3px; }
.tokens span:nth-child(odd) { background: var(--tint); }
ul.notes { margin: 4px 0 0; padding-left: 18px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--soft); font-size: 13px; }
details dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin: 8px 0 0; font-size: 13px; }
details dt { color: var(--soft); }
details dd { margin: 0; overflow-wrap: anywhere; }
"""
